//! One run: readers and writers in this process, the workers, and who kills them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::ledger::{Counted, KEYS, Key, Ledger, Witness};
use super::processes::{STORE_FILE, Workers};
use super::workers::{Pace, Part};
use super::{NAMESPACE, USER, batch, open_engine, read, read_together, set, take_step, write};
use crate::block_on;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engines::sqlite::{CacheStats, Durability, SqliteEngine};
use crate::json::Json;
use crate::model::{Access, Address, Mutation, Version, View, Write};

const READERS: usize = 2;
const WRITERS: usize = 2;

/// One for each writer of this process, which nobody else writes.
const OWN_KEYS: [&str; WRITERS] = ["own0", "own1"];
const OWN_KEYS_NAMESPACE: &str = "own";

/// Reads between two looks at whether to stop.
const READS_AT_ONCE: u64 = 1_000;

/// Of all reads, for a run to say something about the cache.
const LEAST_HIT_SHARE: f64 = 0.5;

/// A run that gets nothing read for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// When a run has passed.
pub(super) enum Goal {
    Time(Duration),
    Reads(u64),
}

pub(super) struct Run {
    folder: PathBuf,
    ledger: Ledger,
    engine: SqliteEngine,
    reads: AtomicU64,
    stop: AtomicBool,
    violation: Mutex<Option<String>>,
    violated: Condvar,
}

/// What was done in a run that passed.
pub(super) struct Report {
    ledger: Ledger,
    parts: &'static [Part],
    reads: u64,
    stats: CacheStats,
    kills: u64,
    suspensions: u64,
    elapsed: Duration,
}

impl Run {
    pub(super) fn new(folder: &Path, ledger: Ledger) -> Self {
        Self {
            folder: folder.to_owned(),
            ledger,
            // Many commits find more than slow ones.
            engine: open_engine(&folder.join(STORE_FILE), Durability::Relaxed),
            reads: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            violation: Mutex::new(None),
            violated: Condvar::new(),
        }
    }

