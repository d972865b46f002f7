//! Likely credentials in what is written. Every token here is made up, and put together at run time so that no file holds
//! the shape of one.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Arc;

use super::Cases;
use crate::atomic::AppendOptions;
use crate::blocking::block_on;
use crate::conformance::subject::{Handle, SECOND, json, pairs, refused};
use crate::data_store::{DataStore, SetOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Change;
use crate::secrets::{SecretsPolicy, SecretsWarning, WarningSink};
use crate::tasks::ClaimOptions;

/// Keeps what is heard for the case that runs on this thread, which is the one that called.
#[derive(Debug)]
struct Heard;

thread_local! {
    static HEARD: RefCell<Vec<SecretsWarning>> = const { RefCell::new(Vec::new()) };
}

impl WarningSink for Heard {
    fn warn(&self, warning: &SecretsWarning) {
        HEARD.with_borrow_mut(|heard| heard.push(warning.clone()));
    }
}

/// What has been heard since the last time: key, part and place.
fn heard() -> Vec<(String, &'static str, String)> {
    let heard = HEARD.take();
    heard.into_iter().map(|warning| (warning.key.into(), warning.part, warning.place)).collect()
}

fn token() -> String {
    format!("{}_{}", "ghp", "Zk3".repeat(12))
}

/// A value that holds one at `$.files[1].token`.
fn with_token() -> String {
    format!(r#"{{"files":[1,{{"token":"{}"}}]}}"#, token())
}

fn under(policy: SecretsPolicy, notes: &Handle) -> DataStore {
    notes.verbs().clone().with_secrets_policy(policy)
}

fn set(view: &DataStore, key: &str, value: &str, metadata: Option<&str>) -> Result<u64> {
    block_on(view.set(key, json(value), SetOptions { metadata: metadata.map(json), ..SetOptions::default() }))
}

/// Refused for what is at this place, without a word of the token.
#[track_caller]
fn assert_refused<T: Debug>(result: Result<T>, place: &str) {
    let error = refused(result, ErrorKind::InvalidArgument);
    assert!(error.message().contains(&format!("looks like a GitHub token at {place}:")), "{error}");
    assert!(!format!("{error} {error:?}").contains("Zk3"), "{error}");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a likely credential is refused with its place, whatever the verb, and nothing is stored", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("list", "[]"), ("task", "1")]);
        let (feed, view) = (subject.feed(), under(SecretsPolicy::Refuse, &notes));
        let (secret, place) = (with_token(), "$.files[1].token");
        assert_refused(set(&view, "a", &secret, None), place);
        assert_refused(set(&view, "a", "1", Some(&secret)), place);
        assert_refused(block_on(view.set_many(vec![("a", json("1")), ("b", json(&secret))], None, None)), place);
        assert_refused(block_on(view.merge("a", json(&secret), None)), place);
        let items = json(&format!("[{secret}]"));
        assert_refused(block_on(view.extend("list", items, AppendOptions::default())), "$[0].files[1].token");
        assert_refused(block_on(view.update("a", None, async |_| Ok::<_, Error>(json(&secret)))), place);
        assert_refused(block_on(view.get_or_compute("a", None, async || Ok::<_, Error>(json(&secret)))), place);
        let tx = view.transaction();
        tx.set("b", json("1"), SetOptions::default()).expect("set");
        assert_refused(tx.set("a", json(&secret), SetOptions::default()), place);
        tx.roll_back();
        // The lock of the computation came and went.
        let without_locks = |feed: Vec<Change>| {
            feed.into_iter().filter(|change| !change.key.as_deref().is_some_and(|key| key.starts_with("lock:"))).collect::<Vec<_>>()
        };
        assert_eq!(without_locks(subject.feed()), feed);
        let claim = block_on(view.claim("task", ClaimOptions::new(SECOND))).expect("claim").expect("a task");
        assert_refused(block_on(claim.clone().complete(Some(json(&secret)))), place);
        assert_refused(block_on(claim.clone().fail(&token(), None)), "$");
        block_on(claim.complete(None)).expect("complete");
    });

    cases.add_with(
        |options| options.warnings = Some(Arc::new(Heard)),
        "a likely credential is stored and warned about with its place, once it is stored",
        |subject| {
            let notes = subject.notes();
            let (secret, place) = (with_token(), "$.files[1].token".to_owned());
            notes.set("a", &secret);
            assert_eq!(heard(), [("a".to_owned(), "value", place.clone())]);
            notes.set_with(&secret, "b", "1");
            assert_eq!(heard(), [("b".to_owned(), "metadata", place)]);
            refused(notes.set_if(0, "a", &secret), ErrorKind::Conflict);
            notes.set("c", "\"harmless\"");
            assert_eq!(heard(), []);
            assert_eq!(notes.get("a"), Some(secret));
        },
    );

    cases.add_with(
        |options| options.warnings = Some(Arc::new(Heard)),
        "a namespace may allow what the store warns about",
        |subject| {
            let notes = subject.notes();
            set(&under(SecretsPolicy::Allow, &notes), "a", &with_token(), None).expect("set");
            assert_eq!(heard(), []);
            assert_eq!(notes.get_all(), pairs([("a", &with_token())]));
        },
    );
}
