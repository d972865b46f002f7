//! A cache in which one caller computes and the others wait for it.

use std::time::Duration;

use crate::data_store::{DataStore, expiry};
use crate::error::{Error, ErrorKind, Result};
use crate::json::Json;
use crate::lease::{Lease, LockOptions};
use crate::model::{Expiry, Mutation, Precondition, Write};

/// How long the others wait after the one that computes has died. While it lives, it renews its lease.
const COMPUTE_TTL: Duration = Duration::from_secs(10);

/// How to compute a value. A time to live alone will do.
#[derive(Clone, Copy, Debug, Default)]
pub struct ComputeOptions {
    /// How long the value is kept. `None`, the default: until it is deleted.
    pub ttl: Option<Duration>,
    /// Who asks, within this process: a function that asks for the key that it computes is refused, where it would wait
    /// for itself for ever. `None`, the default, for not to look.
    pub owner: Option<u64>,
}

impl From<Option<Duration>> for ComputeOptions {
    fn from(ttl: Option<Duration>) -> Self {
        Self { ttl, ..Self::default() }
    }
}

impl DataStore {
    /// The value under `key`; where there is none, what `function` makes, stored for a time. Among all threads and
    /// processes only one runs its `function`, the others wait for its value; were it to die, another one takes over after
    /// 10 s. JSON `null` is a value like others.
    ///
    /// The one that computes holds the lock `compute:{key}`, so the key has at most 1,011 bytes.
    ///
    /// # Errors
    /// Whatever `function` fails with; nothing is stored then, and another caller computes. `InvalidArgument` where the
    /// same owner computes the key already.
    pub async fn get_or_compute<E: From<Error>>(
        &self,
        key: &str,
        options: impl Into<ComputeOptions>,
        function: impl AsyncFnOnce() -> Result<Json, E>,
    ) -> Result<Json, E> {
        let ComputeOptions { ttl, owner } = options.into();
        // Before anything is computed that could not be stored.
        let expiry = expiry(ttl)?;
        let lease = loop {
            if let Some(value) = self.get(key).await? {
                return Ok(value);
            }
            let position = self.position().await?;
            let options = LockOptions { ttl: COMPUTE_TTL, owner, ..LockOptions::default() };
            let resource = format!("compute:{key}");
            self.checked_address(&format!("lock:{resource}"))?;
            match self.lock(&resource, options).await {
                Ok(lease) => break lease,
                // The name is good, so it is the caller.
                Err(error) if error.kind() == ErrorKind::InvalidArgument && owner.is_some() => {
                    self.check_open()?;
                    let message =
                        format!("key {key:?} is being computed by this very caller: its function cannot ask for it");
                    return Err(Error::invalid(message).at(self.namespace(), key).into());
                }
                Err(error) if error.kind() == ErrorKind::LeaseHeld => {
                    // What was stored between the look and the position is no change after it.
                    if let Some(value) = self.get(key).await? {
                        return Ok(value);
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;
    use crate::data_store::Identity;
    use crate::store::{Options, Store};

    #[test]
    fn a_function_that_asks_for_the_key_it_computes_is_refused() {
        let store = block_on(Store::open("memory:", Options::default())).expect("memory");
        let view = store.data_store(Identity::new("u", None).expect("a name"), "notes").expect("a name");
        let mine = ComputeOptions { owner: Some(1), ..ComputeOptions::default() };
        let one = || Json::from_trusted("1");
        let outcome: Result<Json> = block_on(view.get_or_compute("a", mine, async || {
            let other = view.get_or_compute("b", mine, async || Ok::<_, Error>(one())).await?;
            assert_eq!(other, one());
            view.get_or_compute("a", mine, async || Ok(one())).await
        }));
        let error = outcome.expect_err("refused");
        assert_eq!((error.kind(), error.key()), (ErrorKind::InvalidArgument, Some("a")));
        assert!(error.message().contains("its function cannot ask"), "{error}");
        let again = block_on(view.get_or_compute("a", mine, async || Ok::<_, Error>(one())));
        assert_eq!(again.expect("nothing is left"), one());
    }
}
