//! Records that are taken over from another store.

use std::collections::BTreeMap;

use super::address::Ordering;
use super::begin::{Ask, Met, Transaction, begin};
use super::clear::forget_if_empty;
use super::connect::{Parameter, Round};
use super::failure::{Patience, Result, unreadable};
use super::plan::{Key, of_metadata, signed};
use super::rows::{DELETE, EMPTY, FORGET_ACCESSES, NEW_NAMESPACES};
use super::{Core, kind_to_number};
use crate::clock::Timestamp;
use crate::error::Result as StoreResult;
use crate::import::{Guard, Import, ImportedNamespace};
use crate::model::{Details, Row};

const GUARD: &str =
    "SELECT r.version FROM {t}namespaces n JOIN {t}records r ON r.user_id = n.user_id AND r.namespace_id = n.id
     WHERE n.user_id = $1 AND n.name = $2 AND r.key = $3 FOR SHARE OF r";

const IS_BEHIND: &str = "SELECT last_value < $1 FROM {t}versions";

/// Who alters a sequence is alone with it: nobody can have drawn a number in between that would then come again.
const ALONE_WITH_VERSIONS: &str = "ALTER SEQUENCE {t}versions NO CYCLE";
const RAISE_VERSIONS: &str = "SELECT setval('{t}versions', greatest(last_value, $1)) FROM {t}versions";

const PUT: &str = "INSERT INTO {t}records (user_id, namespace_id, key, version, birth, expires_at, created_at, updated_at,
         accessed_at, created_by, updated_by, accessed_by, metadata, value)
     SELECT $1, u.namespace_id, u.key, u.version, u.version, u.expires_at, u.created_at, u.updated_at, u.accessed_at,
         u.created_by, u.updated_by, u.accessed_by, u.metadata, u.value
     FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[],
         $10::text[], $11::text[], $12::text[], $13::text[]) u(namespace_id, key, version, expires_at, created_at, updated_at,
         accessed_at, created_by, updated_by, accessed_by, metadata, value)
     ON CONFLICT (user_id, namespace_id, key) DO UPDATE SET version = excluded.version, birth = excluded.birth,
         expires_at = excluded.expires_at, created_at = excluded.created_at, updated_at = excluded.updated_at,
         accessed_at = excluded.accessed_at, created_by = excluded.created_by, updated_by = excluded.updated_by,
         accessed_by = excluded.accessed_by, metadata = excluded.metadata, value = excluded.value";

const PUT_ACCESSES: &str = "INSERT INTO {t}accesses (user_id, namespace_id, key, birth, count, last_at, last_by)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[]) u";

const COUNT: &str = "INSERT INTO {t}counts AS c (user_id, namespace_id, slot, records, bytes, updated_at)
     SELECT $1, u.namespace_id, 0, u.records, u.bytes, u.updated_at
     FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) u(namespace_id, records, bytes, updated_at)
     ON CONFLICT (user_id, namespace_id, slot) DO UPDATE SET records = c.records + excluded.records,
         bytes = c.bytes + excluded.bytes, updated_at = greatest(c.updated_at, excluded.updated_at)";

const NOTE_AGENTS: &str = "INSERT INTO {t}agents (user_id, namespace_id, agent)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::text[]) u ON CONFLICT DO NOTHING";

/// The newest change is all that is left of a feed that is moved on.
const MOVE_ON: &str = "WITH newest AS (INSERT INTO {t}changes (user_id, version, kind, namespace, key, agent, at)
             SELECT $1, $2::bigint, $3::smallint, $4::text, $5::text, $6::text, $7::bigint
             WHERE NOT EXISTS (SELECT 1 FROM {t}changes WHERE user_id = $1 AND version >= $2::bigint) RETURNING version),
         gone AS (DELETE FROM {t}changes WHERE user_id = $1 AND version < (SELECT version FROM newest))
     INSERT INTO {t}feeds AS f (user_id, last_version, trimmed_to) SELECT $1, version, version - 1 FROM newest
     ON CONFLICT (user_id) DO UPDATE SET last_version = greatest(f.last_version, excluded.last_version),
         trimmed_to = greatest(f.trimmed_to, excluded.trimmed_to)";

