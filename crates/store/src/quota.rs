//! A user's share of a store.

use crate::error::{Error, ErrorKind, Result};

/// How much of a store one user's live records may take, over all namespaces; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Most live records.
    pub records: Option<u64>,
    /// Most bytes of the live records' keys, values and metadata, as UTF-8 JSON text.
    pub bytes: Option<u64>,
}

/// What a user's live records take, over all namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Live records.
    pub records: u64,
    /// Bytes of their keys, values and metadata.
    pub bytes: u64,
}

impl Quota {
    /// What keeps to both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let lower = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self { records: lower(self.records, other.records), bytes: lower(self.bytes, other.bytes) }
    }

    /// Whether it forbids anything.
    pub(crate) fn is_a_limit(self) -> bool {
        self.records.is_some() || self.bytes.is_some()
    }

    /// Whether a batch may stay that takes its user from `before` to `after`.
    ///
    /// # Errors
    /// `QuotaExceeded` where it makes grow what is then above the limit.
    pub fn check(&self, before: Usage, after: Usage) -> Result<()> {
        for (what, limit, before, after) in
            [("records", self.records, before.records, after.records), ("bytes", self.bytes, before.bytes, after.bytes)]
        {
            if let Some(limit) = limit.filter(|limit| after > before && after > *limit) {
                return Err(Error::new(
                    ErrorKind::QuotaExceeded,
                    format!(
                        "the user may have {limit} {what}, has {before} and would have {after}: \
                         delete what is no longer needed or have the quota raised"
                    ),
                ));
            }
        }
        Ok(())
    }
}
