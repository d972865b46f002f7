//! Storing, reading, listing, deleting.

use serde_json::{Value, json};

use crate::Ads;

#[test]
fn what_is_set_is_there_for_the_next_call() {
    let ads = Ads::new();
    assert_eq!(ads.ok(&["set", "project", r#"{"status":  "active"}"#]), "");
    assert_eq!(ads.ok(&["get", "project"]), "{\"status\":  \"active\"}\n");
    assert_eq!(ads.ok(&["set", "project", "null"]), "");
    assert_eq!(ads.ok(&["get", "project"]), "null\n");
    assert_eq!(ads.json(&["get", "project"]), Value::Null);
}

#[test]
fn numbers_are_kept_to_the_last_digit() {
    let ads = Ads::new();
    for number in ["-5", "123456789012345678901234567890", "1.10", "-1.5e7"] {
        ads.ok(&["set", "n", number]);
        assert_eq!(ads.ok(&["get", "n"]).trim_end(), number);
    }
}

#[test]
fn a_value_comes_from_an_argument_a_file_or_stdin() {
    let ads = Ads::new();
    let path = ads.file("value.json", "{\n  \"from\": \"file\"\n}\n");
    ads.ok(&["set", "a", "--file", &path]);
    assert_eq!(ads.json(&["get", "a"]), json!({"from": "file"}));
    for args in [["set", "b", "-"].as_slice(), &["set", "b", "--file", "-"]] {
        assert_eq!(ads.ads_with_input(args, "[\"stdin\"]\n").code, 0);
        assert_eq!(ads.json(&["get", "b"]), json!(["stdin"]));
        ads.ok(&["delete", "b"]);
    }
}

#[test]
fn plain_text_becomes_a_string() {
    let ads = Ads::new();
    ads.ok(&["set", "a", "--string", "say \"hi\" \\ 42"]);
    assert_eq!(ads.json(&["get", "a"]), json!("say \"hi\" \\ 42"));
    assert_eq!(ads.ads_with_input(&["set", "b", "-", "--string"], "two\nlines\t🦀\u{0}\n").code, 0);
    assert_eq!(ads.json(&["get", "b"]), json!("two\nlines\t🦀\u{0}\n"));
    ads.ok(&["set", "c", "--string", ""]);
    assert_eq!(ads.json(&["get", "c"]), json!(""));
}

#[test]
fn a_missing_key_is_a_negative_answer_or_the_default() {
    let ads = Ads::new();
    assert!(ads.ads(&["get", "nobody"]).fails(1).contains("no key \"nobody\" in namespace \"default\""));
    assert!(ads.ads(&["record", "nobody"]).fails(1).contains("\"nobody\""));
    assert_eq!(ads.ok(&["get", "nobody", "--default", "[1,  2]"]), "[1,  2]\n");
    assert_eq!(ads.ok(&["get", "nobody", "--default", "-1"]), "-1\n");
    ads.ok(&["set", "nobody", "3"]);
    assert_eq!(ads.ok(&["get", "nobody", "--default", "[]"]), "3\n");
}

#[test]
fn a_write_can_depend_on_the_version() {
    let ads = Ads::new();
    let first = ads.json(&["set", "k", "1", "--if-version", "0"])["version"].as_u64().expect("a version");
    assert!(ads.ads(&["set", "k", "2", "--if-version", "0"]).fails(3).contains("absent as expected"));
    let second = ads.json(&["set", "k", "2", "--if-version", &first.to_string()]);
    assert!(second["version"].as_u64() > Some(first));
    assert_eq!(ads.json(&["record", "k"])["version"], second["version"]);
    assert_eq!(ads.ok(&["get", "k"]), "2\n");
}

#[test]
fn a_record_can_expire() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1", "--ttl", "2d"]);
    let record = ads.json(&["record", "k"]);
    let days = |name: &str| {
        let text = record[name].as_str().expect("a time");
        agent_data_store::Timestamp::parse(text).expect("RFC 3339").as_micros() / 1_000_000
    };
    assert_eq!(days("expiresAt") - days("createdAt"), 172_800);
    ads.ok(&["set", "k", "1"]);
    assert_eq!(ads.json(&["record", "k"])["expiresAt"], Value::Null);
    ads.ok(&["set", "k", "1", "--ttl", "0.000001"]);
    ads.ads(&["get", "k"]).fails(1);
}

#[test]
fn a_record_shows_its_bookkeeping() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "[1]", "--user", "alice", "-n", "notes", "--agent", "one", "--metadata", r#"{"a":1}"#]);
    ads.ok(&["set", "k", "[2]", "--user", "alice", "-n", "notes", "--agent", "two", "--metadata", r#"{"b":2}"#]);
    let record = ads.json(&["record", "k", "--user", "alice", "-n", "notes"]);
    assert_eq!(record["_id"], "alice:notes:aw==");
    assert_eq!(record["userId"], "alice");
    assert_eq!(record["namespace"], "notes");
    assert_eq!(record["key"], "k");
    assert_eq!(record["value"], json!([2]));
    assert_eq!(record["metadata"], json!({"a": 1, "b": 2}));
    assert_eq!(record["createdByAgent"], "one");
    assert_eq!(record["updatedByAgent"], "two");
    assert_eq!(record["lastAccessedByAgent"], "two");
    let text = ads.ok(&["record", "k", "--user", "alice", "-n", "notes"]);
    for line in ["user          alice", "created by    one", "expires at    never", "value         [2]"] {
        assert!(text.lines().any(|found| found == line), "{line:?} in {text}");
    }
}

#[test]
fn looking_around_leaves_no_trace_but_an_agent_does() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1", "--agent", "writer"]);
    ads.ok(&["get", "k"]);
    ads.ok(&["all"]);
    let record = ads.json(&["record", "k"]);
    assert_eq!(record["accessCount"], 0);
    assert_eq!(record["lastAccessedByAgent"], "writer");
    ads.ok(&["get", "k", "--agent", "reader"]);
    ads.ok(&["get", "k", "--agent", "reader"]);
    let record = ads.json(&["record", "k"]);
    assert_eq!(record["accessCount"], 2);
    assert_eq!(record["lastAccessedByAgent"], "reader");
}

#[test]
fn deleting_tells_which_keys_were_not_there() {
    let ads = Ads::new();
    for key in ["a", "b", "c"] {
        ads.ok(&["set", key, "1"]);
    }
    assert_eq!(ads.ok(&["delete", "a", "a"]), "");
    let message = ads.ads(&["delete", "a", "b", "x"]).fails(1).to_owned();
    assert!(message.contains("no keys \"a\", \"x\"") && !message.contains("\"b\""), "{message}");
    assert_eq!(ads.ok(&["keys"]), "c\n");
    assert_eq!(ads.json(&["delete", "c"]), json!({"deleted": 1, "missing": []}));
    let done = ads.ads(&["delete", "c", "--json"]);
    assert_eq!((done.code, done.out.trim_end()), (1, r#"{"deleted":0,"missing":["c"]}"#));
}

#[test]
fn keys_are_listed_in_order_and_by_prefix() {
    let ads = Ads::new();
    for key in ["b", "a:2", "a:1", "é", "B"] {
        ads.ok(&["set", key, "0"]);
    }
    assert_eq!(ads.ok(&["keys"]), "B\na:1\na:2\nb\né\n");
    assert_eq!(ads.ok(&["keys", "a:"]), "a:1\na:2\n");
    assert_eq!(ads.json(&["keys", "a:"]), json!(["a:1", "a:2"]));
    assert_eq!(ads.ok(&["keys", "zzz"]), "");
    assert_eq!(ads.json(&["keys", "zzz"]), json!([]));
}

#[test]
fn namespaces_are_listed_with_their_sizes() {
    let ads = Ads::new();
    assert_eq!(ads.ok(&["namespaces"]), "");
    assert_eq!(ads.json(&["namespaces"]), json!([]));
    ads.ok(&["set", "k", "1", "-n", "repo:a", "--agent", "one"]);
    ads.ok(&["set", "l", "[1,2]", "-n", "repo:a", "--agent", "two"]);
    ads.ok(&["set", "k", "1", "-n", "other"]);
    let listed = ads.json(&["namespaces"]);
    assert_eq!(listed[0]["namespace"], "other");
    assert_eq!(listed[1]["namespace"], "repo:a");
    assert_eq!(listed[1]["records"], 2);
    assert_eq!(listed[1]["agents"], json!(["one", "two"]));
    assert!(listed[1]["bytes"].as_u64() >= Some(8) && listed[1]["updatedAt"].is_string(), "{listed}");
    assert_eq!(ads.json(&["namespaces", "repo:"]).as_array().map(Vec::len), Some(1));
    let table = ads.ok(&["namespaces"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAMESPACE", "RECORDS", "SIZE", "UPDATED", "AGENTS"]);
    assert_eq!(lines[2][..2], ["repo:a", "2"]);
    assert!(table.ends_with("one, two\n"), "{table}");
}

#[test]
fn all_is_one_object_of_any_size() {
    let ads = Ads::new();
    assert_eq!(ads.ok(&["all"]), "{}\n");
    ads.ok(&["set", "b", r#"{"x": [1]}"#]);
    ads.ok(&["set", "a", "123456789012345678901234567890"]);
    assert_eq!(ads.ok(&["all"]), "{\n\"a\": 123456789012345678901234567890,\n\"b\": {\"x\": [1]}\n}\n");
    assert_eq!(ads.json(&["all", "b"]), json!({"b": {"x": [1]}}));
    // More than one page, by number and by bytes.
    let store =
        agent_data_store::block_on(agent_data_store::Store::open(&ads.url(), Default::default())).expect("open");
    let identity = agent_data_store::Identity::new("default", None).expect("names");
    let view = store.data_store(identity, "many").expect("name");
    let value = |size: usize| agent_data_store::wire::string(&"x".repeat(size));
    let mut items: Vec<_> = (0..2_500).map(|n| (format!("k{n:04}"), value(3))).collect();
    items.extend((0..6).map(|n| (format!("large{n}"), value(1 << 20))));
    agent_data_store::block_on(view.set_many(items, None, None)).expect("set_many");
    agent_data_store::block_on(store.close()).expect("close");
    let all = ads.json(&["all", "-n", "many"]);
    let all = all.as_object().expect("an object");
    assert_eq!(all.len(), 2_506);
    assert!(all.keys().is_sorted());
    assert_eq!(all["k2499"], "xxx");
    assert_eq!(all["large5"].as_str().map(str::len), Some(1 << 20));
}

#[test]
fn clear_needs_a_yes_and_says_how_many() {
    let ads = Ads::new();
    for key in ["a", "b", "c"] {
        ads.ok(&["set", key, "1", "-n", "scratch"]);
        ads.ok(&["set", key, "1", "-n", "kept"]);
    }
    let refused = ads.ads_with_input(&["clear", "-n", "scratch"], "y\n");
    assert!(refused.fails(2).contains("--yes"), "{refused:?}");
    assert_eq!(ads.ok(&["keys", "-n", "scratch"]), "a\nb\nc\n");
    let done = ads.ads(&["clear", "-n", "scratch", "--yes"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert_eq!(done.err, "deleted 3 records in namespace \"scratch\" of user \"default\"\n");
    assert_eq!(ads.ok(&["keys", "-n", "scratch"]), "");
    let done = ads.ads(&["clear", "-n", "scratch", "--yes", "--json"]);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("{\"deleted\":0}\n", ""));
    assert_eq!(ads.ok(&["keys", "-n", "kept"]), "a\nb\nc\n");
}

#[test]
fn stats_sum_up_what_a_user_has() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1", "--user", "alice"]);
    ads.ok(&["set", "k", "1", "--user", "alice", "-n", "n"]);
    ads.ok(&["set", "l", "1", "--user", "alice", "-n", "n"]);
    ads.ok(&["set", "l", "1", "--user", "bob"]);
    let stats = ads.json(&["stats", "--user", "alice"]);
    assert_eq!(stats["user"], "alice");
    assert_eq!(stats["engine"], "sqlite");
    assert_eq!(stats["file"], format!("{}/store.db", ads.path().display()));
    assert!(stats["fileBytes"].as_u64() >= Some(4_096), "{stats}");
    assert_eq!((&stats["namespaces"], &stats["records"]), (&json!(2), &json!(3)));
    assert!(stats["bytes"].as_u64() >= Some(6), "{stats}");
    let text = ads.ok(&["stats", "--user", "alice"]);
    assert!(text.lines().any(|line| line == "records     3"), "{text}");
    let memory = ads.json(&["stats", "--store", "memory:"]);
    assert_eq!(
        (&memory["engine"], &memory["file"], &memory["fileBytes"]),
        (&json!("memory"), &Value::Null, &Value::Null)
    );
}
