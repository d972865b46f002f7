//! `ads copy`: everything goes over, and nothing else is touched.

use std::thread;

use agent_data_store::block_on;
use agent_data_store_testing::postgres::Database;

use crate::support::{Ads, assert_same, close, everything, fill, open, set, view};

#[test]
fn a_store_goes_to_postgresql_and_back_with_all_that_is_kept() {
    let Some(database) = Database::find() else { return };
    let schemas = [database.schema("pool_size=3"), database.schema("pool_size=3&ordering=serial")];
    let ads = Ads::new();
    let first = ads.url("first.db");
    fill(&first);
    // Users of the store's own are part of it.
    ads.json(&["token", "create", "--user", "alice", "--write", "--store", &first]);
    let before = everything(&first);
    for (round, schema) in schemas.iter().enumerate() {
        let last = ads.url(&format!("last {round}.db"));
        let there = ads.json(&["copy", &first, &schema.url]);
        let back = ads.json(&["copy", &schema.url, &last]);
        assert_eq!(there, back, "the same counts and the same checksum");
        assert_eq!(there["users"], before.len());
        assert_same(&first, &schema.url);
        assert_same(&first, &last);
        let tokens = ads.json(&["token", "list", "--store", &last]);
        assert_eq!(tokens, ads.json(&["token", "list", "--store", &first]));
        for url in [&schema.url, &last] {
            let store = open(url);
            for (user, last, _) in before.iter().filter(|(user, ..)| !user.starts_with("ads:")) {
                let version = set(&view(&store, user, None, "mixed"), "deleted", "1");
                assert!(version > *last, "no version comes again, also where nothing is left of it");
            }
            close(store);
        }
    }
    assert_eq!(everything(&first), before, "the source is as it was");
}

#[test]
fn a_copy_may_be_made_again_and_brings_what_has_changed() {
    let ads = Ads::new();
    let (from, to) = (ads.url("from.db"), ads.url("to.db"));
    fill(&from);
    let once = ads.json(&["copy", &from, &to]);
    assert_eq!(ads.json(&["copy", &from, &to]), once);
    let store = open(&from);
    let mixed = view(&store, "plain", Some("late"), "mixed");
    set(&mixed, "large", "1");
    set(&mixed, "new", "1");
    block_on(mixed.delete("expires")).unwrap();
    block_on(mixed.use_namespace("a:b").unwrap().clear()).unwrap();
    set(&mixed.use_namespace("new").unwrap(), "a", "1");
    set(&view(&store, "a new user", None, "n"), "a", "1");
    block_on(mixed.get("written often")).unwrap();
    close(store);
    let again = ads.json(&["copy", &from, &to]);
    assert_ne!(again["checksum"], once["checksum"]);
    assert_same(&from, &to);
}

#[test]
fn a_copy_of_a_store_that_is_written_holds_what_was_there_and_then_the_rest() {
    let database = Database::find();
    let schema = database.as_ref().map(|database| database.schema("pool_size=3"));
    let ads = Ads::new();
    let from = ads.url("from.db");
    fill(&from);
    let to = schema.as_ref().map_or_else(|| ads.url("to.db"), |schema| schema.url.clone());
    let store = open(&from);
    let running = std::sync::atomic::AtomicBool::new(true);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (store, running) = (&store, &running);
            scope.spawn(move || {
                let records = view(store, "plain", Some("writer"), "mixed");
                let mut round = 0u64;
                while running.load(std::sync::atomic::Ordering::Relaxed) {
                    round += 1;
                    let key = format!("{writer} {}", round % 300);
                    set(&records, &key, &round.to_string());
                    if round.is_multiple_of(7) {
                        block_on(records.delete(&key)).unwrap();
                    }
                    if round.is_multiple_of(500) {
                        block_on(records.use_namespace("100%25").unwrap().clear()).unwrap();
                    }
                    set(&view(store, &format!("user {}", round % 50), None, "100%25"), "a", "1");
                }
            });
        }
        for _ in 0..3 {
            let done = ads.run(&["copy", &from, &to]);
            assert!(matches!(done.code, Some(0 | 1)), "{done:?}");
            if done.code == Some(1) {
                assert!(done.err.contains("run the same command again"), "{done:?}");
            }
        }
        running.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    close(store);
    ads.json(&["copy", &from, &to]);
    assert_same(&from, &to);
}

#[test]
fn a_copy_into_anything_else_is_refused_and_changes_nothing() {
    let ads = Ads::new();
    let [from, other, to, used] = ["from.db", "other.db", "to.db", "used.db"].map(|name| ads.url(name));
    for url in [&from, &other, &used] {
        let store = open(url);
        set(&view(&store, "user", None, "n"), "a", "1");
        close(store);
    }
    let before = everything(&used);
    assert!(ads.fails(2, &["copy", &from, &used]).contains("the destination is not empty"));
    assert_eq!(everything(&used), before);
    assert!(ads.fails(2, &["copy", &from, &from]).contains("the same store"));
    let linked = ads.path("linked.db");
    std::os::unix::fs::symlink(ads.path("from.db"), &linked).unwrap();
    assert!(ads.fails(2, &["copy", &from, &ads.url("linked.db")]).contains("the same store"));

    ads.json(&["copy", &from, &to]);
    assert!(ads.fails(2, &["copy", &other, &to]).contains("a copy of another store, sqlite://"));
    let store = open(&to);
    set(&view(&store, "user", None, "n"), "a", "2");
    close(store);
    let before = everything(&to);
    assert!(ads.fails(3, &["copy", &from, &to]).contains("written to by somebody else"));
    assert_eq!(everything(&to), before);

    let missing = ads.url("missing.db");
    assert!(ads.fails(2, &["copy", &missing, &ads.url("new.db")]).contains("there is no store here"));
    assert!(!ads.path("missing.db").exists() && !ads.path("new.db").exists());
    assert!(ads.fails(2, &["copy", "memory:", &to]).contains("ends with this command"));
    assert!(ads.fails(2, &["copy", &from, &to, "--user", "user"]).contains("leave out --user"));
}

#[test]
fn a_user_of_the_destination_alone_is_somebody_elses() {
    let ads = Ads::new();
    let (from, to) = (ads.url("from.db"), ads.url("to.db"));
    let store = open(&from);
    set(&view(&store, "user", None, "n"), "a", "1");
    close(store);
    ads.json(&["copy", &from, &to]);
    let store = open(&to);
    set(&view(&store, "another", None, "n"), "a", "1");
    close(store);
    assert!(ads.fails(3, &["copy", &from, &to]).contains("user \"another\""));
}

#[test]
fn a_server_is_no_whole_store() {
    let ads = Ads::new();
    let mut command = ads.command(&["serve", "--json", "--listen", "127.0.0.1:0", "--store", &ads.url("served.db")]);
    let mut server = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.as_mut().unwrap()), &mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = said["url"].as_str().unwrap();
    for args in [["copy", url, &ads.url("to.db")], ["copy", &ads.url("served.db"), url]] {
        assert!(ads.fails(2, &args).contains("name the store behind it"));
    }
    server.kill().unwrap();
    server.wait().unwrap();
}
