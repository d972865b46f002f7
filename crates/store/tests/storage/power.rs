//! The power goes at any moment, and comes back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use agent_data_store::{Clock, ManualClock, Timestamp, block_on};
use fastrand::Rng;

use crate::disk::Disk;
use crate::script::{Model, Step, script};
use crate::store::{Place, Seen, check_file, clear, see, write};
use agent_data_store_testing::forms::{Says, seed, short_or_long};

/// What was there after each step.
struct State {
    model: Model,
    seen: Seen,
}

impl State {
    /// Whether this is what was found at a later time, at which more records are over.
    fn is(&self, found: &Seen, now: Timestamp) -> bool {
        let contents = self.model.contents(now);
        let versions = self.seen.versions.iter().filter(|(names, _)| contents.contains_key(names));
        contents == found.contents && versions.eq(&found.versions)
    }
}

/// A store on a disk whose power goes.
struct Run {
    place: Place,
    disk: Arc<Disk>,
    model: Model,
    states: Vec<State>,
    random: Rng,
    cuts: u64,
}

impl Run {
    fn step(&mut self, store: &mut agent_data_store::Store, step: &Step) {
        let now = self.place.clock.now();
        match step {
            Step::Write(writes) => {
                write(store, writes).expect("a write");
                self.model.write(writes, now);
            }
            Step::Clear(namespace) => {
                clear(store, namespace).expect("clear");
                self.model.clear(namespace, now);
            }
            Step::Wait(time) => self.place.clock.advance(*time),
            Step::Sweep => while block_on(store.maintain()).expect("housekeeping") {},
            Step::Checkpoint => self.place.checkpoint().expect("a checkpoint"),
            Step::Reopen { .. } => {
                block_on(store.close()).expect("close");
                *store = self.place.open().expect("the store opens");
            }
        }
        let seen = see(store).expect("the store can be read");
        self.states.push(State { model: self.model.clone(), seen });
    }

    /// Looks at what is left of the disk when the power goes during the last step, and after it.
    fn cut(&mut self) {
        let during = self.disk.take_cuts();
        let after = self.disk.cut();
        let last = self.states.len() - 1;
        for (files, acknowledged) in during.into_iter().map(|files| (files, last - 1)).chain([(after, last)]) {
            let oldest = if self.place.durability == "full" { acknowledged } else { 0 };
            self.recover(&files, oldest);
        }
    }

    /// What is found must be one of the states from `oldest` on, and go on from there.
    fn recover(&mut self, files: &BTreeMap<String, Vec<u8>>, oldest: usize) {
        self.cuts += 1;
        let folder = tempfile::tempdir().expect("a temporary folder");
        lay_out(folder.path(), files);
        let disk = Disk::powered(folder.path(), self.random.fork());
        let seen = self.look(folder.path(), oldest);
        // The power goes again while the store recovers from the first time, and afterwards.
        let again = [disk.take_cuts().pop(), Some(disk.cut())];
        for files in again.into_iter().flatten() {
            let folder = tempfile::tempdir().expect("a temporary folder");
            lay_out(folder.path(), &files);
            assert_eq!(self.look(folder.path(), oldest), seen, "the second loss of power took something with it");
        }
    }

    fn look(&self, folder: &Path, oldest: usize) -> Seen {
        let path = folder.join("store.db");
        let now = self.place.clock.now();
        let place = Place { path, durability: "full", clock: Arc::new(ManualClock::new(now)) };
        let store = place.open().expect("the store opens");
        let found = see(&store).expect("the store can be read");
        let newest = self.states.len() - 1;
        let states = &self.states[oldest..];
        assert!(
            states.iter().any(|state| state.is(&found, now)),
            "after {newest} steps, of which {oldest} must be there: found {found:#?}"
        );
        assert!(found.last >= states.iter().map(|state| state.seen.last).min().unwrap_or_default());
        drop(store);
        check_file(&place.path);
        found
    }
}

fn lay_out(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in files {
        std::fs::write(folder.join(name), content).expect("a file");
    }
}

/// Returns how often the power went.
fn run(seed: u64, length: usize, durability: &'static str) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = Rng::with_seed(seed);
    let disk = Disk::powered(folder.path(), random.fork());
    let place = Place { path: folder.path().join("store.db"), durability, clock: Arc::new(ManualClock::default()) };
    let mut store = place.open().expect("the store opens");
    let seen = see(&store).expect("the store can be read");
    let states = vec![State { model: Model::default(), seen }];
    let mut run = Run { place, disk, model: Model::default(), states, random, cuts: 0 };
    // Before anything was acknowledged there is nothing to lose; a store that is half made is made anew.
    for files in run.disk.take_cuts() {
        run.recover(&files, 0);
    }
    for step in script(seed, length) {
        run.step(&mut store, &step);
        run.cut();
    }
    run.cuts
}

#[test]
fn after_a_loss_of_power_every_acknowledged_write_is_there_and_under_relaxed_durability_whole_ones_up_to_some_moment() {
    let (scripts, length) = short_or_long((1, 24), (20, 80));
    let first = seed();
    for durability in ["full", "relaxed"] {
        let mut cuts = 0;
        for index in 0..scripts {
            let _says = Says(format!("ADS_TEST_SEED={first}: script {index}, durability {durability}"));
            cuts += run(first.wrapping_add(index), length, durability);
        }
        println!("durability {durability}: power lost {cuts} times");
    }
}

#[test]
fn a_store_that_is_half_made_when_the_power_goes_is_made_anew() {
    let first = seed();
    for index in 0..short_or_long(5, 100) {
        let _says = Says(format!("ADS_TEST_SEED={first}: round {index}"));
        run(first.wrapping_add(index), 0, "full");
    }
}
