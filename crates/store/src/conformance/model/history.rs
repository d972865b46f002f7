//! What happens in a history.

use std::time::Duration;

use fastrand::Rng;

use super::side::Side;
use crate::clock::Timestamp;
use crate::conformance::subject::{SECOND, TICK, json};
use crate::model::{Expiry, Mutation};

pub(super) const USERS: [&str; 2] = ["ann", "bob"];
const AGENTS: [Option<&str>; 3] = [Some("one"), Some("two"), None];
/// No record expires in the first one.
pub(super) const NAMESPACES: [&str; 3] = ["lasting", "a", "a:b"];
pub(super) const KEYS: [&str; 6] = ["a", "a%", "ab", "Z", "é", "😀"];
const PREFIXES: [&str; 6] = ["", "a", "a%", "a_", "é", "x"];
const VALUES: [&str; 9] =
    ["1", "2.5", "[]", "[1, 2]", "{}", r#"{"a":1}"#, r#""text""#, "null", "123456789012345678901234567890"];
const METADATA: [&str; 4] = [r#"{"a":1}"#, r#"{"a":null,"b":[2]}"#, r#"{"é":"é"}"#, "{}"];

/// What a history is rich in.
#[derive(Clone, Copy, Debug)]
pub(in crate::conformance) struct Profile {
    /// How many of a hundred writes bring a time to live.
    pub(in crate::conformance) expiring: u8,
    /// Most writes in a batch.
    pub(in crate::conformance) batch: usize,
    pub(in crate::conformance) handles: Handles,
}

/// Through what the store is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conformance) enum Handles {
    One,
    /// It is closed and opened again now and then.
    OneAfterAnother,
    /// It is open twice, as in two processes.
    TwoInTurn,
}

/// Who does something, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) user: &'static str,
    pub(super) agent: Option<&'static str>,
    pub(super) namespace: &'static str,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Advance(Duration),
    /// Up to the next expiry, less so much.
    AdvanceToExpiry(Duration),
    Maintain,
    Flush,
    Reopen,
    /// The other handle goes on.
    Turn,
    Write(At, Vec<PlannedWrite>),
    Clear(At),
    Get(At, &'static str),
    GetRecord(At, &'static str),
    GetMany(At, Vec<&'static str>),
    GetAll(At),
    Page {
        at: At,
        prefix: &'static str,
        after: Option<&'static str>,
        rows: usize,
        bytes: usize,
    },
    List(At, &'static str),
}

#[derive(Clone, Debug)]
pub(super) struct PlannedWrite {
    pub(super) namespace: &'static str,
    pub(super) key: &'static str,
    pub(super) guard: Guard,
    pub(super) mutation: Change,
    pub(super) metadata: Option<&'static str>,
    pub(super) expiry: Expiry,
}

/// A mutation that shows its operands when a failed history is printed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Set(&'static str),
    Delete,
    Increment(&'static str),
    Append { items: &'static str, unique: bool, max_length: Option<usize> },
    Merge(&'static str),
    Touch,
    Check,
}

impl Change {
    pub(super) fn mutation(self) -> Mutation {
        match self {
            Change::Set(value) => Mutation::Set(json(value)),
            Change::Delete => Mutation::Delete,
            Change::Increment(by) => Mutation::Increment(json(by)),
            Change::Append { items, unique, max_length } => Mutation::Append { items: json(items), unique, max_length },
            Change::Merge(patch) => Mutation::Merge(json(patch)),
            Change::Touch => Mutation::Touch,
            Change::Check => Mutation::Check,
        }
    }
}

/// A precondition whose version is known only when its turn comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guard {
    None,
    /// No live record.
    Absent,
    /// The version that is there.
    Present,
    /// The first version that the key ever had.
    First,
}

impl Op {
    /// How far time goes before this.
    pub(super) fn time_before(&self, reference: &Side<'_>, now: Timestamp) -> Option<Duration> {
        match self {
            Op::Advance(by) => Some(*by),
            Op::AdvanceToExpiry(less) => {
                let micros = reference.next_expiry()?.as_micros() - now.as_micros();
                Some(Duration::from_micros(micros.try_into().ok()?).saturating_sub(*less))
            }
            _ => None,
        }
    }

    /// How far time goes after this: of a read and another access at the same instant, either may be the last.
    pub(super) fn time_after(&self) -> Option<Duration> {
        let reads =
            matches!(self, Op::Get(..) | Op::GetRecord(..) | Op::GetMany(..) | Op::GetAll(..) | Op::Page { .. });
        reads.then_some(TICK)
    }

    /// The user whose records this may have changed or read.
    pub(super) fn user(&self) -> Option<&'static str> {
        match self {
            Op::Advance(_) | Op::AdvanceToExpiry(_) | Op::Maintain | Op::Flush | Op::Reopen | Op::Turn => None,
            Op::Write(at, _) | Op::Clear(at) | Op::Get(at, _) | Op::GetRecord(at, _) | Op::GetMany(at, _) => {
                Some(at.user)
            }
            Op::GetAll(at) | Op::Page { at, .. } | Op::List(at, _) => Some(at.user),
        }
    }
}

/// The history of a seed.
pub(super) fn history(seed: u64, length: usize, profile: Profile) -> Vec<Op> {
    let mut source = Source { rng: Rng::with_seed(seed), profile };
    (0..length).map(|_| source.op()).collect()
}

struct Source {
    rng: Rng,
    profile: Profile,
}

impl Source {
    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn chance(&mut self, of_a_hundred: u8) -> bool {
        self.rng.u8(..100) < of_a_hundred
    }

    fn at(&mut self) -> At {
        At { user: self.one_of(&USERS), agent: self.one_of(&AGENTS), namespace: self.one_of(&NAMESPACES) }
    }

    fn op(&mut self) -> Op {
        match self.rng.u8(..100) {
            0..45 => {
                let count = if self.chance(50) { 1 } else { self.rng.usize(1..=self.profile.batch) };
                let at = self.at();
                // A batch mostly stays in one namespace, so that its writes meet.
                Op::Write(at, (0..count).map(|_| self.write(at.namespace)).collect())
            }
            45..49 => Op::Clear(self.at()),
            49..55 => Op::Advance(self.one_of(&[TICK, SECOND / 2, SECOND, 2 * SECOND])),
            55..65 => Op::AdvanceToExpiry(self.one_of(&[Duration::ZERO, Duration::ZERO, TICK])),
            65..70 => Op::Maintain,
            70..80 if self.profile.handles == Handles::TwoInTurn => Op::Turn,
            70..76 => Op::Flush,
            76..80 if self.profile.handles == Handles::OneAfterAnother => Op::Reopen,
            76..82 => Op::Get(self.at(), self.one_of(&KEYS)),
            82..86 => Op::GetRecord(self.at(), self.one_of(&KEYS)),
            86..90 => {
                let count = self.rng.usize(..5);
                Op::GetMany(self.at(), (0..count).map(|_| self.one_of(&KEYS)).collect())
            }
            90..92 => Op::GetAll(self.at()),
            92..96 => Op::Page {
                at: self.at(),
                prefix: self.one_of(&PREFIXES),
                after: self.chance(50).then(|| self.one_of(&KEYS)),
                rows: self.one_of(&[1, 2, usize::MAX]),
                bytes: self.one_of(&[1, 10, usize::MAX]),
            },
            _ => Op::List(self.at(), self.one_of(&PREFIXES)),
        }
    }

    fn write(&mut self, here: &'static str) -> PlannedWrite {
        let namespace = if self.chance(80) { here } else { self.one_of(&NAMESPACES) };
        let guard = match self.rng.u8(..100) {
            0..80 => Guard::None,
            80..88 => Guard::Absent,
            88..97 => Guard::Present,
            _ => Guard::First,
        };
        PlannedWrite {
            namespace,
            key: self.one_of(&KEYS),
            guard,
            mutation: self.change(),
            metadata: self.chance(30).then(|| self.one_of(&METADATA)),
            expiry: self.expiry(namespace),
        }
    }

    fn change(&mut self) -> Change {
        match self.rng.u8(..100) {
            0..45 => Change::Set(self.one_of(&VALUES)),
            45..60 => Change::Delete,
            60..70 => Change::Increment(self.one_of(&["1", "-7", "0.25", "99999999999999999999"])),
            70..80 => Change::Append {
                items: self.one_of(&["[1]", "[2,2]", "[\"a\",{}]", "[]"]),
                unique: self.rng.bool(),
                max_length: self.chance(30).then_some(2),
            },
            80..88 => Change::Merge(self.one_of(&[r#"{"a":2}"#, r#"{"a":null}"#, r#"{"b":{"c":1}}"#, "7"])),
            88..95 => Change::Touch,
            _ => Change::Check,
        }
    }

    fn expiry(&mut self, namespace: &str) -> Expiry {
        if namespace != NAMESPACES[0] && self.chance(self.profile.expiring) {
            return Expiry::After(self.one_of(&[TICK, SECOND, 2 * SECOND, 3 * SECOND]));
        }
        if self.chance(5) { Expiry::Never } else { Expiry::Default }
    }
}
