//! The JSON that leaves the process: names in camelCase, times as RFC 3339. One form for HTTP, exports and `ads --json`.

use std::fmt::{Display, Write};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::json::Json;
use crate::model::{Change, ChangeKind, Details, NamespaceStats, Outcome, Record, Row};

/// `{user_id}:{namespace}:{urlsafe base64 of key}`, for show only: two records may share it, since names may hold a
/// colon.
pub fn record_id(user_id: &str, namespace: &str, key: &str) -> String {
    format!("{user_id}:{namespace}:{}", URL_SAFE.encode(key))
}

/// A whole record as a JSON object; what is not there is `null`.
pub fn record(record: &Record) -> Json {
    let details = Details {
        metadata: record.metadata.clone(),
        created_by_agent: record.created_by_agent.clone(),
        updated_by_agent: record.updated_by_agent.clone(),
        last_accessed_by_agent: record.last_accessed_by_agent.clone(),
        access_count: record.access_count,
        created_at: record.created_at,
        updated_at: record.updated_at,
        last_accessed_at: record.last_accessed_at,
    };
    let row = Row {
        key: record.key.clone(),
        version: record.version,
        expires_at: record.expires_at,
        value: Some(record.value.clone()),
        details: Some(Box::new(details)),
    };
    Json::from_trusted(push_row(String::new(), &record.user_id, &record.namespace, &row))
}

/// Adds a row as JSON to a text, as far as it goes: a whole record as [`record`] shows it; without details an object with
/// `key`, `version`, `value` and `expiresAt`, of which what is not there is left out; of [`View::Key`](crate::model::View)
/// the key alone, as a string.
pub fn push_row(text: String, user_id: &str, namespace: &str, row: &Row) -> String {
    let Row { key, version, expires_at, value, details } = row;
    let bytes = value.as_ref().map_or(0, Json::len);
    let Some(details) = details else {
        if *version == 0 {
            return push_string(text, key);
        }
        let mut object = Object::after(text, bytes + key.len() + 96).text("key", &**key).number("version", *version);
        if let Some(value) = value {
            object = object.json("value", value);
        }
        if expires_at.is_some() {
            object = object.time("expiresAt", *expires_at);
        }
        return object.into_text();
    };
    let object = Object::after(text, bytes + details.metadata.len() + 512)
        .text("_id", record_id(user_id, namespace, key).as_str())
        .text("userId", user_id)
        .text("namespace", namespace)
        .text("key", &**key);
    let object = match value {
        Some(value) => object.json("value", value),
        None => object,
    };
    object
        .json("metadata", &details.metadata)
        .number("version", *version)
        .text("createdByAgent", details.created_by_agent.as_deref())
        .text("updatedByAgent", details.updated_by_agent.as_deref())
        .text("lastAccessedByAgent", details.last_accessed_by_agent.as_deref())
        .number("accessCount", details.access_count)
        .time("createdAt", details.created_at)
        .time("updatedAt", details.updated_at)
        .time("lastAccessedAt", details.last_accessed_at)
        .time("expiresAt", *expires_at)
        .into_text()
}

/// The statistics of a namespace as a JSON object.
pub fn namespace_stats(stats: &NamespaceStats) -> Json {
    Object::with_capacity(256)
        .text("namespace", &*stats.namespace)
        .number("records", stats.records)
        .number("bytes", stats.bytes)
        .texts("agents", stats.agents.iter().map(|agent| &**agent))
        .time("updatedAt", stats.updated_at)
        .end()
}

/// A change as a JSON object: `version`, `kind` (`set`, `delete`, `expire` or `clear`), `namespace`, `key` (`null` for a
/// clear), `agent`, `at`.
pub fn change(change: &Change) -> Json {
    Object::with_capacity(192)
        .number("version", change.version)
        .text("kind", change_kind(change.kind))
        .text("namespace", &*change.namespace)
        .text("key", change.key.as_deref())
        .text("agent", change.agent.as_deref())
        .time("at", change.at)
        .end()
}

/// The name of what happened in a change.
pub fn change_kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Set => "set",
        ChangeKind::Delete => "delete",
        ChangeKind::Expire => "expire",
        ChangeKind::Clear => "clear",
    }
}

/// What a write did, as a JSON object: `existed`, `version`, and where the mutation returns something `result`.
pub fn outcome(outcome: &Outcome) -> Json {
    let object = Object::with_capacity(64).bool("existed", outcome.existed).number("version", outcome.version);
    match &outcome.result {
        Some(result) => object.json("result", result).end(),
        None => object.end(),
    }
}

/// An error as a JSON object: `code` (see [`error_code`]), `message`, `retryable`, and where known `operation`,
/// `namespace`, `key`, `expectedVersion`, `actualVersion`, `holder` and `heldUntil`.
pub fn error(error: &Error) -> Json {
    error_as("message", error)
}

