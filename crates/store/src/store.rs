//! An opened engine and what is the same on all of them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::{AccessLog, HeldLog};
use crate::blocking::block_on;
use crate::clock::{Clock, SystemClock};
use crate::data_store::{DataStore, Identity};
use crate::engine::{Engine, Suspended};
use crate::error::{Error, Result};
use crate::housekeeping::{Chores, Housekeeper};
use crate::lease::HeldLocks;
use crate::limits::{Limits, check_namespace};
use crate::open::{open_engine, split_secrets};
use crate::secrets::{SecretsPolicy, WarningSink};
use crate::token::Token;

/// Whose records are meant where nobody says so.
const DEFAULT_USER: &str = "default";

/// How many records' reads one write takes: a few milliseconds' work, so that other writers hardly notice.
const FLUSH_AT_ONCE: usize = 2_000;

/// How a store is opened, beyond its URL.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where the time comes from. Default: the system's clock.
    pub clock: Arc<dyn Clock>,
    /// The limits of values and batches.
    pub limits: Limits,
    /// Whether a store is made where there is none; otherwise that is `InvalidArgument`. Default `true`.
    pub create: bool,
    /// How many of a user's newest changes the change feed keeps, at least. Default 100,000.
    pub changes_kept: u64,
    /// Whether a background thread writes access counts and sweeps. Without it, call [`Store::flush`] and
    /// [`Store::maintain`]. Default `true`.
    pub housekeeping: bool,
    /// What happens to likely credentials, unless the URL says `secrets=…`. Default [`SecretsPolicy::Warn`].
    pub secrets: SecretsPolicy,
    /// Who is told under [`SecretsPolicy::Warn`]. Default nobody; nothing is looked for then.
    pub warnings: Option<Arc<dyn WarningSink>>,
    /// By which a server knows its caller. Engines without a server take no notice of it. Default none.
    pub token: Option<Token>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            create: true,
            changes_kept: 100_000,
            housekeeping: true,
            secrets: SecretsPolicy::default(),
            warnings: None,
            token: None,
        }
    }
}

/// An open store. Cheap to clone; the last clone (or [`DataStore`] made from one) closes it.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) accesses: AccessLog,
    pub(crate) held_locks: HeldLocks,
    pub(crate) secrets: SecretsPolicy,
    pub(crate) warnings: Option<Arc<dyn WarningSink>>,
    /// The store whose engine this one uses, if it has none of its own; see [`Store::layered`].
    beneath: Option<Store>,
    housekeeper: Mutex<Housekeeper>,
    closed: AtomicBool,
}

impl Store {
    /// Opens the store at `url`: `sqlite:///absolute/path.db` (`?durability=full|relaxed`), `memory:`, with the feature
    /// `postgres` that of a database, `postgresql://user:password@host/database`, or with the feature `remote` that of a
    /// server, `http://host:port` or `https://host:port` (see [`crate::engines`]); each with `secrets=allow|warn|refuse` as
    /// a parameter (see [`SecretsPolicy`]).
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that cannot be, `CorruptStore` for a file that is damaged, not ours or newer than this
    /// version, `Unavailable` where it cannot be reached. The file is then untouched.
    pub async fn open(url: &str, mut options: Options) -> Result<Self> {
        let open = async {
            let (url, secrets) = split_secrets(url)?;
            options.secrets = secrets.unwrap_or(options.secrets);
            open_engine(&url, &options).await
        };
        let engine = open.await.map_err(|error: Error| error.during("open"))?;
        Self::over(engine, options)
    }

    /// A store on an engine of one's own.
    ///
    /// # Errors
    /// `Unavailable` where the system refuses another thread.
    pub fn over(engine: Arc<dyn Engine>, options: Options) -> Result<Self> {
        Self::assemble(engine, options, None)
    }

    /// This store with a layer around its engine, for instance one that has the engine's work done elsewhere. Sweeping
    /// stays with this one, and closing the result leaves the engine open.
    ///
    /// # Errors
    /// `Unavailable` where the system refuses another thread.
    pub fn layered(&self, layer: impl FnOnce(Arc<dyn Engine>) -> Arc<dyn Engine>) -> Result<Self> {
        let Inner { engine, clock, limits, secrets, warnings, .. } = &*self.0;
        let options = Options {
            clock: Arc::clone(clock),
            limits: limits.clone(),
            housekeeping: self.0.housekeeper().is_running(),
            secrets: *secrets,
            warnings: warnings.clone(),
            ..Options::default()
        };
        Self::assemble(layer(Arc::clone(engine)), options, Some(self.clone()))
    }

    fn assemble(engine: Arc<dyn Engine>, options: Options, beneath: Option<Self>) -> Result<Self> {
        let clock = engine.clock().unwrap_or(options.clock);
        let store = Self(Arc::new(Inner {
            engine,
            clock,
            limits: options.limits,
            accesses: AccessLog::default(),
            held_locks: HeldLocks::default(),
            secrets: options.secrets,
            warnings: options.warnings,
            beneath,
            housekeeper: Mutex::default(),
            closed: AtomicBool::new(false),
        }));
        if options.housekeeping {
            store.0.start_housekeeping()?;
        }
        Ok(store)
    }

