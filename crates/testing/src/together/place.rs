//! Where processes meet: one store, which each of them may reach in another way.

use std::path::{Path, PathBuf};
use std::process::Command;

use agent_data_store::{DataStore, Identity, Options, Store, block_on, sqlite_url};

use crate::forms::short_or_long;

const URL: &str = "ADS_TEST_STORE_URL";
const FOLDER: &str = "ADS_TEST_FOLDER";

/// The ways to one store, and a folder for what its users share beside it.
#[derive(Clone, Debug)]
pub struct Place {
    urls: Vec<String>,
    folder: PathBuf,
}

/// The way that one process goes.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    url: String,
    folder: PathBuf,
}

impl Place {
    /// A store that is reached by these URLs. The test itself goes by the first, workers by each in turn.
    pub fn new(urls: &[&str], folder: &Path) -> Self {
        Self { urls: urls.iter().map(|url| (*url).to_owned()).collect(), folder: folder.to_owned() }
    }

    /// A store in a file. The short form does not wait for the disk at every commit: how long that takes on a machine that
    /// does other things as well is no promise of the store's.
    pub fn of_file(path: &Path) -> Self {
        let url = sqlite_url(path) + short_or_long("?durability=relaxed", "");
        Self::new(&[&url], path.parent().expect("a file is in a folder"))
    }

    /// The way of the test itself.
    pub(crate) fn own_seat(&self) -> Seat {
        self.seat(0)
    }

    pub(crate) fn seat(&self, number: usize) -> Seat {
        Seat { url: self.urls[number % self.urls.len()].clone(), folder: self.folder.clone() }
    }
}

impl Seat {
    /// Hands it on to a worker.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(URL, &self.url).env(FOLDER, &self.folder);
    }

    /// The worker's side: that of this process.
    pub(crate) fn of_worker() -> Self {
        let url = std::env::var(URL).expect("a worker is told a store");
        Self { url, folder: std::env::var_os(FOLDER).expect("a worker is told a folder").into() }
    }

    /// What its users share beside the store.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether all who use the store are as fast as the clock that each of them is given.
    pub(crate) fn takes_any_clock(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    pub(crate) fn open(&self) -> Store {
        self.open_with(Options::default())
    }

    pub(crate) fn open_with(&self, options: Options) -> Store {
        block_on(Store::open(&self.url, options)).expect("the store opens")
    }
}

pub(crate) fn view(store: &Store) -> DataStore {
    view_as(store, "tester")
}

pub(crate) fn view_as(store: &Store, agent: &str) -> DataStore {
    store.data_store(Identity::new("user", Some(agent)).unwrap(), "default").unwrap()
}