/// The same import may be repeated, so it is where nobody knows whether it was committed.
pub(super) async fn import(core: &Core, import: Import) -> StoreResult<()> {
    let mut patience = Patience::new();
    loop {
        match try_import(core, &import).await {
            Ok(()) => return Ok(()),
            Err(failure) => patience.after(failure).await?,
        }
    }
}

async fn try_import(core: &Core, import: &Import) -> Result<()> {
    let newest = import.newest_change();
    if let Some(newest) = &newest {
        raise_versions(core, i64::try_from(newest.version)?).await?;
    }
    // By name and key, as everyone locks them.
    let mut namespaces: Vec<&ImportedNamespace> = import.namespaces.iter().collect();
    namespaces.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    let names: Vec<&str> = namespaces.iter().map(|namespace| &*namespace.name).collect();
    let mut cells = BTreeMap::new();
    for (index, namespace) in namespaces.iter().enumerate() {
        cells.extend(namespace.gone.iter().map(|key| ((index, &**key), None)));
        cells.extend(namespace.records.iter().map(|row| ((index, &*row.key), Some(row))));
    }
    let key = |(namespace, key): &(usize, &'_ str)| (*namespace, (*key).to_owned());
    let owned: Vec<(usize, String)> = cells.keys().map(key).collect();
    let keys: Vec<Key<'_>> =
        owned.iter().map(|(namespace, key)| Key { namespace: *namespace, key, reads_value: false }).collect();
    let ask = Ask {
        user: &import.user,
        namespaces: &names,
        alone: true,
        keys: &keys,
        skip_locked: false,
        request: None,
        with_usage: false,
        versions: 0,
    };
    let (transaction, met) = begin(&core.shared, core.connections.link().await?, &ask).await?;
    let rows: Vec<Option<&Row>> = cells.into_values().collect();
    match write(&transaction, import, &namespaces, &keys, &rows, met).await {
        Ok(empty) => {
            transaction.committed();
            core.changed(&import.user, 1);
            for namespace in empty {
                // Nothing hangs on it: what is left is forgotten another time.
                let _ = forget_if_empty(core, &import.user, &namespace).await;
            }
            Ok(())
        }
        Err(failure) => {
            transaction.rollback().await;
            Err(failure)
        }
    }
}

/// Has the sequence give nothing any more that is not above `version`.
async fn raise_versions(core: &Core, version: i64) -> Result<()> {
    if core.shared.ordering() == Ordering::Serial {
        return Ok(());
    }
    let link = core.connections.link().await?;
    if !link.query_one(IS_BEHIND, &[&version]).await?.try_get::<_, bool>(0)? {
        return Ok(());
    }
    let raised = async {
        link.execute("BEGIN").await?;
        link.execute(&link.tables().sql(ALONE_WITH_VERSIONS)).await?;
        link.query(RAISE_VERSIONS, &[&version]).await?;
        link.execute("COMMIT").await
    };
    let raised = raised.await;
    if raised.is_err() {
        link.discard();
    }
    raised
}

/// Columns of the records that are written.
#[derive(Default)]
struct Columns<'a> {
    namespace_ids: Vec<i64>,
    keys: Vec<&'a str>,
    versions: Vec<i64>,
    expires_at: Vec<Option<i64>>,
    created_at: Vec<i64>,
    updated_at: Vec<i64>,
    accessed_at: Vec<Option<i64>>,
    created_by: Vec<Option<&'a str>>,
    updated_by: Vec<Option<&'a str>>,
    accessed_by: Vec<Option<&'a str>>,
    metadata: Vec<Option<&'a str>>,
    values: Vec<&'a str>,
}

