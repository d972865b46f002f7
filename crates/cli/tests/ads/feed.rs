//! Following what changes, and waiting for it.

use agent_data_store::{Identity, Options, Store, block_on, wire};
use serde_json::{Value, json};

use crate::Ads;

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line is a JSON document")).collect()
}

#[test]
fn changes_are_one_line_each_in_order() {
    let ads = Ads::new();
    assert_eq!(ads.ok(&["changes"]), "");
    ads.ok(&["set", "page:1", "1", "--agent", "writer"]);
    ads.ok(&["set", "other", "1", "-n", "elsewhere"]);
    ads.ok(&["set", "new\nline", "1"]);
    ads.ok(&["increment", "page:1"]);
    ads.ok(&["delete", "page:1"]);
    ads.ok(&["clear", "--yes"]);
    let text = ads.ok(&["changes"]);
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        ["set", "writer", "page:1"],
        ["set", "-", "new\\nline"],
        ["set", "-", "page:1"],
        ["delete", "-", "page:1"],
        ["clear", "-", "-"],
    ];
    assert_eq!(words.len(), expected.len(), "{text}");
    for (words, expected) in words.iter().zip(expected) {
        assert_eq!(words[3..], expected, "{text}");
    }
    let changes = documents(&ads.ok(&["changes", "--json"]));
    let of = |name: &str| changes.iter().map(|change| change[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("kind"), ["set", "set", "set", "delete", "clear"]);
    assert_eq!(of("key"), [json!("page:1"), json!("new\nline"), json!("page:1"), json!("page:1"), Value::Null]);
    assert_eq!(of("agent")[..2], [json!("writer"), Value::Null]);
    assert!(of("namespace").iter().all(|namespace| namespace == "default"));
    assert!(of("at").iter().all(|at| agent_data_store::Timestamp::parse(at.as_str().expect("text")).is_some()));
    let versions: Vec<u64> = of("version").iter().map(|version| version.as_u64().expect("a number")).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    assert_eq!(documents(&ads.ok(&["changes", "-n", "elsewhere", "--json"])).len(), 1);
}

#[test]
fn changes_can_be_read_in_parts() {
    let ads = Ads::new();
    for key in ["a", "page:1", "b", "page:2", "page:3"] {
        ads.ok(&["set", key, "1"]);
    }
    let part = |args: &[&str]| {
        let changes = documents(&ads.ok(&[&["changes", "page:", "--json"], args].concat()));
        let last = changes.last().map_or(Value::Null, |change| change["version"].clone()).to_string();
        (changes.iter().map(|change| change["key"].as_str().expect("a key").to_owned()).collect::<Vec<_>>(), last)
    };
    let (keys, last) = part(&["--limit", "2"]);
    assert_eq!(keys, ["page:1", "page:2"]);
    let (keys, last) = part(&["--since", &last]);
    assert_eq!(keys, ["page:3"]);
    assert_eq!(part(&["--since", &last]).0, [""; 0]);
    assert_eq!(part(&["--limit", "0"]).0, [""; 0]);
    assert_eq!(part(&["--since", "999999"]).0, [""; 0]);
}

#[test]
fn changes_that_are_no_longer_kept_are_told_from_those_that_never_were() {
    let ads = Ads::new();
    let mut options = Options::default();
    options.changes_kept = 5;
    let store = block_on(Store::open(&ads.url(), options)).expect("open");
    let view = store.data_store(Identity::new("default", None).expect("names"), "default").expect("a name");
    let items = (0..5_000).map(|key| (format!("{key:04}"), wire::string("x"))).collect();
    block_on(view.set_many(items, None, None)).expect("set_many");
    while block_on(store.maintain()).expect("a step") {}
    drop(view);
    block_on(store.close()).expect("close");
    let message = ads.ads(&["changes", "--since", "1"]).fails(2).to_owned();
    assert!(message.contains("no longer") && message.contains("position"), "{message}");
    let kept = ads.ok(&["changes"]);
    assert!(kept.ends_with("  4999\n"), "{kept}");
}

#[test]
fn wait_prints_what_is_there() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "{\"a\":  1}"]);
    assert_eq!(ads.ok(&["wait", "k"]), "{\"a\":  1}\n");
    assert_eq!(ads.ok(&["wait", "k", "--timeout", "0"]), "{\"a\":  1}\n");
    let found = ads.json(&["wait", "k"]);
    assert_eq!(found, json!({"version": ads.json(&["record", "k"])["version"], "value": {"a": 1}}));
    let version = found["version"].to_string();
    let message = ads.ads(&["wait", "k", "--since-version", &version, "--timeout", "0"]).fails(1).to_owned();
    assert!(message.contains(&format!("no key \"k\" with a version after {version}")), "{message}");
    assert!(ads.ads(&["wait", "nobody", "--timeout", "0.01"]).fails(1).contains("within 10ms"));
    let done = ads.ads(&["wait", "nobody", "--timeout", "0", "--json"]);
    let error: Value = serde_json::from_str(&done.err).expect("JSON");
    assert_eq!((done.code, error["code"].as_str()), (1, Some("timed_out")));
}

#[cfg(unix)]
mod meanwhile {
    use rustix::process::Signal;

    use super::*;
    use crate::running::Running;

    #[test]
    fn following_shows_each_change_as_it_comes() {
        let ads = Ads::new();
        ads.ok(&["set", "page:1", "1"]);
        let follower = Running::start(ads.command(&["changes", "page:", "--follow", "--since", "0"]));
        assert!(follower.line().ends_with("page:1"));
        for key in ["page:2", "other", "page:3"] {
            ads.ok(&["set", key, "1"]);
        }
        assert!(follower.line().ends_with("page:2"));
        assert!(follower.line().ends_with("page:3"));
        ads.ok(&["set", "page:4", "1", "--ttl", "1s"]);
        assert!(follower.line().ends_with("page:4"));
        // Nobody but the follower itself is there to sweep it away.
        let gone = follower.line();
        assert!(gone.contains("  expire  ") && gone.ends_with("page:4"), "{gone}");
        follower.signal(Signal::INT);
        assert_eq!(follower.end(), (130, vec![], vec![]));
    }

    #[test]
    fn following_begins_now_and_ends_with_the_limit() {
        let ads = Ads::new();
        ads.ok(&["set", "old", "1"]);
        let follower = Running::start(ads.command(&["changes", "--follow", "--limit", "2", "--json"]));
        // When it began is not to be seen: something changes until it has seen enough.
        let seen = std::thread::spawn(move || follower.end());
        while !seen.is_finished() {
            ads.ok(&["increment", "new"]);
        }
        let (code, lines, messages) = seen.join().expect("an end");
        assert_eq!((code, lines.len(), messages), (0, 2, vec![]));
        assert!(lines.iter().all(|line| line.contains("\"key\":\"new\"")), "{lines:?}");
    }

    #[test]
    fn wait_ends_when_the_value_comes() {
        let ads = Ads::new();
        let waiting = Running::start(ads.command(&["wait", "k"]));
        ads.ok(&["set", "other", "1"]);
        ads.ok(&["set", "k", "\"here\""]);
        assert_eq!(waiting.end(), (0, vec!["\"here\"".to_owned()], vec![]));
        let version = ads.json(&["record", "k"])["version"].to_string();
        let waiting = Running::start(ads.command(&["wait", "k", "--since-version", &version, "--timeout", "1h"]));
        ads.ok(&["set", "k", "\"again\""]);
        assert_eq!(waiting.end(), (0, vec!["\"again\"".to_owned()], vec![]));
    }
}
