//! Work that many share: every record under a prefix is a task until somebody has completed it.
//!
//! A task is an ordinary record; what is known of its attempts is in its metadata under `task`. A completed one moves to
//! the namespace `tasks-done:{namespace}`, one that failed for good to `tasks-failed:{namespace}`, so that looking for
//! work never passes over what is finished.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::data_store::{DataStore, expiry};
use crate::error::{Error, ErrorKind, Result};
use crate::json::Json;
use crate::model::{Address, Expiry, Mutation, Outcome, PageSize, Precondition, Range, Row, Version, View, Write};
use crate::secrets::SecretsPolicy;
use crate::wire;

/// How many tasks a look for work reads first: most often one of the first can be claimed. Each time after that twice as
/// many, up to the latter.
const PAGE_ROWS: [usize; 2] = [4, 256];
const PAGE_BYTES: usize = 256 << 10;

/// How to claim a task.
#[derive(Clone, Copy, Debug)]
pub struct ClaimOptions {
    /// How long the task is kept from others unless renewed.
    pub ttl: Duration,
    /// How long to wait for a task; zero: not at all. Default zero.
    pub wait: Duration,
    /// After this many attempts without an end a task is set aside as failed. `None`, the default: never.
    pub max_attempts: Option<u64>,
}

impl ClaimOptions {
    /// Claims for `ttl`, without waiting.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, wait: Duration::ZERO, max_attempts: None }
    }
}

/// A task that is ours for a time. Unless ended, it goes back to the others when the time is over.
#[derive(Clone, Debug)]
pub struct Claim {
    view: DataStore,
    key: Box<str>,
    value: Json,
    token: Version,
    version: Version,
    state: TaskState,
}

/// What the metadata of a task says under `task`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
struct TaskState {
    /// How often it was claimed.
    attempt: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// When the claim ends, or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Not to be claimed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Of a claim that was renewed; before that the record's version is the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Version>,
}

/// Tasks in sum; see [`DataStore::tasks`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSummary {
    /// Tasks that can be claimed now or after a pause.
    pub waiting: u64,
    /// Tasks that somebody has claimed.
    pub claimed: Vec<ClaimedTask>,
    /// Tasks that were completed.
    pub done: u64,
    /// Tasks that were set aside.
    pub failed: Vec<FailedTask>,
}

/// A task that somebody has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedTask {
    /// Its key.
    pub key: Box<str>,
    /// The agent that has it.
    pub agent: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: u64,
    /// When it goes back to the others.
    pub until: Timestamp,
}

/// A task that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTask {
    /// Its key.
    pub key: Box<str>,
    /// How often it was tried.
    pub attempts: u64,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Whether a task can be claimed.
enum Readiness {
    Now,
    /// Claimed or paused until then.
    At(Timestamp),
}

enum Found {
    Claim(Box<Claim>),
    /// None; the earliest moment at which one comes back by itself.
    Nothing(Option<Timestamp>),
}

impl DataStore {
    /// Claims the first task, in key order, under `prefix` that nobody else holds; `None` where there is none. Tasks whose
    /// key was completed before are skipped and removed.
    ///
    /// # Errors
    /// `InvalidArgument` for a time to live that is not positive, or a namespace of more than 499 bytes.
    pub async fn claim(&self, prefix: &str, options: ClaimOptions) -> Result<Option<Claim>> {
        let traced = self.trace("claim", prefix);
        let result = self.find_claim(prefix, options).await;
        traced.end(result, |claim| crate::trace::Seen::value(claim.as_ref().map(|claim| &claim.value)))
    }

    /// The claim on the task `key` that has this token: for those who keep nothing else of it, such as the callers of a
    /// server between two requests.
    ///
    /// # Errors
    /// `LeaseLost` where the time was over and another one has claimed the task, or it was ended.
    pub async fn claimed(&self, key: &str, token: Version) -> Result<Claim> {
        let not_ours = || claim_lost(self.namespace(), key);
        let row = self.read_row(key, View::Record).await?.ok_or_else(not_ours)?;
        let state = TaskState::of(&row);
        if state.by.is_none() || (row.version != token && state.token != Some(token)) {
            return Err(not_ours());
        }
        let value = row.value.ok_or_else(not_ours)?;
        Ok(Claim { view: self.clone(), key: row.key, value, token, version: row.version, state })
    }

