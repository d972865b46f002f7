//! The store file: is it ours, which version, and how it comes to be.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};

use super::connection::{BUSY_DEADLINE, abandon, connect_bare};
use super::failure::Failure;
use crate::error::{Error, Result};

/// "ADSt" in the header of every store file, at byte 68, so that `file` and others can tell it.
pub(super) const APPLICATION_ID: u32 = 0x4144_5374;

/// What SQLite's rollback journal adds to the name of its file.
const JOURNAL: &str = "-journal";

/// One script for each schema version, in order. Only ever added to.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema_2.sql")];

/// Makes sure that `path` is a store file of this version: creates it, migrates it, or says why not.
/// What is not ours, newer or damaged is left as it is. `already_open`: this process has the file open, so it is known to
/// be ours, and opening it beside SQLite would drop SQLite's locks (a POSIX rule: closing any descriptor drops them all).
/// `may_create`: whether a file is made where there is none.
pub(super) fn prepare(path: &Path, already_open: bool, may_create: bool) -> Result<()> {
    prepare_unnamed(path, already_open, may_create).map_err(|Failure(error)| {
        Error::new(error.kind(), format!("{}: {}", path.display(), error.message())).caused_by(error)
    })
}

fn prepare_unnamed(path: &Path, already_open: bool, may_create: bool) -> Result<(), Failure> {
    if !already_open {
        match inspect(path)? {
            Found::Nothing | Found::Empty if !may_create => {
                return Err(Error::invalid("there is no store here: correct the path").into());
            }
            Found::Nothing => create(path)?,
            Found::Empty | Found::Ours => {}
        }
    }
    let mut connection = connect_bare(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let prepared = migrate(&mut connection).and_then(|()| enter_wal_mode(&connection));
    if prepared.is_err() {
        // Its log may have told that it is newer, and is not folded up by a program that does not know what is in it.
        abandon(connection);
    }
    prepared
}

pub(super) enum Found {
    Nothing,
    Empty,
    Ours,
}

/// Looks at the header without SQLite, which would recover or checkpoint what may not be ours to touch.
pub(super) fn inspect(path: &Path) -> Result<Found> {
    let mut header = [0u8; 100];
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::invalid("this is not a file: give the path of a store file"));
    }
    if metadata.len() == 0 || was_empty(path) {
        return Ok(Found::Empty);
    }
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(foreign("it is no database")),
        Err(error) => return Err(unreadable(error)),
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(foreign("it is no SQLite database"));
    }
    if number(68) != APPLICATION_ID {
        return Err(foreign("it is the SQLite database of another program"));
    }
    check_version(u64::from(number(60)))?;
    // With a log beside it the file may rightly be shorter than its header says: somebody may be writing it just now. So its
    // length counts only as it is after that log is gone.
    let has_log = ["-wal", JOURNAL]
        .into_iter()
        .any(|ending| std::fs::metadata(beside(path, ending)).is_ok_and(|log| log.len() > 0));
    let length = file.metadata().map_err(unreadable)?.len();
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    if !has_log && length < u64::from(number(28)) * page_bytes {
        return Err(Error::corrupt("the store file has been cut short: restore it from a backup"));
    }
    Ok(Found::Ours)
}

/// Whether what is in the file is the beginning of its first transaction, which a loss of power has cut off: the journal beside
/// it then says that there were no pages before (<https://www.sqlite.org/fileformat2.html#the_rollback_journal>), and SQLite
/// goes back to that.
fn was_empty(path: &Path) -> bool {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let mut header = [0u8; 20];
    let read = File::open(beside(path, JOURNAL)).and_then(|mut journal| journal.read_exact(&mut header));
    read.is_ok() && header.starts_with(&MAGIC) && header[16..] == [0; 4]
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

fn unreadable(error: std::io::Error) -> Error {
    Error::unavailable(format!("the file cannot be read: {error}")).caused_by(error)
}

fn foreign(what: &str) -> Error {
    Error::corrupt(format!("this is not an agent data store, {what}: choose another path"))
}

fn check_version(version: u64) -> Result<()> {
    if version > MIGRATIONS.len() as u64 {
        return Err(Error::corrupt(format!(
            "the store file has schema version {version}, this program knows up to {}: use a newer version of it",
            MIGRATIONS.len()
        )));
    }
    Ok(())
}

/// Creates an empty file that only its owner may read: it holds a user's private data.
fn create(path: &Path) -> Result<()> {
    let mut options = File::options();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let created = options.open(path);
    created.map(drop).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::unavailable("its folder does not exist: create it first").caused_by(error),
        _ => Error::unavailable(format!("the file cannot be created: {error}")).caused_by(error),
    })
}

/// Brings the schema up to date; several processes may do so at once.
fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    if schema_version(connection)? == MIGRATIONS.len() as u64 {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Looked at again now that nobody else can change it.
    let version = schema_version(&transaction)?;
    for script in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as u64)?;
    Ok(transaction.commit()?)
}

fn schema_version(connection: &Connection) -> Result<u64, Failure> {
    let version: u64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: u64 = connection.query_row("SELECT count(*) FROM sqlite_master", (), |row| row.get(0))?;
    // Last: where another process creates the store meanwhile, whatever is there by now is ours.
    let application: u32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || objects != 0) {
        return Err(foreign("it is the SQLite database of another program").into());
    }
    check_version(version)?;
    Ok(version)
}

/// Returns the mode as it is afterwards. It is told before the change is committed, which may fail: so the statement is
/// taken to its end.
fn change_to_wal_mode(connection: &Connection) -> rusqlite::Result<String> {
    let mut statement = connection.prepare("PRAGMA journal_mode = wal")?;
    let mode = statement.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    mode.into_iter().next().ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// The mode is kept in the file, so this does something for a new file only.
fn enter_wal_mode(connection: &Connection) -> Result<(), Failure> {
    let give_up_at = Instant::now() + BUSY_DEADLINE;
    loop {
        // Changing the mode needs the file for oneself and does not call the busy handler.
        match change_to_wal_mode(connection) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                return Err(Error::unavailable(
                    "this file system cannot share memory between processes, which SQLite's write-ahead log needs: \
                     use a local disk",
                )
                .into());
            }
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && Instant::now() < give_up_at =>
            {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