/// An error as in [`error`], with its message under another name.
pub fn error_as(message: &'static str, error: &Error) -> Json {
    let mut object = Object::with_capacity(256)
        .text("code", error_code(error.kind()))
        .text(message, error.message())
        .bool("retryable", error.is_retryable());
    for (name, value) in [("operation", error.operation()), ("namespace", error.namespace()), ("key", error.key())] {
        if value.is_some() {
            object = object.text(name, value);
        }
    }
    if let Some(mismatch) = error.version_mismatch() {
        object = object.number("expectedVersion", mismatch.expected).number("actualVersion", mismatch.actual);
    }
    if let Some(holder) = error.lease_holder() {
        object = object.text("holder", holder.agent.as_deref()).time("heldUntil", holder.expires_at);
    }
    object.end()
}

/// The error that [`error_as`] has written, but for the operation, which is the caller's; `None` where it is none.
#[cfg(feature = "remote")]
pub(crate) fn read_error(message: &str, text: &[u8]) -> Option<Error> {
    use serde_json::{Map, Value};

    use crate::error::{LeaseHolder, VersionMismatch};

    let members: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let number = |name: &str| members.get(name).and_then(Value::as_u64);
    let mut error = Error::new(error_kind(text("code")?)?, text(message)?);
    if let (Some(namespace), Some(key)) = (text("namespace"), text("key")) {
        error = error.at(namespace, key);
    }
    if let (Some(expected), Some(actual)) = (number("expectedVersion"), number("actualVersion")) {
        error = error.with_mismatch(VersionMismatch { expected, actual });
    }
    if members.contains_key("holder") {
        let expires_at = text("heldUntil").and_then(Timestamp::parse);
        error = error.with_holder(LeaseHolder { agent: text("holder").map(ToOwned::to_owned), expires_at });
    }
    Some(error)
}

/// The kind with this name.
#[cfg(feature = "remote")]
fn error_kind(code: &str) -> Option<ErrorKind> {
    use ErrorKind::{
        Conflict, CorruptStore, InvalidArgument, LeaseHeld, LeaseLost, NotSerializable, PermissionDenied,
        QuotaExceeded, TooLarge, Unauthenticated, Unavailable,
    };
    [
        InvalidArgument,
        NotSerializable,
        TooLarge,
        Conflict,
        LeaseHeld,
        LeaseLost,
        QuotaExceeded,
        Unauthenticated,
        PermissionDenied,
        Unavailable,
        CorruptStore,
    ]
    .into_iter()
    .find(|kind| error_code(*kind) == code)
}

/// The name of an error's kind, for programs to tell errors apart.
pub fn error_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "invalid_argument",
        ErrorKind::NotSerializable => "not_serializable",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::Conflict => "conflict",
        ErrorKind::LeaseHeld => "lease_held",
        ErrorKind::LeaseLost => "lease_lost",
        ErrorKind::QuotaExceeded => "quota_exceeded",
        ErrorKind::Unauthenticated => "unauthenticated",
        ErrorKind::PermissionDenied => "permission_denied",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::CorruptStore => "corrupt_store",
    }
}

/// Any text as a JSON string.
pub fn string(text: &str) -> Json {
    Json::from_trusted(push_string(String::with_capacity(text.len() + 2), text))
}

/// Adds a JSON string to a text.
pub fn push_string(mut text: String, value: &str) -> String {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if value.bytes().all(is_plain) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(value).to_string());
    }
    text
}

/// JSON values as an array.
pub fn array(items: impl IntoIterator<Item = Json>) -> Json {
    let mut text = String::from("[");
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(item.as_str());
    }
    text.push(']');
    Json::from_trusted(text)
}

/// A JSON object in the making. Names are ours: they need no escaping.
pub struct Object(String);

