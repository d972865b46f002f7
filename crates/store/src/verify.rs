//! Whether a store is sound, from end to end, and putting right what can be derived.
//!
//! [`Engine::check`] compares what an engine keeps with itself: counts with records, versions with the change feed, what
//! belongs to something with what is there. What is the same on all engines is looked at here: every value, every name.

use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::json_check;
use crate::limits::{IDENTITY_BYTES, RESERVED_USERS, check_agent, check_key, check_namespace, check_user};
use crate::model::{NamespaceStats, PageSize, Range, Row, View};
use crate::store::Store;

const PAGE: PageSize = PageSize { rows: 1_000, bytes: 4 << 20 };
const NAMES: PageSize = PageSize { rows: 1_000, bytes: 1 << 20 };

/// Most problems of one kind that are named.
pub const PROBLEMS: usize = 1_000;

/// Something in a store that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// Whose it is, where that is known.
    pub user: Option<Box<str>>,
    /// The namespace, where it is about one.
    pub namespace: Option<Box<str>>,
    /// The key, where it is about a record.
    pub key: Option<Box<str>>,
    /// What is there, in one sentence without values.
    pub detail: String,
    /// Whether it has been put right.
    pub mended: bool,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The file itself is damaged, or rows in it.
    Damage,
    /// What a namespace is said to hold is not what it holds.
    Counts,
    /// A namespace is to be swept away and in use at once.
    LiveDropped,
    /// Counts of reads, or agents, of something that is not there.
    Orphans,
    /// Records of a namespace that is not there, which nobody can reach.
    LostRecords,
    /// A version that later ones might not be greater than.
    VersionAboveFeed,
    /// Two records of a user with one version.
    RepeatedVersion,
    /// The change feed says something else than the record.
    Feed,
    /// A value or metadata that is no JSON.
    NotJson,
    /// A name outside of the limits.
    Name,
    /// A copy that was begun and has not been brought to its end.
    UnfinishedCopy,
}

impl ProblemKind {
    /// A name for programs, in small letters and underscores.
    pub fn code(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::Counts => "counts",
            Self::LiveDropped => "live_dropped",
            Self::Orphans => "orphans",
            Self::LostRecords => "lost_records",
            Self::VersionAboveFeed => "version_above_feed",
            Self::RepeatedVersion => "repeated_version",
            Self::Feed => "feed",
            Self::NotJson => "not_json",
            Self::Name => "name",
            Self::UnfinishedCopy => "unfinished_copy",
        }
    }

    /// Whether [`verify`] can put it right from what else is there.
    pub fn is_mendable(self) -> bool {
        matches!(self, Self::Counts | Self::LiveDropped | Self::Orphans | Self::LostRecords)
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Damage => "restore the store from a backup",
            Self::Counts => "repair counts them anew",
            Self::LiveDropped => "repair keeps the records",
            Self::Orphans => "repair removes them",
            Self::LostRecords => "restore the store from a backup that has them; repair removes them",
            Self::VersionAboveFeed => "copy the store into a new one, which goes on above it",
            Self::RepeatedVersion | Self::Feed => {
                "compare the record with a backup, and write it anew or restore the store"
            }
            Self::NotJson => "write the record anew, or restore it from a backup",
            Self::Name => "restore the store from a backup; the record cannot be reached by its name",
            Self::UnfinishedCopy => "run the same ads copy again before anyone uses the store",
        }
    }
}

impl Problem {
    /// About the store as a whole.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, user: None, namespace: None, key: None, detail: detail.into(), mended: false }
    }

    /// The same about a namespace.
    #[must_use]
    pub fn in_namespace(self, user: &str, namespace: &str) -> Self {
        Self { user: Some(user.into()), namespace: Some(namespace.into()), ..self }
    }

    /// The same about a record.
    #[must_use]
    pub fn at(self, user: &str, namespace: &str, key: &str) -> Self {
        Self { key: Some(key.into()), ..self.in_namespace(user, namespace) }
    }
}

/// What came of looking at a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Users for whom anything was ever written, those of the store itself included.
    pub users: u64,
    /// Namespaces that hold a record.
    pub namespaces: u64,
    /// Records that were read.
    pub records: u64,
    /// Bytes of their keys, values and metadata.
    pub bytes: u64,
    /// What is wrong, or was; at most [`PROBLEMS`] of each kind.
    pub problems: Vec<Problem>,
}

impl Verified {
    /// Whether nothing is wrong any more.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| problem.mended)
    }
}

