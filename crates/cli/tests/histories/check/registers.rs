//! Registers: what was read is what was written last, as if one call came after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::{Done, rise};
use crate::event::{Answer, Call, Moment};

/// By how much the clock by which records expire may differ from that of the workers.
const SLACK: Moment = 20_000_000;

/// What is there, expired or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    value: u64,
    /// Between which moments it expires, if it does.
    expires: Option<(Moment, Moment)>,
    /// Whether somebody has found it expired.
    seen_gone: bool,
}

impl Held {
    fn new(value: u64, expires: Option<(Moment, Moment)>) -> Option<Self> {
        Some(Self { value, expires, seen_gone: false })
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set {
        value: u64,
        expires: Option<(Moment, Moment)>,
    },
    Get {
        value: u64,
    },
    Replace {
        read: u64,
        value: u64,
        answer: Answer,
    },
    /// `None`: whether there was one is not known.
    Delete {
        existed: Option<bool>,
    },
}

#[derive(Clone, Debug)]
struct Timed {
    start: Moment,
    end: Moment,
    change: Change,
}

struct Register;

impl Specification for Register {
    type State = Option<Held>;
    type Operation = Timed;

    fn init() -> Self::State {
        None
    }

    fn apply(Timed { start, end, change }: &Timed, state: &Self::State) -> (bool, Self::State) {
        let may_be_gone = state.is_none_or(|held| held.expires.is_some_and(|(earliest, _)| *end >= earliest));
        // A write goes by the time at which it is made, and is seen when it is committed: meanwhile somebody may have found
        // expired what the write has still met.
        let met = state.filter(|held| held.expires.is_none_or(|(_, latest)| *start <= latest)).map(|held| held.value);
        let seen = met.filter(|_| state.is_some_and(|held| !held.seen_gone));
        let replaced = |value: &u64| Held::new(*value, None);
        match change {
            Change::Set { value, expires } => (true, Held::new(*value, *expires)),
            Change::Get { value: 0 } => (may_be_gone, state.map(|held| Held { seen_gone: true, ..held })),
            Change::Get { value } => (seen == Some(*value), *state),
            Change::Replace { read: 0, value, answer: Answer::Done(_) } => (may_be_gone, replaced(value)),
            Change::Replace { read, value, answer: Answer::Done(_) } => (met == Some(*read), replaced(value)),
            Change::Replace { read: 0, answer: Answer::Refused, .. } => (met.is_some(), *state),
            Change::Replace { read, answer: Answer::Refused, .. } => (may_be_gone || met != Some(*read), *state),
            // If it has happened at all: at the end, when nobody looks any more, it may.
            Change::Replace { read, value, .. } => {
                let applies = if *read == 0 { may_be_gone } else { met == Some(*read) };
                (true, if applies { replaced(value) } else { *state })
            }
            Change::Delete { existed: Some(true) } => (met.is_some(), None),
            Change::Delete { existed: Some(false) } => (may_be_gone, None),
            Change::Delete { existed: None } => (true, None),
        }
    }
}

pub(super) fn are_linearizable(done: &[Done]) {
    let mut of_each: BTreeMap<&str, Vec<Timed>> = BTreeMap::new();
    let keys = done.iter().filter_map(|done| key(&done.call)).collect();
    for done in done {
        for (key, change) in changes(done, &keys) {
            of_each.entry(key).or_default().push(Timed { start: done.start, end: done.end, change });
        }
    }
    for (key, history) in of_each {
        let ordered = actions(&history);
        assert!(WGLChecker::<Register>::is_linearizable(History::from_actions(ordered)), "{key}: {history:#?}");
    }
}

/// The register of a call; all twins are one.
fn key(call: &Call) -> Option<&str> {
    match call {
        Call::Set { key, .. } | Call::Get { key } | Call::Record { key } => Some(key),
        Call::Replace { key, .. } | Call::Delete { key } => Some(key),
        _ => None,
    }
}

/// What a call has done to which registers.
fn changes<'d>(done: &'d Done, keys: &BTreeSet<&'d str>) -> Vec<(&'d str, Change)> {
    let change = match (&done.call, &done.answer) {
        (Call::Set { value, ttl, .. }, _) => {
            let ttl = ttl * 1_000_000;
            let latest = done.end.saturating_add(ttl).saturating_add(SLACK);
            let expires = (ttl > 0).then(|| ((done.start + ttl).saturating_sub(SLACK), latest));
            Change::Set { value: *value, expires }
        }
        (Call::Get { .. } | Call::Record { .. }, Answer::Found(value, _)) => Change::Get { value: *value },
        (Call::Replace { read, value, .. }, answer) => {
            Change::Replace { read: *read, value: *value, answer: answer.clone() }
        }
        (Call::Delete { .. }, _) => Change::Delete { existed: done.count().map(|count| count > 0) },
        // All of them at once, but how many there were is not told of each.
        (Call::Clear, _) => return keys.iter().map(|key| (*key, Change::Delete { existed: None })).collect(),
        (Call::SetAll { value }, _) => return vec![("twins", Change::Set { value: *value, expires: None })],
        (Call::GetAll, Answer::Values(values)) => {
            assert!(matches!(values.len(), 0 | 4) && values.windows(2).all(|pair| pair[0] == pair[1]), "{done:?}");
            return vec![("twins", Change::Get { value: values.first().copied().unwrap_or_default() })];
        }
        _ => return Vec::new(),
    };
    key(&done.call).map(|key| (key, change)).into_iter().collect()
}

/// Calls and answers in the order of time; whoever overlaps is another process.
fn actions(history: &[Timed]) -> Vec<(usize, Action<Timed>)> {
    let mut moments: Vec<(Moment, bool, usize)> = Vec::new();
    for (index, timed) in history.iter().enumerate() {
        moments.extend([(timed.start, false, index), (timed.end, true, index)]);
    }
    moments.sort_unstable();
    let mut free: Vec<usize> = Vec::new();
    let mut processes = HashMap::new();
    let mut count = 0;
    let action = |(_, is_end, index): (Moment, bool, usize)| {
        if is_end {
            let process = processes.remove(&index).expect("what ends has begun");
            free.push(process);
            return (process, Action::Response(history[index].clone()));
        }
        let process = free.pop().unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        processes.insert(index, process);
        (process, Action::Call(history[index].clone()))
    };
    moments.into_iter().map(action).collect()
}

pub(super) fn have_rising_versions(done: &[Done]) {
    let mut of_each: BTreeMap<&str, Vec<(Moment, Moment, u64)>> = BTreeMap::new();
    let mut of_value: HashMap<u64, u64> = HashMap::new();
    for done in done {
        let (key, value, version) = match (&done.call, &done.answer) {
            (Call::Set { key, value, .. } | Call::Replace { key, value, .. }, Answer::Done(version)) => {
                of_each.entry(key).or_default().push((done.start, done.end, *version));
                (key, *value, *version)
            }
            (Call::Record { key }, Answer::Found(value, version)) if *value > 0 => (key, *value, *version),
            _ => continue,
        };
        let before = of_value.insert(value, version);
        assert!(before.is_none_or(|before| before == version), "{key} had {value} under {before:?} and {version}");
    }
    for (key, versions) in of_each {
        rise(key, versions.into_iter());
    }
}
