//! `ads verify`: a sound store is found sound, each kind of damage is found, and what can be derived is mended.

use agent_data_store_testing::postgres::{Database, Schema, run_sql};
use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Ads, close, everything, fill, json, open, set, view};

/// Records of one user, which a test then damages.
fn small(url: &str) {
    let store = open(url);
    let notes = view(&store, "user", Some("agent"), "notes");
    for key in ["a", "b", "c"] {
        set(&notes, key, &format!("\"{key}\""));
        agent_data_store::block_on(notes.get(key)).unwrap();
    }
    set(&notes.use_namespace("other").unwrap(), "d", "1");
    let options = agent_data_store::SetOptions { metadata: Some(json("{\"a\":1}")), ..Default::default() };
    agent_data_store::block_on(notes.set("with metadata", json("1"), options)).unwrap();
    agent_data_store::block_on(notes.delete("c")).unwrap();
    close(store);
}

fn verify(ads: &Ads, url: &str, more: &[&str]) -> Value {
    let done = ads.run(&[&["verify", url, "--json"], more].concat());
    let found: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!(done.code, Some(i32::from(found["sound"] != true)), "{done:?}");
    found
}

/// What was found, and whether it is mended.
fn problems(found: &Value) -> Vec<(String, bool)> {
    let of = |problem: &Value| (problem["kind"].as_str().unwrap().to_owned(), problem["mended"] == true);
    found["problems"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn a_sound_store_is_found_sound_and_nothing_is_written() {
    let database = Database::find();
    let schema = database.as_ref().map(|database| database.schema("pool_size=3"));
    let ads = Ads::new();
    let file = ads.url("store.db");
    fill(&file);
    for url in [Some(&file), schema.as_ref().map(|schema| &schema.url)].into_iter().flatten() {
        if *url != file {
            ads.json(&["copy", &file, url]);
        }
        let before = everything(url);
        let records: usize = before.iter().flat_map(|(_, _, spaces)| spaces).map(|(_, rows)| rows.len()).sum();
        let of_copy = usize::from(*url != file);
        for repair in [&[][..], &["--repair"]] {
            let found = verify(&ads, url, repair);
            assert_eq!(found["problems"], Value::Array(vec![]), "{found}");
            assert_eq!(found["records"], records + of_copy);
        }
        assert_eq!(everything(url), before);
    }
    let missing = ads.path("missing.db");
    ads.fails(2, &["verify", missing.to_str().unwrap()]);
    assert!(!missing.exists());
    std::fs::write(&missing, "something else").unwrap();
    ads.fails(7, &["verify", missing.to_str().unwrap()]);
}

/// A damage made by plain SQL, what is found then, and whether it can be mended.
type Damage = (&'static str, &'static str, bool);

const OF_A_FILE: [Damage; 18] = [
    ("UPDATE namespaces SET records = records + 1 WHERE name = 'notes'", "counts", true),
    ("UPDATE namespaces SET bytes = bytes - 1 WHERE name = 'notes'", "counts", true),
    (
        "INSERT INTO namespaces (user, name, records, bytes, updated_at) VALUES ('user', 'empty', 0, 0, 1)",
        "counts",
        true,
    ),
    ("INSERT INTO accesses VALUES (12345, 1, 1, 'a')", "orphans", true),
    ("INSERT INTO namespace_agents VALUES (12345, 'a')", "orphans", true),
    (
        "UPDATE records SET namespace_id = 12345 WHERE key = 'd'; DELETE FROM namespaces WHERE name = 'other';
      DELETE FROM namespace_agents WHERE namespace_id NOT IN (SELECT id FROM namespaces);
      DELETE FROM changes WHERE namespace = 'other'",
        "lost_records",
        true,
    ),
    ("INSERT INTO dropped_namespaces SELECT id FROM namespaces WHERE name = 'notes'", "live_dropped", true),
    (
        "UPDATE records SET version = 1000 WHERE key = 'a';
      DELETE FROM changes WHERE key = 'a'",
        "version_above_feed",
        false,
    ),
    (
        "UPDATE records SET version = (SELECT version FROM records WHERE key = 'b') WHERE key = 'a';
      DELETE FROM changes WHERE version < 3;
      UPDATE changes SET kind = 3, key = NULL WHERE version = 2",
        "repeated_version",
        false,
    ),
    // A write that was lost, a deletion that was, and a version that came again.
    (
        "DELETE FROM records WHERE key = 'a';
      UPDATE namespaces SET records = records - 1, bytes = bytes - 4 WHERE name = 'notes';
      DELETE FROM accesses WHERE record_id NOT IN (SELECT id FROM records)",
        "feed",
        false,
    ),
    (
        "INSERT INTO records (namespace_id, key, version, created_at, updated_at, value)
          SELECT namespace_id, 'c', 3, 1, 1, '1' FROM records WHERE key = 'a';
      UPDATE namespaces SET records = records + 1, bytes = bytes + 2 WHERE name = 'notes'",
        "feed",
        false,
    ),
    ("DELETE FROM changes WHERE key = 'b'", "feed", false),
    ("UPDATE records SET value = cast(x'22ff22' AS text) WHERE key = 'a'", "damage", false),
    ("UPDATE records SET value = '{' || substr(value, 2) WHERE key = 'a'", "not_json", false),
    (
        "UPDATE records SET metadata = '[  1  ]';
      UPDATE records SET metadata = NULL WHERE key <> 'with metadata'",
        "not_json",
        false,
    ),
    (
        "UPDATE records SET key = '' WHERE key = 'a'; UPDATE changes SET key = '' WHERE key = 'a';
      UPDATE namespaces SET bytes = bytes - 1 WHERE name = 'notes'",
        "name",
        false,
    ),
    (
        "UPDATE namespaces SET name = 'no' || char(0) || 'tes' WHERE name = 'notes';
      UPDATE changes SET namespace = 'no' || char(0) || 'tes' WHERE namespace = 'notes'",
        "name",
        false,
    ),
    ("UPDATE namespaces SET user = ''; UPDATE changes SET user = ''", "name", false),
];

#[test]
fn each_damage_of_a_file_is_found_and_mended_where_it_can_be() {
    for (sql, kind, can_be_mended) in OF_A_FILE {
        let ads = Ads::new();
        let url = ads.url("store.db");
        small(&url);
        assert_eq!(verify(&ads, &url, &[])["sound"], true);
        let sound = everything(&url);
        let connection = Connection::open(ads.path("store.db")).unwrap();
        connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().unwrap();

        let found = verify(&ads, &url, &[]);
        assert!(
            !problems(&found).is_empty() && problems(&found).iter().all(|problem| *problem == (kind.to_owned(), false)),
            "{sql}: {found}"
        );
        assert_eq!(verify(&ads, &url, &[])["problems"], found["problems"], "looking changes nothing");

        let repaired = verify(&ads, &url, &["--repair"]);
        assert!(
            problems(&repaired).iter().all(|problem| *problem == (kind.to_owned(), can_be_mended)),
            "{sql}: {repaired}"
        );
        let after = verify(&ads, &url, &[]);
        assert_eq!(after["sound"], can_be_mended, "{sql}: {after}");
        if can_be_mended && kind != "lost_records" {
            assert_eq!(everything(&url), sound, "{sql}: what can be reached is as it was");
        }
    }
}

#[test]
fn a_damaged_file_is_reported_and_left_alone() {
    let ads = Ads::new();
    let url = ads.url("store.db");
    fill(&url);
    let path = ads.path("store.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 3 * 4_096].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();
    for repair in [&[][..], &["--repair"]] {
        let found = verify(&ads, &url, repair);
        assert!(problems(&found).contains(&("damage".to_owned(), false)), "{found}");
    }
    let text = ads.run(&["verify", path.to_str().unwrap()]);
    assert!(text.out.contains("restore the store from a backup") && text.err.contains("the store has"), "{text:?}");
}

const OF_A_DATABASE: [Damage; 11] = [
    ("UPDATE {s}.counts SET records = records + 1", "counts", true),
    ("UPDATE {s}.counts SET bytes = bytes - 1", "counts", true),
    ("INSERT INTO {s}.agents VALUES ('user', 12345, 'a')", "orphans", true),
    ("INSERT INTO {s}.counts VALUES ('user', 12345, 1, 1, 1, 1)", "orphans", true),
    (
        "UPDATE {s}.records SET namespace_id = 12345 WHERE key = 'd';
      DELETE FROM {s}.counts WHERE namespace_id IN
          (SELECT id FROM {s}.namespaces WHERE name = 'other'); DELETE FROM {s}.agents WHERE namespace_id IN
          (SELECT id FROM {s}.namespaces WHERE name = 'other');
      DELETE FROM {s}.namespaces WHERE name = 'other';
      DELETE FROM {s}.changes WHERE namespace = 'other'",
        "lost_records",
        true,
    ),
    ("INSERT INTO {s}.dropped SELECT user_id, id FROM {s}.namespaces WHERE name = 'notes'", "live_dropped", true),
    (
        "UPDATE {s}.records SET version = 1000 WHERE key = 'a';
      DELETE FROM {s}.changes WHERE key = 'a'",
        "version_above_feed",
        false,
    ),
    (
        "DELETE FROM {s}.changes WHERE kind = 2;
      UPDATE {s}.changes SET kind = 3 WHERE key = 'c';
      UPDATE {s}.changes SET version = 1000 WHERE key = 'b' AND kind = 1",
        "feed",
        false,
    ),
    (
        "UPDATE {s}.records SET value = '{' WHERE key = 'a';
      UPDATE {s}.counts c SET bytes = bytes - 2 FROM {s}.namespaces n
          WHERE n.id = c.namespace_id AND n.name = 'notes'
              AND c.slot = (SELECT min(slot) FROM {s}.counts WHERE namespace_id = n.id)",
        "not_json",
        false,
    ),
    ("UPDATE {s}.agents SET agent = ''", "name", false),
    ("UPDATE {s}.records SET updated_by = repeat('x', 300) WHERE key = 'a'", "name", false),
];

#[test]
fn each_damage_of_a_database_is_found_and_mended_where_it_can_be() {
    let Some(database) = Database::find() else { return };
    for (sql, kind, can_be_mended) in OF_A_DATABASE {
        let ads = Ads::new();
        let schema: Schema = database.schema("pool_size=3");
        small(&schema.url);
        assert_eq!(verify(&ads, &schema.url, &[])["problems"], Value::Array(vec![]));
        let sound = everything(&schema.url);
        run_sql(&database.url(""), &sql.replace("{s}", &format!("\"{}\"", schema.name)));

        let found = verify(&ads, &schema.url, &[]);
        assert!(
            !problems(&found).is_empty() && problems(&found).iter().all(|problem| *problem == (kind.to_owned(), false)),
            "{sql}: {found}"
        );
        let repaired = verify(&ads, &schema.url, &["--repair"]);
        assert!(
            problems(&repaired).iter().all(|problem| *problem == (kind.to_owned(), can_be_mended)),
            "{sql}: {repaired}"
        );
        let after = verify(&ads, &schema.url, &[]);
        assert_eq!(after["sound"], can_be_mended, "{sql}: {after}");
        if can_be_mended && kind != "lost_records" {
            assert_eq!(everything(&schema.url), sound, "{sql}: what can be reached is as it was");
        }
    }
}

#[test]
fn a_copy_that_did_not_come_to_its_end_is_told() {
    let ads = Ads::new();
    let (from, to) = (ads.url("from.db"), ads.url("to.db"));
    small(&from);
    ads.json(&["copy", &from, &to]);
    assert_eq!(verify(&ads, &to, &[])["sound"], true);
    let connection = Connection::open(ads.path("to.db")).unwrap();
    // As it stands while records go over.
    connection.execute("UPDATE records SET value = replace(value, 'true', 'false') WHERE key = 'source'", ()).unwrap();
    connection.execute("UPDATE namespaces SET bytes = bytes + 1 WHERE user = 'ads:copy'", ()).unwrap();
    connection.close().unwrap();
    assert_eq!(problems(&verify(&ads, &to, &["--repair"])), [("unfinished_copy".to_owned(), false)]);
    ads.json(&["copy", &from, &to]);
    assert_eq!(verify(&ads, &to, &[])["sound"], true);
}
