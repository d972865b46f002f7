//! The tables of a store: whether they are ours, and making them. Any number of processes may do this at once.

use super::address::{Address, Ordering};
use super::connect::{Connections, Link};
use super::failure::{Failure, Patience, Result};
use super::tables::number_of;
use crate::error::Error;

/// The version of the tables that this program knows.
const VERSION: u32 = 1;

const SCHEMA: &str = include_str!("schema.sql");

/// Makes sure that the tables are there and how they are used.
///
/// # Errors
/// `InvalidArgument` where there are none and none may be made. `CorruptStore` for tables that are not ours or newer than this program; `InvalidArgument` where the URL asks for another
/// ordering than the store has; `PermissionDenied` where a right is missing.
pub(super) async fn prepare(connections: &Connections, address: &Address, may_create: bool) -> Result<Ordering, Error> {
    let mut patience = Patience::new();
    loop {
        match try_prepare(connections, address, may_create).await {
            Ok(ordering) => return Ok(ordering),
            Err(failure) => patience.after(failure).await?,
        }
    }
}

async fn try_prepare(connections: &Connections, address: &Address, may_create: bool) -> Result<Ordering> {
    let link = connections.link().await?;
    check_encoding(&link).await?;
    let ordering = match known(&link).await? {
        Some(ordering) => ordering,
        None if !may_create => {
            let Address { schema, prefix, .. } = address;
            return Err(Error::invalid(format!(
                "the database holds no store in the schema {schema} with the table prefix {prefix:?}: correct the store URL"
            ))
            .into());
        }
        None => {
            let made = make(&link, address).await;
            if made.is_err() {
                link.discard();
            }
            made?
        }
    };
    if let Some(asked) = address.ordering.filter(|asked| *asked != ordering) {
        return Err(Error::invalid(format!(
            "the store was made with ordering={}, not {}: leave it out of the store URL, or copy the store into a new one",
            name_of(ordering),
            name_of(asked)
        ))
        .into());
    }
    Ok(ordering)
}

async fn check_encoding(link: &Link) -> Result<()> {
    let row = link.query_one("SELECT current_setting('server_encoding')", &[]).await?;
    match row.try_get::<_, &str>(0)? {
        "UTF8" => Ok(()),
        _ => Err(Error::invalid("the database is not encoded in UTF8: make one with ENCODING 'UTF8'").into()),
    }
}

/// How the store in the tables is used; `None` where there are none yet.
async fn known(link: &Link) -> Result<Option<Ordering>> {
    let tables = link.tables();
    let (schema, meta) = (&tables.schema, format!("{}meta", tables.prefix));
    let found = link
        .query(
            "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = $2",
            &[schema, &meta],
        )
        .await?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut version = None;
    let mut ordering = None;
    for row in link.query("SELECT name, value FROM {t}meta", &[]).await? {
        match (row.try_get(0)?, row.try_get(1)?) {
            ("version", value) => version = str::parse::<u32>(value).ok(),
            ("ordering", "concurrent") => ordering = Some(Ordering::Concurrent),
            ("ordering", "serial") => ordering = Some(Ordering::Serial),
            _ => {}
        }
    }
    match (version, ordering) {
        (Some(VERSION), Some(ordering)) => Ok(Some(ordering)),
        (Some(newer), _) if newer > VERSION => Err(Error::corrupt(format!(
            "the store in the database has version {newer}, this program knows {VERSION}: use a newer program"
        ))
        .into()),
        _ => Err(Error::corrupt(format!(
            "the table {meta} in the schema {schema} is not that of an agent data store: choose another schema or \
             table_prefix in the store URL"
        ))
        .into()),
    }
}

async fn make(link: &Link, address: &Address) -> Result<Ordering> {
    let has_locks = has_advisory_locks(link).await?;
    let ordering = match (address.ordering, has_locks) {
        (Some(asked), _) => asked,
        (None, true) => Ordering::Concurrent,
        (None, false) => Ordering::Serial,
    };
    link.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    if has_locks {
        // One process makes the tables, the others wait. Where there are no such locks they fail at each other's names and
        // try again.
        let number = number_of(&["migration", &address.schema, &address.prefix]);
        link.execute(&format!("SELECT pg_advisory_xact_lock({number}, 0)")).await?;
        if let Some(ordering) = known(link).await? {
            link.execute("ROLLBACK").await?;
            return Ok(ordering);
        }
    }
    let made = make_tables(link, ordering).await;
    made.map_err(|failure| match failure {
        // Names that another process has just made, in each of the ways in which that is reported.
        Failure::Final(error) if !has_locks => Failure::Again(error),
        failure => failure,
    })?;
    link.execute("COMMIT").await?;
    Ok(ordering)
}

async fn make_tables(link: &Link, ordering: Ordering) -> Result<()> {
    let tables = link.tables();
    let schemas = link.query("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &[&tables.schema]).await?;
    if schemas.is_empty() {
        link.execute(&format!("CREATE SCHEMA \"{}\"", tables.schema)).await?;
    }
    let meta = format!(
        "CREATE TABLE {{t}}meta (name text COLLATE \"C\" PRIMARY KEY, value text NOT NULL);
         INSERT INTO {{t}}meta (name, value) VALUES ('version', '{VERSION}'), ('ordering', '{}');",
        name_of(ordering)
    );
    link.execute(&tables.sql(&meta)).await?;
    link.execute(&tables.sql(SCHEMA)).await?;
    // From its first use on the sequence shows what it gave last.
    link.execute(&tables.sql("SELECT nextval('{t}versions')")).await
}

/// Whether locks of our own are there and can be seen: some databases that speak the protocol accept them and do nothing.
async fn has_advisory_locks(link: &Link) -> Result<bool> {
    let probe = async {
        let number = number_of(&["probe"]);
        link.execute("BEGIN").await?;
        link.query("SELECT pg_advisory_xact_lock_shared($1, 1)", &[&number]).await?;
        let seen = link
            .query(
                "SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = $1::bigint::oid
                     AND objid = 1 AND pid = pg_backend_pid() AND mode = 'ShareLock' AND granted",
                &[&i64::from(number.cast_unsigned())],
            )
            .await?;
        Ok(!seen.is_empty())
    };
    let found: Result<bool> = probe.await;
    match found {
        Err(failure @ Failure::Lost(_)) => Err(failure),
        found => {
            link.execute("ROLLBACK").await?;
            Ok(found.unwrap_or(false))
        }
    }
}

fn name_of(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Concurrent => "concurrent",
        Ordering::Serial => "serial",
    }
}
