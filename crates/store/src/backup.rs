//! Backups: a whole store in one file, and a store made of it again.
//!
//! A backup is a store file like any other, complete by itself. It is written beside the place where it is to be, checked, and
//! put there by renaming, so that there is a whole file under its name at every moment.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::copy::{Copied, copy, detach};
use crate::engines::sqlite::backup::{has_logs, lock_out, remove_logs, seal, write_from};
use crate::error::{Error, ErrorKind, Result};
use crate::open::{sqlite_path, sqlite_url};
use crate::store::{Options, Store};
use crate::verify::{Verified, verify};

/// How a backup is written or restored.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Whether a file that is there is replaced. Default `false`.
    pub overwrite: bool,
    /// Whether what was written is taken as it is, and not looked through before it is put in its place. Default `false`.
    pub unchecked: bool,
}

/// What is being done, of which so much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Pages or records are written.
    Writing,
    /// What was written is looked through, record by record.
    Checking,
}

/// Told of progress: what is being done, how much of it is done, and of how much.
pub type Report<'a> = &'a mut (dyn FnMut(Step, u64, u64) + Send);

/// What is in a backup, or in a store that was made of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// What was found when it was looked through; `None` where it was not.
    pub verified: Option<Verified>,
    /// Users whose records were written while they were copied, where that was done record by record: theirs may be of
    /// different moments.
    pub written_meanwhile: u64,
}

/// Writes everything in `store` into a file at `file`. The store may be in use.
///
/// Of a store in a file, the backup is what was committed at one moment, and everything that is kept: the change feed and
/// request ids too. Of another store, it is a copy as [`copy`] makes it.
///
/// # Errors
/// `InvalidArgument` where there is a file and it is not to be replaced, or where the engine cannot do this; `Unavailable`
/// where it is a store that somebody has open, or cannot be written; `CorruptStore` where the store has problems (see
/// [`verify`]). What is at `file` is then as it was.
pub async fn backup(store: &Store, file: &Path, options: BackupOptions, report: Report<'_>) -> Result<BackedUp> {
    if sqlite_path(&store.engine().place()).is_some_and(|path| is_same(&path, file)) {
        return Err(Error::invalid("the file is the store itself: name another one"));
    }
    let written = Written::begin(file, options)?;
    let of_pages = store.engine().write_file(&written.file, &mut |done, of| report(Step::Writing, done, of)).await?;
    let mut backed_up = BackedUp::default();
    if !of_pages {
        let to = Store::open(&sqlite_url(&written.file), quiet(true)).await?;
        let copied = copy_all(store, &to, report).await?;
        // It stands for itself from now on.
        detach(&**to.engine()).await?;
        to.close().await?;
        backed_up.written_meanwhile = copied.still_written;
    }
    backed_up.verified = written.end(options, report).await?;
    Ok(backed_up)
}

/// Makes the store at `url` of what is in the backup at `file`, which is any store file, and is left as it is where the store
/// is to be in a file too. A store elsewhere must be empty, and takes over the records as [`copy`] does.
///
/// # Errors
/// `InvalidArgument` where there is a store and it is not to be replaced, or no file; `Unavailable` where somebody has the
/// store open; `CorruptStore` where `file` is no store, or has problems. What was there is then as it was.
pub async fn restore(file: &Path, url: &str, options: BackupOptions, report: Report<'_>) -> Result<BackedUp> {
    if let Some(path) = sqlite_path(url) {
        if is_same(file, &path) {
            return Err(Error::invalid("the backup is the store itself: name another one"));
        }
        let written = Written::begin(&path, options)?;
        write_from(file, &written.file, &mut |done, of| report(Step::Writing, done, of))?;
        return Ok(BackedUp { verified: written.end(options, report).await?, written_meanwhile: 0 });
    }
    if options.overwrite {
        return Err(Error::invalid("only a store in a file is replaced: restore into an empty one"));
    }
    let from = Store::open(&sqlite_url(&std::path::absolute(file).map_err(unwritable)?), quiet(false)).await?;
    let to = Store::open(url, quiet(true)).await?;
    let copied = copy_all(&from, &to, report).await;
    from.close().await?;
    to.close().await?;
    let Copied { users, namespaces, records, bytes, still_written, .. } = copied?;
    // Compared record by record.
    let verified = Some(Verified { users, namespaces, records, bytes, ..Verified::default() });
    Ok(BackedUp { verified, written_meanwhile: still_written })
}