    /// An agent's view: the records of its user in one namespace.
    ///
    /// # Errors
    /// `InvalidArgument` for a name outside of the limits.
    pub fn data_store(&self, identity: Identity, namespace: &str) -> Result<DataStore> {
        check_namespace(namespace)?;
        Ok(DataStore::new(Arc::clone(&self.0), identity, namespace.into()))
    }

    /// Whom the store takes its caller for, where it has a way to know: a server tells by the token.
    pub fn caller(&self) -> Option<&Identity> {
        self.0.engine.caller()
    }

    /// An identity on this store. Whoever names no user is the one whom the store takes them for, or else `default`.
    ///
    /// # Errors
    /// `InvalidArgument` as for [`Identity::new`].
    pub fn identity(&self, user: Option<&str>, agent: Option<&str>) -> Result<Identity> {
        let user = user.or_else(|| self.caller().map(Identity::user)).unwrap_or(DEFAULT_USER);
        Identity::new(user, agent)
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The engine beneath.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.0.engine
    }

    /// Writes the reads gathered so far.
    ///
    /// # Errors
    /// `Unavailable`; the reads are then kept for the next time.
    pub async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }

    /// Takes one small step of housekeeping; `true` where more is left to do.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn maintain(&self) -> Result<bool> {
        self.0.engine.maintain().await
    }

    /// Writes what is gathered and lets go of the engine. Later calls fail; closing twice does nothing.
    ///
    /// # Errors
    /// `Unavailable` where the gathered reads could not be written; the store is closed all the same.
    pub async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    /// Holds the store still until the result is dropped: no thread of this crate runs, no lock is taken, no file is
    /// open. For the time around a `fork`, after which parent and child both go on. Blocks until running calls are done.
    pub fn suspend(&self) -> Suspension {
        Suspension::new(Arc::clone(&self.0))
    }
}

impl Inner {
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::invalid("the store is closed: open it again"));
        }
        Ok(())
    }

    pub(crate) fn wake_housekeeper(&self) {
        match &self.beneath {
            Some(beneath) => beneath.0.wake_housekeeper(),
            None => self.housekeeper().wake(),
        }
    }

    fn housekeeper(&self) -> MutexGuard<'_, Housekeeper> {
        self.housekeeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_housekeeping(self: &Arc<Self>) -> Result<()> {
        let started = Housekeeper::start(Arc::downgrade(self)).map_err(|source| {
            Error::unavailable("the system refuses a thread for housekeeping: raise its limit").caused_by(source)
        })?;
        *self.housekeeper() = started;
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        let mut accesses = self.accesses.drain();
        while !accesses.is_empty() {
            let rest = accesses.split_off(accesses.len().min(FLUSH_AT_ONCE));
            if let Err(error) = self.engine.record_access(accesses.clone()).await {
                self.accesses.restore(accesses);
                self.accesses.restore(rest);
                return Err(error);
            }
            accesses = rest;
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let mut housekeeper = std::mem::take(&mut *self.housekeeper());
        housekeeper.stop();
        let flushed = self.flush().await;
        if self.beneath.is_some() {
            return flushed;
        }
        let closed = self.engine.close().await;
        flushed.and(closed)
    }
}

impl Chores for Inner {
    fn do_chores(&self) -> bool {
        // What fails now (a busy store, a full disk) is tried again at the next turn; nothing is lost by waiting.
        let _ = block_on(self.flush());
        self.beneath.is_none() && block_on(self.engine.maintain()).unwrap_or(false)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = block_on(self.close());
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// A store held still; see [`Store::suspend`]. Must be dropped on the thread that made it. The order of the fields is the
/// order in which they are let go.
pub struct Suspension {
    engine: Option<Box<dyn Suspended>>,
    log: Option<HeldLog<'static>>,
    had_housekeeper: bool,
    inner: Arc<Inner>,
}

impl Suspension {
    fn new(inner: Arc<Inner>) -> Self {
        let mut housekeeper = std::mem::take(&mut *inner.housekeeper());
        let had_housekeeper = housekeeper.is_running();
        housekeeper.stop();
        // The engine first: a call that is running in it may still count what it reads.
        let engine = inner.engine.suspend();
        let log = inner.accesses.hold();
        // SAFETY: both borrow from `inner`, which this struct keeps alive; `Drop` lets go of them first.
        let (log, engine) = unsafe {
            (
                std::mem::transmute::<HeldLog<'_>, HeldLog<'static>>(log),
                std::mem::transmute::<Box<dyn Suspended + '_>, Box<dyn Suspended>>(engine),
            )
        };
        Self { engine: Some(engine), log: Some(log), had_housekeeper, inner }
    }
}

impl Drop for Suspension {
    fn drop(&mut self) {
        self.engine = None;
        self.log = None;
        if self.had_housekeeper {
            // Without the thread everything still works; counts are then written on close.
            let _ = self.inner.start_housekeeping();
        }
    }
}
