//! A cache in which one caller computes and the others wait for it.

use std::time::Duration;

use crate::data_store::{DataStore, expiry};
use crate::error::{Error, ErrorKind, Result};
use crate::json::Json;
use crate::lease::{Lease, LockOptions};
use crate::model::{Expiry, Mutation, Precondition, Write};

/// How long the others wait after the one that computes has died. While it lives, it renews its lease.
const COMPUTE_TTL: Duration = Duration::from_secs(10);

impl DataStore {
    /// The value under `key`; where there is none, what `function` makes, stored for `ttl`. Among all threads and processes
    /// only one runs its `function`, the others wait for its value; were it to die, another one takes over after 10 s.
    /// JSON `null` is a value like others.
    ///
    /// The one that computes holds the lock `compute:{key}`, so the key has at most 1,011 bytes.
    ///
    /// # Errors
    /// Whatever `function` fails with; nothing is stored then, and another caller computes.
    pub async fn get_or_compute<E: From<Error>>(
        &self,
        key: &str,
        ttl: Option<Duration>,
        function: impl AsyncFnOnce() -> Result<Json, E>,
    ) -> Result<Json, E> {
        // Before anything is computed that could not be stored.
        let expiry = expiry(ttl)?;
        let lease = loop {
            if let Some(value) = self.get(key).await? {
                return Ok(value);
            }
            let position = self.position().await?;
            let options = LockOptions { ttl: COMPUTE_TTL, ..LockOptions::default() };
            match self.lock(&format!("compute:{key}"), options).await {
                Ok(lease) => break lease,
                Err(error) if error.kind() == ErrorKind::LeaseHeld => {
                    let ends_at = error.lease_holder().and_then(|holder| holder.expires_at);
                    let ends_at = ends_at.unwrap_or_else(|| self.now().saturating_add(COMPUTE_TTL));
                    self.wait_for_change(position, ends_at).await?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        // Another one may have finished between the look and the lock.
        if let Some(value) = self.get(key).await? {
            lease.release().await?;
            return Ok(value);
        }
        let value = function().await?;
        self.store_computed(key, value.clone(), expiry, lease).await?;
        Ok(value)
    }

    /// Stores the value and releases the lease at once, if the lease still holds: a value that comes too late must not
    /// replace that of whoever took over.
    async fn store_computed(&self, key: &str, value: Json, expiry: Expiry, mut lease: Lease) -> Result<()> {
        lease.stop_renewing();
        let release = match lease.release_write() {
            Ok(release) => release,
            Err(error) if error.kind() == ErrorKind::LeaseLost => return Ok(()),
            Err(error) => return Err(error),
        };
        let set = Write {
            address: self.checked_address(key)?,
            precondition: Precondition::None,
            mutation: Mutation::Set(value),
            metadata: None,
            expiry,
        };
        match self.write(vec![release, set]).await {
            Ok(_) => lease.released(),
            Err(error) if error.kind() == ErrorKind::Conflict => lease.released(),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
