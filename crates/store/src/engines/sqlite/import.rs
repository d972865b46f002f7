//! Records that are taken over from another store. Runs inside a transaction that [`super::writer`] has begun.

use rusqlite::{Connection, OptionalExtension, params};

use super::agents::note_agent;
use super::failure::Result;
use super::read::last_version;
use super::write::{delete_record, forget_namespace, is_empty, record_bytes, signed};
use crate::clock::Timestamp;
use crate::import::{Guard, Import, ImportedNamespace};
use crate::json::Json;
use crate::model::{Change, Details, Row, Version};

/// Fails before anything is changed, but for the storage.
pub(super) fn import(connection: &Connection, import: &Import) -> Result<()> {
    if let Some(guard) = &import.guard {
        check(connection, guard)?;
    }
    for namespace in &import.namespaces {
        take_over(connection, &import.user, namespace)?;
    }
    import.newest_change().map_or(Ok(()), |newest| move_on_to(connection, &import.user, &newest))
}

fn check(connection: &Connection, guard: &Guard) -> Result<()> {
    let version: Option<Version> = connection
        .prepare_cached(
            "SELECT r.version FROM namespaces n JOIN records r ON r.namespace_id = n.id
             WHERE n.user = ?1 AND n.name = ?2 AND r.key = ?3",
        )?
        .query_row(params![&*guard.user, &*guard.address.namespace, &*guard.address.key], |row| row.get(0))
        .optional()?;
    Ok(guard.check(version.unwrap_or(0))?)
}

fn take_over(connection: &Connection, user: &str, namespace: &ImportedNamespace) -> Result<()> {
    let ImportedNamespace { name, records, gone, agents, updated_at } = namespace;
    let id: Option<i64> = connection
        .prepare_cached("SELECT id FROM namespaces WHERE user = ?1 AND name = ?2")?
        .query_row(params![user, &**name], |row| row.get(0))
        .optional()?;
    let id = match id {
        Some(id) => id,
        None if records.is_empty() => return Ok(()),
        None => {
            connection
                .prepare_cached(
                    "INSERT INTO namespaces (user, name, records, bytes, updated_at) VALUES (?1, ?2, 0, 0, ?3)",
                )?
                .execute(params![user, &**name, updated_at.as_micros()])?;
            connection.last_insert_rowid()
        }
    };
    let mut grown = (0i64, 0i64);
    for key in gone {
        if let Some(found) = find(connection, id, key)? {
            delete_record(connection, found.id)?;
            grown = (grown.0 - 1, grown.1 - found.bytes);
        }
    }
    for row in records {
        let found = find(connection, id, &row.key)?;
        if found.as_ref().is_some_and(|found| found.version > row.version) {
            continue;
        }
        let (Some(value), Some(details)) = (&row.value, &row.details) else { continue };
        let before = found.as_ref().map_or((0, 0), |found| (1, found.bytes));
        let bytes = put(connection, id, found.as_ref(), row, value, details)?;
        grown = (grown.0 + 1 - before.0, grown.1 + bytes - before.1);
    }
    connection
        .prepare_cached(
            "UPDATE namespaces SET records = records + ?2, bytes = bytes + ?3, updated_at = max(updated_at, ?4) WHERE id = ?1",
        )?
        .execute(params![id, grown.0, grown.1, updated_at.as_micros()])?;
    if is_empty(connection, id)? {
        return forget_namespace(connection, id);
    }
    agents.iter().try_for_each(|agent| note_agent(connection, id, agent).map(drop))
}

/// A row that is there, live or expired.
struct Found {
    id: i64,
    version: Version,
    bytes: i64,
}

fn find(connection: &Connection, namespace: i64, key: &str) -> Result<Option<Found>> {
    Ok(connection
        .prepare_cached(concat!(
            "SELECT id, version, ",
            record_bytes!(),
            " FROM records WHERE namespace_id = ?1 AND key = ?2"
        ))?
        .query_row(params![namespace, key], |row| {
            Ok(Found { id: row.get(0)?, version: row.get(1)?, bytes: row.get(2)? })
        })
        .optional()?)
}

/// Writes a record as it is; returns its bytes as namespaces count them.
fn put(
    connection: &Connection,
    namespace: i64,
    found: Option<&Found>,
    row: &Row,
    value: &Json,
    details: &Details,
) -> Result<i64> {
    let metadata = Some(details.metadata.as_str()).filter(|metadata| *metadata != "{}");
    connection
        .prepare_cached(
            "INSERT INTO records (namespace_id, key, version, expires_at, created_at, updated_at, accessed_at,
                 created_by, updated_by, accessed_by, metadata, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (namespace_id, key) DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at,
                 created_at = excluded.created_at, updated_at = excluded.updated_at, accessed_at = excluded.accessed_at,
                 created_by = excluded.created_by, updated_by = excluded.updated_by, accessed_by = excluded.accessed_by,
                 metadata = excluded.metadata, value = excluded.value",
        )?
        .execute(params![
            namespace,
            &*row.key,
            row.version,
            row.expires_at.map(Timestamp::as_micros),
            details.created_at.as_micros(),
            details.updated_at.as_micros(),
            details.last_accessed_at.map(Timestamp::as_micros),
            details.created_by_agent.as_deref(),
            details.updated_by_agent.as_deref(),
            details.last_accessed_by_agent.as_deref(),
            metadata,
            value.as_str()
        ])?;
    let id = found.map_or_else(|| connection.last_insert_rowid(), |found| found.id);
    if details.access_count > 0 {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO accesses (record_id, count, last_at, last_by) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                id,
                details.access_count,
                details.last_accessed_at.unwrap_or(details.created_at).as_micros(),
                details.last_accessed_by_agent.as_deref().unwrap_or_default()
            ])?;
    } else if found.is_some() {
        connection.prepare_cached("DELETE FROM accesses WHERE record_id = ?1")?.execute([id])?;
    }
    Ok(signed(row.key.len() + value.len() + metadata.map_or(0, str::len)))
}

/// Moves the user's feed on to a change of another store, of which nothing that came before is known here.
fn move_on_to(connection: &Connection, user: &str, newest: &Change) -> Result<()> {
    if newest.version <= last_version(connection, user)? {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO changes (user, version, kind, namespace, key, agent, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            user,
            newest.version,
            super::kind_to_number(newest.kind),
            &*newest.namespace,
            newest.key.as_deref(),
            newest.agent.as_deref(),
            newest.at.as_micros()
        ])?;
    connection
        .prepare_cached("DELETE FROM changes WHERE user = ?1 AND version < ?2")?
        .execute(params![user, newest.version])?;
    Ok(())
}
