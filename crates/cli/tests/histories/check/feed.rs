//! The change feed: every write is in it, and whoever follows it misses nothing.

use std::collections::{BTreeMap, HashMap};

use agent_data_store::model::{Change, ChangeKind};

use super::Done;
use crate::event::{Answer, Call};
use crate::round::End;

pub(super) fn is_complete(done: &[Done], end: &End) {
    assert!(end.changes.is_sorted_by(|left, right| left.version < right.version), "versions rise");
    let missed = end.changes.iter().find(|change| !end.followed.contains(change));
    assert!(end.followed == end.changes, "{} changes, {} followed: {missed:?}", end.changes.len(), end.followed.len());

    let by_version: HashMap<u64, &Change> = end.changes.iter().map(|change| (change.version, change)).collect();
    let (mut deletions, mut least, mut most) = (BTreeMap::<&str, u64>::new(), BTreeMap::new(), BTreeMap::new());
    for change in end.changes.iter().filter(|change| change.namespace.starts_with("registers:")) {
        if let (ChangeKind::Delete, Some(key)) = (change.kind, change.key.as_deref()) {
            *deletions.entry(key).or_default() += 1;
        }
    }
    for done in done {
        match (&done.call, &done.answer) {
            (Call::Set { key, .. } | Call::Replace { key, .. }, Answer::Done(version)) => {
                let change = by_version.get(version);
                let is_it = change.is_some_and(|it| it.kind == ChangeKind::Set && it.key.as_deref() == Some(key));
                assert!(is_it, "not in the feed: {done:?}, but {change:?}");
            }
            (Call::Delete { key }, answer) => {
                *least.entry(key.as_str()).or_insert(0) += u64::from(*answer == Answer::Done(1));
                *most.entry(key.as_str()).or_insert(0) += u64::from(*answer != Answer::Done(0));
            }
            _ => {}
        }
    }
    for (key, least) in least {
        let (told, most) = (deletions.get(key).copied().unwrap_or_default(), most[key]);
        assert!((least..=most).contains(&told), "{key}: {told} deletions in the feed, {least} to {most} were made");
    }

    // What is there at the end is what the feed says last of it.
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
        let is_it = told.map_or(namespace.starts_with("accounts:") || key == crate::worker::NOTES, |it| {
            it.version == *version && it.kind == ChangeKind::Set
        });
        assert!(is_it, "{namespace} {key} has version {version}, the feed says {told:?}");
    }
}