    /// Sums up the tasks under `prefix`. Those whose key was completed before count as done, not as waiting.
    pub async fn tasks(&self, prefix: &str) -> Result<TaskSummary> {
        let now = self.now();
        let done = self.done_tasks()?;
        let mut summary = TaskSummary { done: done.count(prefix).await?, ..TaskSummary::default() };
        let mut rows = Rows::new(self, prefix);
        while let Some(page) = rows.next_page().await? {
            let mut waiting = Vec::new();
            for row in page {
                let state = TaskState::of(&row);
                match state.by.is_some().then(|| state.readiness(now)) {
                    Some(Readiness::At(until)) => {
                        let agent = state.by.filter(|by| !by.is_empty());
                        summary.claimed.push(ClaimedTask { key: row.key, agent, attempt: state.attempt, until });
                    }
                    _ => waiting.push(done.checked_address(&row.key)?),
                }
            }
            let completed = match summary.done {
                0 => 0,
                _ => self.read_rows(&waiting, View::Version).await?.iter().flatten().count(),
            };
            summary.waiting += (waiting.len() - completed) as u64;
        }
        let failed = self.failed_tasks()?;
        let mut rows = Rows::new(&failed, prefix);
        while let Some(row) = rows.next().await? {
            let state = TaskState::of(&row);
            summary.failed.push(FailedTask { key: row.key, attempts: state.attempt, error: state.error });
        }
        Ok(summary)
    }

    /// Where completed tasks are, their result as value.
    pub fn done_tasks(&self) -> Result<Self> {
        self.use_namespace(&format!("tasks-done:{}", self.namespace()))
    }

    /// Where tasks are that were set aside, with their value.
    pub fn failed_tasks(&self) -> Result<Self> {
        self.use_namespace(&format!("tasks-failed:{}", self.namespace()))
    }

    async fn find_claim(&self, prefix: &str, options: ClaimOptions) -> Result<Option<Claim>> {
        expiry(Some(options.ttl))?;
        let give_up_at = self.now().saturating_add(options.wait);
        loop {
            let position = self.position().await?;
            match self.try_claim(prefix, options).await? {
                Found::Claim(claim) => return Ok(Some(*claim)),
                Found::Nothing(_) if self.now() >= give_up_at => return Ok(None),
                Found::Nothing(next) => {
                    self.wait_for_change(position, next.map_or(give_up_at, |next| next.min(give_up_at))).await?;
                }
            }
        }
    }

    async fn try_claim(&self, prefix: &str, options: ClaimOptions) -> Result<Found> {
        let (done, failed) = (self.done_tasks()?, self.failed_tasks()?);
        let mut next = None::<Timestamp>;
        let mut rows = Rows::new(self, prefix);
        while let Some(row) = rows.next().await? {
            let state = TaskState::of(&row);
            if let Readiness::At(moment) = state.readiness(self.now()) {
                next = Some(next.map_or(moment, |next| next.min(moment)));
            } else if done.current(&row.key).await?.is_some() {
                self.end_task(&row.key, row.version, None).await?;
            } else if options.max_attempts.is_some_and(|most| state.attempt >= most) {
                let error = state.error.clone().or_else(|| Some("the claim ended without a result".to_owned()));
                let state = TaskState { error, ..state };
                self.end_task(&row.key, row.version, Some((&failed, row.value.clone(), state))).await?;
            } else if let Some(claim) = self.claim_row(row, state, options.ttl).await? {
                return Ok(Found::Claim(Box::new(claim)));
            }
        }
        Ok(Found::Nothing(next))
    }

