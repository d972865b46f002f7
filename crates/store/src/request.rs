//! Requests that are applied once, however often they come: their ids, and what an engine keeps of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::limits::check_request_id;
use crate::model::{Address, Batch, Expiry, Mutation, Outcome, Precondition, Write};

/// How long an applied request is known, by the engine's clock: 24 hours.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest result of one write that is kept, in bytes of JSON text. What is longer is a record's value, which would be
/// stored twice.
pub const RESULT_BYTES: usize = 1_024;

/// Names one request of a user: whoever cannot know whether it was applied repeats it under the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// An id that its user gives to one request only, for instance a random UUID.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is 1 to 256 bytes without NUL.
    pub fn new(id: &str) -> Result<Self> {
        check_request_id(id)?;
        Ok(Self(id.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request as an engine gets it: its id, and a hash of what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The id.
    pub id: RequestId,
    /// The hash, the same in every process.
    pub content: Content,
}

/// A hash of everything that a batch or a clear does, the agent's name included.
pub type Content = [u8; 16];

/// What an engine keeps of a request that it has applied, under the user and the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The hash of what it did.
    pub content: Content,
    /// What it returned, as JSON text.
    pub outcome: Box<str>,
    /// The instant from which it is as if it had never been.
    pub expires_at: Timestamp,
}

impl Request {
    /// The request that `batch` belongs to. Reads all that is to be written, so it is done before any lock is taken.
    pub fn of_batch(batch: &Batch) -> Option<Self> {
        let id = batch.request.clone()?;
        let mut hash = ContentHash::begin(1, batch.agent.as_deref());
        batch.writes.iter().for_each(|write| hash.write(write));
        Some(Self { id, content: hash.end() })
    }

    /// The request that a clear of `namespace` belongs to.
    pub fn of_clear(agent: Option<&str>, namespace: &str, id: Option<&RequestId>) -> Option<Self> {
        let id = id.cloned()?;
        let mut hash = ContentHash::begin(2, agent);
        hash.text(namespace);
        Some(Self { id, content: hash.end() })
    }

    /// What is to be kept once it has been applied.
    pub fn applied(&self, outcome: String, now: Timestamp) -> Applied {
        Applied { content: self.content, outcome: outcome.into(), expires_at: now.saturating_add(KEPT_FOR) }
    }

    /// What the request returned when it was applied; `None` where that is too long ago.
    ///
    /// # Errors
    /// `InvalidArgument` where what was applied under this id is not this.
    pub fn recall(&self, applied: Applied, now: Timestamp) -> Result<Option<Box<str>>> {
        if applied.expires_at <= now {
            return Ok(None);
        }
        if applied.content != self.content {
            return Err(Error::invalid(format!(
                "request id {:?} was used for another write within the last 24 hours: give each write an id of its own, \
                 and the same one only to repeat it unchanged",
                self.id.as_str()
            )));
        }
        Ok(Some(applied.outcome))
    }
}

/// A request id for one write of an engine, whichever clone of a view makes it.
pub(crate) struct OneRequest {
    id: RequestId,
    used: AtomicBool,
}

impl OneRequest {
    pub(crate) fn new(id: RequestId) -> Self {
        Self { id, used: AtomicBool::new(false) }
    }

    /// The id, for the write that is about to be made.
    pub(crate) fn take(&self) -> Result<RequestId> {
        if self.used.swap(true, Ordering::Relaxed) {
            return Err(Error::invalid(format!(
                "request id {:?} belongs to one write, which was made: make a view with another id",
                self.id.as_str()
            )));
        }
        Ok(self.id.clone())
    }
}

/// Feeds a hash with fields that cannot run into each other: every text goes after its length.
struct ContentHash(Sha256);

// Stored hashes are compared with those that the next version of the program makes: nothing here may change.
impl ContentHash {
    fn begin(kind: u64, agent: Option<&str>) -> Self {
        let mut hash = Self(Sha256::new());
        hash.number(kind);
        hash.optional(agent);
        hash
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    fn write(&mut self, write: &Write) {
        let Write { address, precondition, mutation, metadata, expiry } = write;
        self.text(&address.namespace);
        self.text(&address.key);
        match precondition {
            Precondition::None => self.number(0),
            Precondition::Version(version) => {
                self.number(1);
                self.number(*version);
            }
        }
        let (kind, value) = match mutation {
            Mutation::Set(value) => (1, value.as_str()),
            Mutation::Delete => (2, ""),
            Mutation::Increment(by) => (3, by.as_str()),
            Mutation::Append { items, .. } => (4, items.as_str()),
            Mutation::Merge(patch) => (5, patch.as_str()),
            Mutation::Touch => (6, ""),
            Mutation::Check => (7, ""),
        };
        self.number(kind);
        self.text(value);
        if let Mutation::Append { unique, max_length, .. } = mutation {
            self.number(u64::from(*unique));
            self.number(max_length.map_or(u64::MAX, |length| length as u64));
        }
        self.optional(metadata.as_ref().map(Json::as_str));
        match expiry {
            Expiry::Default => self.number(0),
            Expiry::Never => self.number(1),
            Expiry::After(ttl) => {
                self.number(2);
                self.0.update(ttl.as_micros().to_le_bytes());
            }
        }
    }

    fn end(self) -> Content {
        let mut content = Content::default();
        content.copy_from_slice(&self.0.finalize()[..16]);
        content
    }
}

/// The outcomes of a batch as they are kept: `[existed, version]` or `[existed, version, result]` for each write, without
/// the results that are longer than [`RESULT_BYTES`].
pub fn outcomes_to_text(outcomes: &[Outcome]) -> String {
    let mut text = String::with_capacity(2 + 16 * outcomes.len());
    for outcome in outcomes {
        text.push_str(if text.is_empty() { "[[" } else { ",[" });
        text.push_str(&format!("{},{}", u8::from(outcome.existed), outcome.version));
        if let Some(result) = outcome.result.as_ref().filter(|result| result.len() <= RESULT_BYTES) {
            text.push(',');
            text.push_str(result.as_str());
        }
        text.push(']');
    }
    text.push_str(if text.is_empty() { "[]" } else { "]" });
    text
}

/// The outcomes of `writes` from what was kept of them. A result that was too long is the value which `value_at` finds now
/// under the address, or `null` where there is none any more.
///
/// # Errors
/// `CorruptStore` where the text is not of that form; whatever `value_at` fails with.
pub fn outcomes_from_text<E: From<Error>>(
    text: &str,
    writes: &[Write],
    mut value_at: impl FnMut(&Address) -> Result<Option<Json>, E>,
) -> Result<Vec<Outcome>, E> {
    let kept: Vec<Vec<&RawValue>> = serde_json::from_str(text).map_err(|error| unreadable().caused_by(error))?;
    if kept.len() != writes.len() {
        return Err(unreadable().into());
    }
    kept.iter()
        .zip(writes)
        .map(|(fields, write)| {
            let [existed, version, result @ ..] = fields.as_slice() else { return Err(unreadable().into()) };
            let result = match result.first() {
                Some(result) => Some(Json::from_trusted(result.get())),
                None if write.mutation.returns_value() => {
                    Some(value_at(&write.address)?.unwrap_or_else(|| Json::from_trusted("null")))
                }
                None => None,
            };
            let version = version.get().parse().map_err(|_| unreadable())?;
            Ok(Outcome { existed: existed.get() == "1", version, result })
        })
        .collect()
}

/// How many records a clear removed, from what was kept of it.
///
/// # Errors
/// `CorruptStore` where the text is no number.
pub fn cleared_from_text(text: &str) -> Result<u64> {
    text.parse().map_err(|_| unreadable())
}

fn unreadable() -> Error {
    Error::corrupt("what is kept of a request cannot be read: restore the store from a backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(mutation: Mutation) -> Write {
        Write {
            address: Address { namespace: "n".into(), key: "k".into() },
            precondition: Precondition::None,
            mutation,
            metadata: None,
            expiry: Expiry::Default,
        }
    }

    fn content(agent: Option<&str>, writes: Vec<Write>) -> Content {
        let request = RequestId::new("id").ok();
        let batch = Batch { user: "u".into(), agent: agent.map(Into::into), writes, request, quota: None };
        Request::of_batch(&batch).expect("it has an id").content
    }

    fn json(text: &str) -> Json {
        Json::from_trusted(text)
    }

    #[test]
    fn whatever_differs_in_a_request_shows_in_its_hash() {
        let set = write(Mutation::Set(json("1")));
        let address = |namespace: &str, key: &str| Address { namespace: namespace.into(), key: key.into() };
        let append = |unique, max_length| write(Mutation::Append { items: json("[1]"), unique, max_length });
        let requests = [
            vec![],
            vec![set.clone()],
            vec![set.clone(), set.clone()],
            vec![Write { address: address("nk", ""), ..set.clone() }],
            vec![Write { address: address("", "nk"), ..set.clone() }],
            vec![Write { precondition: Precondition::Version(0), ..set.clone() }],
            vec![Write { precondition: Precondition::Version(1), ..set.clone() }],
            vec![Write { metadata: Some(json("{\"a\":1}")), ..set.clone() }],
            vec![Write { expiry: Expiry::Never, ..set.clone() }],
            vec![Write { expiry: Expiry::After(Duration::from_secs(1)), ..set.clone() }],
            vec![Write { expiry: Expiry::After(Duration::from_secs(2)), ..set.clone() }],
            vec![write(Mutation::Set(json("2")))],
            vec![write(Mutation::Delete)],
            vec![write(Mutation::Increment(json("1")))],
            vec![append(false, None)],
            vec![append(true, None)],
            vec![append(false, Some(1))],
            vec![write(Mutation::Merge(json("1")))],
            vec![write(Mutation::Touch)],
            vec![write(Mutation::Check)],
        ];
        let mut contents: Vec<_> = requests.iter().map(|writes| content(Some("a"), writes.clone())).collect();
        contents.extend([content(Some("b"), vec![set.clone()]), content(None, vec![set.clone()])]);
        let id = RequestId::new("id").ok();
        contents.extend(["n", "m"].map(|name| Request::of_clear(Some("a"), name, id.as_ref()).expect("an id").content));
        let distinct: std::collections::HashSet<_> = contents.iter().collect();
        assert_eq!(distinct.len(), contents.len());
    }

    /// Another value here means that a repeat of a request from before an update would be refused.
    #[test]
    fn the_hash_of_a_request_is_the_same_in_every_version() {
        let writes = vec![
            Write { metadata: Some(json("{\"a\":1}")), ..write(Mutation::Set(json("[1]"))) },
            write(Mutation::Append { items: json("[2]"), unique: true, max_length: Some(3) }),
        ];
        let hex: String = content(Some("a"), writes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "f5563c1ecec1645a5c155e65182cc8db");
    }

    #[test]
    fn outcomes_come_back_as_they_were_kept() {
        let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
        let outcome = |existed, version, result: Option<&str>| Outcome { existed, version, result: result.map(json) };
        let outcomes = [
            outcome(false, 1, None),
            outcome(true, u64::MAX, Some("null")),
            outcome(true, 7, Some(&deep)),
            outcome(true, 0, None),
        ];
        let merge = write(Mutation::Merge(json("{}")));
        let writes = [write(Mutation::Touch), merge.clone(), merge, write(Mutation::Delete)];
        let nothing = |_: &Address| -> Result<_> { panic!("nothing is looked up") };
        let text = outcomes_to_text(&outcomes);
        assert_eq!(outcomes_from_text(&text, &writes, nothing).expect("outcomes"), outcomes);
        assert_eq!(outcomes_from_text(&outcomes_to_text(&[]), &[], nothing).expect("outcomes"), []);
        for damaged in ["", "[]", "[[1],[1,2],[1,2],[1,2]]", "[[1,-1],[1,2],[1,2],[1,2]]"] {
            let read = outcomes_from_text(damaged, &writes, |_| -> Result<_> { Ok(None) });
            assert!(read.is_err(), "{damaged}");
        }
    }
}
