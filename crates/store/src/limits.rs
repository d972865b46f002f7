//! Every limit, and the checks of names, in one place.

use crate::error::{Error, Result};

/// Longest key, in bytes of UTF-8.
pub const KEY_BYTES: usize = 1_024;
/// Longest namespace name, in bytes of UTF-8.
pub const NAMESPACE_BYTES: usize = 512;
/// Longest user or agent name, in bytes of UTF-8.
pub const IDENTITY_BYTES: usize = 256;
/// Users whose names start with this are the store's own, for what belongs to no one's data: nobody acts for them.
pub const RESERVED_USERS: &str = "ads:";
/// Longest request id, in bytes of UTF-8.
pub const REQUEST_ID_BYTES: usize = 256;

/// The limits that an opener may change. Names have fixed limits: [`KEY_BYTES`], [`NAMESPACE_BYTES`], [`IDENTITY_BYTES`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Largest value, in bytes of JSON text. Default 16 MiB.
    pub value_bytes: usize,
    /// Largest metadata object after merging, in bytes of JSON text. Default 64 KiB.
    pub metadata_bytes: usize,
    /// Deepest nesting of arrays and objects in a value. Default 128.
    pub depth: usize,
    /// Most writes (or keys read) in one batch. Default 100,000.
    pub batch_writes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { value_bytes: 16 << 20, metadata_bytes: 64 << 10, depth: 128, batch_writes: 100_000 }
    }
}

impl Limits {
    pub(crate) fn check_batch(&self, writes: usize) -> Result<()> {
        if writes > self.batch_writes {
            return Err(Error::too_large(format!(
                "batch of {writes} entries is over the limit of {}: split it",
                self.batch_writes
            )));
        }
        Ok(())
    }

    pub(crate) fn check_value_size(&self, bytes: usize) -> Result<()> {
        if bytes > self.value_bytes {
            return Err(Error::too_large(format!(
                "value of {bytes} bytes is over the limit of {} bytes: split it over several keys or store a reference",
                self.value_bytes
            )));
        }
        Ok(())
    }

    pub(crate) fn check_metadata_size(&self, bytes: usize) -> Result<()> {
        if bytes > self.metadata_bytes {
            return Err(Error::too_large(format!(
                "metadata of {bytes} bytes is over the limit of {} bytes: keep large data in the value",
                self.metadata_bytes
            )));
        }
        Ok(())
    }
}

/// Checks a key: 1 to 1,024 bytes of UTF-8, no NUL.
pub fn check_key(key: &str) -> Result<()> {
    check_name("key", key, KEY_BYTES)
}

/// Checks a namespace name: 1 to 512 bytes of UTF-8, no NUL.
pub fn check_namespace(namespace: &str) -> Result<()> {
    check_name("namespace", namespace, NAMESPACE_BYTES)
}

/// Checks a user name: 1 to 256 bytes of UTF-8, no NUL, and none of [`RESERVED_USERS`].
pub fn check_user(user: &str) -> Result<()> {
    check_name("user", user, IDENTITY_BYTES)?;
    if user.starts_with(RESERVED_USERS) {
        return Err(Error::invalid(format!(
            "user {user:?} is one of the store's own, which start with {RESERVED_USERS}: choose another name"
        )));
    }
    Ok(())
}

/// Checks an agent name: 1 to 256 bytes of UTF-8, no NUL.
pub fn check_agent(agent: &str) -> Result<()> {
    check_name("agent", agent, IDENTITY_BYTES)
}

/// Checks a request id: 1 to 256 bytes of UTF-8, no NUL.
pub fn check_request_id(id: &str) -> Result<()> {
    check_name("request id", id, REQUEST_ID_BYTES)
}

#[inline]
fn check_name(what: &str, name: &str, limit: usize) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("{what} is empty: give it at least one character")));
    }
    if name.len() > limit {
        return Err(Error::invalid(format!(
            "{what} of {} bytes is over the limit of {limit} bytes: shorten it or use its hash",
            name.len()
        )));
    }
    if name.as_bytes().contains(&0) {
        return Err(Error::invalid(format!("{what} {name:?} holds a NUL character: remove it")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_one_of_the_users_of_the_store_itself() {
        for user in ["ads:", "ads:tokens", "ads:anything"] {
            assert!(check_user(user).is_err_and(|error| error.message().contains("the store's own")), "{user}");
        }
        for user in ["ads", "Ads:tokens", " ads:tokens", "xads:tokens"] {
            assert!(check_user(user).is_ok(), "{user}");
        }
        assert!(check_agent("ads:tokens").is_ok() && check_namespace("ads:tokens").is_ok());
    }
}
