//! A round: some workers, some faults, and then a look at everything.

use std::collections::BTreeMap;
use std::ops::Range as Between;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use agent_data_store::model::{Change, PageSize, Range, Version};
use agent_data_store::{ClaimOptions, ErrorKind, Options, SetOptions, Store, block_on};
use agent_data_store_testing::forms::{Says, seed};
use fastrand::Rng;

use crate::check::{self, Done};
use crate::crew::Crew;
use crate::place::Place;
use crate::worker::{ACCOUNTS, Task, json, view};

const WORKERS: u64 = 3;
const BALANCE: u64 = 100;
pub(crate) const TASKS: u64 = 20;
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

/// As many rounds in the same place, with about so many calls between one fault and the next.
pub(crate) fn rounds(place: &mut Place, count: u64, calls: Between<usize>) {
    let first = seed();
    let (mut called, mut unknown, mut killed) = (0, 0, 0);
    for round in 0..count {
        let _says = Says(format!("ADS_TEST_SEED={first}: round {round}"));
        let mut random = Rng::with_seed(first.wrapping_add(round));
        let (done, kills) = work(place, round, &calls, &mut random);
        unknown += done.iter().filter(|done| done.is_unknown()).count();
        called += done.len();
        killed += kills;
        place.check();
    }
    println!("{count} rounds, {killed} processes killed, {called} calls, {unknown} of them without an answer");
}

/// Returns the calls and how many processes were killed.
fn work(place: &mut Place, round: u64, calls: &Between<usize>, random: &mut Rng) -> (Vec<Done>, u64) {
    let open = || block_on(Store::open(&place.url(), Options::default())).expect("the store opens");
    let store = open();
    prepare(&store, round);
    let since = persist(|| block_on(view(&store, "registers", round).position()));
    let followed = Follower::start(open(), since);
    let tasks: Vec<Task> = (0..WORKERS).map(|_| Task { url: place.url(), round, seed: random.u64(..) }).collect();
    let mut crew = Crew::start(&tasks);
    crew.hear_all(random.usize(calls.clone()));
    let mut killed = 0;
    for index in 0..random.usize(1..=2) {
        let fault = if index == 0 { place.choose_whom_to_kill(random) } else { place.choose(random) };
        killed += place.suffer(fault, &mut crew, random);
        crew.hear_all(random.usize(calls.clone()));
    }
    let done = Done::of(crew.finish());
    let end = look(&store, round, since, followed);
    check::all(&done, &end);
    (done, killed)
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

/// Does the tasks that are left, and takes down everything.
fn look(store: &Store, round: u64, since: Version, followed: Follower) -> End {
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
        self.thread.join().expect("the follower")
    }
}
