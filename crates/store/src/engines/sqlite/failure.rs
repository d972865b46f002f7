//! What SQLite reports, in the words of the store.

use rusqlite::ErrorCode;

use crate::error::Error;

/// An error on its way out of this engine. SQLite's turn into one here, and not into [`Error`] itself: that conversion would
/// be public, and tie whoever uses this crate to its version of `rusqlite`.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let wrapped = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Error::unavailable("the store is busy: another process kept the write lock too long; try again")
            }
            Some(ErrorCode::DiskFull) => Error::unavailable("the disk is full: free some space and try again"),
            Some(ErrorCode::SystemIoFailure) => Error::unavailable(
                "the disk refused a read or write (no space, a file size limit, or a fault): check it and try again",
            ),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Error::unavailable("the store file or its folder is read-only: give this user the right to write both")
            }
            Some(ErrorCode::CannotOpen) => Error::unavailable(
                "the store file cannot be opened: check that its folder exists and that this user may read and write it",
            ),
            Some(ErrorCode::OutOfMemory) => Error::unavailable("out of memory: free some and try again"),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::corrupt("the store file is damaged: restore it from a backup")
            }
            // A row that does not have the form that our schema gives it.
            None => Error::corrupt("the store file holds rows of an unknown form: restore it from a backup"),
            Some(_) => Error::unavailable("the store could not do this now: try again"),
        };
        Self(wrapped.caused_by(error))
    }
}
