//! No read is older than what was acknowledged before it began, goes backwards, or shows what was never committed:
//! readers and writers in this process against three writing processes, rollbacks, checkpoints and `kill -9`.
//!
//! `ADS_TORTURE_READS` makes it long: that many reads at least.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ledger;
mod processes;
mod run;
mod sql;
mod workers;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use self::ledger::{Counted, Key, Ledger, SLOTS, START};
use self::processes::{FOLDER, LEDGER_FILE, PARENT, STORE_FILE, TASK, has_shell, this_program};
use self::run::{Goal, Run};
use self::workers::{Part, STOPPER, stop_now_and_then};
use super::hot_cache::{MUTANT, Mutant};
use super::{Durability, SqliteEngine, SqliteOptions};
use crate::block_on;
use crate::engine::Engine;
use crate::error::ErrorKind;
use crate::json::Json;
use crate::model::{Address, Batch, Expiry, Mutation, Precondition, Row, View, Write};
use crate::store::Options;

const USER: &str = "stress";
const NAMESPACE: &str = "stress";
/// Holds what fills pages.
const BALLAST: &str = "ballast";
const BALLAST_RECORDS: usize = 64;

/// A store at [`START`] and its ledger.
fn create_store(folder: &Path) -> Ledger {
    let engine = open_engine(&folder.join(STORE_FILE), Durability::Relaxed);
    let slots = (0..SLOTS).map(Key::Slot);
    let writes = slots.chain([Key::Number]).map(|key| set(NAMESPACE, key.name(), &START.to_string()));
    block_on(engine.write(batch(writes.collect()))).unwrap();
    let ballast = format!("\"{}\"", "x".repeat(4_000));
    let writes = (0..BALLAST_RECORDS).map(|record| set(BALLAST, &record.to_string(), &ballast));
    block_on(engine.write(batch(writes.collect()))).unwrap();
    Ledger::open(&folder.join(LEDGER_FILE))
}

fn open_engine(path: &Path, durability: Durability) -> SqliteEngine {
    let options = SqliteOptions { durability, ..SqliteOptions::default() };
    SqliteEngine::open(path, &options, &Options::default()).unwrap()
}

fn batch(writes: Vec<Write>) -> Batch {
    Batch { user: USER.into(), agent: Some("worker".into()), writes, request: None, quota: None }
}

fn write(namespace: &str, key: &str, mutation: Mutation) -> Write {
    Write {
        address: Address { namespace: namespace.into(), key: key.into() },
        precondition: Precondition::None,
        mutation,
        metadata: None,
        expiry: Expiry::Default,
    }
}

fn set(namespace: &str, key: &str, value: &str) -> Write {
    write(namespace, key, Mutation::Set(Json::from_trusted(value)))
}

