//! Random histories, carried out on the engine under test and on the memory engine: every result, and everything that
//! can be seen afterwards, must be the same.

mod history;
mod side;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub(super) use self::history::{Handles, Profile};
use self::history::{Op, history};
use self::side::Side;
use super::subject::Subject;
use crate::clock::{Clock, ManualClock};

const OPS: usize = 60;
/// Repeats the one history of this seed.
const SEED_VARIABLE: &str = "CONFORMANCE_SEED";
/// Tries so many histories in each case.
const HISTORIES_VARIABLE: &str = "CONFORMANCE_HISTORIES";

/// Tries random histories of this kind.
pub(super) fn compare(subject: &Subject<'_>, profile: Profile) {
    let (first, count) = match number(SEED_VARIABLE) {
        Some(seed) => (seed, 1),
        None => (fastrand::u64(..), number(HISTORIES_VARIABLE).unwrap_or(subject.histories())),
    };
    for index in 0..count {
        let seed = first.wrapping_add(index);
        let mut ops = history(seed, OPS, profile);
        let Err(first_difference) = attempt(subject, &ops) else { continue };
        let difference = shorten(subject, &mut ops).unwrap_or(first_difference);
        let mut steps = String::new();
        ops.iter().for_each(|op| _ = writeln!(steps, "  {op:?}"));
        panic!("{difference}\nafter the history ({SEED_VARIABLE}={seed} repeats it):\n{steps}");
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a whole number")))
}

/// Drops operations without which the difference remains; returns the difference that is left.
fn shorten(subject: &Subject<'_>, ops: &mut Vec<Op>) -> Option<String> {
    let mut difference = None;
    for index in (0..ops.len()).rev() {
        let op = ops.remove(index);
        match attempt(subject, ops) {
            Err(found) => difference = Some(found),
            Ok(()) => ops.insert(index, op),
        }
    }
    difference
}

/// Carries the history out on both engines, up to the first difference.
fn attempt(subject: &Subject<'_>, ops: &[Op]) -> Result<(), String> {
    let run = AssertUnwindSafe(|| {
        let clock: Arc<ManualClock> = Arc::default();
        let mut reference = Side::reference(&clock);
        let mut examined = Side::examined(subject.another(&clock));
        for (index, op) in ops.iter().enumerate() {
            if let Some(by) = op.time_before(&reference, clock.now()) {
                examined.advance(by);
            }
            let (expected, actual) = (reference.carry_out(op), examined.carry_out(op));
            if let Some(lines) = differ(&expected, &actual) {
                return Err(format!("{lines}\nat operation {index}: {op:?}"));
            }
            if let Some(by) = op.time_after() {
                examined.advance(by);
            }
        }
        reference.assert_feed_complete();
        examined.assert_feed_complete();
        Ok(())
    });
    catch_unwind(run).unwrap_or_else(|panic| Err(super::run::message(&*panic)))
}

/// The first line in which the engines differ.
fn differ(expected: &[String], actual: &[String]) -> Option<String> {
    let length = expected.len().max(actual.len());
    let line = |lines: &[String], index| lines.get(index).cloned().unwrap_or_else(|| "nothing more".to_owned());
    (0..length)
        .map(|index| (line(expected, index), line(actual, index)))
        .find(|(expected, actual)| expected != actual)
        .map(|(expected, actual)| format!("expected: {expected}\n  actual: {actual}"))
}
