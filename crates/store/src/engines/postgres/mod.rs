//! The PostgreSQL engine: any number of processes on any number of machines, on one database or a replicated cluster.
//!
//! A store URL `postgresql://user:password@host:port/database` may name several hosts, of which the one that takes writes is
//! used. Beside PostgreSQL's own parameters it takes `schema`, `table_prefix`, `pool_size`, `pool_timeout`,
//! `statement_timeout` (seconds), `ordering=concurrent|serial`, `sslmode` and `sslrootcert`.
//!
//! A read is one statement. A write is a transaction of two rounds: `begin` locks the records and reads them, `plan` has
//! [`crate::mutation::apply`] say what comes of them, and `rows` writes that and commits. A record that this process wrote last
//! is overwritten in one statement (`overwrite`). All work is done on threads of the engine (`home`), so that a call that is
//! given up does not leave a transaction open.
//!
//! Times are those of the database's clock, unless another one is injected.

mod address;
mod begin;
mod check;
mod clear;
mod clock;
mod connect;
mod failure;
mod feed;
mod home;
mod housekeeping;
mod import;
mod known;
mod migrate;
mod notify;
mod overwrite;
mod plan;
mod read;
mod requests;
mod rows;
mod settle;
mod tables;
mod tls;
mod waiting;
mod wire;
mod write;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::address::{Address as DatabaseAddress, Ordering};
use self::clock::DatabaseClock;
use self::connect::Connections;
use self::home::{Held, Home};
use self::known::Known;
use self::plan::{Plan, Space};
use self::tables::Tables;
use self::waiting::Waiting;
use crate::clock::{Clock, Timestamp};
use crate::engine::{Answer, Engine, Suspended};
use crate::error::{Error, Result};
use crate::import::Import;
use crate::limits::Limits;
use crate::model::{
    Access, Address, Batch, ChangeKind, Changes, NamespaceStats, Outcome, Page, PageSize, Range, Row, Version, View,
};
use crate::request::{Request, RequestId};
use crate::store::Options;
use crate::verify::Problem;

/// Old changes are removed once in about so many.
const TRIM_INTERVAL: u64 = 1_024;
/// How many agents of namespaces are remembered as being noted.
const AGENTS_KNOWN: usize = 10_000;

/// Keeps records in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresEngine {
    shared: Arc<Shared>,
    home: Home,
}

/// What stays while threads and connections come and go.
struct Shared {
    address: DatabaseAddress,
    tables: Tables,
    rules: Rules,
    ordering: OnceLock<Ordering>,
    database_clock: Arc<DatabaseClock>,
    waiting: Waiting,
    agents: Mutex<HashSet<NotedAgent>>,
    known: Known,
    to_trim: Mutex<HashSet<Box<str>>>,
}

/// A user, a namespace of theirs, and an agent who is noted there.
type NotedAgent = (Box<str>, i64, Box<str>);

struct Rules {
    /// `None`: the database's clock counts.
    clock: Option<Arc<dyn Clock>>,
    limits: Limits,
    changes_kept: u64,
}

/// What is there while the threads are.
struct Core {
    shared: Arc<Shared>,
    connections: Connections,
    marks: UnboundedSender<String>,
}

impl PostgresEngine {
    /// Connects to the database that `url` names, and makes the tables if they are not there.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that cannot be, or a database that does not exist or fit; `Unauthenticated` for a user
    /// that the database does not accept, `PermissionDenied` where that user lacks a right; `CorruptStore` for tables that
    /// are not ours or newer than this version; `Unavailable` where no database can be reached within ten seconds.
    pub async fn open(url: &str, options: &Options) -> Result<Self> {
        let address = DatabaseAddress::parse(url)?;
        let database_clock = Arc::new(DatabaseClock::default());
        let injected = (!options.clock.is_system()).then(|| Arc::clone(&options.clock));
        let clock = injected.clone().unwrap_or_else(|| Arc::clone(&database_clock) as Arc<dyn Clock>);
        let shared = Arc::new(Shared {
            tables: Tables::of(&address),
            address,
            rules: Rules { clock: injected, limits: options.limits.clone(), changes_kept: options.changes_kept },
            ordering: OnceLock::new(),
            database_clock,
            waiting: Waiting::new(clock),
            agents: Mutex::default(),
            known: Known::default(),
            to_trim: Mutex::default(),
        });
        let engine = Self { home: Home::new(Arc::clone(&shared)), shared };
        let may_create = options.create;
        let prepared = engine.home.run(move |core| async move {
            let ordering = migrate::prepare(&core.connections, &core.shared.address, may_create).await?;
            core.shared.learn_time(&core).await?;
            Ok(ordering)
        });
        match prepared.await {
            Ok(ordering) => _ = engine.shared.ordering.set(ordering),
            Err(error) => {
                engine.home.close();
                return Err(error);
            }
        }
        Ok(engine)
    }

