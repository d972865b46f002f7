//! One call for what is otherwise read, changed and written back, with races.

use std::time::Duration;

use crate::data_store::{DataStore, SetOptions, expiry};
use crate::error::{Error, ErrorKind, Result};
use crate::json::Json;
use crate::model::{Expiry, Mutation, Outcome, Precondition, Version, Write};

/// What an `append` may say beyond key and items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// Leaves out items that the list already holds. Compared by value: member order and 1 against 1.0 do not count.
    pub unique: bool,
    /// Drops the oldest items above this length.
    pub max_length: Option<usize>,
    /// How long the record lives from now on; `None` leaves its expiry.
    pub ttl: Option<Duration>,
}

/// Each of these is atomic across threads, processes and machines, and counts as a write, not as a read.
impl DataStore {
    /// Adds the JSON number `by`; returns the new number. A missing key counts as 0. Integers of any size stay exact.
    ///
    /// # Errors
    /// `InvalidArgument` where either is not a number or the sum leaves the range of a 64-bit float.
    pub async fn increment(&self, key: &str, by: Json, ttl: Option<Duration>) -> Result<Json> {
        self.change("increment", key, Mutation::Increment(by), ttl).await
    }

    /// Appends the items of a JSON array; returns the new length. A missing key counts as an empty list.
    ///
    /// # Errors
    /// `InvalidArgument` where the stored value or `items` is not a list, `TooLarge` where the list outgrows the limit.
    pub async fn extend(&self, key: &str, items: Json, options: AppendOptions) -> Result<u64> {
        let AppendOptions { unique, max_length, ttl } = options;
        let length = self.change("extend", key, Mutation::Append { items, unique, max_length }, ttl).await?;
        length.as_str().parse().map_err(|_| Error::corrupt("the engine gave a length that is no number"))
    }

    /// Applies a JSON Merge Patch (RFC 7396); returns the new value. A missing key counts as absent.
    ///
    /// # Errors
    /// `TooLarge` where the value outgrows the limit.
    pub async fn merge(&self, key: &str, patch: Json, ttl: Option<Duration>) -> Result<Json> {
        self.change("merge", key, Mutation::Merge(patch), ttl).await
    }

    /// Has the record expire `ttl` from now, or never with `None`; whether there was a live one.
    pub async fn expire(&self, key: &str, ttl: Option<Duration>) -> Result<bool> {
        let expiry = match ttl {
            Some(_) => expiry(ttl),
            None => Ok(Expiry::Never),
        };
        Ok(self.write_traced("expire", key, Mutation::Touch, expiry).await?.existed)
    }

    /// Replaces the value by what `function` makes of it, given `None` where there is none; returns the new value and its
    /// version. Where somebody else writes in between, `function` runs again, on what they wrote. Without `ttl` an earlier
    /// expiry is removed, as `set` does.
    ///
    /// # Errors
    /// Whatever `function` fails with; nothing is stored then.
    pub async fn update<E: From<Error>>(
        &self,
        key: &str,
        ttl: Option<Duration>,
        mut function: impl AsyncFnMut(Option<&Json>) -> Result<Json, E>,
    ) -> Result<(Json, Version), E> {
        loop {
            let present = self.versioned(key).await?;
            let (value, version) = match &present {
                Some((value, version)) => (Some(value), *version),
                None => (None, 0),
            };
            let next = function(value).await?;
            let options = SetOptions { ttl, if_version: Some(version), ..SetOptions::default() };
            match self.set(key, next.clone(), options).await {
                // A conflict means that somebody else got on, so this cannot go round for nothing.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
                Ok(version) => return Ok((next, version)),
            }
        }
    }

    async fn change(&self, verb: &'static str, key: &str, mutation: Mutation, ttl: Option<Duration>) -> Result<Json> {
        let outcome = self.write_traced(verb, key, mutation, expiry(ttl)).await?;
        outcome.result.ok_or_else(|| Error::corrupt("the engine gave no result for a change"))
    }

    async fn write_traced(
        &self,
        verb: &'static str,
        key: &str,
        mutation: Mutation,
        expiry: Result<Expiry>,
    ) -> Result<Outcome> {
        let traced = self.trace(verb, key);
        let result = async {
            let write = Write {
                address: self.checked_address(key)?,
                precondition: Precondition::None,
                mutation,
                metadata: None,
                expiry: expiry?,
            };
            self.write_one(self.checked_write(write)?).await
        };
        traced.end(result.await, crate::trace::Seen::outcome)
    }
}
