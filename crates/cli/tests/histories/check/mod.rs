//! What must hold of all that was called and answered, and of what is there at the end.

mod feed;
mod leases;
mod registers;
mod sums;

use std::collections::{BTreeMap, HashMap};

use crate::clock::Journal;
use crate::event::{Answer, Call, Event, Moment};
use crate::round::End;

/// One call, from its beginning to its answer.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) start: Moment,
    /// The last moment of all where there was no answer.
    pub(crate) end: Moment,
    pub(crate) call: Call,
    pub(crate) answer: Answer,
}

impl Done {
    /// The calls in the order in which they began.
    pub(crate) fn of(events: Vec<(u32, Event)>) -> Vec<Self> {
        let mut done: HashMap<u64, Self> = HashMap::new();
        for (_, event) in events {
            match event {
                Event::Calls { id, at, call } => {
                    done.insert(id, Self { start: at, end: Moment::MAX, call, answer: Answer::Unknown });
                }
                Event::Returns { id, at, answer } => {
                    let done = done.get_mut(&id).expect("what returns was called");
                    if answer != Answer::Unknown {
                        done.end = at;
                    }
                    done.answer = answer;
                }
            }
        }
        let mut done: Vec<Self> = done.into_values().collect();
        done.sort_by_key(|done| done.start);
        done
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.answer == Answer::Unknown
    }

    fn count(&self) -> Option<u64> {
        match self.answer {
            Answer::Done(count) => Some(count),
            _ => None,
        }
    }
}

/// How many calls, and changes in the feed, each check has looked at.
pub(crate) type Checked = BTreeMap<&'static str, usize>;

/// Each check, one after the other.
pub(crate) fn all(done: &[Done], end: &End, journal: &Journal, checked: &mut Checked) {
    for done in done {
        assert!(!matches!(done.answer, Answer::Failed(_)), "{done:?}");
    }
    let mut count = |what, number| *checked.entry(what).or_default() += number;
    count("on registers", registers::are_linearizable(done, journal));
    registers::have_rising_versions(done);
    count("on counters", sums::counters_are_exact(done, end));
    count("on lists", sums::lists_are_exact(done, end));
    count("transfers and audits", sums::transfers_are_whole(done, end));
    count("walks", sums::walks_miss_nothing(done));
    count("on locks", leases::locks_have_one_holder(done, journal));
    count("on tasks", leases::tasks_are_done_once(done, end, journal));
    count("changes", feed::is_complete(done, end));
}

/// What is said of each: numbers that rise in the order of time. Of two calls one of which began after the other had
/// returned, it has the greater number; no two have the same.
fn rise(what: &str, numbers: impl Iterator<Item = (Moment, Moment, u64)>) {
    let mut by_end: Vec<_> = numbers.collect();
    let mut by_start = by_end.clone();
    by_end.sort_by_key(|(_, end, _)| *end);
    by_start.sort_by_key(|(start, _, _)| *start);
    let mut ended = by_end.iter().peekable();
    let mut highest = None;
    for (start, _, number) in &by_start {
        while let Some((_, _, before)) = ended.next_if(|(_, end, _)| end < start) {
            highest = highest.max(Some(*before));
        }
        assert!(Some(*number) > highest, "{what}: {number} came after {highest:?}");
    }
    let mut all: Vec<u64> = by_start.iter().map(|(_, _, number)| *number).collect();
    all.sort_unstable();
    assert!(all.is_sorted_by(|left, right| left < right), "{what}: one number was given twice");
}