/// Columns of the counts of their reads.
#[derive(Default)]
struct Reads<'a> {
    namespace_ids: Vec<i64>,
    keys: Vec<&'a str>,
    births: Vec<i64>,
    counts: Vec<i64>,
    last_at: Vec<i64>,
    last_by: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, namespace: i64, row: &'a Row, details: &'a Details) -> Result<()> {
        self.namespace_ids.push(namespace);
        self.keys.push(&row.key);
        self.versions.push(i64::try_from(row.version)?);
        self.expires_at.push(row.expires_at.map(Timestamp::as_micros));
        self.created_at.push(details.created_at.as_micros());
        self.updated_at.push(details.updated_at.as_micros());
        self.accessed_at.push(details.last_accessed_at.map(Timestamp::as_micros));
        self.created_by.push(details.created_by_agent.as_deref());
        self.updated_by.push(details.updated_by_agent.as_deref());
        self.accessed_by.push(details.last_accessed_by_agent.as_deref());
        self.metadata.push(of_metadata(&details.metadata));
        self.values.push(row.value.as_ref().map_or("null", |value| value.as_str()));
        Ok(())
    }
}

impl<'a> Reads<'a> {
    fn push(&mut self, namespace: i64, row: &'a Row, details: &'a Details) -> Result<()> {
        self.namespace_ids.push(namespace);
        self.keys.push(&row.key);
        self.births.push(i64::try_from(row.version)?);
        self.counts.push(i64::try_from(details.access_count)?);
        self.last_at.push(details.last_accessed_at.unwrap_or(details.created_at).as_micros());
        self.last_by.push(details.last_accessed_by_agent.as_deref().unwrap_or_default());
        Ok(())
    }
}

/// What becomes of a namespace here.
struct Space<'a> {
    imported: &'a ImportedNamespace,
    id: i64,
    is_new: bool,
    records: i64,
    bytes: i64,
    /// Keys of which what is there goes, and of which the reads that were counted here go.
    gone: Vec<&'a str>,
    uncounted: Vec<&'a str>,
}

