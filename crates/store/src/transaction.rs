//! Reads and writes over several keys and namespaces, all or nothing.
//!
//! Optimistic: reads remember the versions that they saw, writes are kept back, and the commit is one batch that applies
//! only if every version is still there. Nothing is locked, so a transaction that is never committed disturbs nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use crate::atomic::AppendOptions;
use crate::clock::Timestamp;
use crate::data_store::{DataStore, SetOptions, expiry};
use crate::error::{Error, ErrorKind, Result, VersionMismatch};
use crate::json::Json;
use crate::model::{Address, Expiry, Mutation, Precondition, Version, View, Write};
use crate::mutation::{Effect, Present, apply};

/// How often [`DataStore::transact`] tries.
const ATTEMPTS: u32 = 64;
/// How long it waits at most before it tries again.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Up to so many records that were read are looked at again at each further read; that costs less than asking whether
/// anything has changed at all.
const LOOKED_AT_AGAIN: usize = 8;

/// A transaction on one namespace of a [`DataStore`]; [`Transaction::use_namespace`] reaches the others. Cheap to clone:
/// clones are the same transaction.
///
/// All reads see one state of the store, and the transaction's own writes. A read that would show another state fails
/// with `Conflict`, as does the commit if anything that was read has changed.
#[derive(Clone, Debug)]
pub struct Transaction {
    view: DataStore,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The versions seen, 0 for none.
    reads: IndexMap<Address, Seen>,
    /// While the change feed stands there, and until that moment, all that was read is as it was.
    unchanged_at: Option<Version>,
    unchanged_until: Option<Timestamp>,
    /// What is to be written, in order, and what that makes of each key.
    writes: Vec<Write>,
    written: HashMap<Address, Option<Seen>>,
    over: bool,
}

/// A record as the transaction sees it.
#[derive(Clone, Debug, Default)]
struct Seen {
    version: Version,
    value: Option<Json>,
    expires_at: Option<Timestamp>,
}

impl DataStore {
    /// Begins a transaction; end it with [`Transaction::commit`], or drop it to let it go.
    pub fn transaction(&self) -> Transaction {
        Transaction { view: self.clone(), state: Arc::default() }
    }

    /// Runs `function` in a transaction and commits it; again from the start where somebody else wrote in between.
    ///
    /// # Errors
    /// Whatever `function` fails with; `Conflict` after 64 attempts.
    pub async fn transact<R, E: From<Error>>(
        &self,
        mut function: impl AsyncFnMut(&Transaction) -> Result<R, E>,
        is_conflict: impl Fn(&E) -> bool,
    ) -> Result<R, E> {
        for attempt in 1.. {
            let begun_at = Instant::now();
            let transaction = self.transaction();
            let failure = match function(&transaction).await {
                Ok(result) => match transaction.commit().await {
                    Ok(()) => return Ok(result),
                    Err(error) if error.kind() == ErrorKind::Conflict => E::from(error),
                    Err(error) => return Err(error.into()),
                },
                Err(error) if is_conflict(&error) => error,
                Err(error) => return Err(error),
            };
            if attempt >= ATTEMPTS {
                return Err(failure);
            }
            back_off(attempt, begun_at.elapsed());
        }
        Err(Error::unavailable("the transaction was never tried").into())
    }
}

impl Transaction {
    /// The same transaction in another namespace.
    ///
    /// # Errors
    /// `InvalidArgument` unless the name is 1 to 512 bytes without NUL.
    pub fn use_namespace(&self, namespace: &str) -> Result<Self> {
        Ok(Self { view: self.view.use_namespace(namespace)?, state: Arc::clone(&self.state) })
    }

    /// The view of the store on which this was begun, or that [`Transaction::use_namespace`] has chosen.
    pub fn data_store(&self) -> &DataStore {
        &self.view
    }

    /// The value under `key`, or `None`, as of this transaction. Counts as a read.
    ///
    /// # Errors
    /// `Conflict` where something that was read before has changed since.
    pub async fn get(&self, key: &str) -> Result<Option<Json>> {
        let value = self.see(key).await?.value;
        if value.is_some() {
            self.view.count_reads([key]);
        }
        Ok(value)
    }

