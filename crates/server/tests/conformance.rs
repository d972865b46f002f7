//! The remote engine passes the whole conformance suite, through a server on a socket, over each embedded engine; and so
//! does the server.

#![allow(clippy::expect_used)]

use std::process::ExitCode;
use std::sync::LazyLock;

use agent_data_store::conformance::{Exception, Harness, Place, trials};
use agent_data_store::{Error, ErrorKind, Options, Result, Store, block_on, sqlite_url};
use agent_data_store_server::{Running, Server, ServerOptions};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use tempfile::TempDir;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system gives threads to the servers")
});

/// A server, and stores that are clients of it.
struct Remote {
    name: &'static str,
    over_a_file: bool,
}

impl Harness for Remote {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, options: Options) -> Result<Box<dyn Place>> {
        let folder = self.over_a_file.then(tempfile::tempdir).transpose().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "cannot make a folder for temporary files").caused_by(error)
        })?;
        let url = folder.as_ref().map_or("memory:".to_owned(), |folder| sqlite_url(&folder.path().join("store.db")));
        let served = block_on(Store::open(&url, options.clone()))?;
        let running = RUNTIME.block_on(Server::bind(&served, ServerOptions::default()))?;
        let url = format!("http://{}", running.local_addr());
        Ok(Box::new(OnServer { running: Some(running), served, options, url, _folder: folder }))
    }

    fn exceptions(&self) -> &[Exception] {
        &[]
    }
}

struct OnServer {
    running: Option<Running>,
    served: Store,
    options: Options,
    url: String,
    _folder: Option<TempDir>,
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

const ENGINES: [&dyn Harness; 2] = [
    &Remote { name: "remote (over memory)", over_a_file: false },
    &Remote { name: "remote (over sqlite)", over_a_file: true },
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut counts = Vec::new();
    let mut failed = false;
    for harness in ENGINES {
        let tests = trials(harness).into_iter().map(|trial| {
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
    ExitCode::from(u8::from(failed))
}
