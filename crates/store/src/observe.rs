//! Seeing every operation as it happens, for traces.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;

/// Longest preview of a value, in characters.
pub const PREVIEW_CHARS: usize = 200;

/// One finished call on a [`DataStore`](crate::DataStore).
#[derive(Debug)]
#[non_exhaustive]
pub struct Operation<'a> {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, the engine's work included.
    pub duration: Duration,
    /// The verb, for instance `get`.
    pub verb: &'static str,
    /// The namespace; empty for verbs that concern none.
    pub namespace: &'a str,
    /// The key or prefix; empty where there is none.
    pub key: &'a str,
    /// Whether it found a record (reads, deletes), where that is a question.
    pub found: Option<bool>,
    /// How many records were returned or written, where it is not one.
    pub count: Option<u64>,
    /// The beginning of the value read or written, at most [`PREVIEW_CHARS`] characters.
    pub preview: Option<&'a str>,
    /// Why it failed.
    pub error: Option<&'a Error>,
}

/// Receives operations, on the thread that called; it should be quick.
pub trait Observer: Send + Sync {
    /// Called after each operation.
    fn observe(&self, operation: &Operation<'_>);
}

pub(crate) fn preview(text: &str) -> &str {
    match text.char_indices().nth(PREVIEW_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