    /// Keeps `value` back for `key`. With `if_version`, that version must be there at the commit.
    ///
    /// # Errors
    /// As [`DataStore::set`], but a version that does not hold shows at the commit.
    pub fn set(&self, key: &str, value: Json, options: SetOptions) -> Result<()> {
        let precondition = options.if_version.map_or(Precondition::None, Precondition::Version);
        let write =
            self.write(key, Mutation::Set(value.clone()), options.metadata, expiry(options.ttl)?, precondition)?;
        let expires_at = options.ttl.map(|ttl| self.view.now().saturating_add(ttl));
        self.keep_back(write, Some(Seen { version: 0, value: Some(value), expires_at }))
    }

    /// Keeps back the removal of `key`; whether a live record is there, as of this transaction.
    ///
    /// # Errors
    /// `Conflict` as for [`Transaction::get`].
    pub async fn delete(&self, key: &str) -> Result<bool> {
        let existed = self.see(key).await?.value.is_some();
        let write = self.write(key, Mutation::Delete, None, Expiry::Default, Precondition::None)?;
        self.keep_back(write, None)?;
        Ok(existed)
    }

    /// As [`DataStore::increment`].
    ///
    /// # Errors
    /// As there, and `Conflict` as for [`Transaction::get`].
    pub async fn increment(&self, key: &str, by: Json, ttl: Option<Duration>) -> Result<Json> {
        self.change(key, Mutation::Increment(by), ttl).await
    }

    /// As [`DataStore::extend`].
    ///
    /// # Errors
    /// As there, and `Conflict` as for [`Transaction::get`].
    pub async fn extend(&self, key: &str, items: Json, options: AppendOptions) -> Result<u64> {
        let AppendOptions { unique, max_length, ttl } = options;
        let length = self.change(key, Mutation::Append { items, unique, max_length }, ttl).await?;
        length.as_str().parse().map_err(|_| Error::corrupt("a length came out that is no number"))
    }

    /// As [`DataStore::merge`].
    ///
    /// # Errors
    /// As there, and `Conflict` as for [`Transaction::get`].
    pub async fn merge(&self, key: &str, patch: Json, ttl: Option<Duration>) -> Result<Json> {
        self.change(key, Mutation::Merge(patch), ttl).await
    }

    /// Writes all that was kept back, if everything that was read is unchanged; the transaction is then over.
    ///
    /// # Errors
    /// `Conflict` names a key that has changed; nothing is stored then.
    pub async fn commit(&self) -> Result<()> {
        let writes = {
            let mut state = self.open_state()?;
            state.over = true;
            state.take_batch()
        };
        self.view.write(writes).await.map(drop)
    }

    /// Lets go of all that was kept back; the transaction is then over.
    pub fn roll_back(&self) {
        let mut state = self.state();
        *state = State { over: true, ..State::default() };
    }

    async fn change(&self, key: &str, mutation: Mutation, ttl: Option<Duration>) -> Result<Json> {
        let seen = self.see(key).await?;
        let write = self.write(key, mutation, None, expiry(ttl)?, Precondition::None)?;
        let present = seen.value.as_ref().map(|value| Present {
            version: seen.version,
            value: Some(value.as_str()),
            metadata: None,
            expires_at: seen.expires_at,
        });
        let Effect::Put(put) = apply(&write, present, self.view.now(), self.view.limits())? else {
            return Err(Error::corrupt("a change came to nothing"));
        };
        let seen = Seen { version: seen.version, value: put.value, expires_at: put.expires_at };
        self.keep_back(write, Some(seen))?;
        put.result.ok_or_else(|| Error::corrupt("a change gave no result"))
    }

    /// The record as of this transaction; remembered, so that the commit can tell whether it has changed.
    async fn see(&self, key: &str) -> Result<Seen> {
        let address = self.view.checked_address(key)?;
        {
            let state = self.open_state()?;
            if let Some(written) = state.written.get(&address) {
                return Ok(written.clone().unwrap_or_default());
            }
            if let Some(seen) = state.reads.get(&address) {
                return Ok(seen.clone());
            }
        }
        loop {
            let row = self.view.read_rows(std::slice::from_ref(&address), View::Value).await?.pop().flatten();
            let seen = row.map_or_else(Seen::default, |row| Seen {
                version: row.version,
                value: row.value,
                expires_at: row.expires_at,
            });
            // What was read before and is unchanged now was so at the moment between, at which the new key was read: all
            // reads show one state.
            if self.is_unchanged(&address, seen.version).await? {
                let mut state = self.open_state()?;
                state.unchanged_until = state.unchanged_until.into_iter().chain(seen.expires_at).min();
                state.reads.insert(address, seen.clone());
                return Ok(seen);
            }
        }
    }

