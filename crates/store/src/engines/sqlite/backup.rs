//! A store file written from another one, page by page, and put in the place of what was there.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::connection::{BUSY_DEADLINE, connect_bare};
use super::failure::{Failure, Result};
use super::file::{self, Found, beside};
use crate::error::Error;

/// How many pages are copied between two looks at the progress.
const PAGES: i32 = 1_024;

/// Writes the state that `from` sees now into the file at `to`, which is empty. Writers are not kept waiting.
pub(super) fn write(from: &Connection, to: &Path, report: &mut (dyn FnMut(u64, u64) + Send)) -> Result<()> {
    let mut written = connect_bare(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // In one transaction, so that what is written meanwhile does not have it begin anew.
    from.execute_batch("BEGIN")?;
    let copied = from
        .query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()))
        .map_err(Failure::from)
        .and_then(|()| copy_pages(from, &mut written, report));
    let ended = from.execute_batch("ROLLBACK");
    copied?;
    Ok(ended?)
}

fn copy_pages(from: &Connection, to: &mut Connection, report: &mut (dyn FnMut(u64, u64) + Send)) -> Result<()> {
    let backup = Backup::new(from, to)?;
    let give_up_at = Instant::now() + BUSY_DEADLINE;
    loop {
        let step = backup.step(PAGES)?;
        let progress = backup.progress();
        let pages = |count: i32| u64::from(count.unsigned_abs());
        report(pages(progress.pagecount - progress.remaining), pages(progress.pagecount));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ if Instant::now() >= give_up_at => {
                return Err(
                    Error::unavailable("the store is busy: another process kept its lock too long; try again").into()
                );
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Writes what is in the store file at `from` into the file at `to`, which is empty. `from` is left as it is.
///
/// # Errors
/// `InvalidArgument` where there is no file, `CorruptStore` where it is no store, damaged, or newer than this program.
pub(crate) fn write_from(from: &Path, to: &Path, report: &mut (dyn FnMut(u64, u64) + Send)) -> Result<(), Error> {
    let written = file::inspect(from).map_err(Failure::from).and_then(|found| match found {
        Found::Ours => {
            let from = connect_bare(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            write(&from, to, report)
        }
        Found::Nothing | Found::Empty => Err(Error::invalid("there is no store here: correct the path").into()),
    });
    written.map_err(|Failure(error)| named(from, error))
}

/// Makes a store file that nobody has open one that is complete by itself: any SQLite tool can read it, also where it may not
/// write beside it.
pub(crate) fn seal(path: &Path) -> Result<(), Error> {
    let sealed = connect_bare(path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
        Ok(connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get::<_, String>(0))?)
    });
    sealed.map_err(|Failure(error)| named(path, error))?;
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| named(path, unwritable(error)))
}

/// Keeps everyone from opening the store file at `path` until the result is dropped.
///
/// # Errors
/// `Unavailable` where somebody has it open.
pub(crate) fn lock_out(path: &Path) -> Result<File, Error> {
    let opened = File::options().read(true).write(true).open(path);
    let file = opened.map_err(|error| named(path, unwritable(error)))?;
    // The locks of SQLite are of this kind, and whoever has a store open holds one.
    #[cfg(unix)]
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        let in_use = "the store is in use: end every program that has it open, and try again";
        named(path, Error::unavailable(in_use).caused_by(std::io::Error::from(error)))
    })?;
    Ok(file)
}

/// Removes what an earlier store at `path` may have left beside its file: a log of it would damage another one.
pub(crate) fn remove_logs(path: &Path) -> Result<(), Error> {
    for ending in LOGS {
        match std::fs::remove_file(beside(path, ending)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(named(path, unwritable(error))),
            _ => {}
        }
    }
    Ok(())
}

/// Whether there is a log beside the place where a store would be.
pub(crate) fn has_logs(path: &Path) -> bool {
    LOGS.iter().any(|ending| beside(path, ending).exists())
}

const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

fn unwritable(error: std::io::Error) -> Error {
    Error::unavailable(format!("the file cannot be written: {error}")).caused_by(error)
}

fn named(path: &Path, error: Error) -> Error {
    Error::new(error.kind(), format!("{}: {}", path.display(), error.message())).caused_by(error)
}
