//! What all processes tell each other about their commits, in memory that all of them map, and what a read may then show.
//!
//! There is one number, and every commit takes it one step further. What the other keys hold follows from it, so that
//! every value read names the steps at which it was the present one.

use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a new store. It has as many digits as every number that is ever reached, so that sizes stay the same.
pub(super) const START: u64 = 1_000_000_000;

/// Added to what is rolled back afterwards: no read may show it.
pub(super) const NEVER_COMMITTED: u64 = 1_000_000_000_000;

/// Keys that are written in turn.
pub(super) const SLOTS: u64 = 8;

/// A key and what it holds after each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The step itself.
    Number,
    /// The step where that is odd; at even steps the key is deleted.
    Flicker,
    /// The last step that leaves this remainder.
    Slot(u64),
}

/// Half of the reads are of the keys that every step changes.
pub(super) const KEYS: [Key; 16] = [
    Key::Number,
    Key::Number,
    Key::Number,
    Key::Number,
    Key::Flicker,
    Key::Flicker,
    Key::Flicker,
    Key::Flicker,
    Key::Slot(0),
    Key::Slot(1),
    Key::Slot(2),
    Key::Slot(3),
    Key::Slot(4),
    Key::Slot(5),
    Key::Slot(6),
    Key::Slot(7),
];

impl Key {
    pub(super) fn name(self) -> &'static str {
        const SLOT_NAMES: [&str; SLOTS as usize] =
            ["slot0", "slot1", "slot2", "slot3", "slot4", "slot5", "slot6", "slot7"];
        match self {
            Key::Number => "number",
            Key::Flicker => "flicker",
            Key::Slot(slot) => SLOT_NAMES[slot as usize],
        }
    }

    /// Of the steps `from` to `to`, the first and the last after which the key held `seen`. Where it held nothing that
    /// is every other step between them.
    fn steps_with(self, seen: Option<u64>, from: u64, to: u64) -> Option<(u64, u64)> {
        let (first, last) = match (self, seen) {
            (Key::Number, Some(step)) => (step, step),
            (Key::Flicker, Some(step)) if step % 2 == 1 => (step, step),
            (Key::Flicker, None) => (from + from % 2, to),
            (Key::Slot(slot), Some(START)) => (START, if slot == 0 { START + SLOTS - 1 } else { START + slot - 1 }),
            (Key::Slot(slot), Some(step)) if step % SLOTS == slot => (step, step + SLOTS - 1),
            _ => return None,
        };
        let (first, last) = (first.max(from), last.min(to));
        (first <= last).then_some((first, last))
    }
}

/// The first of `steps` after which every key held what was seen of it.
fn first_step_with(keys: &[Key], seen: &[Option<u64>], steps: RangeInclusive<u64>) -> Option<u64> {
    let (from, to) = steps.into_inner();
    let narrow = |steps: Option<(u64, u64)>, (key, seen): (&Key, &Option<u64>)| {
        let (from, to) = steps?;
        key.steps_with(*seen, from, to)
    };
    let narrowed = || keys.iter().zip(seen).fold(Some((from, to)), narrow);
    // Once more from the first that is left: it may be one of those between.
    let (first, last) = narrowed()?;
    let (first, _) = keys.iter().zip(seen).fold(Some((first, last)), narrow)?;
    Some(first)
}

/// What is counted, for the report and to make sure that everybody took part.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    CommitsHere,
    CommitsOfEngine,
    CommitsOfRaw,
    CommitsOfShell,
    RolledBack,
    Checkpoints,
    Opened,
}

const WORDS: usize = 16;
const BEGUN: usize = 0;
const ACKNOWLEDGED: usize = 1;
const FIRST_COUNT: usize = 2;

