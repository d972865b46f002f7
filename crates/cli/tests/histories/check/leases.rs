//! Locks and tasks: one holder at a time, and each task done once.

use std::collections::BTreeMap;

use super::{Done, rise};
use crate::clock::{Journal, Reading};
use crate::event::{Answer, Call, Moment};
use crate::round::End;
use crate::worker::CLAIMED;

/// By how much the clock by which leases end may differ from that of the workers.
const SLACK: Reading = 20_000_000;

/// How leases ended: the call by which it was tried, by whose lease it was.
type Ends<'d> = BTreeMap<(&'d str, u64), &'d Done>;

/// From when until when a lease was surely held that `done` has taken for so many milliseconds.
fn held(done: &Done, ttl: u64, end: Option<&&Done>, journal: &Journal) -> (Moment, Moment) {
    let ttl = Reading::try_from(ttl).expect("a short time") * 1_000_000;
    let by_itself = journal.reaches(done.start, journal.least(done.start, done.end) + ttl - SLACK);
    // Until it was given back, where it still was then; else for as long as was asked for.
    let until = match end {
        Some(end) if matches!(end.answer, Answer::Done(_)) => end.start,
        Some(end) => by_itself.min(end.start),
        None => by_itself,
    };
    (done.end, until)
}

fn overlap(what: &str, mut held: Vec<(Moment, Moment)>) {
    held.retain(|(from, until)| from < until);
    held.sort_unstable();
    for pair in held.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "{what} had two holders at once: {pair:?}");
    }
}

pub(super) fn locks_have_one_holder(done: &[Done], journal: &Journal) -> usize {
    let mut ends = Ends::new();
    for done in done {
        if let Call::Unlock { resource, token } = &done.call {
            ends.insert((resource, *token), done);
        }
    }
    let mut leases: BTreeMap<&str, Vec<(Moment, Moment)>> = BTreeMap::new();
    let mut tokens: BTreeMap<&str, Vec<(Moment, Moment, u64)>> = BTreeMap::new();
    let mut checked = ends.len();
    for done in done {
        let Call::Lock { resource, ttl } = &done.call else { continue };
        checked += 1;
        if let Answer::Done(token) = &done.answer {
            tokens.entry(resource).or_default().push((done.start, done.end, *token));
            leases.entry(resource).or_default().push(held(done, *ttl, ends.get(&(resource.as_str(), *token)), journal));
        }
    }
    for (resource, tokens) in tokens {
        rise(resource, tokens.into_iter());
    }
    for (resource, held) in leases {
        overlap(resource, held);
    }
    checked
}

pub(super) fn tasks_are_done_once(done: &[Done], end: &End, journal: &Journal) -> usize {
    assert_eq!(end.tasks, crate::round::TASKS, "tasks were lost or done twice");
    let mut completed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ends = Ends::new();
    for done in done {
        if let Call::Complete { task, attempt } | Call::Fail { task, attempt } = &done.call {
            ends.insert((task, *attempt), done);
        }
        if let (Call::Complete { task, .. }, Answer::Done(_)) = (&done.call, &done.answer) {
            *completed.entry(task).or_default() += 1;
        }
    }
    assert!(completed.values().all(|count| *count == 1), "{completed:?}");
    let mut claims: BTreeMap<&str, Vec<(Moment, Moment)>> = BTreeMap::new();
    let mut attempts: BTreeMap<&str, Vec<(Moment, Moment, u64)>> = BTreeMap::new();
    let mut checked = ends.len();
    for done in done.iter().filter(|done| done.call == Call::Claim) {
        checked += 1;
        if let Answer::Task(task, attempt) = &done.answer {
            attempts.entry(task).or_default().push((done.start, done.end, *attempt));
            claims.entry(task).or_default().push(held(done, CLAIMED, ends.get(&(task.as_str(), *attempt)), journal));
        }
    }
    for (task, attempts) in attempts {
        rise(task, attempts.into_iter());
    }
    for (task, held) in claims {
        overlap(task, held);
    }
    checked
}