/// Writes everything and commits; returns the namespaces that may be empty then. `rows` has `None` for what is to be gone.
async fn write(
    transaction: &Transaction,
    import: &Import,
    namespaces: &[&ImportedNamespace],
    keys: &[Key<'_>],
    rows: &[Option<&Row>],
    met: Met,
) -> Result<Vec<String>> {
    let link = transaction.link()?;
    let user = &*import.user;
    if let Some(Guard { user, address, version: _ }) = &import.guard {
        let found = link.query(GUARD, &[&&**user, &&*address.namespace, &&*address.key]).await?;
        let version = found.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
        import.guard.as_ref().map_or(Ok(()), |guard| guard.check(version.cast_unsigned()))?;
    }
    let mut versions = met.versions.into_iter();
    let mut spaces = Vec::with_capacity(namespaces.len());
    for (imported, id) in namespaces.iter().zip(&met.ids) {
        // A version that was given to nothing else is as good an identity as any.
        let (id, is_new) = match id {
            Some(id) => (*id, false),
            None => (versions.next().ok_or_else(unreadable)?, true),
        };
        spaces.push(Space { imported, id, is_new, records: 0, bytes: 0, gone: Vec::new(), uncounted: Vec::new() });
    }
    let (mut columns, mut reads) = (Columns::default(), Reads::default());
    for ((key, row), found) in keys.iter().zip(rows).zip(&met.found) {
        let space = spaces.get_mut(key.namespace).ok_or_else(unreadable)?;
        let (records_before, bytes_before) = found.as_ref().map_or((0, 0), |found| (1, found.bytes(key.key)));
        match row {
            None => {
                space.gone.push(key.key);
                space.uncounted.push(key.key);
                space.records -= records_before;
                space.bytes -= bytes_before;
            }
            Some(row) if found.as_ref().is_some_and(|found| found.version > row.version) => {}
            Some(row) => {
                let (Some(value), Some(details)) = (&row.value, &row.details) else { continue };
                columns.push(space.id, row, details)?;
                if details.access_count > 0 {
                    reads.push(space.id, row, details)?;
                }
                if found.is_some() {
                    space.uncounted.push(key.key);
                }
                let metadata = of_metadata(&details.metadata).map_or(0, str::len);
                space.records += 1 - records_before;
                space.bytes += signed(row.key.len() + value.len() + metadata) - bytes_before;
            }
        }
    }
    // A namespace that would be made for nothing is not.
    spaces.retain(|space| !space.is_new || space.records > 0);
    send(transaction, user, import, &spaces, &columns, &reads).await
}

async fn send(
    transaction: &Transaction,
    user: &str,
    import: &Import,
    spaces: &[Space<'_>],
    columns: &Columns<'_>,
    reads: &Reads<'_>,
) -> Result<Vec<String>> {
    let new = || spaces.iter().filter(|space| space.is_new);
    let new_names: Vec<&str> = new().map(|space| &*space.imported.name).collect();
    let new_ids: Vec<i64> = new().map(|space| space.id).collect();
    let ids: Vec<i64> = spaces.iter().map(|space| space.id).collect();
    let records: Vec<i64> = spaces.iter().map(|space| space.records).collect();
    let bytes: Vec<i64> = spaces.iter().map(|space| space.bytes).collect();
    let updated_at: Vec<i64> = spaces.iter().map(|space| space.imported.updated_at.as_micros()).collect();
    let shrunk = || spaces.iter().filter(|space| space.records < 0);
    let shrunk_ids: Vec<i64> = shrunk().map(|space| space.id).collect();
    let shrunk_names: Vec<&str> = shrunk().map(|space| &*space.imported.name).collect();
    let (mut agent_ids, mut agents): (Vec<i64>, Vec<&str>) = (Vec::new(), Vec::new());
    for space in spaces {
        agent_ids.extend(space.imported.agents.iter().map(|_| space.id));
        agents.extend(space.imported.agents.iter().map(|agent| &**agent));
    }
    let newest = import.newest_change();
    let newest = newest.as_ref();
    let version = newest.map_or(0, |newest| newest.version.cast_signed());
    let kind = newest.map_or(0, |newest| kind_to_number(newest.kind));
    let namespace = newest.map_or("", |newest| &newest.namespace);
    let (key, agent) =
        (newest.and_then(|newest| newest.key.as_deref()), newest.and_then(|newest| newest.agent.as_deref()));
    let at = newest.map_or(0, |newest| newest.at.as_micros());

    let mut round = Round::new(transaction.link()?);
    for Space { id, gone, uncounted, .. } in spaces {
        if !gone.is_empty() {
            round.add(DELETE, vec![&user, id, gone]).await?;
        }
        if !uncounted.is_empty() {
            round.add(FORGET_ACCESSES, vec![&user, id, uncounted]).await?;
        }
    }
    if !new_ids.is_empty() {
        round.add(NEW_NAMESPACES, vec![&user, &new_names, &new_ids]).await?;
    }
    if !columns.keys.is_empty() {
        let Columns { namespace_ids, keys, versions, expires_at, created_at, .. } = columns;
        let Columns { updated_at, accessed_at, created_by, updated_by, accessed_by, metadata, values, .. } = columns;
        let parameters: Vec<Parameter<'_>> = vec![
            &user,
            namespace_ids,
            keys,
            versions,
            expires_at,
            created_at,
            updated_at,
            accessed_at,
            created_by,
            updated_by,
            accessed_by,
            metadata,
            values,
        ];
        round.add(PUT, parameters).await?;
    }
    if !reads.keys.is_empty() {
        let Reads { namespace_ids, keys, births, counts, last_at, last_by } = reads;
        round.add(PUT_ACCESSES, vec![&user, namespace_ids, keys, births, counts, last_at, last_by]).await?;
    }
    if !ids.is_empty() {
        round.add(COUNT, vec![&user, &ids, &records, &bytes, &updated_at]).await?;
    }
    if !agents.is_empty() {
        round.add(NOTE_AGENTS, vec![&user, &agent_ids, &agents]).await?;
    }
    if newest.is_some() {
        round.add(MOVE_ON, vec![&user, &version, &kind, &namespace, &key, &agent, &at]).await?;
    }
    if !shrunk_ids.is_empty() {
        round.add(EMPTY, vec![&user, &shrunk_ids, &shrunk_names]).await?;
    }
    let mut results = round.commit().await?;
    if shrunk_ids.is_empty() {
        return Ok(Vec::new());
    }
    results.pop().unwrap_or_default().iter().map(|row| Ok(row.try_get::<_, String>(0)?)).collect()
}
