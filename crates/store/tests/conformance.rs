//! Every engine passes the whole conformance suite.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use agent_data_store::conformance::{Exception, Harness, Place, trials};
use agent_data_store::{Error, ErrorKind, Options, Result, Store, block_on, sqlite_url};
use agent_data_store_testing::postgres::{Database, Schema, is_available};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use tempfile::TempDir;

const NOTHING_IS_KEPT: &str = "memory keeps nothing: whoever opens it has an empty store";

struct Memory;

impl Harness for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn prepare(&self, options: Options) -> Result<Box<dyn Place>> {
        Ok(Box::new(InMemory(options)))
    }

    fn exceptions(&self) -> &[Exception] {
        &[
            Exception { case: "a store opened again holds everything", reason: NOTHING_IS_KEPT },
            Exception { case: "closing writes the reads gathered so far", reason: NOTHING_IS_KEPT },
            Exception { case: "versions go on rising in a store opened again", reason: NOTHING_IS_KEPT },
            Exception { case: "the change feed goes on in a store opened again", reason: NOTHING_IS_KEPT },
            Exception { case: "time goes on while a store is closed", reason: NOTHING_IS_KEPT },
            Exception { case: "a cleared namespace stays cleared in a store opened again", reason: NOTHING_IS_KEPT },
            Exception {
                case: "a store opened twice shows each handle the other's writes at once",
                reason: NOTHING_IS_KEPT,
            },
            Exception { case: "a store opened twice expires and sweeps in either handle", reason: NOTHING_IS_KEPT },
            Exception { case: "a store opened twice loses no write of either handle", reason: NOTHING_IS_KEPT },
            Exception {
                case: "a store opened twice never has an older value at hand than the other handle wrote",
                reason: NOTHING_IS_KEPT,
            },
            Exception { case: "a request is known in a store opened again", reason: NOTHING_IS_KEPT },
            Exception {
                case: "a store opened twice applies a request once, whichever handle gets it first",
                reason: NOTHING_IS_KEPT,
            },
            Exception { case: "a store opened twice wakes who waits in the other handle", reason: NOTHING_IS_KEPT },
            Exception {
                case: "a store opened twice has one holder of a lock, which the other handle may take over",
                reason: NOTHING_IS_KEPT,
            },
            Exception { case: "a store opened twice computes once for both handles", reason: NOTHING_IS_KEPT },
            Exception { case: "a store opened twice gives each task to one of the handles", reason: NOTHING_IS_KEPT },
            Exception {
                case: "a store opened twice has values and changes of the other handle waited for",
                reason: NOTHING_IS_KEPT,
            },
            Exception {
                case: "random histories give the same results in a store that is opened again and again",
                reason: NOTHING_IS_KEPT,
            },
            Exception {
                case: "random histories give the same results in a store opened twice, through its handles in turn",
                reason: NOTHING_IS_KEPT,
            },
        ]
    }
}

struct InMemory(Options);

impl Place for InMemory {
    fn open(&self) -> Result<Store> {
        block_on(Store::open("memory:", self.0.clone()))
    }
}

struct Sqlite {
    name: &'static str,
    parameters: &'static str,
}

impl Harness for Sqlite {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, options: Options) -> Result<Box<dyn Place>> {
        let folder = tempfile::tempdir().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "cannot make a folder for temporary files").caused_by(error)
        })?;
        let url = format!("{}{}", sqlite_url(&folder.path().join("store.db")), self.parameters);
        Ok(Box::new(InFile { options, url, _folder: folder }))
    }
}

struct InFile {
    options: Options,
    url: String,
    _folder: TempDir,
}

impl Place for InFile {
    fn open(&self) -> Result<Store> {
        block_on(Store::open(&self.url, self.options.clone()))
    }
}

/// One for all cases, each of which has a schema of its own. Found when the first one needs it.
static DATABASE: Mutex<Option<Database>> = Mutex::new(None);

fn new_schema(parameters: &str) -> Option<Schema> {
    let mut database = DATABASE.lock().unwrap_or_else(PoisonError::into_inner);
    if database.is_none() {
        // No case is about a loss of power, and all the tables that are made would be waited for.
        *database = Database::find_with(&["fsync=off"]);
    }
    Some(database.as_ref()?.schema(parameters))
}

struct Postgres {
    name: &'static str,
    parameters: &'static str,
}

impl Harness for Postgres {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, options: Options) -> Result<Box<dyn Place>> {
        let no_database = || Error::new(ErrorKind::Unavailable, "there is no database");
        let schema = new_schema(self.parameters).ok_or_else(no_database)?;
        Ok(Box::new(InDatabase { options, schema }))
    }

    // Each has tables of its own made, and looks at everything after each step.
    fn histories(&self) -> u64 {
        3
    }
}

struct InDatabase {
    options: Options,
    schema: Schema,
}

impl Place for InDatabase {
    fn open(&self) -> Result<Store> {
        block_on(Store::open(&self.schema.url, self.options.clone()))
    }
}

const EMBEDDED: [&dyn Harness; 4] = [
    &Memory,
    &Sqlite { name: "sqlite", parameters: "" },
    // So small that entries push each other out.
    &Sqlite { name: "sqlite (relaxed, small cache)", parameters: "?durability=relaxed&cache_bytes=65536" },
    // As on the platforms where the cache is not trusted.
    &Sqlite { name: "sqlite (relaxed, no cache)", parameters: "?durability=relaxed&cache_bytes=0" },
];

const IN_A_DATABASE: [&dyn Harness; 2] = [
    &Postgres { name: "postgres", parameters: "pool_size=8" },
    // As on databases that have transactions and nothing else.
    &Postgres { name: "postgres (serial)", parameters: "pool_size=8&ordering=serial" },
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut counts = Vec::new();
    let mut failed = false;
    let in_a_database = IN_A_DATABASE.iter().take(if is_available() { usize::MAX } else { 0 });
    for harness in EMBEDDED.iter().chain(in_a_database) {
        let tests = trials(*harness).into_iter().map(|trial| {
            let name = format!("{}: {}", harness.name(), trial.name());
            let skipped = trial.skipped().is_some();
            Trial::test(name, move || trial.run().map_err(Failed::from)).with_ignored_flag(skipped)
        });
        let conclusion = libtest_mimic::run(&arguments, tests.collect());
        failed |= conclusion.has_failed();
        let Conclusion { num_passed, num_failed, num_ignored, .. } = conclusion;
        counts.push(format!("{}: {num_passed} passed, {num_failed} failed, {num_ignored} skipped", harness.name()));
    }
    if !arguments.list {
        println!("{}", counts.join("\n"));
    }
    drop(DATABASE.lock().unwrap_or_else(PoisonError::into_inner).take());
    ExitCode::from(u8::from(failed))
}
