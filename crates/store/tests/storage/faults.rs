//! Each access to the disk fails in turn: in a script of steps, done by two stores on one file as two programs would.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_data_store::model::{Address, Expiry, Mutation, Outcome, Precondition, Version, View, Write};
use agent_data_store::{Clock, Error, ErrorKind, ManualClock, Store, block_on};
use fastrand::Rng;

use crate::disk::{Disk, Fault};
use crate::script::{Contents, KEYS, Model, NAMESPACES, Returned, Step, json, script};
use crate::store::{Place, Seen, check_file, clear, see, write};
use agent_data_store_testing::forms::{Says, seed, short_or_long};

/// How many calls are made on a disk that goes on failing.
const CALLS_IN_VAIN: usize = 3;

/// Two stores on one file, and what may be in it.
struct Run {
    place: Place,
    disk: Arc<Disk>,
    fault: Option<Fault>,
    stores: [Option<Store>; 2],
    /// All that the answers so far allow: after one that says nothing, what it was asked for and what was there before.
    possible: Vec<Model>,
    newest: BTreeMap<(String, String), Version>,
    failed: usize,
    acknowledged: u64,
    began_with_version_1: bool,
}

/// What came of a run.
#[derive(Default)]
struct Report {
    hits: u64,
    acknowledged: u64,
    failed: usize,
}

