//! A whole store copied into another one, on whichever engines: every user, every record with all that is kept of it.
//!
//! A copy is made user by user. Records are read page by page and taken over by [`Engine::import`]; then the change feed
//! tells what was written meanwhile, and that is read again, up to where the feed stood when it was looked at. At last every
//! record is read on both sides and compared. So for each user the copy is what the source was at one moment, unless the
//! source is still being written when it ends: [`Copied::still_written`] counts those users, and copying once more brings
//! what is missing.
//!
//! Nothing is kept of how far a copy has come: what is there already is seen by its version. A copy that is ended at any
//! moment goes on where it was, and one that is repeated brings what has changed. `marker` keeps in the destination whose
//! copy it is, so that nothing else is mixed with it.

mod checksum;
mod compare;
mod cursor;
mod marker;
mod sync;

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::import::Guard;
use crate::model::{PageSize, Range, Version};
use crate::store::Store;

pub use checksum::Checksum;
pub(crate) use marker::{detach, is_complete};
pub(crate) use sync::bytes_of;

/// How much is read at a time.
const PAGE: PageSize = PageSize { rows: 1_000, bytes: 4 << 20 };
/// How many names.
const NAMES: PageSize = PageSize { rows: 1_000, bytes: 1 << 20 };

const ONE: PageSize = PageSize { rows: 1, bytes: usize::MAX };

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Records that this has been done with.
    pub records: u64,
    /// Bytes of their keys, values and metadata.
    pub bytes: u64,
    /// How many records the source held when the copy began.
    pub of_records: u64,
    /// Their bytes.
    pub of_bytes: u64,
}

/// What a copy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Records are taken over.
    Copying,
    /// All records are read on both sides and compared.
    Comparing,
}

/// What is the same in both stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Users for whom anything was ever written, those of the store itself included.
    pub users: u64,
    /// Namespaces that hold a record.
    pub namespaces: u64,
    /// Records.
    pub records: u64,
    /// Bytes of their keys, values and metadata.
    pub bytes: u64,
    /// Of all records, names and bookkeeping included: the one that both stores have.
    pub checksum: Checksum,
    /// Users of whom something was written in the source after it had been read for the last time.
    pub still_written: u64,
}

/// Copies everything in `from` into `to`, which is empty, or a copy of `from` that nobody has written to. `report` is told
/// of progress.
///
/// Versions stay what they are, and `to` gives none that `from` has given. Reads of records are copied as they are counted
/// when the record is read; request ids are not.
///
/// # Errors
/// `InvalidArgument` where `to` is the same store, or holds anything else, or an engine cannot do this; `Conflict` where `to`
/// is written to by somebody else, or by another copy, meanwhile. What has been copied by then stays, and the same call goes
/// on from there.
pub async fn copy(from: &Store, to: &Store, report: &mut (dyn FnMut(&Progress) + Send)) -> Result<Copied> {
    let (source, destination) = (&**from.engine(), &**to.engine());
    if source.place() == destination.place() {
        return Err(Error::invalid("source and destination are the same store: name another destination"));
    }
    // Asked of both before anything is written.
    for engine in [source, destination] {
        engine.users(Range::default(), ONE).await?;
    }
    let guard = marker::claim(source, destination).await?;
    let progress = Progress { stage: Stage::Copying, records: 0, bytes: 0, of_records: 0, of_bytes: 0 };
    let clocks = (Arc::clone(&from.0.clock), Arc::clone(&to.0.clock));
    let mut copier =
        Copier { from: source, to: destination, clocks, guard, positions: HashMap::new(), progress, report };
    copier.run().await
}

struct Copier<'a> {
    from: &'a dyn Engine,
    to: &'a dyn Engine,
    /// The clocks by which records expire here and there.
    clocks: (Arc<dyn Clock>, Arc<dyn Clock>),
    guard: Guard,
    /// Up to where each user's feed has been followed.
    positions: HashMap<Arc<str>, Version>,
    progress: Progress,
    report: &'a mut (dyn FnMut(&Progress) + Send),
}

impl Copier<'_> {
    async fn run(&mut self) -> Result<Copied> {
        let users = users_of(self.from).await?;
        for user in &users {
            self.expect(user).await?;
        }
        (self.report)(&self.progress);
        for user in &users {
            self.copy_user(user).await?;
        }
        self.progress = Progress { stage: Stage::Comparing, records: 0, bytes: 0, ..self.progress };
        (self.report)(&self.progress);
        // Some may have come meanwhile.
        let users = users_of(self.from).await?;
        let mut copied = Copied {
            users: users.len() as u64,
            namespaces: 0,
            records: 0,
            bytes: 0,
            checksum: Checksum::default(),
            still_written: 0,
        };
        for user in &users {
            self.compare_user(user, &mut copied).await?;
        }
        marker::check_users(self.from, self.to).await?;
        if copied.still_written == 0 {
            marker::complete(self.from, self.to, &self.guard).await?;
        }
        Ok(copied)
    }

    /// Adds what the user has to what there is to do.
    async fn expect(&mut self, user: &str) -> Result<()> {
        let mut after: Option<Box<str>> = None;
        loop {
            let page = self.from.namespaces(user, Range { prefix: "", after: after.as_deref() }, NAMES).await?;
            self.progress.of_records += page.rows.iter().map(|stats| stats.records).sum::<u64>();
            self.progress.of_bytes += page.rows.iter().map(|stats| stats.bytes).sum::<u64>();
            match page.rows.into_iter().last() {
                Some(last) if page.more => after = Some(last.namespace),
                _ => return Ok(()),
            }
        }
    }

    fn did(&mut self, records: u64, bytes: u64) {
        self.progress.records += records;
        self.progress.bytes += bytes;
        (self.report)(&self.progress);
    }
}

/// All users but the one of the marker.
async fn users_of(engine: &dyn Engine) -> Result<Vec<Arc<str>>> {
    let mut users: Vec<Arc<str>> = Vec::new();
    let mut after: Option<Box<str>> = None;
    loop {
        let page = engine.users(Range { prefix: "", after: after.as_deref() }, NAMES).await?;
        users.extend(page.rows.iter().filter(|user| ***user != *marker::USER).map(|user| Arc::from(&**user)));
        match page.rows.into_iter().last() {
            Some(last) if page.more => after = Some(last),
            _ => return Ok(users),
        }
    }
}

/// The newest position of a user's feed.
async fn position(engine: &dyn Engine, user: &str) -> Result<Version> {
    Ok(engine.changes(user, i64::MAX.cast_unsigned(), 0).await?.last)
}

/// Somebody else has written what cannot be from the source.
fn foreign(user: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "the destination was written to by somebody else, for user {user:?}: copy into an empty store, and let nobody \
             write to it before the copy is done"
        ),
    )
}
