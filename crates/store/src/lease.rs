//! Locks that cannot be held for ever.
//!
//! A lease on a resource is the record `lock:{resource}` in the current namespace, with the holder in its value and an
//! expiry. Its shape is that of a lock written by hand, `{"agent", "acquired_at"}` with the local time of day, so that
//! those who still do that see ours, and we see theirs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use crate::blocking::block_on;
use crate::clock::Timestamp;
use crate::data_store::{DataStore, SetOptions, expiry};
use crate::error::{Error, ErrorKind, Result};
use crate::json::Json;
use crate::lock_queue::{LockQueue, Turn};
use crate::model::{Expiry, Mutation, Precondition, Version, Write};
use crate::wire;

/// How long a lock written by hand, which has no expiry, is taken to be held.
const HANDWRITTEN_TTL: Duration = Duration::from_secs(300);

/// How to take a lock.
#[derive(Clone, Copy, Debug)]
pub struct LockOptions {
    /// How long it is held unless renewed. Default 300 s.
    pub ttl: Duration,
    /// How long to wait for it; zero: not at all. Default zero.
    pub wait: Duration,
    /// Whether a thread renews it until it is released. Default `true`.
    pub keep_alive: bool,
    /// Who asks, within this process: asking for a lock that one holds oneself is refused rather than waited for. `None`
    /// for not to look.
    pub owner: Option<u64>,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { ttl: HANDWRITTEN_TTL, wait: Duration::ZERO, keep_alive: true, owner: None }
    }
}

/// Locks held by this process, with their owners.
#[derive(Debug, Default)]
pub(crate) struct HeldLocks(Mutex<HashMap<LockName, HeldLock>>);

type LockName = (Arc<str>, Arc<str>, Box<str>);

#[derive(Debug)]
struct HeldLock {
    /// Of which lease this is: one that was lost must not touch the entry of the next.
    token: Version,
    /// The version of the last renewal.
    version: Version,
    owner: u64,
}

/// A held lock; dropping it releases it.
pub struct Lease {
    state: Arc<State>,
    renewal: Option<Renewal>,
}

struct State {
    view: DataStore,
    resource: String,
    key: String,
    ttl: Duration,
    since: Timestamp,
    token: Version,
    /// The version of the last renewal; `None` once the lease is over.
    held: Mutex<Option<Version>>,
}

/// What is found in the place of a lock.
enum Found {
    /// Nothing, as version 0, or what was left by one who wrote it by hand.
    Free(Version),
    Held {
        agent: Option<String>,
        until: Option<Timestamp>,
        version: Version,
    },
}

impl DataStore {
    /// Takes the lock on `resource`, waiting for it if asked to. Those who wait get it in the order in which they asked;
    /// who does not wait takes it whenever it is free.
    ///
    /// # Errors
    /// `LeaseHeld` names the holder and when its lease ends; `InvalidArgument` where the same owner holds it already.
    pub async fn lock(&self, resource: &str, options: LockOptions) -> Result<Lease> {
        let traced = self.trace("lock", resource);
        let result = async {
            let (key, version) = self.acquire(resource, options).await?;
            self.lease(resource, key, version, options)
        };
        traced.end(result.await, |_| crate::trace::Seen::default())
    }

    /// The key of the lock's record, and its token.
    pub(crate) async fn acquire(&self, resource: &str, options: LockOptions) -> Result<(String, Version)> {
        let key = lock_key(resource);
        self.checked_address(&key)?;
        expiry(Some(options.ttl))?;
        let give_up_at = self.now().saturating_add(options.wait);
        let mut queue = if options.wait.is_zero() { None } else { LockQueue::at(self, resource) };
        loop {
            let position = self.position().await?;
            let found = self.find_lock(&key).await?;
            let now = self.now();
            let look_again_at = match found {
                Found::Free(version) => {
                    let turn = match &mut queue {
                        Some(queue) => queue.turn(now).await?,
                        None => Turn::default(),
                    };
                    if turn.left_until.is_none() || now >= give_up_at {
                        if let Some(version) = self.take(&key, version, options.ttl, turn.leaving).await? {
                            if let Some(queue) = &mut queue {
                                queue.left();
                            }
                            return Ok((key, version));
                        }
                        continue;
                    }
                    turn.left_until.unwrap_or(now)
                }
                Found::Held { agent, until, version } => {
                    queue.iter_mut().for_each(LockQueue::lock_is_held);
                    if options.owner.is_some() && self.held_locks().owner(self, &key, version) == options.owner {
                        return Err(Error::invalid(format!(
                            "lock {resource:?} is held by this very caller: locks are not re-entrant, release it first"
                        )));
                    }
                    if now >= give_up_at {
                        return Err(Error::lease_held(self.namespace(), &key, resource, agent, until));
                    }
                    until.unwrap_or(give_up_at)
                }
            };
            let mut wait_until = look_again_at.min(give_up_at);
            if let Some(queue) = &mut queue {
                wait_until = wait_until.min(queue.wait().await?);
            }
            self.wait_for_change(position, wait_until).await?;
        }
    }