impl Run {
    /// Does a call, which may only fail where the disk does. `None` where it has.
    fn call<R>(&mut self, call: impl Fn(&mut Self) -> Result<R, Error>) -> Option<R> {
        let hits = self.disk.hits();
        let error = match call(self) {
            Ok(result) => return Some(result),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(self.disk.hits() > hits, "nothing has failed but the store: {error:?}");
        self.failed += 1;
        None
    }

    /// The same for calls that change nothing: where the fault is over at once, the second try succeeds.
    fn call_again<R>(&mut self, call: impl Fn(&mut Self) -> Result<R, Error>) -> Option<R> {
        self.call(&call).or_else(|| self.call(&call))
    }

    fn open(&mut self, turn: usize) -> Option<Store> {
        if self.stores[turn].is_none() {
            self.stores[turn] = self.call_again(|run| run.place.open());
        }
        self.stores[turn].clone()
    }

    fn step(&mut self, turn: usize, step: &Step) {
        let now = self.place.clock.now();
        match step {
            Step::Write(writes) => {
                let Some(store) = self.open(turn) else { return };
                let outcomes = self.call(|_| write(&store, writes));
                let returned = |outcomes: &Vec<Outcome>| -> Vec<Returned> {
                    outcomes.iter().map(|outcome| (outcome.existed, outcome.result.clone())).collect()
                };
                self.settle(outcomes.as_ref().map(returned), |model| model.write(writes, now));
                self.check_versions(writes, &outcomes.unwrap_or_default());
            }
            Step::Clear(namespace) => {
                let Some(store) = self.open(turn) else { return };
                let cleared = self.call(|_| clear(&store, namespace));
                self.settle(cleared, |model| model.clear(namespace, now));
            }
            Step::Wait(time) => self.place.clock.advance(*time),
            Step::Sweep => {
                let Some(store) = self.open(turn) else { return };
                while self.call(|_| block_on(store.maintain())) == Some(true) {}
            }
            Step::Checkpoint => {
                let hits = self.disk.hits();
                let moved = self.place.checkpoint();
                assert!(moved.is_ok() || self.disk.hits() > hits, "{moved:?}");
            }
            Step::Reopen { all } => {
                if *all {
                    self.stores = [None, None];
                }
                self.stores[turn] = None;
                self.open(turn);
            }
        }
        for turn in 0..2 {
            self.look(turn);
        }
    }

    /// What an answer leaves of what is possible; where there is none, the change may have happened or not.
    fn settle<R: PartialEq>(&mut self, returned: Option<R>, change: impl Fn(&mut Model) -> R) {
        self.acknowledged += u64::from(returned.is_some());
        let before = std::mem::take(&mut self.possible);
        for mut model in before {
            let unchanged = returned.is_none().then(|| model.clone());
            let expected = change(&mut model);
            let after = returned.as_ref().is_none_or(|returned| *returned == expected).then_some(model);
            for model in [unchanged, after].into_iter().flatten() {
                if !self.possible.contains(&model) {
                    self.possible.push(model);
                }
            }
        }
        assert!(!self.possible.is_empty(), "the answer cannot be");
    }

    fn check_versions(&mut self, writes: &[Write], outcomes: &[Outcome]) {
        let mut given = BTreeMap::new();
        for (write, outcome) in writes.iter().zip(outcomes).filter(|(_, outcome)| outcome.version > 0) {
            let names = (write.address.namespace.to_string(), write.address.key.to_string());
            assert!(Some(&outcome.version) > self.newest.get(&names), "{names:?} has had {}", outcome.version);
            given.insert(names, outcome.version);
        }
        self.newest.extend(given);
    }

    fn look(&mut self, turn: usize) -> Option<Seen> {
        let store = self.stores[turn].clone()?;
        let seen = self.call_again(|_| see(&store))?;
        let now = self.place.clock.now();
        let possible: Vec<Contents> = self.possible.iter().map(|model| model.contents(now)).collect();
        assert!(possible.contains(&seen.contents), "found {:#?}\npossible {possible:#?}", seen.contents);
        for (names, version) in &seen.versions {
            let newest = self.newest.entry(names.clone()).or_default();
            *newest = (*newest).max(*version);
        }
        Some(seen)
    }

    /// Without faults: what is there is what may be, it can be written to, and the file is sound.
    fn end(mut self) -> Report {
        self.stores = [None, None];
        self.disk.mend();
        self.open(0).expect("the store opens");
        let seen = self.look(0).expect("the store can be read");
        let now = self.place.clock.now();
        self.possible.retain(|model| model.contents(now) == seen.contents);
        for namespace in NAMESPACES {
            let set = |key: &&str| Write {
                address: Address { namespace: namespace.into(), key: (**key).into() },
                precondition: Precondition::None,
                mutation: Mutation::Set(json("1")),
                metadata: None,
                expiry: Expiry::Default,
            };
            self.step(0, &Step::Write(KEYS.iter().map(set).collect()));
        }
        if self.began_with_version_1 {
            let store = self.open(0).expect("open");
            let plan = block_on(store.engine().read_one("alice", "notes", "plan", View::Value)).expect("a read");
            assert_eq!(plan.map(|row| row.version), Some(1), "what was there before the migration");
        }
        let report = Report { hits: self.disk.hits(), acknowledged: self.acknowledged, failed: self.failed };
        self.stores = [None, None];
        check_file(&self.place.path);
        report
    }
}

fn run(seed: u64, steps: &[Step], durability: &'static str, fault: Option<Fault>) -> (Report, Arc<Disk>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    // One half begins with a file that is to be migrated.
    let began_with_version_1 = seed % 2 == 1;
    if began_with_version_1 {
        std::fs::write(&path, include_bytes!("../fixtures/version_1.db")).expect("a file");
    }
    let disk = Disk::new(folder.path(), fault);
    let mut turns = Rng::with_seed(seed);
    let mut run = Run {
        place: Place { path, durability, clock: Arc::new(ManualClock::default()) },
        disk: Arc::clone(&disk),
        fault,
        stores: [None, None],
        possible: vec![Model::default()],
        newest: BTreeMap::new(),
        failed: 0,
        acknowledged: 0,
        began_with_version_1,
    };
    for step in steps {
        run.step(turns.usize(..2), step);
        let goes_on = run.fault.is_some_and(|fault| !fault.is_over_at_once());
        if goes_on && run.failed >= CALLS_IN_VAIN {
            // There is room again: whoever has the store open goes on.
            disk.mend();
            run.fault = None;
        }
    }
    (run.end(), disk)
}

/// Runs scripts again and again, with another access failing each time.
fn fail_at_each_access(fault: impl Fn(u64) -> Fault) {
    let (scripts, length, share) = short_or_long((2, 24, 29), (6, 50, 1));
    let first = seed();
    let (mut rounds, mut sum) = (0, Report::default());
    for (index, durability) in (0..scripts).flat_map(|index| [(index, "full"), (index, "relaxed")]) {
        let seed = first.wrapping_add(index);
        let steps = script(seed, length);
        let (_, disk) = run(seed, &steps, durability, None);
        let (changing, reading) = disk.accesses();
        let count = if matches!(fault(0), Fault::Read(_)) { reading } else { changing };
        for at in (index % share..count).step_by(share as usize) {
            let fault = fault(at);
            let _says = Says(format!("ADS_TEST_SEED={first}: script {index}, durability {durability}, {fault:?}"));
            let (report, _) = run(seed, &steps, durability, Some(fault));
            rounds += u64::from(report.hits > 0);
            sum.acknowledged += report.acknowledged;
            sum.failed += report.failed;
        }
    }
    println!("{rounds} faults, {} calls acknowledged, {} failed", sum.acknowledged, sum.failed);
}

#[test]
fn one_access_that_fails_loses_nothing_and_the_next_succeeds() {
    fail_at_each_access(Fault::Once);
}

#[test]
fn a_torn_write_loses_nothing_and_the_next_succeeds() {
    fail_at_each_access(Fault::Torn);
}

#[test]
fn a_full_disk_loses_nothing_and_with_room_again_writing_goes_on() {
    fail_at_each_access(Fault::Full);
}

#[test]
fn a_disk_that_becomes_read_only_loses_nothing_and_when_it_is_mended_writing_goes_on() {
    fail_at_each_access(Fault::ReadOnly);
}

#[test]
fn a_read_that_fails_shows_nothing_wrong_and_the_next_succeeds() {
    fail_at_each_access(Fault::Read);
}

/// The answer that the mode has changed comes before the change is committed.
#[test]
fn a_new_store_that_opens_has_its_log_whatever_fails_meanwhile() {
    for at in 0.. {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::new(folder.path(), Some(Fault::Once(at)));
        let path = folder.path().join("store.db");
        let place = Place { path, durability: "full", clock: Arc::new(ManualClock::default()) };
        let opened = place.open();
        if disk.hits() == 0 {
            break;
        }
        let store = opened.or_else(|_| place.open()).expect("the store opens");
        let look = rusqlite::Connection::open(&place.path).expect("the file opens");
        let mode: String = look.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("a mode");
        assert_eq!(mode, "wal", "access {at} has failed");
        drop((look, store));
    }
}