impl Object {
    /// An object that will take about `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self::after(String::new(), bytes)
    }

    /// An object that will take about `bytes`, at the end of a text.
    pub fn after(mut text: String, bytes: usize) -> Self {
        text.reserve(bytes);
        text.push('{');
        Self(text)
    }

    /// Adds a string or `null`.
    #[must_use]
    pub fn text<'a>(self, name: &'static str, value: impl Into<Option<&'a str>>) -> Self {
        let object = self.name(name);
        match value.into() {
            Some(value) => Self(push_string(object.0, value)),
            None => object.push("null"),
        }
    }

    /// Adds an array of strings.
    #[must_use]
    pub fn texts<'a>(self, name: &'static str, values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = self.name(name).0;
        text.push('[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text = push_string(text, value);
        }
        Self(text).push("]")
    }

    /// Adds a JSON value as it is.
    #[must_use]
    pub fn json(self, name: &'static str, value: &Json) -> Self {
        self.name(name).push(value.as_str())
    }

    /// Adds a whole number or `null`.
    #[must_use]
    pub fn number(self, name: &'static str, value: impl Into<Option<u64>>) -> Self {
        self.name(name).display(value.into())
    }

    /// Adds a truth value.
    #[must_use]
    pub fn bool(self, name: &'static str, value: bool) -> Self {
        self.name(name).push(if value { "true" } else { "false" })
    }

    /// Adds a time or `null`.
    #[must_use]
    pub fn time(self, name: &'static str, value: impl Into<Option<Timestamp>>) -> Self {
        match value.into() {
            Some(value) => self.name(name).push("\"").display(Some(value)).push("\""),
            None => self.name(name).push("null"),
        }
    }

    /// The object.
    pub fn end(self) -> Json {
        Json::from_trusted(self.into_text())
    }

    /// The text with the object at its end.
    pub fn into_text(self) -> String {
        self.push("}").0
    }

    fn name(self, name: &str) -> Self {
        let comma = if self.0.ends_with('{') { "" } else { "," };
        self.push(comma).push("\"").push(name).push("\":")
    }

    fn push(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self
    }

    fn display(mut self, value: Option<impl Display>) -> Self {
        match value {
            // Writing to a string cannot fail.
            Some(value) => drop(write!(self.0, "{value}")),
            None => self.0.push_str("null"),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::VersionMismatch;
    use crate::limits::Limits;

    fn parsed(json: &Json) -> serde_json::Value {
        Json::parse(json.as_str(), &Limits::default()).expect("what leaves the process is checked JSON");
        serde_json::from_str(json.as_str()).expect("JSON")
    }

    #[test]
    fn a_record_has_every_field_under_its_camel_case_name() {
        let at = Timestamp::parse("2026-01-31T12:00:00.000001Z").expect("RFC 3339");
        let json = record(&Record {
            user_id: "al:ice".into(),
            namespace: "n\"s\n".into(),
            key: "clé?>".into(),
            value: Json::from_trusted(r#"{"big": 123456789012345678901234567890}"#),
            metadata: Json::from_trusted(r#"{"a":1}"#),
            version: 7,
            created_by_agent: Some("one".into()),
            updated_by_agent: None,
            last_accessed_by_agent: Some("two".into()),
            access_count: 3,
            created_at: at,
            updated_at: at,
            last_accessed_at: None,
            expires_at: Some(at),
        });
        assert!(json.as_str().contains("123456789012345678901234567890"), "integers of any size");
        let record = parsed(&json);
        let names: Vec<&String> = record.as_object().expect("object").keys().collect();
        let mut expected = [
            "_id",
            "accessCount",
            "createdAt",
            "createdByAgent",
            "expiresAt",
            "key",
            "lastAccessedAt",
            "lastAccessedByAgent",
            "metadata",
            "namespace",
            "updatedAt",
            "updatedByAgent",
            "userId",
            "value",
            "version",
        ];
        expected.sort_unstable();
        let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(record["_id"], "al:ice:n\"s\n:Y2zDqT8-");
        assert_eq!(record["key"], "clé?>");
        assert_eq!(record["updatedByAgent"], serde_json::Value::Null);
        assert_eq!(record["lastAccessedAt"], serde_json::Value::Null);
        assert_eq!(record["expiresAt"], "2026-01-31T12:00:00.000001Z");
    }

    #[test]
    fn statistics_are_an_object() {
        let json = namespace_stats(&NamespaceStats {
            namespace: "a\\b".into(),
            records: 2,
            bytes: 30,
            agents: vec!["x".into(), "\u{1}".into()],
            updated_at: Timestamp::parse("2026-01-31T12:00:00Z").expect("RFC 3339"),
        });
        let expected = serde_json::json!({
            "namespace": "a\\b", "records": 2, "bytes": 30, "agents": ["x", "\u{1}"],
            "updatedAt": "2026-01-31T12:00:00.000000Z",
        });
        assert_eq!(parsed(&json), expected);
    }

    #[test]
    fn an_error_says_what_a_program_needs() {
        let conflict = Error::conflict("default", "k", VersionMismatch { expected: 0, actual: 4 }).during("set");
        let json = parsed(&error(&conflict));
        assert_eq!(json["code"], "conflict");
        assert_eq!(json["message"], conflict.message());
        assert_eq!(json["operation"], "set");
        assert_eq!(json["namespace"], "default");
        assert_eq!(json["key"], "k");
        assert_eq!(json["expectedVersion"], 0);
        assert_eq!(json["actualVersion"], 4);
        assert_eq!(json["retryable"], false);
        let json = parsed(&error(&Error::unavailable("busy")));
        assert_eq!(json["retryable"], true);
        assert_eq!(json.get("key"), None);
    }
}