/// Takes the number one step further, however often others come first.
fn take_step(engine: &SqliteEngine, ledger: Ledger, by: Counted) {
    loop {
        // What the cache says is as good for this as what the database says.
        let view = if fastrand::bool() { View::Value } else { View::Record };
        let number = block_on(engine.read_one(USER, NAMESPACE, Key::Number.name(), view)).unwrap().unwrap();
        let step = number.value.unwrap().as_str().parse::<u64>().unwrap() + 1;
        let text = step.to_string();
        let mut writes = vec![
            Write { precondition: Precondition::Version(number.version), ..set(NAMESPACE, Key::Number.name(), &text) },
            set(NAMESPACE, Key::Slot(step % SLOTS).name(), &text),
        ];
        writes.push(match step % 2 {
            1 => set(NAMESPACE, Key::Flicker.name(), &text),
            _ => write(NAMESPACE, Key::Flicker.name(), Mutation::Delete),
        });
        // Committed only if the number is still the one before, so that no other step can come of this.
        ledger.begin(step);
        match block_on(engine.write(batch(writes))) {
            Ok(_) => return ledger.acknowledge(step, by),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
}

fn read(engine: &SqliteEngine, key: Key) -> Option<u64> {
    let row = match engine.peek(USER, NAMESPACE, key.name()) {
        Some(row) => row,
        None => block_on(engine.read_one(USER, NAMESPACE, key.name(), View::Value)).unwrap(),
    };
    row.map(step_of)
}

/// Several keys in one snapshot.
fn read_together<const N: usize>(engine: &SqliteEngine, keys: [Key; N]) -> [Option<u64>; N] {
    let addresses = keys.map(|key| Address { namespace: NAMESPACE.into(), key: key.name().into() });
    let mut rows = block_on(engine.read(USER, &addresses, View::Value)).unwrap();
    std::array::from_fn(|index| rows[index].take().map(step_of))
}

fn step_of(row: Row) -> u64 {
    row.value.unwrap().as_str().parse().unwrap()
}

/// Not a test of its own: the entry of child processes.
#[test]
fn worker() {
    let Ok(task) = std::env::var(TASK) else { return };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a worker needs a folder"));
    let ledger = Ledger::open(&folder.join(LEDGER_FILE));
    if let Some(part) = Part::ALL.into_iter().find(|part| part.name() == task) {
        part.work(&folder, ledger);
    }
    if task == STOPPER {
        stop_now_and_then(std::env::var(PARENT).ok().and_then(|parent| parent.parse().ok()).expect("a parent"));
    } else {
        run(&folder, ledger, task.parse().expect("a known task"));
    }
    // Without the test harness's closing lines the parent reads only what was found.
    std::process::exit(0);
}

/// In a process of its own, for it is stopped now and then.
fn run(folder: &Path, ledger: Ledger, mutant: u8) {
    MUTANT.store(mutant, Ordering::Relaxed);
    let goal = match std::env::var("ADS_TORTURE_READS") {
        _ if mutant > 0 => Goal::Time(MUTANT_DEADLINE),
        Ok(reads) => Goal::Reads(reads.parse().expect("ADS_TORTURE_READS is a number")),
        Err(_) => Goal::Time(SHORT_RUN),
    };
    match Run::new(folder, ledger).until(&goal) {
        Err((violation, after)) => println!("\n{CAUGHT}after {} ms: {violation}", after.as_millis()),
        Ok(report) => {
            run::check_file(folder, ledger);
            if let Err(missing) = report.check_that_everybody_took_part() {
                println!("\nnothing is proved, for {missing}: {report}");
            } else {
                println!("\n{PASSED}{report}");
            }
        }
    }
}

/// What the child says comes after one of these.
const PASSED: &str = "passed: ";
const CAUGHT: &str = "caught ";

const SHORT_RUN: Duration = Duration::from_secs(5);
const MUTANT_DEADLINE: Duration = Duration::from_secs(10);

/// Two runs at once would only slow each other down.
static ALONE: Mutex<()> = Mutex::new(());

/// What a run found, if it is what is `expected`.
fn expect(expected: &str, mutant: u8) -> String {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    create_store(folder.path());
    let child = this_program(&mutant.to_string(), folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("a child starts");
    let said = String::from_utf8_lossy(&child.stdout);
    let Some(found) = said.lines().find_map(|line| line.strip_prefix(expected)) else {
        panic!("{}, {}", said.trim(), child.status);
    };
    found.to_owned()
}

/// Past the test harness, which keeps what passing tests print to itself.
fn say(line: &str) {
    // Nobody is there to read it where this fails.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn no_read_is_stale_goes_backwards_or_shows_what_was_never_committed() {
    if !has_shell() {
        let remedy = "the sqlite3 program is missing: apt-get install sqlite3";
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the third writer has to take part, but {remedy}"
        );
        say(&format!("STRESS TEST OF THE CACHE WITHOUT ITS THIRD WRITER: {remedy}"));
    }
    say(&format!("stress test of the cache: {}", expect(PASSED, 0)));
}

/// The test above would see these faults.
#[test]
fn faults_in_the_cache_are_caught_within_ten_seconds() {
    for mutant in [Mutant::HeaderAfterRead, Mutant::NoValidityCheck, Mutant::AnyCommitIsOwn] {
        say(&format!("stress test of the cache: {mutant:?} was caught {}", expect(CAUGHT, mutant as u8)));
    }
}
