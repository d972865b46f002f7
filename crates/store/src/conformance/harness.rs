//! What the author of an engine supplies.

use crate::blocking::block_on;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::store::{Options, Store};

/// Opens stores on the engine under test.
pub trait Harness: Sync {
    /// What the report calls the engine, for instance `sqlite (relaxed)`.
    fn name(&self) -> &str;

    /// Prepares a place that holds no records. Its stores must use `options`: housekeeping is off in them, and the clock
    /// stands still unless the suite moves it. Where a server stands between store and engine, they are the server's.
    ///
    /// # Errors
    /// Whatever keeps the place from being prepared; the case then fails.
    fn prepare(&self, options: Options) -> Result<Box<dyn Place>>;

    /// How many random histories each case of them tries.
    fn histories(&self) -> u64 {
        30
    }

    /// The cases that the engine cannot pass. A name that no case has fails the run, so the list cannot go stale unseen.
    fn exceptions(&self) -> &[Exception] {
        &[]
    }
}

/// Where one case keeps its records, for instance a file or a database. Dropped, with all that it holds, after the case.
pub trait Place: Send + Sync {
    /// Opens the store of this place. Opened again, after a close or beside the first, it is the same store.
    ///
    /// # Errors
    /// Whatever keeps the store from being opened; the case then fails.
    fn open(&self) -> Result<Store>;

    /// Told whenever the clock has been moved: for an engine that takes the time from elsewhere, whose time must then
    /// stand at `now`.
    fn advance_to(&self, now: Timestamp) {
        let _ = now;
    }

    /// Takes one small step of housekeeping; `true` where more is left to do. `store` is one that this place has opened:
    /// where a server keeps the records, it is the server that has to do it.
    ///
    /// # Errors
    /// Whatever the engine fails with; the case then fails.
    fn maintain(&self, store: &Store) -> Result<bool> {
        block_on(store.maintain())
    }
}

/// A case that an engine cannot pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The name of the case.
    pub case: &'static str,
    /// Why it cannot pass.
    pub reason: &'static str,
}