    /// Goes on until the goal is reached, or returns the first violation and when it was found.
    pub(super) fn until(&self, goal: &Goal) -> Result<Report, (String, Duration)> {
        let started = Instant::now();
        let parts = Part::of_this_machine();
        let mut workers = Workers::start(&self.folder, parts);
        let mut suspensions = 0;
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| self.guard(|| self.read_on()));
            }
            for writer in 0..WRITERS {
                scope.spawn(move || self.guard(|| self.write_on(writer)));
            }
            self.guard(|| self.disturb(goal, started, &mut workers, &mut suspensions));
            self.stop.store(true, Ordering::Relaxed);
        });
        let elapsed = started.elapsed();
        if let Some(violation) = self.violation.lock().unwrap().take() {
            return Err((violation, elapsed));
        }
        Ok(Report {
            ledger: self.ledger,
            parts,
            reads: self.reads.load(Ordering::Relaxed),
            stats: self.engine.cache_stats(),
            kills: workers.kills,
            suspensions,
            elapsed,
        })
    }

    /// Stops everybody where one finds a violation or fails.
    fn guard(&self, function: impl FnOnce() -> Result<(), String>) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(function));
        let violation = match result {
            Ok(Ok(())) => return,
            Ok(Err(violation)) => violation,
            Err(_) => "a thread has panicked; it has said why".to_owned(),
        };
        self.stop.store(true, Ordering::Relaxed);
        self.violation.lock().unwrap().get_or_insert(violation);
        self.violated.notify_all();
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn read_on(&self) -> Result<(), String> {
        let mut witness = Witness::new(self.ledger);
        let mut random = fastrand::Rng::new();
        let mut own_versions = OWN_KEYS.map(|_| 0);
        while self.goes_on() {
            for read_number in 0..READS_AT_ONCE {
                let mut key = || KEYS[random.usize(..KEYS.len())];
                match read_number % 16 {
                    0 => self.check_own_version(&mut own_versions, random.usize(..WRITERS))?,
                    1 => {
                        let keys = [key(), key(), key()];
                        witness.check(keys, || read_together(&self.engine, keys))?;
                    }
                    _ => {
                        let key = key();
                        witness.check([key], || [read(&self.engine, key)])?;
                    }
                }
            }
            self.reads.fetch_add(READS_AT_ONCE, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The key of a writer of this process, whose version never goes backwards.
    fn check_own_version(&self, versions: &mut [Version; WRITERS], writer: usize) -> Result<(), String> {
        let (key, latest) = (OWN_KEYS[writer], &mut versions[writer]);
        let version = self.version_and_value(OWN_KEYS_NAMESPACE, key).map_or(0, |(version, _)| version);
        if version < *latest {
            return Err(format!("{key} showed version {version} after version {latest}"));
        }
        *latest = version;
        Ok(())
    }

    fn version_and_value(&self, namespace: &str, key: &str) -> Option<(Version, String)> {
        let row = block_on(self.engine.read_one(USER, namespace, key, View::Value)).unwrap();
        row.map(|row| (row.version, row.value.unwrap().as_str().to_owned()))
    }

    /// Writes, and returns the version that came of it.
    fn write(&self, write: Write) -> Version {
        block_on(self.engine.write(batch(vec![write]))).unwrap()[0].version
    }

    /// Commits of every kind that the cache is carried over; what nobody else writes must read back at once.
    fn write_on(&self, writer: usize) -> Result<(), String> {
        let expect = |namespace: &str, key: &str, expected: Option<(Version, String)>| {
            let seen = self.version_and_value(namespace, key);
            if seen == expected { Ok(()) } else { Err(format!("{key} showed {seen:?} instead of {expected:?}")) }
        };
        let (own, scratch) = (OWN_KEYS[writer], format!("scratch{writer}"));
        let (mut value, mut pace) = (0u64, Pace::new());
        while self.goes_on() {
            match fastrand::u32(..16) {
                0..8 => take_step(&self.engine, self.ledger, Counted::CommitsHere),
                8..11 => {
                    value += 1;
                    let increment = Mutation::Increment(Json::from_trusted("1"));
                    let version = self.write(write(OWN_KEYS_NAMESPACE, own, increment));
                    expect(OWN_KEYS_NAMESPACE, own, Some((version, value.to_string())))?;
                }
                11..13 if value > 0 => {
                    let version = self.write(write(OWN_KEYS_NAMESPACE, own, Mutation::Touch));
                    expect(OWN_KEYS_NAMESPACE, own, Some((version, value.to_string())))?;
                }
                13 => {
                    let version = self.write(set(&scratch, "key", "1"));
                    expect(&scratch, "key", Some((version, "1".into())))?;
                    block_on(self.engine.clear(USER, None, &scratch, None)).unwrap();
                    expect(&scratch, "key", None)?;
                }
                14 => block_on(self.engine.record_access(vec![access_to_number()])).unwrap(),
                _ => drop(block_on(self.engine.maintain()).unwrap()),
            }
            pace.pause();
        }
        Ok(())
    }

    /// Kills workers and takes the engine's connections away, until the goal is reached.
    fn disturb(
        &self,
        goal: &Goal,
        started: Instant,
        workers: &mut Workers,
        suspensions: &mut u64,
    ) -> Result<(), String> {
        let (mut reads_before, mut seen_at) = (0, started);
        loop {
            let next = Duration::from_millis(fastrand::u64(20..200));
            let violation = self.violation.lock().unwrap();
            let (violation, _) = self.violated.wait_timeout_while(violation, next, |none| none.is_none()).unwrap();
            if violation.is_some() {
                return Ok(());
            }
            drop(violation);
            let reads = self.reads.load(Ordering::Relaxed);
            let reached = match *goal {
                Goal::Time(time) => started.elapsed() >= time,
                Goal::Reads(goal) => reads >= goal,
            };
            if reached {
                return workers.check();
            }
            if reads > reads_before {
                (reads_before, seen_at) = (reads, Instant::now());
            } else if seen_at.elapsed() > PATIENCE {
                // The threads that hang would keep this one from ending.
                eprintln!("the stress test hangs: nothing was read for a minute");
                std::process::abort();
            }
            if fastrand::u32(..4) == 0 {
                drop(self.engine.suspend());
                *suspensions += 1;
            } else {
                workers.kill_one()?;
            }
        }
    }
}

fn access_to_number() -> Access {
    Access {
        user: USER.into(),
        address: Address { namespace: NAMESPACE.into(), key: Key::Number.name().into() },
        agent: "reader".into(),
        count: 1,
        last_at: Timestamp::from_micros(i64::MAX),
    }
}

impl Report {
    /// A run in which the cache is hardly used, or nobody disturbs it, proves nothing: what was missing.
    pub(super) fn check_that_everybody_took_part(&self) -> Result<(), String> {
        if self.hit_share() < LEAST_HIT_SHARE {
            return Err("too few reads came from the cache".to_owned());
        }
        let commits = self.parts.iter().map(|part| part.commits());
        for what in commits.chain([Counted::CommitsHere, Counted::RolledBack, Counted::Checkpoints]) {
            if self.ledger.counted(what) == 0 {
                return Err(format!("there were no {what:?}"));
            }
        }
        if self.kills == 0 || self.suspensions == 0 {
            return Err("nobody was killed or suspended".to_owned());
        }
        Ok(())
    }

    fn hit_share(&self) -> f64 {
        let CacheStats { hits, misses, .. } = self.stats;
        hits as f64 / (hits + misses).max(1) as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |what| self.ledger.counted(what);
        write!(
            f,
            "{} reads in {:.1} s, {:.1} % of them hits, none stale; commits: {} here, {} engine, {} raw connection, {} \
             sqlite3; {} rolled back, {} checkpoints, {} times opened, {} kill -9, {} suspensions",
            self.reads,
            self.elapsed.as_secs_f64(),
            self.hit_share() * 100.0,
            counted(Counted::CommitsHere),
            counted(Counted::CommitsOfEngine),
            counted(Counted::CommitsOfRaw),
            counted(Counted::CommitsOfShell),
            counted(Counted::RolledBack),
            counted(Counted::Checkpoints),
            counted(Counted::Opened),
            self.kills,
            self.suspensions,
        )
    }
}

/// After all that the file is sound, and holds what was acknowledged last.
pub(super) fn check_file(folder: &Path, ledger: Ledger) {
    let connection = Connection::open(folder.join(STORE_FILE)).unwrap();
    let sound: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let number: u64 = connection.query_row(&super::sql::read_number(), (), |row| row.get(0)).unwrap();
    assert!((ledger.acknowledged()..=ledger.begun()).contains(&number), "the file holds step {number}");
}
