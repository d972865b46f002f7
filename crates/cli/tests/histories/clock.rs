//! The clock of a round, which jumps: by how much it is off stands in a file that all its processes read.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_data_store::{Clock, SystemClock, Timestamp};
use fastrand::Rng;
use tempfile::TempDir;

use crate::event::{Moment, now};

/// What the clock shows, in nanoseconds since the moments began.
pub(crate) type Reading = i64;

/// The system's clock, off by what the file says.
#[derive(Debug)]
pub(crate) struct JumpingClock(File);

impl JumpingClock {
    pub(crate) fn open(path: &Path) -> Self {
        Self(File::open(path).expect("the file of the clock"))
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        let mut micros = [0; 8];
        self.0.read_exact_at(&mut micros, 0).expect("the file of the clock");
        Timestamp::from_micros(SystemClock.now().as_micros() + i64::from_ne_bytes(micros))
    }
}

/// Has the clock of a place jump, and remembers when.
pub(crate) struct Jumper {
    file: File,
    path: PathBuf,
    journal: Journal,
    _folder: TempDir,
}

impl Jumper {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("clock");
        let file = File::create(&path).expect("the file of the clock");
        let mut jumper = Self { file, path, journal: Journal(Vec::new()), _folder: folder };
        jumper.set_right();
        jumper
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins anew with the right time.
    pub(crate) fn set_right(&mut self) {
        self.journal.0.clear();
        self.set(Duration::ZERO, 0);
    }

    /// Forward or back, by less or by more than a lease or a claim lasts; once in a while an hour forward. Not an hour back:
    /// by so much longer everybody would wait for a lock.
    pub(crate) fn jump(&mut self, random: &mut Rng) {
        let millis = Duration::from_millis(random.u64(1..1_500));
        match random.u8(..8) {
            0 => self.set(Duration::from_secs(3_600), 1),
            1..5 => self.set(millis, 1),
            _ => self.set(millis / 2, -1),
        }
    }

    /// Forward to where everything is over that began at whatever time it was.
    pub(crate) fn jump_beyond(&mut self, time: Duration) {
        let most = self.journal.most(0, now());
        let present = self.journal.most(now(), now());
        self.set(Duration::from_nanos((most - present).unsigned_abs()) + time, 1);
    }

    fn set(&mut self, by: Duration, sign: i64) {
        let last = self.journal.0.last().map_or(0, |jump| jump.off);
        let off = last + sign * i64::try_from(by.as_micros()).expect("a short time") * 1_000;
        let before = now();
        self.file.write_all_at(&(off / 1_000).to_ne_bytes(), 0).expect("the file of the clock");
        self.journal.0.push(Jump { before, after: now(), off });
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }
}

/// When the clock has jumped, and what it may have shown when.
#[derive(Clone, Debug)]
pub(crate) struct Journal(Vec<Jump>);

/// Between `before` and `after` the clock is off as until then or by `off`.
#[derive(Clone, Copy, Debug)]
struct Jump {
    before: Moment,
    after: Moment,
    off: i64,
}

fn reading(moment: Moment, off: i64) -> Reading {
    i64::try_from(moment).map_or(Reading::MAX, |moment| moment.saturating_add(off))
}

impl Journal {
    /// From which moment to which the clock may have been off by how much.
    fn stretches(&self) -> impl Iterator<Item = (Moment, Moment, i64)> {
        let ends = self.0.iter().skip(1).map(|next| next.after).chain([Moment::MAX]);
        let begins = std::iter::once(0).chain(self.0.iter().skip(1).map(|jump| jump.before));
        begins.zip(ends).zip(&self.0).map(|((from, to), jump)| (from, to, jump.off))
    }

    fn within(&self, start: Moment, end: Moment) -> impl Iterator<Item = (Moment, Moment, i64)> {
        self.stretches()
            .map(move |(from, to, off)| (from.max(start), to.min(end), off))
            .filter(|(from, to, _)| from <= to)
    }

    /// The least that it may have shown between two moments.
    pub(crate) fn least(&self, start: Moment, end: Moment) -> Reading {
        self.within(start, end).map(|(from, _, off)| reading(from, off)).min().expect("there is always a time")
    }

    /// The most that it may have shown between two moments.
    pub(crate) fn most(&self, start: Moment, end: Moment) -> Reading {
        self.within(start, end).map(|(_, to, off)| reading(to, off)).max().expect("there is always a time")
    }

    /// The first moment from `start` on at which it may have shown `least` or more.
    pub(crate) fn reaches(&self, start: Moment, least: Reading) -> Moment {
        let reached = |(from, to, off): (Moment, Moment, i64)| {
            let moment = Moment::try_from(least.saturating_sub(off)).unwrap_or_default().max(from);
            (moment <= to).then_some(moment)
        };
        self.within(start, Moment::MAX).filter_map(reached).min().unwrap_or(Moment::MAX)
    }
}
