//! Counting, collecting, patching: nothing is lost between reading and writing.

use serde_json::{Value, json};

use crate::Ads;

#[test]
fn no_count_and_no_item_is_lost_between_processes() {
    let ads = Ads::new();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let ads = &ads;
            scope.spawn(move || {
                for round in 0..8 {
                    ads.ok(&["increment", "n"]);
                    ads.ok(&["append", "list", &(worker * 8 + round).to_string()]);
                }
            });
        }
    });
    assert_eq!(ads.ok(&["get", "n"]), "32\n");
    let list = ads.json(&["get", "list"]);
    let mut items: Vec<u64> = list.as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    items.sort_unstable();
    assert_eq!(items, (0..32).collect::<Vec<_>>());
}

#[test]
fn increment_prints_the_new_number() {
    let ads = Ads::new();
    assert_eq!(ads.ok(&["increment", "n"]), "1\n");
    assert_eq!(ads.ok(&["increment", "n", "41"]), "42\n");
    assert_eq!(ads.ok(&["increment", "n", "-50"]), "-8\n");
    assert_eq!(ads.ok(&["increment", "n", "0.5"]), "-7.5\n");
    assert_eq!(ads.ok(&["increment", "big", "123456789012345678901234567890"]), "123456789012345678901234567890\n");
    assert_eq!(ads.ok(&["increment", "big", "--json"]), "123456789012345678901234567891\n");
    ads.ok(&["set", "text", "\"1\""]);
    assert!(ads.ads(&["increment", "text"]).fails(2).contains("number"));
    assert_eq!(ads.ok(&["get", "text"]), "\"1\"\n");
}

#[test]
fn append_prints_the_new_length() {
    let ads = Ads::new();
    assert_eq!(ads.ok(&["append", "list", "1", "{\"a\":  2}"]), "2\n");
    assert_eq!(ads.ok(&["append", "list", "-3.5", "1"]), "4\n");
    assert_eq!(ads.json(&["get", "list"]), json!([1, {"a": 2}, -3.5, 1]));
    assert_eq!(ads.ok(&["append", "list", "1", "{\"a\":2}", "new", "--unique", "--string"]), "7\n");
    assert_eq!(ads.ok(&["append", "list", "1", "{\"a\":2}", "5", "--unique"]), "8\n");
    assert_eq!(ads.ok(&["append", "list", "6", "--max-length", "3"]), "3\n");
    assert_eq!(ads.json(&["get", "list"]), json!(["new", 5, 6]));
    assert_eq!(ads.ads_with_input(&["append", "list", "-", "8"], "[7]\n").out, "5\n");
    assert_eq!(ads.json(&["get", "list"]), json!(["new", 5, 6, [7], 8]));
    ads.ok(&["set", "text", "\"1\""]);
    ads.ads(&["append", "text", "1"]).fails(2);
}

#[test]
fn merge_prints_the_new_value() {
    let ads = Ads::new();
    assert_eq!(ads.json(&["merge", "k", r#"{"a": {"b": 1, "c": 2}, "d": 3}"#]), json!({"a": {"b": 1, "c": 2}, "d": 3}));
    assert_eq!(ads.json(&["merge", "k", r#"{"a": {"b": null}, "d": [4]}"#]), json!({"a": {"c": 2}, "d": [4]}));
    let done = ads.ads_with_input(&["merge", "k", "-"], "{\"d\": null}\n");
    assert_eq!(serde_json::from_str::<Value>(&done.out).expect("JSON"), json!({"a": {"c": 2}}));
    assert_eq!(ads.json(&["get", "k"]), json!({"a": {"c": 2}}));
}

#[test]
fn a_time_to_live_comes_with_any_write_and_stays_without() {
    let ads = Ads::new();
    let expires = |key: &str| ads.json(&["record", key])["expiresAt"].clone();
    for (key, args) in [
        ("n", ["increment", "n", "1"].as_slice()),
        ("list", &["append", "list", "1"]),
        ("object", &["merge", "object", "{}"]),
    ] {
        ads.ok(args);
        assert_eq!(expires(key), Value::Null);
        ads.ok(&[args, &["--ttl", "1h"]].concat());
        let first = expires(key);
        assert!(first.is_string(), "{key}");
        ads.ok(args);
        assert_eq!(expires(key), first, "{key}");
    }
}

#[test]
fn expire_changes_the_time_and_nothing_else() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "[1]", "--metadata", "{\"a\":1}"]);
    let before = ads.json(&["record", "k"]);
    assert_eq!(ads.ok(&["expire", "k", "2d"]), "");
    let after = ads.json(&["record", "k"]);
    let micros = |record: &Value, name: &str| {
        let text = record[name].as_str().expect("a time");
        agent_data_store::Timestamp::parse(text).expect("RFC 3339").as_micros()
    };
    assert_eq!(micros(&after, "expiresAt") - micros(&after, "updatedAt"), 172_800_000_000);
    assert_eq!((&after["value"], &after["metadata"]), (&before["value"], &before["metadata"]));
    let version = ads.json(&["expire", "k", "--never"])["version"].clone();
    let after = ads.json(&["record", "k"]);
    assert_eq!((&after["expiresAt"], &after["version"]), (&Value::Null, &version));
    ads.ok(&["expire", "k", "0.000001"]);
    ads.ads(&["get", "k"]).fails(1);
    assert!(ads.ads(&["expire", "k", "5m"]).fails(1).contains("no key \"k\""));
}
