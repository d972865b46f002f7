//! Whole records on their way from one store into another: what [`crate::engine::Engine::import`] takes.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Address, Change, ChangeKind, Row, Version};

/// Records of one user that are taken over together or not at all.
#[derive(Clone, Debug)]
pub struct Import {
    /// The owner of all records.
    pub user: Arc<str>,
    /// Where they belong; each namespace at most once.
    pub namespaces: Vec<ImportedNamespace>,
    /// The newest change of the user in the store that the records come from.
    pub newest: Option<Change>,
    /// What must hold for any of it to be taken over.
    pub guard: Option<Guard>,
}

/// What becomes of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedNamespace {
    /// Its name.
    pub name: Arc<str>,
    /// Records as [`crate::model::View::Record`] shows them; each key at most once.
    pub records: Vec<Row>,
    /// Keys under which there is to be no record.
    pub gone: Vec<Box<str>>,
    /// Agents who have written or read here.
    pub agents: Vec<Box<str>>,
    /// When a record here was last written or deleted.
    pub updated_at: Timestamp,
}

/// A record, of whichever user, that must have a certain version: whoever writes it stops all imports under older ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The owner of the record.
    pub user: Arc<str>,
    /// The record.
    pub address: Address,
    /// Its version.
    pub version: Version,
}

impl Import {
    /// The change up to which the user's feed must have come afterwards: the newest of all that are known.
    pub fn newest_change(&self) -> Option<Change> {
        let of_record = |namespace: &ImportedNamespace, row: &Row| Change {
            version: row.version,
            kind: ChangeKind::Set,
            namespace: (&*namespace.name).into(),
            key: Some(row.key.clone()),
            agent: row.details.as_ref().and_then(|details| details.updated_by_agent.clone()),
            at: row.details.as_ref().map_or(namespace.updated_at, |details| details.updated_at),
        };
        let records =
            self.namespaces.iter().flat_map(|namespace| namespace.records.iter().map(move |row| (namespace, row)));
        let newest_record = records.max_by_key(|(_, row)| row.version);
        let newest_record = newest_record.map(|(namespace, row)| of_record(namespace, row));
        // Of two with the same version the source's own word counts.
        newest_record.into_iter().chain(self.newest.clone()).max_by_key(|change| change.version)
    }
}

impl Guard {
    /// Whether the record of this version is there.
    ///
    /// # Errors
    /// `Conflict` where `actual`, 0 for none, is another one.
    pub fn check(&self, actual: Version) -> Result<()> {
        if actual == self.version {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "another copy into this store has begun, and this one stops: let the other one go on, or end it and start again",
        ))
    }
}
