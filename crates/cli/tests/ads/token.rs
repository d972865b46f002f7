//! Tokens, as an operator makes and ends them.

use crate::Ads;

#[test]
fn a_token_is_shown_once_and_never_again() {
    let ads = Ads::new();
    let done = ads.ads(&["token", "create", "--user", "alice", "--write", "--expires", "30d"]);
    assert_eq!(done.code, 0, "{done:?}");
    let secret = done.out.trim_end();
    assert!(secret.starts_with("ads_") && secret.len() == 85 && !secret.contains('\n'), "{done:?}");
    let id = &secret[4..20];
    assert!(done.err.contains(id) && !done.err.contains(secret), "{done:?}");
    let list = ads.ok(&["token", "list"]);
    assert!(list.contains(id) && list.contains("alice") && list.contains("write") && list.contains("valid"), "{list}");
    let bytes = std::fs::read(ads.path().join("store.db")).unwrap();
    let part = &secret.as_bytes()[21..];
    assert!(!bytes.windows(part.len()).any(|found| found == part), "the secret is in the file");
}

#[test]
fn a_token_has_what_it_is_given() {
    let ads = Ads::new();
    let issued = ads.json(&[
        "token",
        "create",
        "--user",
        "a:b",
        "--agent",
        "reader",
        "--namespace",
        "project:*",
        "--namespace",
        "inbox",
    ]);
    assert!(issued["secret"].as_str().unwrap().starts_with("ads_"));
    let token = &issued["token"];
    assert_eq!((&token["user"], &token["agent"], &token["access"]), (&"a:b".into(), &"reader".into(), &"read".into()));
    assert_eq!(token["namespaces"], serde_json::json!(["project:*", "inbox"]));
    assert_eq!((&token["state"], &token["expiresAt"]), (&"valid".into(), &serde_json::Value::Null));
    ads.ok(&["token", "create", "--admin"]);
    let list = ads.json(&["token", "list"]);
    assert_eq!(list[0], *token);
    assert_eq!((&list[1]["user"], &list[1]["access"]), (&"default".into(), &"admin".into()));
}

#[test]
fn a_revoked_token_stays_in_the_list() {
    let ads = Ads::new();
    let issued = ads.json(&["token", "create", "--user", "alice"]);
    let id = issued["token"]["id"].as_str().unwrap();
    assert_eq!(ads.ok(&["token", "revoke", id]), "");
    assert_eq!(ads.json(&["token", "revoke", id])["revoked"], id);
    assert_eq!(ads.json(&["token", "list"])[0]["state"], "revoked");
    assert!(ads.ads(&["token", "revoke", "0123456789abcdef"]).fails(1).contains("0123456789abcdef"));
}

#[test]
fn what_cannot_be_makes_no_token() {
    let ads = Ads::new();
    assert!(ads.ads(&["token", "create"]).fails(2).contains("--user"));
    assert!(ads.ads(&["token", "create", "--user", "ads:tokens"]).fails(2).contains("ads:"));
    ads.ads(&["token", "create", "--user", "alice", "--write", "--admin"]).fails(2);
    ads.ads(&["token", "create", "--user", "alice", "--expires", "0"]).fails(2);
    assert_eq!(ads.json(&["token", "list"]), serde_json::json!([]));
}

#[test]
fn nobody_acts_for_the_user_who_owns_the_tokens() {
    let ads = Ads::new();
    ads.ok(&["token", "create", "--user", "alice"]);
    for command in [&["keys"][..], &["clear", "--yes"], &["set", "k", "1"]] {
        let args = [command, &["--user", "ads:tokens", "--namespace", "tokens"]].concat();
        assert!(ads.ads(&args).fails(2).contains("ads:tokens"));
    }
}