/// Looks at everything in a store. With `repair`, what can be derived is put right, and nothing else is changed; without,
/// nothing is written. `report` is told how many records were read, and of how many. The store may be in use.
///
/// # Errors
/// `InvalidArgument` where the engine cannot do this; `CorruptStore` for damage beyond which nothing can be read.
pub async fn verify(store: &Store, repair: bool, report: &mut (dyn FnMut(u64, u64) + Send)) -> Result<Verified> {
    let engine = &**store.engine();
    let mut problems = engine.check().await?;
    let is_damaged = problems.iter().any(|problem| problem.kind == ProblemKind::Damage);
    // What a damaged file says of itself is nothing to derive from.
    if repair && !is_damaged && problems.iter().any(|problem| problem.kind.is_mendable()) {
        engine.mend(&problems).await?;
        let left = engine.check().await?;
        for problem in &mut problems {
            problem.mended = problem.kind.is_mendable() && !left.contains(problem);
        }
    }
    let mut walk = Walk { engine, found: Verified::default(), of_records: 0, report };
    let walked = walk.everything().await;
    let mut found = walk.found;
    match walked {
        // The report on the damage is worth more than where the walk met it.
        Err(_) if is_damaged => {}
        walked => walked?,
    }
    if !crate::copy::is_complete(engine).await.unwrap_or(true) {
        problems.push(Problem::new(ProblemKind::UnfinishedCopy, "the store is a copy that has not come to its end"));
    }
    problems.append(&mut found.problems);
    Ok(Verified { problems, ..found })
}

struct Walk<'a> {
    engine: &'a dyn Engine,
    found: Verified,
    of_records: u64,
    report: &'a mut (dyn FnMut(u64, u64) + Send),
}

impl Walk<'_> {
    async fn everything(&mut self) -> Result<()> {
        let mut after: Option<Box<str>> = None;
        loop {
            let page = self.engine.users(Range { prefix: "", after: after.as_deref() }, NAMES).await?;
            for user in &page.rows {
                self.user(user).await?;
            }
            match page.rows.into_iter().last() {
                Some(last) if page.more => after = Some(last),
                _ => return Ok(()),
            }
        }
    }

    async fn user(&mut self, user: &str) -> Result<()> {
        self.found.users += 1;
        let is_reserved = user.starts_with(RESERVED_USERS) && user.len() <= IDENTITY_BYTES;
        if !is_reserved && let Err(error) = check_user(user) {
            let problem = Problem::new(ProblemKind::Name, error.message());
            self.add(Problem { user: Some(user.into()), ..problem });
        }
        let mut after: Option<Box<str>> = None;
        loop {
            let page = self.engine.namespaces(user, Range { prefix: "", after: after.as_deref() }, NAMES).await?;
            self.of_records += page.rows.iter().map(|stats| stats.records).sum::<u64>();
            for stats in &page.rows {
                match self.namespace(user, stats).await {
                    Err(error) if error.kind() == ErrorKind::CorruptStore => {
                        let detail =
                            "its records cannot be read through: some are not of the form that they were written in";
                        self.add(Problem::new(ProblemKind::Damage, detail).in_namespace(user, &stats.namespace));
                    }
                    looked_through => looked_through?,
                }
            }
            match page.rows.into_iter().last() {
                Some(last) if page.more => after = Some(last.namespace),
                _ => return Ok(()),
            }
        }
    }

    async fn namespace(&mut self, user: &str, stats: &NamespaceStats) -> Result<()> {
        self.found.namespaces += 1;
        let agents = stats.agents.iter().map(|agent| check_agent(agent));
        for error in agents.chain([check_namespace(&stats.namespace)]).filter_map(Result::err) {
            self.add(Problem::new(ProblemKind::Name, error.message()).in_namespace(user, &stats.namespace));
        }
        let mut after: Option<Box<str>> = None;
        loop {
            let range = Range { prefix: "", after: after.as_deref() };
            let page = self.engine.scan(user, &stats.namespace, range, View::Record, PAGE).await?;
            page.rows.iter().for_each(|row| self.row(user, &stats.namespace, row));
            (self.report)(self.found.records, self.of_records);
            match page.rows.into_iter().last() {
                Some(last) if page.more => after = Some(last.key),
                _ => return Ok(()),
            }
        }
    }

    fn row(&mut self, user: &str, namespace: &str, row: &Row) {
        self.found.records += 1;
        self.found.bytes += crate::copy::bytes_of(row);
        let mut tell = |kind, detail: String| self.add(Problem::new(kind, detail).at(user, namespace, &row.key));
        if let Err(error) = check_key(&row.key) {
            tell(ProblemKind::Name, error.message().to_owned());
        }
        // Limits may have been others when it was written.
        if row.value.as_ref().is_none_or(|value| json_check::check(value.as_str(), usize::MAX).is_err()) {
            tell(ProblemKind::NotJson, "the value is no JSON".to_owned());
        }
        let Some(details) = &row.details else { return };
        if !details.metadata.is_object() || json_check::check(details.metadata.as_str(), usize::MAX).is_err() {
            tell(ProblemKind::NotJson, "the metadata is no JSON object".to_owned());
        }
        let agents = [&details.created_by_agent, &details.updated_by_agent, &details.last_accessed_by_agent];
        for error in agents.into_iter().flatten().filter_map(|agent| check_agent(agent).err()) {
            tell(ProblemKind::Name, error.message().to_owned());
        }
    }

    fn add(&mut self, problem: Problem) {
        let of_kind = self.found.problems.iter().filter(|other| other.kind == problem.kind).count();
        if of_kind < PROBLEMS {
            self.found.problems.push(problem);
        }
    }
}
