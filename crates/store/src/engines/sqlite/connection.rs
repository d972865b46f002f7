//! One SQLite connection, set up our way.

use std::ffi::CStr;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Durability;
use super::failure::Result;
use super::log_vfs;

/// How long a writer waits for other processes before it gives up.
pub(super) const BUSY_DEADLINE: Duration = Duration::from_secs(30);

/// SQLite's own back-off sleeps up to 100 ms and so starves whoever waits; short sleeps keep processes even.
const BUSY_SLEEP_MICROS: std::ops::Range<u64> = 25..75;

const STATEMENTS_CACHED: usize = 64;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    Writer(Durability),
    Checkpointer,
}

/// Opens an existing store file.
pub(super) fn connect(path: &Path, role: Role) -> Result<Connection> {
    let vfs = if matches!(role, Role::Writer(_)) { log_vfs::name() } else { None };
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, vfs)?;
    let (pragmas, deadline) = match role {
        Role::Reader => ("PRAGMA query_only = ON", BUSY_DEADLINE),
        Role::Writer(Durability::Full) => ("PRAGMA synchronous = FULL", BUSY_DEADLINE),
        Role::Writer(Durability::Relaxed) => ("PRAGMA synchronous = NORMAL", BUSY_DEADLINE),
        // It holds the write lock while it waits for readers, so it must not wait for long.
        Role::Checkpointer => ("PRAGMA synchronous = FULL", Duration::from_millis(10)),
    };
    set_busy_deadline(&mut connection, deadline)?;
    connection.execute_batch(pragmas)?;
    // Checkpoints run on a thread of their own, never inside somebody's write.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096")?;
    Ok(connection)
}

/// Opens a file that is not known to be a store.
pub(super) fn connect_bare(path: &Path, flags: OpenFlags) -> Result<Connection> {
    open(path, flags, None)
}

fn open(path: &Path, flags: OpenFlags, vfs: Option<&CStr>) -> Result<Connection> {
    // The engine hands a connection to one thread at a time, so SQLite's own mutexes are not needed.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    set_busy_deadline(&mut connection, BUSY_DEADLINE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Relations between tables are kept by the engine; checking them again would slow down every write.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    // Without this, SQLite plans a statement anew for every value bound to it: 8 us for a read of 2 us.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn set_busy_deadline(connection: &mut Connection, deadline: Duration) -> Result<()> {
    let mut give_up_at = Instant::now();
    let handler = move |tries: i32| {
        let now = Instant::now();
        if tries == 0 {
            give_up_at = now + deadline;
        }
        if now >= give_up_at {
            return false;
        }
        std::thread::sleep(Duration::from_micros(fastrand::u64(BUSY_SLEEP_MICROS)));
        true
    };
    Ok(connection.busy_handler(Some(handler))?)
}

/// Closes a connection without touching the database file: for one whose locks are no longer to be trusted.
pub(super) fn abandon(connection: Connection) {
    // Where this fails the connection is broken anyway and will not checkpoint either.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(connection);
}
