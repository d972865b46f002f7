//! A round: some workers, some faults, and then a look at everything.

use std::collections::BTreeMap;
use std::ops::Range as Between;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agent_data_store::model::{Change, PageSize, Range, Record, Version};
use agent_data_store::{ClaimOptions, ErrorKind, SetOptions, Store, block_on};
use agent_data_store_testing::forms::{Says, seed};
use fastrand::Rng;

use crate::check::{self, Checked, Done};
use crate::crew::Crew;
use crate::event::{Answer, Call, now};
use crate::place::{Fault, Faults, Place};
use crate::worker::{ACCOUNTS, REGISTERS, Task, json, view};

const WORKERS: u64 = 3;
const BALANCE: u64 = 100;
pub(crate) const TASKS: u64 = 60;
/// Tasks of one who died are free again within their time to live.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is there at the end of a round.
pub(crate) struct End {
    /// Namespace, key: version and value.
    pub(crate) records: BTreeMap<(String, String), (Version, String)>,
    pub(crate) changes: Vec<Change>,
    /// The same, as somebody has followed it meanwhile.
    pub(crate) followed: Vec<Change>,
    pub(crate) total: u64,
    pub(crate) tasks: u64,
}

/// How many rounds, and in each how many faults with about how many calls between one and the next.
pub(crate) struct Form {
    pub(crate) rounds: u64,
    pub(crate) faults: Between<usize>,
    pub(crate) calls: Between<usize>,
}

/// What has come together in all rounds of a place.
#[derive(Default)]
struct Totals {
    faults: Faults,
    calls: usize,
    unknown: usize,
    checked: Checked,
}

pub(crate) fn rounds(place: &mut Place, form: &Form) {
    let first = seed();
    let began = Instant::now();
    let mut totals = Totals::default();
    for round in 0..form.rounds {
        let _says = Says(format!("ADS_TEST_SEED={first}: round {round} in a {}", place.name));
        let mut random = Rng::with_seed(first.wrapping_add(round));
        place.begin(round);
        work(place, round, form, &mut random, &mut totals);
        place.check();
    }
    let Totals { faults, calls, unknown, checked } = totals;
    let list = |counts: Vec<String>| counts.join(", ");
    println!(
        "{}: {} rounds in {} s; {}; {calls} calls, {} answered, {unknown} without an answer; checked {}: {}",
        place.name,
        form.rounds,
        began.elapsed().as_secs(),
        list(faults.iter().map(|(fault, count)| format!("{count} x {fault}")).collect()),
        calls - unknown,
        checked.values().sum::<usize>(),
        list(checked.iter().map(|(what, count)| format!("{count} {what}")).collect()),
    );
}

fn work(place: &mut Place, round: u64, form: &Form, random: &mut Rng, totals: &mut Totals) {
    let store = place.open();
    prepare(&store, round);
    let since = persist(|| block_on(view(&store, "registers", round).position()));
    let followed = Follower::start(place.open(), since);
    let (url, clock) = (place.url(), place.clock.path().to_owned());
    let task = |random: &mut Rng| Task { url: url.clone(), round, seed: random.u64(..), clock: clock.clone() };
    let mut crew = Crew::start((0..WORKERS).map(|_| task(random)));
    crew.hear_all(random.usize(form.calls.clone()));
    for index in 0..random.usize(form.faults.clone()) {
        let fault = if index == 0 { place.choose_whom_to_kill(random) } else { place.choose(random) };
        place.suffer(fault, &mut crew, random);
        *totals.faults.entry(fault).or_default() += 1;
        if fault == Fault::KillWorker {
            crew.add(&task(random));
        }
        crew.hear_all(random.usize(form.calls.clone()));
    }
    let mut done = Done::of(crew.finish());
    totals.calls += done.len();
    totals.unknown += done.iter().filter(|done| done.is_unknown()).count();
    // What those had who died comes back once its time is over.
    place.end_leases(PATIENCE);
    let end = look(&store, round, since, followed, &mut done);
    check::all(&done, &end, &place.clock.journal(), &mut totals.checked);
}

