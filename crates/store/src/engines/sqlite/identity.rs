//! The guard against a second SQLite library in this process.
//!
//! POSIX drops all of a process's locks on a file when any of its descriptors for it is closed. If another copy of SQLite
//! in this process (Python's own `sqlite3` module, say) opens and closes the store file, our locks are gone, and that copy
//! may believe itself the last user and remove the `-wal` and `-shm` files beneath us: what we acknowledged from then on
//! would be seen by nobody else, without any error. So before every write the `-shm` file at our path is compared with
//! the one that was there when we opened.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Which file the shared-memory index of an open store is.
#[derive(Clone, Debug)]
pub(super) struct ShmIdentity {
    path: PathBuf,
    file: Option<FileId>,
}

type FileId = (u64, u64);

impl ShmIdentity {
    /// Of the store file at `path`, which must be open and have been read from, so that the `-shm` file is there.
    pub(super) fn of(path: &Path) -> Self {
        let mut shm = path.as_os_str().to_owned();
        shm.push("-shm");
        let path = PathBuf::from(shm);
        let file = file_id(&path);
        Self { path, file }
    }

    /// # Errors
    /// `Unavailable` where the file is gone or is another one.
    pub(super) fn check(&self) -> Result<()> {
        if file_id(&self.path) == self.file {
            return Ok(());
        }
        Err(Error::unavailable(
            "another SQLite library in this process (such as Python's sqlite3 module) has opened and closed the store \
             file, which broke this store's locks; nothing was stored and the file has been opened anew: try again, and \
             look into the file from another process only",
        ))
    }
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Elsewhere locks belong to the open file, and a file in use cannot be removed.
#[cfg(not(unix))]
fn file_id(_path: &Path) -> Option<FileId> {
    None
}
