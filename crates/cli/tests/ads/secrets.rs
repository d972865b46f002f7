//! Likely credentials: a warning on stderr, or a refusal.

use crate::Ads;

/// Made up, and put together here so that no file holds its shape.
fn token() -> String {
    format!("{}_{}", "ghp", "4Kz".repeat(12))
}

#[test]
fn a_likely_credential_is_stored_with_a_warning() {
    let ads = Ads::new();
    let done = ads.ads(&["set", "settings", &format!("{{\"github\": [\"{}\"]}}", token())]);
    assert_eq!((done.code, &*done.out), (0, ""), "{done:?}");
    let line = "ads: warning: value of key \"settings\" in namespace \"default\" holds what looks like a GitHub token at \
                $.github[0]: ";
    assert!(done.err.starts_with(line) && done.err.lines().count() == 1, "{done:?}");
    assert!(done.err.contains("secrets=allow") && !done.err.contains(&token()), "{done:?}");
    assert!(ads.ok(&["get", "settings"]).contains(&token()));
    assert_eq!(ads.ads(&["get", "settings"]).err, "", "reading warns of nothing");
    assert_eq!(ads.ads(&["set", "note", "a note about ghp_ tokens", "--string"]).err, "");
}

#[test]
fn the_url_says_whether_to_refuse_or_to_allow() {
    let ads = Ads::new();
    let with = |policy: &str, args: &[&str]| {
        let url = format!("{}?secrets={policy}", ads.url());
        ads.ads(&[args, &["--store", &url]].concat())
    };
    let done = with("refuse", &["set", "k", &token(), "--string"]);
    let message = done.fails(2);
    assert!(message.contains("a GitHub token at $:") && !message.contains(&token()), "{message}");
    assert_eq!(ads.ok(&["keys"]), "");
    let done = with("allow", &["set", "k", &token(), "--string"]);
    assert_eq!((done.code, &*done.err), (0, ""), "{done:?}");
    assert_eq!(with("refuse", &["get", "k"]).out, format!("\"{}\"\n", token()));
    assert!(with("refuse", &["stats"]).out.contains("store.db"), "the URL's other parts are as ever");
    assert!(with("never", &["keys"]).fails(2).contains("secrets=allow, warn or refuse"));
}
