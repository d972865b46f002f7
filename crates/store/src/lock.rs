//! Locks for those who keep nothing of them but their token, such as the callers of a server between two requests. They are
//! the same locks as those of [`crate::lease`].

use std::time::Duration;

use crate::clock::Timestamp;
use crate::data_store::{DataStore, SetOptions, expiry};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{Holder, LockOptions, holder_value, lock_key, lost};
use crate::model::{Expiry, Mutation, Precondition, Version, Write};

/// A lock that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// The fencing token: greater than that of every earlier holder, and the same for as long as the lock is held.
    pub token: Version,
    /// When the lock ends unless renewed.
    pub expires_at: Timestamp,
}

impl DataStore {
    /// Takes the lock on `resource` for `ttl`, waiting for it at most for `wait`.
    ///
    /// # Errors
    /// `LeaseHeld` names the holder and when its lease ends.
    pub async fn acquire_lock(&self, resource: &str, ttl: Duration, wait: Duration) -> Result<HeldLock> {
        let traced = self.trace("lock", resource);
        let result = async {
            let options = LockOptions { ttl, wait, keep_alive: false, owner: None };
            let (_, token) = self.acquire(resource, options).await?;
            Ok(HeldLock { token, expires_at: self.now().saturating_add(ttl) })
        };
        traced.end(result.await, |_| crate::trace::Seen::default())
    }

    /// Holds the lock for another `ttl` from now; returns when it ends.
    ///
    /// # Errors
    /// `LeaseLost` where `token` is not that of its present holder.
    pub async fn renew_lock(&self, resource: &str, token: Version, ttl: Duration) -> Result<HeldLock> {
        expiry(Some(ttl))?;
        let key = lock_key(resource);
        loop {
            let (version, since) = self.held_by(resource, &key, token).await?;
            let now = self.now();
            let since = since.unwrap_or_else(|| now.to_string());
            let value = holder_value(self.identity().agent(), now, &since, Some(token));
            let options = SetOptions { ttl: Some(ttl), if_version: Some(version), ..SetOptions::default() };
            match self.put(&key, value, options).await {
                Ok(_) => return Ok(HeldLock { token, expires_at: now.saturating_add(ttl) }),
                // Lost, or renewed by another call: looking again tells.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// `LeaseLost` where `token` is not that of its present holder.
    pub async fn release_lock(&self, resource: &str, token: Version) -> Result<()> {
        let key = lock_key(resource);
        loop {
            let (version, _) = self.held_by(resource, &key, token).await?;
            let write = Write {
                address: self.checked_address(&key)?,
                precondition: Precondition::Version(version),
                mutation: Mutation::Delete,
                metadata: None,
                expiry: Expiry::Default,
            };
            match self.write_one(write).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The version of the lock's record and since when it is held, if it is held under this token.
    async fn held_by(&self, resource: &str, key: &str, token: Version) -> Result<(Version, Option<String>)> {
        let not_ours = || -> Error { lost(resource).at(self.namespace(), key) };
        let (value, version, _) = self.current(key).await?.ok_or_else(not_ours)?;
        let holder = Holder::parse(value.as_str());
        match version == token || holder.token == Some(token) {
            true => Ok((version, holder.since)),
            false => Err(not_ours()),
        }
    }
}
