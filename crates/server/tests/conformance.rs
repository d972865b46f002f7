//! The remote engine passes the whole conformance suite, through a server on a socket, over each other engine; and so does
//! the server.

#![allow(clippy::expect_used, reason = "without threads there is nothing to test")]

use std::process::ExitCode;
use std::sync::{LazyLock, Mutex, PoisonError};

use agent_data_store::conformance::{Exception, Harness, Place, trials};
use agent_data_store::{Error, ErrorKind, Options, Result, Store, block_on, sqlite_url};
use agent_data_store_server::{Running, Server, ServerOptions};
use agent_data_store_testing::postgres::{Database, Schema, is_available};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use tempfile::TempDir;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system gives threads to the servers")
});

/// One for all cases, each of which has a schema of its own. Found when the first one needs it.
static DATABASE: Mutex<Option<Database>> = Mutex::new(None);

fn new_schema() -> Result<Schema> {
    let mut database = DATABASE.lock().unwrap_or_else(PoisonError::into_inner);
    if database.is_none() {
        // No case is about a loss of power, and all the tables that are made would be waited for.
        *database = Database::find_with(&["fsync=off"]);
    }
    let database = database.as_ref().ok_or_else(|| Error::new(ErrorKind::Unavailable, "there is no database"))?;
    Ok(database.schema("pool_size=8"))
}

const WHOLE_STORES: &str = "a server shows and takes the records of its callers, not whole stores";

/// A server, and stores that are clients of it.
struct Remote {
    name: &'static str,
    over: Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Memory,
    File,
    Database,
}

/// What the server's store is kept in, for as long as it is needed.
#[derive(Default)]
struct Kept {
    _folder: Option<TempDir>,
    _schema: Option<Schema>,
}

fn make_place(over: Over) -> Result<(String, Kept)> {
    match over {
        Over::Memory => Ok(("memory:".to_owned(), Kept::default())),
        Over::File => {
            let folder = tempfile::tempdir().map_err(|error| {
                Error::new(ErrorKind::Unavailable, "cannot make a folder for temporary files").caused_by(error)
            })?;
            let url = sqlite_url(&folder.path().join("store.db"));
            Ok((url, Kept { _folder: Some(folder), _schema: None }))
        }
        Over::Database => {
            let schema = new_schema()?;
            Ok((schema.url.clone(), Kept { _folder: None, _schema: Some(schema) }))
        }
    }
}

impl Harness for Remote {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, options: Options) -> Result<Box<dyn Place>> {
        let (url, kept) = make_place(self.over)?;
        let served = block_on(Store::open(&url, options.clone()))?;
        let running = RUNTIME.block_on(Server::bind(&served, ServerOptions::default()))?;
        let url = format!("http://{}", running.local_addr());
        Ok(Box::new(OnServer { running: Some(running), served, options, url, _kept: kept }))
    }

    fn exceptions(&self) -> &[Exception] {
        &[
            Exception {
                case: "users are those for whom anything was ever written, in order and page by page",
                reason: WHOLE_STORES,
            },
            Exception { case: "an import takes records over with all that is kept of them", reason: WHOLE_STORES },
            Exception { case: "an import may be repeated, and brings what has changed", reason: WHOLE_STORES },
            Exception {
                case: "an import removes what is to be gone, and a namespace that it empties",
                reason: WHOLE_STORES,
            },
            Exception { case: "an import never takes a version back", reason: WHOLE_STORES },
            Exception {
                case: "versions after an import are greater than all that were given before it",
                reason: WHOLE_STORES,
            },
            Exception {
                case: "the feed after an import begins with the newest change, and goes on",
                reason: WHOLE_STORES,
            },
            Exception { case: "an import is of one user alone", reason: WHOLE_STORES },
            Exception { case: "an import is for nothing where its guard does not hold", reason: WHOLE_STORES },
            Exception {
                case: "what was taken over is written, read and expires as if it had been written here",
                reason: WHOLE_STORES,
            },
            Exception { case: "a store agrees with itself whatever is done to it", reason: WHOLE_STORES },
            Exception {
                case: "a store agrees with itself at every moment at which it is written",
                reason: WHOLE_STORES,
            },
        ]
    }

    // In a database each has tables of its own made.
    fn histories(&self) -> u64 {
        if self.over == Over::Database { 2 } else { 30 }
    }
}

struct OnServer {
    running: Option<Running>,
    served: Store,
    options: Options,
    url: String,
    _kept: Kept,
}

impl Place for OnServer {
    fn open(&self) -> Result<Store> {
        block_on(Store::open(&self.url, self.options.clone()))
    }

    fn maintain(&self, _: &Store) -> Result<bool> {
        block_on(self.served.maintain())
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        // What it fails with concerns no case any more.
        let _ = self.running.take().map(|running| RUNTIME.block_on(running.shutdown()));
        let _ = block_on(self.served.close());
    }
}

const EMBEDDED: [&dyn Harness; 2] = [
    &Remote { name: "remote (over memory)", over: Over::Memory },
    &Remote { name: "remote (over sqlite)", over: Over::File },
];

const IN_A_DATABASE: [&dyn Harness; 1] = [&Remote { name: "remote (over postgres)", over: Over::Database }];

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
