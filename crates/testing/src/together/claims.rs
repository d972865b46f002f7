//! Six workers share tasks while some of them are killed again and again: every task is completed, and none twice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agent_data_store::model::ChangeKind;
use agent_data_store::{ClaimOptions, ErrorKind, TaskSummary, block_on};

use super::crew::{Crew, commands, tell};
use super::json;
use super::place::{Place, Seat, view, view_as};
use crate::forms::short_or_long;

const WORKERS: usize = 6;
/// How many are killed at a time.
const KILLED: usize = 2;
const TTL: Duration = Duration::from_secs(2);

fn tasks() -> usize {
    short_or_long(500, 10_000)
}

/// How long the workers work between two kills.
fn interval() -> Duration {
    Duration::from_millis(short_or_long(500, 3_000))
}

/// Completes one task after the other, telling of each that was acknowledged. Ends only by being killed.
pub(crate) fn work(seat: &Seat) {
    let store = seat.open();
    let pid = std::process::id();
    let data_store = view_as(&store, &pid.to_string());
    commands().next();
    let options = ClaimOptions { wait: Duration::from_secs(3_600), ..ClaimOptions::new(TTL) };
    while let Some(claim) = block_on(data_store.claim("task:", options)).expect("a claim") {
        let key = claim.key().to_owned();
        let result = json(&format!(r#"{{"by":{pid},"attempt":{}}}"#, claim.attempt()));
        match block_on(claim.complete(Some(result))) {
            Ok(()) => tell("completed", key),
            Err(error) if error.kind() == ErrorKind::LeaseLost => tell("lost", key),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Six workers complete tasks, and two at a time of them are killed.
///
/// # Panics
/// Where that does not hold.
pub fn every_task_is_completed_once_though_workers_are_killed(place: &Place) {
    let store = place.own_seat().open();
    let data_store = view(&store);
    let keys: Vec<String> = (0..tasks()).map(|n| format!("task:{n:05}")).collect();
    block_on(data_store.set_many(keys.iter().map(|key| (key, json("1"))).collect(), None, None)).unwrap();
    let mut crew = Crew::start("claims", place, WORKERS);
    crew.say("go");

    let done = data_store.done_tasks().unwrap();
    let (mut completed, mut lost, mut kills) = (HashMap::<String, usize>::new(), 0, 0);
    let mut note = |told: super::crew::Told| match told.what.as_str() {
        "completed" => *completed.entry(told.value).or_default() += 1,
        "lost" => lost += 1,
        _ => {}
    };
    let started = Instant::now();
    let mut next_kill = started + interval();
    loop {
        let ended = block_on(done.count("")).unwrap();
        if ended >= keys.len() as u64 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(600), "the tasks do not come to an end");
        crew.hear_within(Duration::from_millis(50)).into_iter().for_each(&mut note);
        // The first ones early enough, however fast the others are.
        if Instant::now() >= next_kill || (kills == 0 && ended > 0) {
            let first = fastrand::usize(..WORKERS);
            (first..first + KILLED).for_each(|number| crew.replace(number % WORKERS, "go"));
            kills += KILLED;
            next_kill = Instant::now() + interval();
        }
    }
    crew.end().into_iter().for_each(&mut note);

    let summary = block_on(data_store.tasks("")).unwrap();
    assert_eq!(summary, TaskSummary { done: keys.len() as u64, ..TaskSummary::default() });
    assert!(completed.values().all(|times| *times == 1), "a task was completed twice: {completed:?}");
    assert!(completed.keys().all(|key| keys.binary_search(key).is_ok()));
    // A worker may have been killed between completing a task and saying so.
    assert!(completed.len() <= keys.len() && completed.len() + kills >= keys.len(), "{} were told", completed.len());
    // As others see it: each task was taken out of the work once, and its result was written once.
    let changes = block_on(data_store.changes(0, usize::MAX)).unwrap().changes;
    for (namespace, kind) in [("default", ChangeKind::Delete), (done.namespace(), ChangeKind::Set)] {
        let of_kind = changes.iter().filter(|change| change.kind == kind && &*change.namespace == namespace);
        let mut ended: Vec<_> = of_kind.filter_map(|change| change.key.as_deref()).collect();
        ended.sort_unstable();
        assert!(ended.iter().eq(&keys), "each task once in {namespace}");
    }
    assert!(kills > 0, "nobody was killed");
    println!("{} tasks, {kills} workers killed, {lost} claims lost, {:?}", keys.len(), started.elapsed());
    drop((done, data_store, store));
}
