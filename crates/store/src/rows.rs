//! Rows as the engine gives them, for faces that pass them on: names are checked here as for every verb, and nothing
//! counts as a read unless the caller says so.

use crate::data_store::DataStore;
use crate::error::Result;
use crate::limits::{check_agent, check_key, check_namespace};
use crate::model::{Access, Address, Changes, NamespaceStats, Page, PageSize, Range, Row, Version, View};

impl DataStore {
    /// The record under `key` as far as `view` asks for it.
    pub async fn read_row(&self, key: &str, view: View) -> Result<Option<Row>> {
        self.check_open()?;
        check_key(key)?;
        let row = self.engine().read_one(self.identity().user(), self.namespace(), key, view).await?;
        Ok(row.map(|row| Row { key: key.into(), ..row }))
    }

    /// Records of any of the user's namespaces, one entry for each address, in that order; one consistent snapshot.
    ///
    /// # Errors
    /// `TooLarge` for more than 100,000 addresses.
    pub async fn read_rows(&self, addresses: &[Address], view: View) -> Result<Vec<Option<Row>>> {
        self.check_open()?;
        self.limits().check_batch(addresses.len())?;
        addresses.iter().try_for_each(check_address)?;
        self.engine().read(self.identity().user(), addresses, view).await
    }

    /// A page of this namespace, in order of the keys.
    pub async fn scan(&self, range: Range<'_>, view: View, page: PageSize) -> Result<Page<Row>> {
        self.check_open()?;
        self.engine().scan(self.identity().user(), self.namespace(), range, view, page).await
    }

    /// A page of the statistics of the user's namespaces, in order of their names.
    pub async fn namespaces_page(&self, range: Range<'_>, page: PageSize) -> Result<Page<NamespaceStats>> {
        self.check_open()?;
        self.engine().namespaces(self.identity().user(), range, page).await
    }

    /// Counts a read, at this moment, of each of these records that are there. Without an agent nothing is counted.
    pub fn count_reads<'a>(&self, keys: impl IntoIterator<Item = &'a str>) {
        if let Some(reads) = self.access_buffer() {
            reads.record(keys, self.now());
        }
    }

    /// Counts reads that were gathered elsewhere, and waits until that is stored.
    ///
    /// # Errors
    /// `TooLarge` for more than 100,000 entries; `InvalidArgument` for those of another user.
    pub async fn record_access(&self, accesses: Vec<Access>) -> Result<()> {
        self.check_open()?;
        self.limits().check_batch(accesses.len())?;
        for Access { user, address, agent, .. } in &accesses {
            check_address(address)?;
            check_agent(agent)?;
            if **user != *self.identity().user() {
                return Err(crate::error::Error::invalid(
                    "these are reads of another user's records: send them as theirs",
                ));
            }
        }
        self.engine().record_access(accesses).await
    }

    /// What is kept of the change feed after `since`: as [`DataStore::changes`], but a position so old that changes after
    /// it are missing is the caller's to notice, by [`Changes::complete_from`].
    pub async fn kept_changes(&self, since: Version, limit: usize) -> Result<Changes> {
        self.check_open()?;
        self.engine().changes(self.identity().user(), since.min(crate::feed::NEVER), limit).await
    }
}

fn check_address(address: &Address) -> Result<()> {
    check_namespace(&address.namespace)?;
    check_key(&address.key)
}
