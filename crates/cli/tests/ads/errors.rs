//! What is refused, how it is said, and with which exit code.

use serde_json::Value;

use crate::Ads;

#[test]
fn what_cannot_be_is_exit_code_2() {
    let ads = Ads::new();
    let list = ads.file("list.json", "[1]");
    let latin = ads.file("latin.txt", b"caf\xe9");
    let long = "k".repeat(1_025);
    let deep = "[".repeat(129) + &"]".repeat(129);
    let calls: &[(&[&str], &str)] = &[
        (&["set", "k", "not json"], "--string"),
        (&["set", "k", "\"\\ud800\""], "surrogate"),
        (&["set", "k", "1e999"], "number"),
        (&["set", "k", &deep], "nested"),
        (&["set", "k", "1", "--metadata", "[]"], "metadata"),
        (&["set", "k", "1", "--metadata", "{"], "--metadata"),
        (&["set", "k", "1", "--ttl", "soon"], "90s"),
        (&["set", "k", "1", "--ttl", "0"], "microsecond"),
        (&["set", "k", "1", "--if-version", "x"], "--if-version"),
        (&["set", "k"], "<VALUE>"),
        (&["set", "k", "1", "--file", &list], "--file"),
        (&["set", "k", "--file", "no-such-file"], "no-such-file"),
        (&["set", "k", "--file", &latin, "--string"], "UTF-8"),
        (&["set", "k", "--file", "."], "cannot read"),
        (&["increment", "k", "x"], "BY"),
        (&["increment", "k", "\"1\""], "number"),
        (&["append", "k"], "<VALUE>"),
        (&["append", "k", "plain"], "--string"),
        (&["append", "k", "-", "-"], "only once"),
        (&["append", "k", "1", "--max-length", "-1"], "--max-length"),
        (&["merge", "k", "{"], "not JSON"),
        (&["expire", "k"], "--never"),
        (&["expire", "k", "5m", "--never"], "--never"),
        (&["expire", "k", "0"], "microsecond"),
        (&["lock", "r"], "<COMMAND>"),
        (&["lock", "r", "true"], "true"),
        (&["lock", "r", "--ttl", "0", "--", "true"], "microsecond"),
        (&["lock", "r", "--wait", "soon", "--", "true"], "forever"),
        (&["claim", "job:", "--", "true"], "--ttl"),
        (&["claim", "job:", "--ttl", "1m"], "<COMMAND>"),
        (&["claim", "job:", "--ttl", "1m", "--max-attempts", "0", "--", "true"], "--max-attempts"),
        (&["claim", "job:", "--ttl", "1m", "--retry-in", "forever", "--", "true"], "90s"),
        (&["changes", "--since", "yesterday"], "--since"),
        (&["changes", "--limit", "x"], "--limit"),
        (&["wait", "k", "--timeout", "soon"], "forever"),
        (&["wait", ""], "empty"),
        (&["get", ""], "empty"),
        (&["get", &long], "1024"),
        (&["get", "k", "--default", "{"], "--default"),
        (&["keys", "--store", "mysql://root:secret@host/db"], "mysql"),
        (&["keys", "--store", "sqlite://relative.db"], "absolute"),
        (&["frobnicate"], "frobnicate"),
        (&["get"], "<KEY>"),
        (&["get", "k", "--frobnicate"], "--frobnicate"),
        (&[], "Usage"),
    ];
    for (args, names) in calls {
        let done = ads.ads(args);
        let message = done.fails(2);
        assert!(message.contains(names), "{args:?}: {message}");
        assert!(!message.contains("secret"), "{args:?}: {message}");
    }
    assert!(!ads.path().join("store.db").exists() || ads.ok(&["keys"]).is_empty());
}

#[test]
fn values_over_the_limit_are_refused_before_they_are_held() {
    let ads = Ads::new();
    let limit = 16 << 20;
    let fits = ads.file("fits", "x".repeat(limit - 2));
    let large = ads.file("large", "x".repeat(limit - 1));
    ads.ok(&["set", "k", "--string", "--file", &fits]);
    assert!(ads.ads(&["set", "k", "--string", "--file", &large]).fails(2).contains("over the limit"));
    // Would never end if it were read to its end.
    assert!(ads.ads(&["set", "k", "--string", "--file", "/dev/zero"]).fails(2).contains("over the limit"));
    let json = ads.file("json", format!("\"{}\"\r\n", "x".repeat(limit - 2)));
    ads.ok(&["set", "k", "--file", &json]);
}

#[test]
fn a_conflict_is_exit_code_3_and_names_both_versions() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1"]);
    ads.ads(&["set", "k", "2", "--if-version", "99"]).fails(3);
    let done = ads.ads(&["set", "k", "2", "--if-version", "99", "--json"]);
    let error: Value = serde_json::from_str(&done.err).expect("JSON");
    assert_eq!((done.code, done.out.as_str()), (3, ""));
    assert_eq!(error["code"], "conflict");
    assert_eq!(error["key"], "k");
    assert_eq!(error["expectedVersion"], 99);
    assert!(error["actualVersion"].as_u64() > Some(0));
    assert_eq!(error["retryable"], false);
}

#[test]
fn a_store_out_of_reach_is_exit_code_6() {
    let ads = Ads::new();
    let url = format!("sqlite://{}/no/such/folder/store.db", ads.path().display());
    ads.ads(&["keys", "--store", &url]).fails(6);
    let done = ads.ads(&["keys", "--store", &url, "--json"]);
    let error: Value = serde_json::from_str(&done.err).expect("JSON");
    assert_eq!(error["code"], "unavailable");
}

#[test]
fn what_is_no_store_is_exit_code_7_and_stays_as_it_is() {
    let ads = Ads::new();
    let content = "this is a letter, not a database; ".repeat(100);
    let path = ads.file("letter.txt", &content);
    ads.ads(&["keys", "--store", &format!("sqlite://{path}")]).fails(7);
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), content);
}

#[test]
fn errors_for_programs_are_one_json_object() {
    let ads = Ads::new();
    let calls: &[(&[&str], i32, &str)] = &[
        (&["get", "nobody", "--json"], 1, "not_found"),
        (&["--json", "set", "k", "{"], 2, "invalid_argument"),
        (&["--json", "set", "k", "\"\\ud800\""], 2, "not_serializable"),
        (&["get", "--json", "--frobnicate"], 2, "invalid_argument"),
        (&["--json"], 2, "invalid_argument"),
        (&["clear", "--json"], 2, "invalid_argument"),
    ];
    for (args, code, name) in calls {
        let done = ads.ads(args);
        let error: Value = serde_json::from_str(&done.err).unwrap_or_else(|_| panic!("{args:?}: {done:?}"));
        assert_eq!((done.code, error["code"].as_str()), (*code, Some(*name)), "{args:?}");
        let message = error["message"].as_str().expect("a message");
        assert!(!message.is_empty() && !message.contains('\n'), "{args:?}: {message}");
    }
    // Behind `--` it is a key, not the option.
    assert!(ads.ads(&["get", "--", "--json"]).fails(1).contains("\"--json\""));
}
