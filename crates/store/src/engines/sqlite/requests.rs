//! Requests that were applied, kept so that a repeat is not applied again. All runs inside a write transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::failure::Result;
use super::read::read_one;
use crate::clock::Timestamp;
use crate::model::{Address, Batch, Outcome, View};
use crate::request::{Applied, Request, cleared_from_text, outcomes_from_text};

/// The outcomes of `batch` if it was applied before.
pub(super) fn recall_batch(
    connection: &Connection,
    batch: &Batch,
    request: &Request,
    now: Timestamp,
) -> Result<Option<Vec<Outcome>>> {
    let user = &*batch.user;
    let Some(text) = recall(connection, user, request, now)? else { return Ok(None) };
    let value_at = |Address { namespace, key }: &Address| -> Result<_> {
        let row = read_one(connection, user, namespace, key, View::Value, now)?;
        Ok(row.and_then(|row| row.value))
    };
    outcomes_from_text(&text, &batch.writes, value_at).map(Some)
}

/// How many records the clear removed if it was applied before.
pub(super) fn recall_clear(
    connection: &Connection,
    user: &str,
    request: &Request,
    now: Timestamp,
) -> Result<Option<u64>> {
    Ok(recall(connection, user, request, now)?.map(|text| cleared_from_text(&text)).transpose()?)
}

fn recall(connection: &Connection, user: &str, request: &Request, now: Timestamp) -> Result<Option<Box<str>>> {
    let found = connection
        .prepare_cached("SELECT content, outcome, expires_at FROM requests WHERE user = ?1 AND id = ?2")?
        .query_row(params![user, request.id.as_str()], |row| {
            Ok(Applied { content: row.get(0)?, outcome: row.get(1)?, expires_at: Timestamp::from_micros(row.get(2)?) })
        })
        .optional()?;
    Ok(found.map_or(Ok(None), |applied| request.recall(applied, now))?)
}

pub(super) fn keep(
    connection: &Connection,
    user: &str,
    request: &Request,
    outcome: String,
    now: Timestamp,
) -> Result<()> {
    let Applied { content, outcome, expires_at } = request.applied(outcome, now);
    // Replaced is one whose time is over: the new row then comes last, as its time does.
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO requests (user, id, content, outcome, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![user, request.id.as_str(), content, outcome, expires_at.as_micros()])?;
    Ok(())
}

/// Removes a few of those whose time is over, the oldest first.
pub(super) fn sweep(connection: &Connection, now: Timestamp, rows: usize, bytes: i64) -> Result<()> {
    let oldest = connection
        .prepare_cached("SELECT number, expires_at, octet_length(outcome) FROM requests ORDER BY number LIMIT ?1")?
        .query_map([rows], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<Vec<(i64, i64, i64)>, _>>()?;
    let mut budget = bytes;
    for (number, expires_at, bytes) in oldest {
        if expires_at > now.as_micros() || budget <= 0 {
            break;
        }
        connection.prepare_cached("DELETE FROM requests WHERE number = ?1")?.execute([number])?;
        budget -= bytes;
    }
    Ok(())
}