    async fn find_lock(&self, key: &str) -> Result<Found> {
        let Some((value, version, expires_at)) = self.current(key).await? else { return Ok(Found::Free(0)) };
        let holder = Holder::parse(value.as_str());
        // Ours always have an expiry, at which they are gone.
        let until = expires_at.or_else(|| holder.acquired_at.map(|at| at.saturating_add(HANDWRITTEN_TTL)));
        if expires_at.is_none() && until.is_some_and(|until| until <= self.now()) {
            return Ok(Found::Free(version));
        }
        Ok(Found::Held { agent: holder.agent, until, version })
    }

    /// Writes the lock in the place of what was found there, together with `others`; `None` where somebody else was
    /// quicker.
    async fn take(&self, key: &str, found: Version, ttl: Duration, others: Vec<Write>) -> Result<Option<Version>> {
        let now = self.now();
        let lock = Write {
            address: self.checked_address(key)?,
            precondition: Precondition::Version(found),
            mutation: Mutation::Set(holder_value(self.identity().agent(), now, &now.to_string(), None)),
            metadata: None,
            expiry: Expiry::After(ttl),
        };
        let writes = std::iter::once(lock).chain(others).collect();
        match self.apply_brought(writes).await {
            Ok(outcomes) => Ok(outcomes.first().map(|outcome| outcome.version)),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lease(&self, resource: &str, key: String, version: Version, options: LockOptions) -> Result<Lease> {
        if let Some(owner) = options.owner {
            self.held_locks().add(self, &key, version, owner);
        }
        let state = Arc::new(State {
            view: self.clone(),
            resource: resource.to_owned(),
            key,
            ttl: options.ttl,
            since: self.now(),
            token: version,
            held: Mutex::new(Some(version)),
        });
        // From here on a failure releases the lock again.
        let mut lease = Lease { state, renewal: None };
        if options.keep_alive {
            lease.renewal = Some(Renewal::start(&lease.state)?);
        }
        Ok(lease)
    }
}

impl Lease {
    /// The fencing token: greater than that of every earlier holder of the lock. Have whatever the lock protects refuse
    /// smaller ones.
    pub fn token(&self) -> Version {
        self.state.token
    }

    /// What is locked.
    pub fn resource(&self) -> &str {
        &self.state.resource
    }

    /// Holds the lock for another `ttl` from now.
    ///
    /// # Errors
    /// `LeaseLost` where it had ended and somebody else has taken it or could have.
    pub async fn renew(&self) -> Result<()> {
        let state = Arc::clone(&self.state);
        state.renew()
    }

    /// Whether the lock is still held, as far as the last renewal could tell.
    pub fn is_held(&self) -> bool {
        self.state.held().is_some()
    }

    /// The write that releases the lock, for a batch that is to happen only while it is held; see [`Lease::released`].
    pub(crate) fn release_write(&self) -> Result<Write> {
        let version = (*self.state.held()).ok_or_else(|| self.state.lost())?;
        Ok(Write {
            address: self.state.view.checked_address(&self.state.key)?,
            precondition: Precondition::Version(version),
            mutation: Mutation::Delete,
            metadata: None,
            expiry: Expiry::Default,
        })
    }

    /// Stops renewing, so that the version in [`Lease::release_write`] stays what it is.
    pub(crate) fn stop_renewing(&mut self) {
        self.renewal = None;
    }

    /// Notes that a batch has released the lock.
    pub(crate) fn released(self) {
        *self.state.held() = None;
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// `LeaseLost` where it had ended before.
    pub async fn release(mut self) -> Result<()> {
        self.stop_renewing();
        self.state.release().await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal = None;
        self.state.view.held_locks().remove(&self.state.view, &self.state.key, self.state.token);
        if self.is_held() {
            // Where this fails the lease ends by itself.
            let _ = block_on(self.state.release());
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("resource", &self.state.resource)
            .field("token", &self.state.token)
            .finish_non_exhaustive()
    }
}

impl State {
    fn held(&self) -> MutexGuard<'_, Option<Version>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> Error {
        lost(&self.resource).at(self.view.namespace(), &self.key)
    }

    /// Holds its own mutex while it writes, so that two renewals do not take each other for a stranger.
    fn renew(&self) -> Result<()> {
        let mut held = self.held();
        let version = (*held).ok_or_else(|| self.lost())?;
        let (now, since) = (self.view.now(), self.since.to_string());
        let value = holder_value(self.view.identity().agent(), now, &since, Some(self.token));
        let options = SetOptions { ttl: Some(self.ttl), if_version: Some(version), ..SetOptions::default() };
        match block_on(self.view.put(&self.key, value, options)) {
            Ok(version) => {
                *held = Some(version);
                self.view.held_locks().renewed(&self.view, &self.key, self.token, version);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                *held = None;
                Err(self.lost())
            }
            Err(error) => Err(error),
        }
    }

    async fn release(&self) -> Result<()> {
        let version = self.held().take().ok_or_else(|| self.lost())?;
        let write = Write {
            address: self.view.checked_address(&self.key)?,
            precondition: Precondition::Version(version),
            mutation: Mutation::Delete,
            metadata: None,
            expiry: Expiry::Default,
        };
        match self.view.write_one(write).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Err(self.lost()),
            result => result.map(drop),
        }
    }
}

impl HeldLocks {
    fn locks(&self) -> MutexGuard<'_, HashMap<LockName, HeldLock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(view: &DataStore, key: &str) -> LockName {
        (view.identity().user().into(), view.namespace().into(), key.into())
    }

    fn owner(&self, view: &DataStore, key: &str, version: Version) -> Option<u64> {
        self.locks().get(&Self::name(view, key)).filter(|held| held.version == version).map(|held| held.owner)
    }

    fn add(&self, view: &DataStore, key: &str, token: Version, owner: u64) {
        self.locks().insert(Self::name(view, key), HeldLock { token, version: token, owner });
    }

    fn renewed(&self, view: &DataStore, key: &str, token: Version, version: Version) {
        if let Some(held) = self.locks().get_mut(&Self::name(view, key)).filter(|held| held.token == token) {
            held.version = version;
        }
    }

    fn remove(&self, view: &DataStore, key: &str, token: Version) {
        if let Entry::Occupied(entry) = self.locks().entry(Self::name(view, key))
            && entry.get().token == token
        {
            entry.remove();
        }
    }
}

/// The thread that renews a lease at every third of its time. Dropping it waits for a renewal under way, but not for the
/// thread's end, which takes longer than all else about a lock that is free.
struct Renewal(Arc<(Mutex<bool>, Condvar)>);

impl Renewal {
    fn start(state: &Arc<State>) -> Result<Self> {
        let signal: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let stopped = Arc::clone(&signal);
        let pause = state.ttl / 3;
        // The thread may live a moment longer than the lease, and the store must not live so long for it.
        let state = Arc::downgrade(state);
        let thread = std::thread::Builder::new().name("ads-lease".into()).spawn(move || {
            let (stop, changed) = &*stopped;
            let mut guard = stop.lock().unwrap_or_else(PoisonError::into_inner);
            while !*guard {
                (guard, _) =
                    changed.wait_timeout_while(guard, pause, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
                if *guard {
                    return;
                }
                // With the lock held, so that whoever stops this waits. A busy moment is no loss yet: it is tried again
                // while the lease lasts.
                let renewed = state.upgrade().map(|state| state.renew());
                if renewed.is_none_or(|renewed| renewed.is_err_and(|error| error.kind() == ErrorKind::LeaseLost)) {
                    return;
                }
            }
        });
        thread.map_err(|source| {
            Error::unavailable("the system refuses a thread to renew the lease: raise its limit").caused_by(source)
        })?;
        Ok(Self(signal))
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        let (stop, changed) = &*self.0;
        *stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }
}

pub(crate) fn lock_key(resource: &str) -> String {
    format!("lock:{resource}")
}

pub(crate) fn lost(resource: &str) -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        format!("the lease on {resource:?} has ended and is no longer yours: stop, or take the lock again"),
    )
}

