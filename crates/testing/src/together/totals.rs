//! Eight processes that change the same keys: each change counts once, and no transfer is ever seen half done.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use agent_data_store::{AppendOptions, DataStore, Error, ErrorKind, Result, SetOptions, block_on};

use super::crew::{Crew, commands, number, tell};
use super::place::{Place, Seat, view};
use super::{json, set};
use crate::forms::short_or_long;

const PROCESSES: usize = 8;
/// In each of the two accounts at first.
const BALANCE: i64 = 1_000_000;

/// How often each process makes each of the four changes.
fn rounds() -> usize {
    short_or_long(100, 1_000)
}

fn get(data_store: &DataStore, key: &str) -> i64 {
    block_on(data_store.get(key)).unwrap().expect("a number").as_str().parse().unwrap()
}

/// Moves `amount` from `a` to `b`.
fn transfer(data_store: &DataStore, amount: i64) {
    let moved = data_store.transact(
        async |tx| -> Result<()> {
            for (key, change) in [("a", -amount), ("b", amount)] {
                let balance: i64 = tx.get(key).await?.expect("an account").as_str().parse().unwrap();
                tx.set(key, json(&(balance + change).to_string()), SetOptions::default())?;
            }
            Ok(())
        },
        |error| error.kind() == ErrorKind::Conflict,
    );
    block_on(moved).expect("a transfer");
}

pub(crate) fn work(seat: &Seat) {
    let store = seat.open();
    let data_store = view(&store);
    commands().next();
    let number = number();
    let mut moved = 0;
    for round in 0..rounds() {
        block_on(data_store.increment("incremented", json("1"), None)).expect("increment");
        let item = json(&format!("[\"{number} {round}\"]"));
        block_on(data_store.extend("list", item, AppendOptions::default())).expect("extend");
        let add_one = async |value: Option<&agent_data_store::Json>| {
            let n: usize = value.map_or(0, |value| value.as_str().parse().unwrap());
            Ok::<_, Error>(json(&(n + 1).to_string()))
        };
        block_on(data_store.update("updated", None, add_one)).expect("update");
        let amount = fastrand::i64(-100..=100);
        transfer(&data_store, amount);
        moved += amount;
    }
    tell("moved", moved);
}

/// Looks at both accounts again and again; how often.
fn look(data_store: &DataStore, done: &AtomicBool) -> usize {
    let mut looks = 0;
    while !done.load(Ordering::SeqCst) {
        let both = block_on(data_store.get_many(&["a", "b"])).unwrap();
        let sum = both.iter().map(|(_, value)| value.as_str().parse::<i64>().unwrap()).sum::<i64>();
        assert_eq!(sum, 2 * BALANCE, "in one snapshot");
        let tx = data_store.transaction();
        // A conflict is an answer too: what was read first is no longer so.
        let sum = block_on(async {
            let (a, b) = (tx.get("a").await?, tx.get("b").await?);
            Ok::<_, Error>([a, b].iter().flatten().map(|value| value.as_str().parse::<i64>().unwrap()).sum::<i64>())
        });
        assert!(sum.is_err() || sum.is_ok_and(|sum| sum == 2 * BALANCE), "in one transaction");
        looks += 1;
    }
    looks
}

/// Eight processes increment, extend, update and transfer.
///
/// # Panics
/// Where that does not hold.
pub fn changes_of_many_processes_add_up_and_transfers_are_never_seen_half_done(place: &Place) {
    let store = place.own_seat().open();
    let data_store = view(&store);
    for account in ["a", "b"] {
        set(&data_store, account, &BALANCE.to_string()).unwrap();
    }
    let mut crew = Crew::start("totals", place, PROCESSES);
    let done = AtomicBool::new(false);
    let (moved, looks) = thread::scope(|scope| {
        let looking = scope.spawn(|| look(&data_store, &done));
        crew.say("go");
        let told = catch_unwind(AssertUnwindSafe(|| crew.finish()));
        // Also where a worker has failed: whoever looks would go on for ever.
        done.store(true, Ordering::SeqCst);
        let told = told.unwrap_or_else(|failure| resume_unwind(failure));
        let moved: i64 = told.iter().map(|told| told.value.parse::<i64>().unwrap()).sum();
        (moved, looking.join().expect("the sum is the same at every look"))
    });

    let total = (PROCESSES * rounds()) as i64;
    assert_eq!((get(&data_store, "incremented"), get(&data_store, "updated")), (total, total));
    assert_eq!((get(&data_store, "a"), get(&data_store, "b")), (BALANCE - moved, BALANCE + moved));
    let list = block_on(data_store.get("list")).unwrap().expect("a list");
    let list: Vec<String> = serde_json::from_str(list.as_str()).unwrap();
    assert_eq!(list.len(), PROCESSES * rounds());
    for number in 0..PROCESSES {
        let own = list.iter().filter_map(|item| item.strip_prefix(&format!("{number} ")));
        assert!(own.map(|round| round.parse::<usize>().unwrap()).eq(0..rounds()), "items of a process in its order");
    }
    println!("{PROCESSES} processes, {} rounds of 4 changes each, {looks} looks at the accounts", rounds());
    drop((data_store, store));
}