    /// Fails if anything that was read before has changed; `false` where only what has just been read at `version` has.
    async fn is_unchanged(&self, address: &Address, version: Version) -> Result<bool> {
        let (reads, unchanged_at, unchanged_until) = {
            let state = self.open_state()?;
            (state.reads.len(), state.unchanged_at, state.unchanged_until)
        };
        if reads == 0 {
            return Ok(true);
        }
        let mut position = None;
        if reads >= LOOKED_AT_AGAIN {
            let (newest, settled) = self.view.newest().await?;
            position = Some(newest);
            if settled && position == unchanged_at && unchanged_until.is_none_or(|until| self.view.now() < until) {
                return Ok(true);
            }
        }
        let (mut addresses, expected): (Vec<Address>, Vec<Version>) = {
            let state = self.open_state()?;
            state.reads.iter().map(|(address, seen)| (address.clone(), seen.version)).unzip()
        };
        addresses.push(address.clone());
        let rows = self.view.read_rows(&addresses, View::Version).await?;
        let mut versions = rows.into_iter().map(|row| row.map_or(0, |row| row.version));
        for ((expected, actual), address) in expected.into_iter().zip(&mut versions).zip(&addresses) {
            if actual != expected {
                return Err(Error::conflict(&address.namespace, &address.key, VersionMismatch { expected, actual }));
            }
        }
        // At least as new as the position, so from there on both are what was read.
        if versions.next() != Some(version) {
            return Ok(false);
        }
        self.open_state()?.unchanged_at = position;
        Ok(true)
    }

    fn write(
        &self,
        key: &str,
        mutation: Mutation,
        metadata: Option<Json>,
        expiry: Expiry,
        precondition: Precondition,
    ) -> Result<Write> {
        let address = self.view.checked_address(key)?;
        let write = self.view.checked_write(Write { address, precondition, mutation, metadata, expiry })?;
        // At the line that brings it rather than at the commit, where warnings come.
        self.view.refuse_secrets(&write)?;
        Ok(write)
    }

    fn keep_back(&self, write: Write, seen: Option<Seen>) -> Result<()> {
        let mut state = self.open_state()?;
        self.view.limits().check_batch(state.writes.len() + 1)?;
        state.written.insert(write.address.clone(), seen);
        state.writes.push(write);
        Ok(())
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.over {
            return Err(Error::invalid("the transaction is over: begin another one"));
        }
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits a random moment that grows with the attempts, so that those who collide once do not do so for ever. It grows with
/// what an attempt takes, too: over a network, who is further away would always come too late. Not longer than some
/// attempts, so it is slept on the spot.
fn back_off(attempt: u32, attempt_took: Duration) {
    let longest = Duration::from_micros(100 << attempt.min(6)).max(attempt_took * attempt.min(8)).min(LONGEST_PAUSE);
    std::thread::sleep(longest.mul_f64(fastrand::f64()));
}

impl State {
    /// A check for each key that was only read, then the writes, each key's first one bound to the version that was read.
    fn take_batch(&mut self) -> Vec<Write> {
        let mut reads = std::mem::take(&mut self.reads);
        let mut writes = std::mem::take(&mut self.writes);
        for write in writes.iter_mut().filter(|write| write.precondition == Precondition::None) {
            if let Some(seen) = reads.swap_remove(&write.address) {
                write.precondition = Precondition::Version(seen.version);
            }
        }
        // First, so that they look at what is there before the writes.
        let checks = reads.into_iter().map(|(address, seen)| Write {
            address,
            precondition: Precondition::Version(seen.version),
            mutation: Mutation::Check,
            metadata: None,
            expiry: Expiry::Default,
        });
        checks.chain(writes).collect()
    }
}