async fn copy_all(from: &Store, to: &Store, report: Report<'_>) -> Result<Copied> {
    let mut tell = |done: &crate::copy::Progress| {
        let is_copying = done.stage == crate::copy::Stage::Copying;
        report(if is_copying { Step::Writing } else { Step::Checking }, done.records, done.of_records);
    };
    copy(from, to, &mut tell).await
}

/// A file that is being written beside the one that it is to be. Dropped before its end, it goes.
struct Written {
    file: tempfile::TempPath,
    place: PathBuf,
}

impl Written {
    fn begin(place: &Path, options: BackupOptions) -> Result<Self> {
        let place = std::path::absolute(place).map_err(unwritable)?;
        if !options.overwrite {
            refuse_if_there(&place)?;
        }
        let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(Error::invalid(format!("{}: this is no path of a file", place.display())));
        };
        let mut prefix = name.to_owned();
        prefix.push(".");
        // Readable for its owner alone.
        let made = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(folder);
        let file = made.map_err(|error| at(&place, unwritable(error)))?.into_temp_path();
        Ok(Self { file, place })
    }

    /// Checks what was written, unless that is not wanted, and puts it in its place.
    async fn end(self, options: BackupOptions, report: Report<'_>) -> Result<Option<Verified>> {
        let verified = if options.unchecked { None } else { Some(self.check(report).await?) };
        seal(&self.file)?;
        let Self { file, place } = self;
        let unwritable = |error: tempfile::PathPersistError| at(&place, unwritable(error.error));
        if options.overwrite {
            let _alone = if place.exists() { Some(lock_out(&place)?) } else { None };
            remove_logs(&place)?;
            file.persist(&place).map_err(unwritable)?;
        } else {
            refuse_if_there(&place)?;
            file.persist_noclobber(&place).map_err(unwritable)?;
        }
        // The new name as well must be there after a loss of power.
        #[cfg(unix)]
        if let Some(folder) = place.parent() {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error| at(&place, self::unwritable(error)))?;
        }
        Ok(verified)
    }

    async fn check(&self, report: Report<'_>) -> Result<Verified> {
        let store = Store::open(&sqlite_url(&self.file), quiet(false)).await?;
        let verified = verify(&store, false, &mut |done, of| report(Step::Checking, done, of)).await;
        store.close().await?;
        let verified = verified?;
        let Some(first) = verified.problems.first() else { return Ok(verified) };
        Err(Error::corrupt(format!(
            "what was to be written to {} has problems, the first of {}: {}; nothing was written: look at all of them with \
             ads verify, or write it unchecked",
            self.place.display(),
            verified.problems.len(),
            first.detail
        )))
    }
}

fn refuse_if_there(place: &Path) -> Result<()> {
    if place.exists() {
        return Err(Error::invalid(format!(
            "{}: this is there already: name another file, or overwrite it",
            place.display()
        )));
    }
    if has_logs(place) {
        return Err(Error::invalid(format!(
            "{}: the log of a store that was here is left, and would damage another one: remove the files beside it that end \
             with -wal, -shm or -journal, or overwrite them",
            place.display()
        )));
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// How stores are opened whose records are handed on as they are.
fn quiet(create: bool) -> Options {
    Options { housekeeping: false, create, clock: Arc::new(crate::clock::SystemClock), ..Options::default() }
}

fn unwritable(error: std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => "its folder does not exist: create it first".to_owned(),
        _ => format!("the file cannot be written: {error}"),
    };
    Error::new(ErrorKind::Unavailable, message).caused_by(error)
}

fn at(place: &Path, error: Error) -> Error {
    Error::new(error.kind(), format!("{}: {}", place.display(), error.message())).caused_by(error)
}