/// The shared words. Mapped until the process ends.
#[derive(Clone, Copy)]
pub(super) struct Ledger(&'static [AtomicU64; WORDS]);

impl Ledger {
    /// Maps the file at `path`, creating it at [`START`] if there is none.
    pub(super) fn open(path: &Path) -> Self {
        let bytes = size_of::<[AtomicU64; WORDS]>();
        let file =
            std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path).expect("a ledger");
        if file.metadata().expect("a ledger").len() == 0 {
            file.set_len(bytes as u64).expect("a ledger");
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of a file that is at least that long; it stays until the process ends.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        assert_ne!(address, libc::MAP_FAILED, "the ledger cannot be mapped");
        // SAFETY: it is page aligned, long enough, never unmapped, and everybody uses it as atomics only.
        let ledger = Self(unsafe { &*address.cast_const().cast() });
        ledger.0[BEGUN].fetch_max(START, Ordering::SeqCst);
        ledger.0[ACKNOWLEDGED].fetch_max(START, Ordering::SeqCst);
        ledger
    }

    /// Inside the write transaction, before COMMIT.
    pub(super) fn begin(self, step: u64) {
        self.0[BEGUN].fetch_max(step, Ordering::SeqCst);
    }

    /// After COMMIT has returned.
    pub(super) fn acknowledge(self, step: u64, by: Counted) {
        self.0[ACKNOWLEDGED].fetch_max(step, Ordering::SeqCst);
        self.count(by);
    }

    pub(super) fn count(self, what: Counted) {
        self.0[FIRST_COUNT + what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted(self, what: Counted) -> u64 {
        self.0[FIRST_COUNT + what as usize].load(Ordering::Relaxed)
    }

    /// The newest step that a read may show.
    pub(super) fn begun(self) -> u64 {
        self.0[BEGUN].load(Ordering::SeqCst)
    }

    /// The oldest step that a read may show.
    pub(super) fn acknowledged(self) -> u64 {
        self.0[ACKNOWLEDGED].load(Ordering::SeqCst)
    }
}

/// One reader, who must never see the store go backwards.
pub(super) struct Witness {
    ledger: Ledger,
    latest: u64,
}

impl Witness {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, latest: START }
    }

    /// Whether what `read` gives was the present state of `keys`, all at once, at some moment while it ran, and not older
    /// than what this witness has seen of any key.
    pub(super) fn check<const N: usize>(
        &mut self,
        keys: [Key; N],
        read: impl FnOnce() -> [Option<u64>; N],
    ) -> Result<(), String> {
        let acknowledged = self.ledger.acknowledged();
        let seen = read();
        let begun = self.ledger.begun();
        let Some(step) = first_step_with(&keys, &seen, acknowledged.max(self.latest)..=begun) else {
            return Err(format!(
                "{} showed {seen:?}; acknowledged before the read: {acknowledged}, seen before: {}, begun after it: {begun}",
                keys.map(Key::name).join(", "),
                self.latest
            ));
        };
        self.latest = step;
        Ok(())
    }
}

#[test]
fn a_value_names_the_steps_at_which_it_was_present() {
    let at = |key: Key, seen: Option<u64>, from, to| {
        let seen = seen.map(|step| START + step);
        first_step_with(&[key], &[seen], START + from..=START + to).map(|step| step - START)
    };
    assert_eq!(at(Key::Number, Some(5), 5, 5), Some(5));
    assert_eq!(at(Key::Number, Some(4), 5, 9), None);
    assert_eq!(at(Key::Number, Some(10), 5, 9), None);
    assert_eq!(at(Key::Number, None, 0, 9), None);
    assert_eq!(at(Key::Flicker, Some(7), 5, 9), Some(7));
    assert_eq!(at(Key::Flicker, Some(6), 5, 9), None);
    assert_eq!(at(Key::Flicker, None, 5, 9), Some(6));
    assert_eq!(at(Key::Flicker, None, 5, 5), None);
    assert_eq!(at(Key::Slot(3), Some(0), 0, 9), Some(0));
    assert_eq!(at(Key::Slot(3), Some(0), 3, 9), None);
    assert_eq!(at(Key::Slot(3), Some(3), 10, 19), Some(10));
    assert_eq!(at(Key::Slot(3), Some(3), 11, 19), None);
    assert_eq!(at(Key::Slot(3), Some(4), 4, 4), None);
    assert_eq!(at(Key::Slot(0), Some(3 + NEVER_COMMITTED), 0, 9), None);
}

#[test]
fn values_read_together_were_present_together() {
    let at = |keys: [Key; 2], seen: [Option<u64>; 2], from, to| {
        let seen = seen.map(|step| step.map(|step| START + step));
        first_step_with(&keys, &seen, START + from..=START + to).map(|step| step - START)
    };
    assert_eq!(at([Key::Number, Key::Slot(3)], [Some(12), Some(11)], 0, 20), Some(12));
    assert_eq!(at([Key::Number, Key::Slot(3)], [Some(12), Some(3)], 0, 20), None);
    assert_eq!(at([Key::Flicker, Key::Slot(3)], [None, Some(11)], 0, 20), Some(12));
    assert_eq!(at([Key::Slot(3), Key::Flicker], [Some(11), None], 0, 20), Some(12));
    assert_eq!(at([Key::Flicker, Key::Slot(3)], [None, Some(11)], 0, 11), None);
    assert_eq!(at([Key::Flicker, Key::Number], [None, Some(11)], 0, 20), None);
    assert_eq!(at([Key::Slot(3), Key::Slot(4)], [Some(11), Some(4)], 0, 20), Some(11));
    assert_eq!(at([Key::Slot(3), Key::Slot(4)], [Some(3), Some(12)], 0, 20), None);
}
