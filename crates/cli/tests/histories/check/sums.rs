//! Counters, lists and accounts: everything that was acknowledged is in them once, and nothing else but what was never answered.

use std::collections::{BTreeMap, BTreeSet};

use super::{Done, rise};
use crate::event::{Answer, Call};
use crate::round::End;
use crate::worker::{ACCOUNTS, NOTES};

fn value<'e>(end: &'e End, kind: &str, key: &str) -> Option<&'e str> {
    let mut found = end.records.iter().filter(|((namespace, held), _)| namespace.starts_with(kind) && held == key);
    found.next().map(|(_, (_, value))| value.as_str())
}

fn numbers(list: Option<&str>) -> Vec<u64> {
    list.map_or_else(Vec::new, |list| serde_json::from_str(list).expect("a list of numbers"))
}

pub(super) fn counters_are_exact(done: &[Done], end: &End) -> usize {
    let mut counters: BTreeMap<&str, Vec<&Done>> = BTreeMap::new();
    for done in done {
        if let Call::Increment { key } = &done.call {
            counters.entry(key).or_default().push(done);
        }
    }
    let checked = counters.values().map(Vec::len).sum();
    for (key, calls) in counters {
        let counted: u64 = value(end, "sums:", key).map_or(0, |count| count.parse().expect("a number"));
        let answered = || calls.iter().filter_map(|done| Some((done.start, done.end, done.count()?)));
        let (least, most) = (answered().count() as u64, calls.len() as u64);
        assert!((least..=most).contains(&counted), "{key} is {counted} after {least} to {most} increments");
        assert!(answered().all(|(_, _, number)| (1..=counted).contains(&number)), "{key}");
        rise(key, answered());
    }
    checked
}

pub(super) fn lists_are_exact(done: &[Done], end: &End) -> usize {
    let mut lists: BTreeMap<&str, Vec<&Done>> = BTreeMap::new();
    for done in done {
        if let Call::Append { key, .. } = &done.call {
            lists.entry(key).or_default().push(done);
        }
    }
    let checked = lists.values().map(Vec::len).sum();
    for (key, calls) in lists {
        let held = numbers(value(end, "sums:", key));
        let places: BTreeMap<u64, usize> = held.iter().enumerate().map(|(index, item)| (*item, index)).collect();
        assert_eq!(places.len(), held.len(), "{key} holds something twice");
        let mut appended = BTreeSet::new();
        for done in &calls {
            let Call::Append { item, .. } = &done.call else { continue };
            appended.insert(*item);
            if let Some(length) = done.count() {
                assert_eq!(places.get(item).map(|index| *index as u64 + 1), Some(length), "{key}: {done:?}");
            }
        }
        assert!(held.iter().all(|item| appended.contains(item)), "{key} holds what nobody has appended");
        rise(key, calls.iter().filter_map(|done| Some((done.start, done.end, done.count()?))));
    }
    checked
}

pub(super) fn transfers_are_whole(done: &[Done], end: &End) -> usize {
    let noted = numbers(value(end, "sums:", NOTES));
    let unique: BTreeSet<u64> = noted.iter().copied().collect();
    assert_eq!(unique.len(), noted.len(), "one transfer was done twice");
    let mut moved: BTreeMap<&str, i64> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut audits = 0;
    for done in done {
        match (&done.call, &done.answer) {
            (Call::Transfer { from, to, amount, id }, answer) => {
                known.insert(*id);
                let is_noted = unique.contains(id);
                match answer {
                    Answer::Done(_) => assert!(is_noted, "a transfer was lost: {done:?}"),
                    Answer::Refused => assert!(!is_noted, "a transfer was done that was refused: {done:?}"),
                    _ => {}
                }
                if is_noted {
                    *moved.entry(from).or_default() -= i64::try_from(*amount).expect("little");
                    *moved.entry(to).or_default() += i64::try_from(*amount).expect("little");
                }
            }
            (Call::Audit, Answer::Values(values)) => {
                assert_eq!(values.iter().sum::<u64>(), end.total, "somebody has seen half a transfer: {done:?}");
                audits += 1;
            }
            _ => {}
        }
    }
    assert!(unique.is_subset(&known), "a transfer was done that nobody has asked for");
    let accounts = end.records.iter().filter(|((namespace, _), _)| namespace.starts_with("accounts:"));
    let accounts: Vec<(&str, i64)> =
        accounts.map(|((_, key), (_, value))| (key.as_str(), value.parse().expect("a number"))).collect();
    let each = i64::try_from(end.total).expect("little") / i64::try_from(accounts.len()).expect("few");
    for (account, balance) in accounts {
        assert_eq!(balance, each + moved.get(account).copied().unwrap_or_default(), "{account}");
    }
    known.len() + audits
}

/// What is there all the time is in each walk once, whatever is written meanwhile.
pub(super) fn walks_miss_nothing(done: &[Done]) -> usize {
    let mut checked = 0;
    for done in done {
        if let (Call::Walk { .. }, Answer::Values(accounts)) = (&done.call, &done.answer) {
            assert!(accounts.iter().copied().eq(0..ACCOUNTS), "a walk has missed something: {done:?}");
            checked += 1;
        }
    }
    checked
}
