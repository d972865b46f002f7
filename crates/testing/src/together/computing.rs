//! Eight processes with eight threads each that want the same value: one computes it, and were it to die, another one.

use std::sync::Arc;
use std::thread;

use agent_data_store::model::ChangeKind;
use agent_data_store::{Clock, DataStore, Error, Json, Options, Store, SystemClock, Timestamp, block_on};

use super::crew::{Crew, commands, tell};
use super::json;
use super::place::{Place, Seat, view};
use crate::forms::short_or_long;

const PROCESSES: usize = 8;
const THREADS: usize = 8;

/// Runs three times as fast as time does, so that a lease of 10 s ends after three; in the long form as time does. Were it
/// faster, a process that a busy machine keeps waiting would lose a lease that it renews.
#[derive(Debug)]
struct Hurried;

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() * short_or_long(3, 1))
    }
}

fn open(seat: &Seat) -> Store {
    let mut options = Options::default();
    if seat.takes_any_clock() {
        options.clock = Arc::new(Hurried);
    }
    seat.open_with(options)
}

/// Says in which run it was made, and by which process. The first run does not end where it is to `die`.
async fn compute(data_store: &DataStore, key: &str, die: bool) -> Result<Json, Error> {
    let run = data_store.increment(&format!("runs:{key}"), json("1"), None).await?;
    if die && run.as_str() == "1" {
        tell("computing", key);
        loop {
            thread::park();
        }
    }
    Ok(json(&format!(r#"{{"run":{run},"by":{}}}"#, std::process::id())))
}

/// For each key that is named, every thread wants the value and tells it.
pub(crate) fn work(seat: &Seat) {
    let store = open(seat);
    let data_store = view(&store);
    for command in commands() {
        let (way, key) = command.split_once(' ').expect("a way and a key");
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let compute = async || compute(&data_store, key, way == "die").await;
                    tell("value", block_on(data_store.get_or_compute(key, None, compute)).expect("a value"));
                });
            }
        });
    }
}

/// As many values, which must all be the same one.
fn hear_values(crew: &Crew, count: usize) -> String {
    let first = crew.hear_only("value");
    (1..count).for_each(|_| assert_eq!(crew.hear_only("value"), first));
    first
}

/// Eight processes with eight threads each want the same value, and the one that computes it is killed.
///
/// # Panics
/// Where that does not hold.
pub fn a_cold_key_is_computed_once_by_many_processes_and_once_more_if_that_one_dies(place: &Place) {
    let store = open(&place.own_seat());
    let data_store = view(&store);
    let mut crew = Crew::start("computing", place, PROCESSES);
    let runs = |key: &str| block_on(data_store.get(&format!("runs:{key}"))).unwrap().expect("a count").to_string();
    let rounds = short_or_long(20, 200);
    for round in 0..rounds {
        let key = round.to_string();
        crew.say(&format!("compute {key}"));
        let value = hear_values(&crew, PROCESSES * THREADS);
        assert_eq!(runs(&key), "1", "round {round}");
        assert_eq!(block_on(data_store.get(&key)).unwrap().map(|value| value.to_string()), Some(value));
    }

    let since = block_on(data_store.position()).unwrap();
    crew.say("die cold");
    let computing = crew.hear();
    assert_eq!(computing.what, "computing", "nobody has a value before it is computed");
    crew.kill(computing.number);
    let mut told = (0..(PROCESSES - 1) * THREADS + 1).map(|_| crew.hear());
    let values: Vec<_> = told.by_ref().filter(|told| told.what == "value").map(|told| told.value).collect();
    assert_eq!(values.len(), (PROCESSES - 1) * THREADS, "and the end of the one that was killed");
    assert!(values.iter().all(|value| *value == values[0]) && values[0].starts_with(r#"{"run":2,"#), "{values:?}");
    assert_eq!(runs("cold"), "2");
    // The lease was not taken from the dead one, it ended.
    let changes = block_on(data_store.changes(since, usize::MAX)).unwrap().changes;
    let lease = changes.iter().filter(|change| change.key.as_deref() == Some("lock:compute:cold"));
    let kinds: Vec<_> = lease.map(|change| change.kind).collect();
    let expected = [ChangeKind::Set, ChangeKind::Expire, ChangeKind::Set, ChangeKind::Delete];
    assert!(kinds.starts_with(&expected), "{kinds:?}");
    println!("{PROCESSES} processes, {THREADS} threads each, {rounds} cold keys computed once, one twice");
    drop((crew, data_store, store));
}