    /// `None` where somebody else was quicker.
    async fn claim_row(&self, row: Row, state: TaskState, ttl: Duration) -> Result<Option<Claim>> {
        let state = TaskState {
            attempt: state.attempt + 1,
            by: self.identity().agent().map(ToOwned::to_owned).or_else(|| Some(String::new())),
            until: Some(self.now().saturating_add(ttl).to_string()),
            not_before: None,
            error: state.error,
            token: None,
        };
        let write = self.state_write(&row.key, row.version, &state)?;
        let (key, value) = (row.key, row.value.unwrap_or_else(|| Json::from_trusted("null")));
        match self.apply_one(write).await {
            Ok(Outcome { version, .. }) => {
                Ok(Some(Claim { view: self.clone(), key, value, token: version, version, state }))
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn state_write(&self, key: &str, version: Version, state: &TaskState) -> Result<Write> {
        Ok(Write {
            address: self.checked_address(key)?,
            precondition: Precondition::Version(version),
            mutation: Mutation::Touch,
            metadata: Some(state.metadata()?),
            expiry: Expiry::Default,
        })
    }

    /// Takes a task out of the work, to another namespace if one is given; whether it still was as it was read.
    async fn end_task(
        &self,
        key: &str,
        version: Version,
        to: Option<(&DataStore, Option<Json>, TaskState)>,
    ) -> Result<bool> {
        let mut writes = vec![Write {
            address: self.checked_address(key)?,
            precondition: Precondition::Version(version),
            mutation: Mutation::Delete,
            metadata: None,
            expiry: Expiry::Default,
        }];
        if let Some((there, value, state)) = to {
            writes.push(Write {
                address: Address { namespace: Arc::from(there.namespace()), key: key.into() },
                precondition: Precondition::None,
                mutation: Mutation::Set(value.unwrap_or_else(|| Json::from_trusted("null"))),
                metadata: Some(state.metadata()?),
                expiry: Expiry::Default,
            });
        }
        // A task was let in when it was stored; it must not get stuck where it is.
        match self.clone().with_secrets_policy(SecretsPolicy::Allow).write(writes).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The records under a prefix in key order, read page by page. Locks are no tasks.
struct Rows<'a> {
    view: &'a DataStore,
    prefix: &'a str,
    read: std::vec::IntoIter<Row>,
    last: Option<Box<str>>,
    more: bool,
    page_rows: usize,
}

impl<'a> Rows<'a> {
    fn new(view: &'a DataStore, prefix: &'a str) -> Self {
        Self { view, prefix, read: Vec::new().into_iter(), last: None, more: true, page_rows: PAGE_ROWS[0] }
    }

    async fn next(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.read.next() {
                return Ok(Some(row));
            }
            match self.next_page().await? {
                Some(rows) => self.read = rows.into_iter(),
                None => return Ok(None),
            }
        }
    }

    async fn next_page(&mut self) -> Result<Option<Vec<Row>>> {
        if !self.more {
            return Ok(None);
        }
        let range = Range { prefix: self.prefix, after: self.last.as_deref() };
        let size = PageSize { rows: self.page_rows, bytes: PAGE_BYTES };
        let mut page = self.view.scan(range, View::Record, size).await?;
        self.page_rows = (2 * self.page_rows).min(PAGE_ROWS[1]);
        self.last = page.rows.last().map(|row| row.key.clone());
        self.more = page.more;
        page.rows.retain(|row| !row.key.starts_with("lock:"));
        Ok(Some(page.rows))
    }
}

impl TaskState {
    fn of(row: &Row) -> Self {
        let metadata = row.details.as_ref().map_or("{}", |details| details.metadata.as_str());
        #[derive(Deserialize)]
        struct Metadata<'a> {
            #[serde(borrow)]
            task: Option<&'a RawValue>,
        }
        // What somebody else has put there under the name of ours counts as nothing.
        let task = serde_json::from_str::<Metadata<'_>>(metadata).ok().and_then(|metadata| metadata.task);
        task.and_then(|task| serde_json::from_str(task.get()).ok()).unwrap_or_default()
    }

    fn metadata(&self) -> Result<Json> {
        let text = serde_json::to_string(&serde_json::json!({ "task": self }))
            .map_err(|error| Error::corrupt("the state of a task cannot be written").caused_by(error))?;
        Ok(Json::from_trusted(text))
    }

    fn readiness(&self, now: Timestamp) -> Readiness {
        let moment = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse);
        let claimed_until = self.by.as_ref().and(moment(&self.until));
        match claimed_until.max(moment(&self.not_before)) {
            Some(moment) if moment > now => Readiness::At(moment),
            _ => Readiness::Now,
        }
    }
}

impl Claim {
    /// The key of the task.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its value when it was claimed.
    pub fn value(&self) -> &Json {
        &self.value
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u64 {
        self.state.attempt
    }

    /// What tells this claim from others on the same task, for [`DataStore::claimed`]; the same however often it is renewed.
    pub fn token(&self) -> Version {
        self.token
    }

    /// When the task goes back to the others.
    pub fn until(&self) -> Option<Timestamp> {
        self.state.until.as_deref().and_then(Timestamp::parse)
    }

    /// Why the attempt before this one failed, if it said so.
    pub fn last_error(&self) -> Option<&str> {
        self.state.error.as_deref()
    }

    /// Keeps `result` in `tasks-done:{namespace}` and takes the task out of the work, in one step.
    ///
    /// # Errors
    /// `LeaseLost` where the time was over and another one has claimed it; nothing is stored then.
    pub async fn complete(self, result: Option<Json>) -> Result<()> {
        let done = self.view.done_tasks()?;
        let state = TaskState { until: None, error: None, token: None, ..self.state.clone() };
        let warnings = match &result {
            Some(result) => self.view.look_for_secrets_in(&done.checked_address(&self.key)?, "result", result)?,
            None => Vec::new(),
        };
        self.end(&done, result, state).await?;
        done.warn_of_secrets(&warnings);
        Ok(())
    }

    /// Gives the task back after a pause, or with `None` sets it aside in `tasks-failed:{namespace}` for good.
    ///
    /// # Errors
    /// `LeaseLost` as for [`Claim::complete`].
    pub async fn fail(self, error: &str, retry_in: Option<Duration>) -> Result<()> {
        let mut state = TaskState { error: Some(error.to_owned()), until: None, token: None, ..self.state.clone() };
        let view = self.view.clone();
        let warnings = view.look_for_secrets_in(&view.checked_address(&self.key)?, "error", &wire::string(error))?;
        match retry_in {
            Some(pause) => {
                state.by = None;
                state.not_before = Some(view.now().saturating_add(pause).to_string());
                self.put_state(&state).await?;
            }
            None => {
                let (failed, value) = (view.failed_tasks()?, self.value.clone());
                self.end(&failed, Some(value), state).await?;
            }
        }
        view.warn_of_secrets(&warnings);
        Ok(())
    }

    /// Gives the task back at once, as if it had not been claimed.
    ///
    /// # Errors
    /// `LeaseLost` as for [`Claim::complete`].
    pub async fn release(self) -> Result<()> {
        let attempt = self.state.attempt.saturating_sub(1);
        let state = TaskState { attempt, by: None, until: None, token: None, ..self.state.clone() };
        self.put_state(&state).await.map(drop)
    }

    /// Keeps the task for another `ttl` from now.
    ///
    /// # Errors
    /// `LeaseLost` as for [`Claim::complete`].
    pub async fn renew(&mut self, ttl: Duration) -> Result<()> {
        expiry(Some(ttl))?;
        let until = Some(self.view.now().saturating_add(ttl).to_string());
        let state = TaskState { until, token: Some(self.token), ..self.state.clone() };
        self.version = self.put_state(&state).await?;
        self.state = state;
        Ok(())
    }

    async fn put_state(&self, state: &TaskState) -> Result<Version> {
        let mut version = self.version;
        loop {
            match self.view.apply_one(self.view.state_write(&self.key, version, state)?).await {
                Ok(outcome) => return Ok(outcome.version),
                Err(error) if error.kind() == ErrorKind::Conflict => version = self.present_version().await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn end(self, there: &DataStore, value: Option<Json>, state: TaskState) -> Result<()> {
        let mut version = self.version;
        while !self.view.end_task(&self.key, version, Some((there, value.clone(), state.clone()))).await? {
            version = self.present_version().await?;
        }
        Ok(())
    }

    /// The version of the task as it is now, if our claim is still on it: whoever stores it again leaves that.
    ///
    /// # Errors
    /// `LeaseLost`.
    async fn present_version(&self) -> Result<Version> {
        let address = self.view.checked_address(&self.key)?;
        let row = self.view.read_rows(&[address], View::Record).await?.pop().flatten();
        row.filter(|row| TaskState::of(row) == self.state).map(|row| row.version).ok_or_else(|| self.lost())
    }

    fn lost(&self) -> Error {
        claim_lost(self.view.namespace(), &self.key)
    }
}

fn claim_lost(namespace: &str, key: &str) -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        format!("the claim on task {key:?} has ended and the task is no longer yours: drop what you have made"),
    )
    .at(namespace, key)
}
