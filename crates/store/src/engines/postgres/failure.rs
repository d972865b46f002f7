//! What PostgreSQL reports, in the words of the store, and what may be done about it.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// How long a call goes on trying while the database is away or others are in the way.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// An error on its way out of this engine.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing helps.
    Final(Error),
    /// Others were in the way and nothing was stored: the same again may succeed.
    Again(Error),
    /// The connection is gone: on another one the same may succeed. Of what was under way nobody knows.
    Lost(Error),
}

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Final(error) | Self::Again(error) | Self::Lost(error) => error,
        }
    }

    /// The database did not answer in time.
    pub(super) fn silent() -> Self {
        Self::Lost(Error::unavailable("the database does not answer: check it and the network, and try again"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.into_error()
    }
}

/// What the database says is not handed on: its messages quote values and keys. The code tells enough.
impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(state) => from_state(state),
            None if error.is_closed() || is_io(&error) => Self::Lost(Error::unavailable(
                "the connection to the database ended: check that the database runs, and try again",
            )),
            None => Self::Final(unreadable()),
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

/// Rows that do not have the form that our schema gives them.
pub(super) fn unreadable() -> Error {
    Error::corrupt("the database holds rows of an unknown form: restore it from a backup")
}

/// What an error with this code means once a connection stands.
fn from_state(state: &SqlState) -> Failure {
    let code = state.code();
    match *state {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::UNIQUE_VIOLATION
        | SqlState::LOCK_NOT_AVAILABLE
        // How a write says that another one came between; see `write`.
        | SqlState::DIVISION_BY_ZERO => {
            Failure::Again(Error::unavailable("the store is busy: others wrote the same records all the time; try again"))
        }
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::IDLE_SESSION_TIMEOUT => {
            Failure::Lost(Error::unavailable(format!("the database is restarting (SQLSTATE {code}): try again")))
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => Failure::Lost(Error::unavailable(
            "the database takes no writes (it is a standby): name the primary in the store URL, or wait until one is promoted",
        )),
        SqlState::TOO_MANY_CONNECTIONS => Failure::Lost(Error::unavailable(
            "the database has no connection to spare: raise max_connections or lower pool_size in the store URL",
        )),
        SqlState::QUERY_CANCELED => Failure::Final(Error::unavailable(
            "the database took longer than the statement timeout: try again, with less at once, or raise statement_timeout \
             in the store URL",
        )),
        SqlState::DISK_FULL => {
            Failure::Final(Error::unavailable("the disk of the database is full: free some space and try again"))
        }
        SqlState::INSUFFICIENT_PRIVILEGE => Failure::Final(Error::new(
            ErrorKind::PermissionDenied,
            "the database does not let the user of the store URL do this: grant it the rights on the schema and its tables",
        )),
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Failure::Final(Error::new(
            ErrorKind::Unauthenticated,
            "the database does not accept the user and password of the store URL: correct them",
        )),
        SqlState::INVALID_CATALOG_NAME => {
            Failure::Final(Error::invalid("the database that the store URL names does not exist: create it"))
        }
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::INVALID_SCHEMA_NAME => {
            Failure::Final(Error::corrupt(format!(
                "tables of the store are missing or not ours (SQLSTATE {code}): restore the database from a backup"
            )))
        }
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Failure::Final(Error::corrupt(format!(
            "the database is damaged (SQLSTATE {code}): restore it from a backup"
        ))),
        _ if code.starts_with("08") || code.starts_with("57P") => Failure::Lost(Error::unavailable(format!(
            "the connection to the database ended (SQLSTATE {code}): try again"
        ))),
        _ => Failure::Final(Error::unavailable(format!("the database could not do this now (SQLSTATE {code}): try again"))),
    }
}

/// Between the attempts of one call.
pub(super) struct Patience {
    began: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), pause: FIRST_PAUSE }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The failure itself, where another attempt does not help or there has been time enough.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), Error> {
        let error = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Again(error) | Failure::Lost(error) => error,
        };
        if self.began.elapsed() >= PATIENCE {
            return Err(error);
        }
        // Those who met each other here should not meet again.
        tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64())).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