    fn run<T, F>(&self, work: impl FnOnce(Arc<Core>) -> F) -> Answer<'static, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.home.run(work)
    }
}

impl Core {
    /// Must be called among the threads.
    fn start(shared: Arc<Shared>) -> Result<Arc<Self>> {
        let connections = Connections::new(&shared.address)?;
        let (marks, queue) = unbounded_channel();
        Ok(Arc::new_cyclic(|core: &Weak<Self>| {
            tokio::spawn(notify::send(Weak::clone(core), queue));
            Self { shared, connections, marks }
        }))
    }

    /// A plan has been carried out.
    fn committed(&self, user: &str, plan: &Plan<'_>, agent: Option<&str>) {
        if let Some(agent) = agent {
            self.shared.remember_agent(user, agent, &plan.spaces);
        }
        if plan.has_effect() {
            self.shared.known.learn(user, plan);
            self.changed(user, plan.changes.len());
        }
    }

    /// So many changes of `user` have been committed.
    fn changed(&self, user: &str, count: usize) {
        self.shared.note_changes(user, count);
        self.shared.waiting.changed(user);
        // Fails only when the engine is at its end.
        let _ = self.marks.send(waiting::mark_of(user));
    }
}

impl Shared {
    fn ordering(&self) -> Ordering {
        self.ordering.get().copied().unwrap_or(Ordering::Concurrent)
    }

    /// The present moment of an injected clock.
    fn fixed_now(&self) -> Option<Timestamp> {
        self.rules.clock.as_ref().map(|clock| clock.now())
    }

    /// What time the store has.
    fn clock(&self) -> Arc<dyn Clock> {
        self.rules.clock.clone().unwrap_or_else(|| Arc::clone(&self.database_clock) as Arc<dyn Clock>)
    }

    async fn learn_time(&self, core: &Core) -> Result<()> {
        let before = crate::clock::SystemClock.now();
        let link = core.connections.link().await?;
        let row = link.query_one(concat!("SELECT ", clock::database_now!()), &[]).await?;
        let shown = row.try_get(0).map_err(failure::Failure::from)?;
        self.database_clock.learn(before, Timestamp::from_micros(shown));
        Ok(())
    }

    /// The written namespaces of which the agent is not known to be noted.
    fn unknown_agents(&self, user: &str, agent: &str, spaces: &[&Space<'_>]) -> Vec<i64> {
        let known = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unknown = |space: &&&Space<'_>| space.written && !known.contains(&(user.into(), space.id, agent.into()));
        spaces.iter().filter(is_unknown).map(|space| space.id).collect()
    }

    fn remember_agent(&self, user: &str, agent: &str, spaces: &[Space<'_>]) {
        let mut known = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= AGENTS_KNOWN {
            known.clear();
        }
        let noted = spaces.iter().filter(|space| space.written && !(space.is_new && space.records == 0));
        known.extend(noted.map(|space| (user.into(), space.id, agent.into())));
    }

    /// Chance decides whose feed is trimmed: processes that end soon do their share.
    fn note_changes(&self, user: &str, count: usize) {
        let interval = TRIM_INTERVAL.min(self.rules.changes_kept).max(1);
        if fastrand::u64(..interval) < count as u64 {
            self.to_trim.lock().unwrap_or_else(PoisonError::into_inner).insert(user.into());
        }
    }

    fn take_users_to_trim(&self) -> HashSet<Box<str>> {
        std::mem::take(&mut *self.to_trim.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresEngine").field("address", &self.address).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}

fn optional_time(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_micros)
}

/// As in the column `changes.kind`.
fn kind_to_number(kind: ChangeKind) -> i16 {
    match kind {
        ChangeKind::Set => 1,
        ChangeKind::Delete => 2,
        ChangeKind::Expire => 3,
        ChangeKind::Clear => 4,
    }
}

fn kind_from_number(number: i16) -> Result<ChangeKind> {
    Ok(match number {
        1 => ChangeKind::Set,
        2 => ChangeKind::Delete,
        3 => ChangeKind::Expire,
        4 => ChangeKind::Clear,
        _ => return Err(failure::unreadable()),
    })
}

impl Engine for PostgresEngine {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn place(&self) -> String {
        self.shared.address.place()
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(self.shared.clock())
    }

    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>> {
        let (user, addresses) = (user.to_owned(), addresses.to_owned());
        self.run(|core| async move { read::read_all(&core, &user, &addresses, view).await })
    }

    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>> {
        let (user, namespace, key) = (user.to_owned(), namespace.to_owned(), key.to_owned());
        self.run(|core| async move { read::read_one(&core, &user, &namespace, &key, view).await })
    }

    fn scan<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        range: Range<'a>,
        view: View,
        page: PageSize,
    ) -> Answer<'a, Page<Row>> {
        let (user, namespace, range) = (user.to_owned(), namespace.to_owned(), OwnRange::of(range));
        self.run(|core| async move { read::scan(&core, &user, &namespace, range.range(), view, page).await })
    }

    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64> {
        let (user, namespace, prefix) = (user.to_owned(), namespace.to_owned(), prefix.to_owned());
        self.run(|core| async move { read::count(&core, &user, &namespace, &prefix).await })
    }

    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>> {
        let (user, prefix) = (user.to_owned(), prefix.to_owned());
        self.run(|core| async move { read::namespace_names(&core, &user, &prefix).await })
    }

    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>> {
        let (user, range) = (user.to_owned(), OwnRange::of(range));
        self.run(|core| async move { read::namespaces(&core, &user, range.range(), page).await })
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        let request = Request::of_batch(&batch);
        self.run(|core| async move { write::write(&core, &batch, request.as_ref()).await })
    }

    fn clear<'a>(
        &'a self,
        user: &'a str,
        agent: Option<&'a str>,
        namespace: &'a str,
        request: Option<&'a RequestId>,
    ) -> Answer<'a, u64> {
        let request = Request::of_clear(agent, namespace, request);
        let (user, agent, namespace) = (user.to_owned(), agent.map(ToOwned::to_owned), namespace.to_owned());
        self.run(|core| async move { clear::clear(&core, &user, agent.as_deref(), &namespace, request.as_ref()).await })
    }

