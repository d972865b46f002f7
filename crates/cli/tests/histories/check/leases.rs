//! Locks and tasks: one holder at a time, and each task done once.

use std::collections::BTreeMap;

use super::{Done, rise};
use crate::event::{Answer, Call, Moment};
use crate::round::End;

/// By how much the clock by which leases end may differ from that of the workers.
const SLACK: Moment = 20_000_000;

pub(super) fn locks_have_one_holder(done: &[Done]) {
    // How each lease has ended, by its token.
    let mut ends: BTreeMap<(&str, u64), &Done> = BTreeMap::new();
    for done in done {
        if let Call::Unlock { resource, token } = &done.call {
            ends.insert((resource, *token), done);
        }
    }
    let mut leases: BTreeMap<&str, Vec<(Moment, Moment, u64)>> = BTreeMap::new();
    let mut tokens = leases.clone();
    for done in done {
        let (Call::Lock { resource, ttl }, Answer::Done(token)) = (&done.call, &done.answer) else { continue };
        tokens.entry(resource).or_default().push((done.start, done.end, *token));
        let by_itself = (done.start + ttl * 1_000_000).saturating_sub(SLACK);
        // Surely held: until it was given back, where it still was then; else for as long as was asked for.
        let until = match ends.get(&(resource.as_str(), *token)) {
            Some(end) if matches!(end.answer, Answer::Done(_)) => end.start,
            Some(end) => by_itself.min(end.start),
            None => continue,
        };
        leases.entry(resource).or_default().push((done.end, until, *token));
    }
    for (resource, tokens) in tokens {
        rise(resource, tokens.into_iter());
    }
    for (resource, mut held) in leases {
        held.retain(|(from, until, _)| from < until);
        held.sort_unstable();
        for pair in held.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{resource} had two holders at once: {pair:?}");
        }
    }
}

pub(super) fn tasks_are_done_once(done: &[Done], end: &End) {
    assert_eq!(end.tasks, crate::round::TASKS, "tasks were lost or done twice");
    let mut completed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut attempts: BTreeMap<&str, Vec<(Moment, Moment, u64)>> = BTreeMap::new();
    for done in done {
        match (&done.call, &done.answer) {
            (Call::Complete { task }, Answer::Done(_)) => *completed.entry(task).or_default() += 1,
            (Call::Claim, Answer::Task(task, attempt)) => {
                attempts.entry(task).or_default().push((done.start, done.end, *attempt));
            }
            _ => {}
        }
    }
    assert!(completed.values().all(|count| *count == 1), "{completed:?}");
    for (task, attempts) in attempts {
        rise(task, attempts.into_iter());
    }
}
