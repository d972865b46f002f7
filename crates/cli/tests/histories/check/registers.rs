//! Registers: what was read is what was written last, as if one call came after the other.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::{Done, rise};
use crate::clock::{Journal, Reading};
use crate::event::{Answer, Call, Moment};
use crate::worker::{REGISTERS, TWINS};

/// By how much the clock by which records expire may differ from that of the workers.
const SLACK: Reading = 20_000_000;

/// What is there, expired or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    value: u64,
    expires: Option<Expires>,
}

impl Held {
    /// The same where nobody knows whether it was deleted or only found expired.
    fn may_be_gone(self) -> Self {
        Self { expires: self.expires.map(|it| Expires { earliest: Reading::MIN, ..it }), ..self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Expires {
    /// From when on it may be swept, should the clock go beyond its end.
    since: Moment,
    /// Between which readings of the clock it ends.
    earliest: Reading,
    latest: Reading,
    /// A reading at which somebody has found it gone.
    seen_gone: Reading,
}

#[derive(Clone, Debug)]
enum Change {
    Set {
        value: u64,
        expires: Option<Expires>,
    },
    Get {
        value: u64,
    },
    /// One is there, whichever.
    Meet,
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

#[derive(Clone)]
struct Timed {
    start: Moment,
    end: Moment,
    change: Change,
    journal: Arc<Journal>,
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {:?}", self.start, self.end, self.change)
    }
}

impl Timed {
    /// Whether the call may have found what is there expired; also where the clock was set back since, for it may have been
    /// swept before that.
    fn may_miss(&self, held: Held) -> bool {
        held.expires.is_some_and(|it| self.journal.most(it.since.min(self.end), self.end) >= it.earliest)
    }

    /// Whether a write may have met it. A write goes by the time at which it is made, and is seen when it is committed:
    /// meanwhile somebody may have found expired what the write has still met.
    fn may_meet(&self, held: Held) -> bool {
        held.expires.is_none_or(|it| self.journal.least(self.start, self.end) <= it.latest)
    }

    /// Whether a read may have found it.
    fn may_find(&self, held: Held) -> bool {
        let seen_gone = |it: Expires| self.journal.least(self.start, self.end) > it.seen_gone;
        self.may_meet(held) && !held.expires.is_some_and(seen_gone)
    }

    /// What is known after somebody has found it gone.
    fn seen_gone(&self, held: Held) -> Held {
        let reading = self.journal.most(self.start, self.end);
        let expires = held.expires.map(|it| Expires { seen_gone: it.seen_gone.min(reading), ..it });
        Held { expires, ..held }
    }
}

struct Register;

impl Specification for Register {
    type State = Option<Held>;
    type Operation = Timed;

    fn init() -> Self::State {
        None
    }

    fn apply(timed: &Timed, state: &Self::State) -> (bool, Self::State) {
        let may_be_gone = state.is_none_or(|held| timed.may_miss(held));
        let met = state.filter(|held| timed.may_meet(*held)).map(|held| held.value);
        let found = state.filter(|held| timed.may_find(*held)).map(|held| held.value);
        let replaced = |value: &u64| Some(Held { value: *value, expires: None });
        match &timed.change {
            Change::Set { value, expires } => (true, Some(Held { value: *value, expires: *expires })),
            Change::Get { value: 0 } => (may_be_gone, state.map(|held| timed.seen_gone(held))),
            Change::Get { value } => (found == Some(*value), *state),
            Change::Meet => (found.is_some(), *state),
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
            // What has expired is not deleted: until it is swept, a clock that is set back shows it again.
            Change::Delete { existed: Some(false) } => (may_be_gone, state.map(|held| timed.seen_gone(held))),
            Change::Delete { existed: None } => {
                (true, state.filter(|held| timed.may_miss(*held)).map(Held::may_be_gone))
            }
        }
    }
}

/// Returns how many calls were looked at.
pub(super) fn are_linearizable(done: &[Done], journal: &Journal) -> usize {
    let mut of_each: BTreeMap<String, Vec<Timed>> = BTreeMap::new();
    let journal = Arc::new(journal.clone());
    let mut checked = 0;
    for done in done {
        let Some((keys, change)) = change(done, &journal) else { continue };
        checked += 1;
        for key in keys {
            let (change, journal) = (change.clone(), Arc::clone(&journal));
            of_each.entry(key).or_default().push(Timed { start: done.start, end: done.end, change, journal });
        }
    }
    for (key, history) in of_each {
        let ordered = actions(&history);
        let is_linearizable = WGLChecker::<Register>::is_linearizable(History::from_actions(ordered));
        let calls = || history.iter().map(|timed| format!("{timed:?}")).collect::<Vec<_>>().join("\n");
        assert!(is_linearizable, "{key} is not linearizable: {journal:?}\n{}", calls());
    }
    checked
}

/// What a call has done to which registers; all twins are one.
fn change(done: &Done, journal: &Journal) -> Option<(Vec<String>, Change)> {
    let twins = || vec!["twins".to_owned()];
    let (keys, change) = match (&done.call, &done.answer) {
        (Call::Set { key, value, ttl }, _) => {
            let ends = |reading: Reading| {
                let ttl = Reading::try_from(*ttl).expect("a short time").saturating_mul(1_000_000);
                reading.saturating_add(ttl)
            };
            let expires = Expires {
                since: done.start,
                earliest: ends(journal.least(done.start, done.end)).saturating_sub(SLACK),
                latest: ends(journal.most(done.start, done.end)).saturating_add(SLACK),
                seen_gone: Reading::MAX,
            };
            (vec![key.clone()], Change::Set { value: *value, expires: (*ttl > 0).then_some(expires) })
        }
        (Call::Get { key } | Call::Record { key }, Answer::Found(value, _)) => {
            (vec![key.clone()], Change::Get { value: *value })
        }
        (Call::Replace { key, read, value, .. }, answer) => {
            (vec![key.clone()], Change::Replace { read: *read, value: *value, answer: answer.clone() })
        }
        (Call::Delete { key }, _) => {
            (vec![key.clone()], Change::Delete { existed: done.count().map(|count| count > 0) })
        }
        // All of them at once, but how many there were is not told of each.
        (Call::Clear, answer) => {
            let existed = (*answer == Answer::Done(0)).then_some(false);
            ((0..REGISTERS).map(|number| format!("register{number}")).collect(), Change::Delete { existed })
        }
        (Call::SetAll { value }, _) => (twins(), Change::Set { value: *value, expires: None }),
        (Call::GetAll, Answer::Values(values)) => {
            let all = || values.len() as u64 == TWINS && values.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(values.is_empty() || all(), "somebody has seen half a batch: {done:?}");
            (twins(), Change::Get { value: values.first().copied().unwrap_or_default() })
        }
        (Call::CountAll, Answer::Done(count)) => {
            assert!(matches!(*count, 0 | TWINS), "somebody has counted half a batch: {done:?}");
            (twins(), if *count == 0 { Change::Get { value: 0 } } else { Change::Meet })
        }
        (Call::ClearAll, answer) => {
            if let Answer::Done(count) = answer {
                assert!(matches!(*count, 0 | TWINS), "somebody has cleared half a batch: {done:?}");
            }
            (twins(), Change::Delete { existed: done.count().map(|count| count > 0) })
        }
        _ => return None,
    };
    Some((keys, change))
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
