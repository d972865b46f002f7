//! Waiting for values and following changes.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::data_store::DataStore;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::model::{Change, Changes, Version};

/// Beyond every position.
pub(crate) const NEVER: Version = i64::MAX as Version;

/// How many changes [`Follower`] reads at once.
const CHANGES_AT_ONCE: usize = 1_000;

impl DataStore {
    /// The user's changes in all namespaces after the position `since` (0: from the beginning), oldest first, at most
    /// `limit`. Every committed write, deletion, expiry and clear appears once; to go on, pass the last one's version.
    ///
    /// # Errors
    /// `InvalidArgument` for a position so old that changes after it are no longer kept (see
    /// [`Options::changes_kept`](crate::Options)).
    pub async fn changes(&self, since: Version, limit: usize) -> Result<Changes> {
        let traced = self.trace("changes", "");
        let result = async {
            let changes = self.kept_changes(since, limit).await?;
            if since < changes.complete_from {
                return Err(Error::invalid(format!(
                    "changes after position {since} are no longer all kept, only those after {}: read the records \
                     themselves, then follow from position {}",
                    changes.complete_from, changes.last
                )));
            }
            Ok(changes)
        };
        traced.end(result.await, |changes| crate::trace::Seen::count(changes.changes.len()))
    }

    /// The newest position of the change feed.
    pub async fn position(&self) -> Result<Version> {
        Ok(self.newest().await?.0)
    }

    /// The newest position, and whether it stands for everything that is committed.
    pub(crate) async fn newest(&self) -> Result<(Version, bool)> {
        let changes = self.kept_changes(NEVER, 0).await?;
        Ok((changes.last, changes.settled))
    }

    /// Waits until there are changes after `since`, at the latest for `timeout`; whether there are.
    pub async fn wait_for_changes(&self, since: Version, timeout: Duration) -> Result<bool> {
        let until = self.now().saturating_add(timeout);
        Ok(self.wait_for_change(since, until).await? > since)
    }

    /// Waits until `key` holds a value that `accepts` (any, if it always does), and returns it with its version; `None`
    /// when `timeout` is over. With `since_version`, only a record with a greater version counts. Each version that is met
    /// is judged once, whatever else changes meanwhile.
    pub async fn wait_for(
        &self,
        key: &str,
        timeout: Duration,
        since_version: Option<Version>,
        mut accepts: impl AsyncFnMut(&Json) -> Result<bool>,
    ) -> Result<Option<(Json, Version)>> {
        let until = self.now().saturating_add(timeout);
        let mut judged = since_version;
        loop {
            let position = self.position().await?;
            if let Some((value, version)) = self.versioned(key).await?
                && judged.is_none_or(|judged| version > judged)
            {
                if accepts(&value).await? {
                    self.count_reads([key]);
                    return Ok(Some((value, version)));
                }
                judged = Some(version);
            }
            if self.now() >= until {
                return Ok(None);
            }
            self.wait_for_change(position, until).await?;
        }
    }

    /// Follows the changes of this namespace whose key starts with `prefix`, from the position `since` on.
    pub fn follow(&self, prefix: &str, since: Version) -> Follower {
        Follower { view: self.clone(), prefix: prefix.to_owned(), position: since, found: Vec::new().into_iter() }
    }

    pub(crate) async fn wait_for_change(&self, since: Version, until: Timestamp) -> Result<Version> {
        self.check_open()?;
        self.engine().wait_for_change(self.identity().user(), since, until).await
    }
}

/// The changes of one namespace, as they come; see [`DataStore::follow`].
#[derive(Debug)]
pub struct Follower {
    view: DataStore,
    prefix: String,
    position: Version,
    found: std::vec::IntoIter<Change>,
}

impl Follower {
    /// The next change, waiting for it at most for `timeout`; `None` when that is over. A clear of the namespace is one
    /// change without a key.
    ///
    /// # Errors
    /// `InvalidArgument` where the follower has fallen so far behind that changes are missing.
    pub async fn next(&mut self, timeout: Duration) -> Result<Option<Change>> {
        let until = self.view.now().saturating_add(timeout);
        loop {
            for change in self.found.by_ref() {
                self.position = change.version;
                let is_here = *change.namespace == *self.view.namespace();
                if is_here && change.key.as_ref().is_none_or(|key| key.starts_with(&self.prefix)) {
                    return Ok(Some(change));
                }
            }
            self.found = self.view.changes(self.position, CHANGES_AT_ONCE).await?.changes.into_iter();
            if self.found.len() > 0 {
                continue;
            }
            if self.view.now() >= until {
                return Ok(None);
            }
            self.view.wait_for_change(self.position, until).await?;
        }
    }

    /// The position after the last change that [`Follower::next`] returned or passed over, to resume from.
    pub fn position(&self) -> Version {
        self.position
    }
}
