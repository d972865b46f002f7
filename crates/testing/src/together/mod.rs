//! Many processes that use one store at once: what holds among them however each of them reaches it. A test program calls the
//! function of each part with its [`Place`], and has a test `worker` that calls [`work`].

mod claims;
mod computing;
mod crew;
mod following;
mod locks;
mod place;
mod totals;

use agent_data_store::{DataStore, Json, Limits, SetOptions, block_on};

pub use self::claims::every_task_is_completed_once_though_workers_are_killed;
pub use self::computing::a_cold_key_is_computed_once_by_many_processes_and_once_more_if_that_one_dies;
pub use self::following::readers_that_stop_and_resume_meet_every_change_once_in_order;
pub use self::locks::a_lock_has_one_holder_at_a_time_though_holders_are_killed;
pub use self::place::Place;
pub use self::totals::changes_of_many_processes_add_up_and_transfers_are_never_seen_half_done;

/// Plays its part where this process is a worker, and ends it.
///
/// # Panics
/// Where what is promised does not hold.
pub fn work() {
    let Some(part) = crew::part() else { return };
    let seat = place::Seat::of_worker();
    match part.as_str() {
        "totals" => totals::work(&seat),
        "locks" => locks::work(&seat),
        "computing" => computing::work(&seat),
        "claims" => claims::work(&seat),
        "writing" => following::write(&seat),
        "following" => following::follow(&seat),
        part => panic!("unknown part {part}"),
    }
    // Without the test harness's closing lines the parent reads only what the worker has said.
    std::process::exit(0);
}

fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).unwrap()
}

fn set(data_store: &DataStore, key: &str, value: &str) -> agent_data_store::Result<u64> {
    block_on(data_store.set(key, json(value), SetOptions::default()))
}
