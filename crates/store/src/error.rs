//! The one error type: what went wrong, where, and whether trying again can help.

use std::error::Error as StdError;
use std::fmt;

use crate::clock::Timestamp;

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is. Every face (Python, HTTP, the `ads` program) maps the kind, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name, value or option that the call cannot accept.
    InvalidArgument,
    /// A value that JSON cannot hold.
    NotSerializable,
    /// A value, metadata, nesting or batch above its limit.
    TooLarge,
    /// A precondition did not hold: somebody else wrote first.
    Conflict,
    /// A lease is held by someone else.
    LeaseHeld,
    /// A lease that was held has ended.
    LeaseLost,
    /// The user's share of records or bytes is used up.
    QuotaExceeded,
    /// No valid token was given.
    Unauthenticated,
    /// The token does not allow this.
    PermissionDenied,
    /// The store cannot answer now: busy past the deadline, full disk, server gone.
    Unavailable,
    /// The stored data is damaged or is not ours.
    CorruptStore,
}

/// The versions of a precondition that failed; 0 stands for "no live record".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionMismatch {
    /// The version that the caller asked for.
    pub expected: u64,
    /// The version that was there.
    pub actual: u64,
}

/// Who holds a lease that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The agent, where the lease's record names one.
    pub agent: Option<String>,
    /// When the lease ends, where that can be told.
    pub expires_at: Option<Timestamp>,
}

/// A failed call. Messages are lower case, name the thing and the remedy, and never carry a value or a token.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    operation: Option<&'static str>,
    namespace: Option<String>,
    key: Option<String>,
    mismatch: Option<VersionMismatch>,
    holder: Option<LeaseHolder>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message that names the thing and the remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            operation: None,
            namespace: None,
            key: None,
            mismatch: None,
            holder: None,
            source: None,
        }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::CorruptStore, message)
    }

    /// A precondition on one record that did not hold.
    pub fn conflict(namespace: &str, key: &str, mismatch: VersionMismatch) -> Self {
        let describe = |version| match version {
            0 => "absent".to_owned(),
            version => format!("at version {version}"),
        };
        let message = format!(
            "key {key:?} in namespace {namespace:?} is {}, not {} as expected: read it again and retry",
            describe(mismatch.actual),
            describe(mismatch.expected),
        );
        let mut error = Self::new(ErrorKind::Conflict, message).at(namespace, key);
        error.0.mismatch = Some(mismatch);
        error
    }

    pub(crate) fn lease_held(
        namespace: &str,
        key: &str,
        resource: &str,
        agent: Option<String>,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let by = agent.as_ref().map_or_else(|| "someone".to_owned(), |agent| format!("agent {agent:?}"));
        let until = expires_at.map_or_else(String::new, |at| format!(" until {at}"));
        let message = format!("lock {resource:?} is held by {by}{until}: wait for it, or try again later");
        let mut error = Self::new(ErrorKind::LeaseHeld, message).at(namespace, key);
        error.0.holder = Some(LeaseHolder { agent, expires_at });
        error
    }

    /// Adds the operation during which this happened, unless one is named already.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Adds the record that this is about.
    #[must_use]
    pub fn at(mut self, namespace: &str, key: &str) -> Self {
        self.0.namespace.get_or_insert_with(|| namespace.to_owned());
        self.0.key.get_or_insert_with(|| key.to_owned());
        self
    }

    /// Adds both versions of a precondition that failed.
    #[cfg(feature = "remote")]
    pub(crate) fn with_mismatch(mut self, mismatch: VersionMismatch) -> Self {
        self.0.mismatch = Some(mismatch);
        self
    }

    /// Adds who holds the lease.
    #[cfg(feature = "remote")]
    pub(crate) fn with_holder(mut self, holder: LeaseHolder) -> Self {
        self.0.holder = Some(holder);
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message alone, as every face shows it.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The verb during which this happened, where known.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The namespace concerned, where the error is about one record.
    pub fn namespace(&self) -> Option<&str> {
        self.0.namespace.as_deref()
    }

    /// The key concerned, where the error is about one record.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Both versions, where a version precondition failed.
    pub fn version_mismatch(&self) -> Option<VersionMismatch> {
        self.0.mismatch
    }

    /// Who holds the lease, where one is held by someone else.
    pub fn lease_holder(&self) -> Option<&LeaseHolder> {
        self.0.holder.as_ref()
    }

    /// Whether the same call may succeed later with nothing changed by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::LeaseHeld)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.operation {
            Some(operation) => write!(f, "{operation}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("operation", &self.0.operation)
            .field("namespace", &self.0.namespace)
            .field("key", &self.0.key)
            .field("mismatch", &self.0.mismatch)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