/// A call of this side, repeated for as long as there is no answer.
fn persist<R>(call: impl Fn() -> agent_data_store::Result<R>) -> R {
    loop {
        match call() {
            Ok(result) => return result,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
}

fn prepare(store: &Store, round: u64) {
    let accounts = |number| (format!("account{number}"), json(&BALANCE.to_string()));
    let tasks = |number| (format!("task{number}"), json("1"));
    persist(|| block_on(view(store, "accounts", round).set_many((0..ACCOUNTS).map(accounts).collect(), None, None)));
    persist(|| block_on(view(store, "tasks", round).set_many((0..TASKS).map(tasks).collect(), None, None)));
    // Nobody is to find a list of notes that is not there.
    persist(|| block_on(view(store, "sums", round).set(crate::worker::NOTES, json("[]"), SetOptions::default())));
}

/// Does the tasks that are left, and takes down everything. What is in the registers then is what the last call has read.
fn look(store: &Store, round: u64, since: Version, followed: Follower, done: &mut Vec<Done>) -> End {
    for number in 0..REGISTERS {
        let (key, start) = (format!("register{number}"), now());
        let record = persist(|| block_on(view(store, "registers", round).get_record(&key)));
        let value = |record: &Record| record.value.as_str().parse().expect("a whole number");
        let answer = Answer::Found(record.as_ref().map_or(0, value), record.as_ref().map_or(0, |it| it.version));
        done.push(Done { start, end: now(), call: Call::Record { key }, answer });
    }
    let tasks = view(store, "tasks", round);
    while persist(|| block_on(tasks.count(""))) > 0 {
        let options = ClaimOptions { wait: PATIENCE, ..ClaimOptions::new(PATIENCE) };
        let claim = persist(|| block_on(tasks.claim("", options))).expect("no task comes back from those who died");
        persist(|| block_on(claim.clone().complete(None)));
    }
    let done = persist(|| block_on(tasks.done_tasks().expect("a namespace").count("")));
    let mut records = BTreeMap::new();
    for namespace in ["registers", "sums", "accounts", "twins"] {
        let view = view(store, namespace, round);
        for record in persist(|| block_on(view.records(Range::default(), PageSize::ALL))).rows {
            let names = (record.namespace.to_string(), record.key.into_string());
            records.insert(names, (record.version, record.value.as_str().to_owned()));
        }
    }
    let changes = persist(|| block_on(tasks.changes(since, usize::MAX)));
    let followed = followed.up_to(changes.last);
    End { records, changes: changes.changes, followed, total: ACCOUNTS * BALANCE, tasks: done }
}

/// Somebody who follows the change feed while all goes on.
struct Follower {
    /// Where to end, once that is known.
    end: std::sync::Arc<AtomicU64>,
    thread: thread::JoinHandle<Vec<Change>>,
}

impl Follower {
    fn start(store: Store, since: Version) -> Self {
        let end = std::sync::Arc::new(AtomicU64::new(u64::MAX));
        let until = std::sync::Arc::clone(&end);
        let thread = thread::spawn(move || {
            let view = view(&store, "registers", 0);
            let (mut position, mut followed) = (since, Vec::new());
            while position < until.load(Ordering::SeqCst) {
                let changes = persist(|| block_on(view.changes(position, 500))).changes;
                position = changes.last().map_or(position, |change| change.version);
                if changes.is_empty() {
                    persist(|| block_on(view.wait_for_changes(position, Duration::from_millis(50))));
                }
                followed.extend(changes);
            }
            followed
        });
        Self { end, thread }
    }

    fn up_to(self, position: Version) -> Vec<Change> {
        self.end.store(position, Ordering::SeqCst);
        let mut followed = self.thread.join().expect("the follower");
        // What expires may be swept at any time, and then goes beyond.
        followed.retain(|change| change.version <= position);
        followed
    }
}