    fn record_access(&self, accesses: Vec<Access>) -> Answer<'_, ()> {
        self.run(|core| async move { housekeeping::record_access(&core, &accesses).await })
    }

    fn changes<'a>(&'a self, user: &'a str, since: Version, limit: usize) -> Answer<'a, Changes> {
        let user = user.to_owned();
        self.run(move |core| async move { feed::changes(&core, &user, since, limit).await })
    }

    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version> {
        Answer::pending(async move {
            let clock = self.shared.clock();
            self.shared.waiting.beyond(&self.home, &*clock, user, since, until).await
        })
    }

    fn users<'a>(&'a self, range: Range<'a>, page: PageSize) -> Answer<'a, Page<Box<str>>> {
        let range = OwnRange::of(range);
        self.run(move |core| async move { read::users(&core, range.range(), page).await })
    }

    fn import(&self, import: Import) -> Answer<'_, ()> {
        self.run(|core| async move { import::import(&core, import).await })
    }

    fn check(&self) -> Answer<'_, Vec<Problem>> {
        self.run(|core| async move { check::check(&core).await })
    }

    fn mend<'a>(&'a self, problems: &'a [Problem]) -> Answer<'a, ()> {
        let problems = problems.to_vec();
        self.run(|core| async move { check::mend(&core, &problems).await })
    }

    fn maintain(&self) -> Answer<'_, bool> {
        self.run(|core| async move { housekeeping::maintain(&core).await })
    }

    fn suspend(&self) -> Box<dyn Suspended + '_> {
        let held = self.home.hold();
        // Woken, those who wait would begin anew, but for being held.
        self.shared.waiting.stop();
        Box::new(Rest { _held: held })
    }

    fn close(&self) -> Answer<'_, ()> {
        let trimmed = self.run(|core| async move { housekeeping::trim(&core).await.map_err(Error::from) });
        Answer::pending(async move {
            // What is not trimmed now is trimmed another time.
            let _ = trimmed.await;
            self.home.close();
            self.shared.waiting.stop();
            Ok(())
        })
    }
}

/// A [`Range`] that a task can take along.
struct OwnRange {
    prefix: Box<str>,
    after: Option<Box<str>>,
}

impl OwnRange {
    fn of(range: Range<'_>) -> Self {
        Self { prefix: range.prefix.into(), after: range.after.map(Into::into) }
    }

    fn range(&self) -> Range<'_> {
        Range { prefix: &self.prefix, after: self.after.as_deref() }
    }
}

struct Rest<'a> {
    _held: Held<'a>,
}

impl Suspended for Rest<'_> {}