/// Who holds a lock, as far as its record says.
#[derive(Default)]
pub(crate) struct Holder {
    agent: Option<String>,
    acquired_at: Option<Timestamp>,
    pub(crate) since: Option<String>,
    /// Of a lock that was renewed; before that its record's version is the token.
    pub(crate) token: Option<Version>,
}

impl Holder {
    pub(crate) fn parse(value: &str) -> Self {
        let Ok(members) = serde_json::from_str::<HashMap<String, &RawValue>>(value) else { return Self::default() };
        let text = |name| members.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        Self {
            agent: text("agent"),
            acquired_at: text("acquired_at").and_then(|at| Timestamp::parse_naive_local(&at)),
            since: text("since"),
            token: members.get("token").and_then(|token| token.get().parse().ok()),
        }
    }
}

/// `acquired_at` is that of the last renewal: hand-written locks take one that is older than five minutes for abandoned.
pub(crate) fn holder_value(agent: Option<&str>, renewed_at: Timestamp, since: &str, token: Option<Version>) -> Json {
    let object = wire::Object::with_capacity(128)
        .text("agent", agent)
        .text("acquired_at", &*renewed_at.to_naive_local())
        .text("since", since);
    match token {
        Some(token) => object.number("token", token).end(),
        None => object.end(),
    }
}
