//! A copy that is killed goes on where it was.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agent_data_store_testing::postgres::{Database, query};

use crate::support::{Ads, assert_same, close, json, open, size_of, view};

const DEADLINE: Duration = Duration::from_secs(60);
const RECORDS: usize = 6_000;
const KILLS: u64 = 12;

/// Records of two users, so large that copying them takes several steps.
fn fill(url: &str) {
    let store = open(url);
    for user in ["one", "two"] {
        for namespace in 0..3 {
            let view = view(&store, user, Some("writer"), &format!("n{namespace}"));
            let value = json(&format!("\"{}\"", "x".repeat(800)));
            let items = (0..RECORDS / 6).map(|number| (format!("key {number:06}"), value.clone())).collect();
            agent_data_store::block_on(view.set_many(items, None, None)).unwrap();
        }
    }
    close(store);
}

/// Kills the copy once `amount` is there, or waits for its end; whether it was killed.
fn kill_at(mut child: Child, amount: impl Fn() -> u64, wanted: u64) -> bool {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return false;
        }
        if amount() >= wanted {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        assert!(Instant::now() < until, "the copy does not get on");
        thread::yield_now();
    }
}

fn begin(ads: &Ads, from: &str, to: &str) -> Child {
    ads.command(&["copy", from, to]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_copy_into_a_file_that_is_killed_at_any_moment_goes_on() {
    let ads = Ads::new();
    let (from, to) = (ads.url("from.db"), ads.url("to.db"));
    fill(&from);
    let whole = size_of(&ads.path("from.db"));
    let mut killed = 0;
    for round in 0..KILLS {
        let file = ads.path("to.db");
        // From before the first record to after the last one, and again while both sides are compared.
        let wanted = whole * round / (KILLS - 3);
        killed += u64::from(kill_at(begin(&ads, &from, &to), || size_of(&file), wanted));
    }
    assert!(killed >= KILLS / 2, "{killed} copies were killed");
    let done = ads.json(&["copy", &from, &to]);
    assert_eq!(done["records"], RECORDS);
    assert_same(&from, &to);
}

#[test]
fn a_copy_into_a_database_that_is_killed_at_any_moment_goes_on() {
    let Some(database) = Database::find() else { return };
    let schema = database.schema("pool_size=3");
    let ads = Ads::new();
    let from = ads.url("from.db");
    fill(&from);
    let records = || {
        let sql = format!("SELECT count(*) FROM \"{}\".records", schema.name);
        let rows = agent_data_store_testing::postgres::try_query(&database.url(""), &sql);
        rows.map_or(0, |rows| rows[0][0].parse().unwrap())
    };
    let mut killed = 0;
    for round in 0..KILLS / 2 {
        let wanted = RECORDS as u64 * round / (KILLS / 2 - 1);
        killed += u64::from(kill_at(begin(&ads, &from, &schema.url), records, wanted));
    }
    assert!(killed >= KILLS / 4, "{killed} copies were killed");
    let done = ads.json(&["copy", &from, &schema.url]);
    assert_eq!(done["records"], RECORDS);
    assert_same(&from, &schema.url);
    // Neither twice nor left over.
    let sql = format!("SELECT count(*) FROM \"{}\".records", schema.name);
    assert_eq!(
        query(&database.url(""), &sql),
        [[(RECORDS + 1).to_string()]],
        "and the one that tells whose copy it is"
    );
}
