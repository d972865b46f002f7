//! The change feed: every write is in it, and whoever follows it misses nothing.

use std::collections::HashMap;

use agent_data_store::model::{Change, ChangeKind};

use super::Done;
use crate::event::{Answer, Call};
use crate::round::End;
use crate::worker::NOTES;

/// Returns how many changes there are.
pub(super) fn is_complete(done: &[Done], end: &End) -> usize {
    assert!(end.changes.is_sorted_by(|left, right| left.version < right.version), "versions rise");
    let missed = end.changes.iter().find(|change| !end.followed.contains(change));
    assert!(end.followed == end.changes, "{} changes, {} followed: {missed:?}", end.changes.len(), end.followed.len());

    every_write_is_in_it_once(done, end);
    it_leads_to_what_is_there(done, end);
    end.changes.len()
}

fn every_write_is_in_it_once(done: &[Done], end: &End) {
    let by_version: HashMap<u64, &Change> = end.changes.iter().map(|change| (change.version, change)).collect();
    let mut told: HashMap<(ChangeKind, &str, Option<&str>), u64> = HashMap::new();
    for change in &end.changes {
        let kind = change.namespace.split(':').next().unwrap_or_default();
        *told.entry((change.kind, kind, change.key.as_deref())).or_default() += 1;
    }
    let told = |kind, namespace, key| told.get(&(kind, namespace, key)).copied().unwrap_or_default();
    // How often each was surely done, and at most.
    let mut made: HashMap<(ChangeKind, &str, Option<&str>), (u64, u64)> = HashMap::new();
    let mut expect = |kind, namespace, key, surely: bool, maybe: bool| {
        let (least, most) = made.entry((kind, namespace, key)).or_default();
        *least += u64::from(surely);
        *most += u64::from(surely || maybe);
    };
    for done in done {
        let (answered, unknown) = (matches!(done.answer, Answer::Done(_)), done.is_unknown());
        let any = done.count().is_some_and(|count| count > 0);
        match &done.call {
            Call::Set { key, .. } | Call::Replace { key, .. } => {
                if let Answer::Done(version) = &done.answer {
                    let change = by_version.get(version);
                    let is_it = change.is_some_and(|it| it.kind == ChangeKind::Set && it.key.as_deref() == Some(key));
                    assert!(is_it, "not in the feed: {done:?}, but {change:?}");
                }
                expect(ChangeKind::Set, "registers", Some(key), answered, unknown);
            }
            Call::Delete { key } => expect(ChangeKind::Delete, "registers", Some(key), any, unknown),
            // Those that had expired and were not swept go with the others, and alone too.
            Call::Clear => expect(ChangeKind::Clear, "registers", None, any, true),
            Call::Increment { key } | Call::Append { key, .. } => {
                expect(ChangeKind::Set, "sums", Some(key), answered, unknown);
            }
            Call::Transfer { from, to, .. } => {
                expect(ChangeKind::Set, "sums", Some(NOTES), answered, unknown);
                expect(ChangeKind::Set, "accounts", Some(from), answered, unknown);
                expect(ChangeKind::Set, "accounts", Some(to), answered, unknown);
            }
            Call::SetAll { .. } => {
                for twin in ["twin0", "twin1", "twin2", "twin3"] {
                    expect(ChangeKind::Set, "twins", Some(twin), answered, unknown);
                }
            }
            Call::ClearAll => expect(ChangeKind::Clear, "twins", None, any, unknown),
            _ => {}
        }
    }
    for ((kind, namespace, key), (least, most)) in made {
        let told = told(kind, namespace, key);
        assert!(
            (least..=most).contains(&told),
            "{told} x {kind:?} of {namespace} {key:?}, {least} to {most} were made"
        );
    }
}

/// What is there at the end is what the feed says last of it, and what it says last is there.
fn it_leads_to_what_is_there(done: &[Done], end: &End) {
    let mut last: HashMap<(&str, &str), &Change> = HashMap::new();
    for change in &end.changes {
        match change.key.as_deref() {
            Some(key) => drop(last.insert((&change.namespace, key), change)),
            None => last.retain(|(namespace, _), _| **namespace != *change.namespace),
        }
    }
    for ((namespace, key), (version, _)) in &end.records {
        let told = last.get(&(namespace.as_str(), key.as_str()));
        // Accounts that nobody has touched are older than the part of the feed that was read.
        let is_it = told.map_or(namespace.starts_with("accounts:") || key == NOTES, |it| {
            it.version == *version && it.kind == ChangeKind::Set
        });
        assert!(is_it, "{namespace} {key} has version {version}, the feed says {told:?}");
    }
    let may_expire = |key: &str, version: u64| {
        let sets =
            done.iter().filter(|done| matches!(&done.call, Call::Set { key: it, ttl, .. } if it == key && *ttl > 0));
        sets.into_iter().any(|done| done.is_unknown() || done.answer == Answer::Done(version))
    };
    for ((namespace, key), change) in last {
        let looked_at = ["registers:", "sums:", "accounts:", "twins:"].iter().any(|kind| namespace.starts_with(kind));
        if looked_at && change.kind == ChangeKind::Set && !may_expire(key, change.version) {
            let is_there = end.records.contains_key(&(namespace.to_owned(), key.to_owned()));
            assert!(is_there, "{namespace} {key} is not there, the feed says {change:?}");
        }
    }
}
