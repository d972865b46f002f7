//! The JSON that leaves the process: names in camelCase, times as RFC 3339. One form for HTTP, exports and `ads --json`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::json::Json;
use crate::model::{NamespaceStats, Record};

/// `{user_id}:{namespace}:{urlsafe base64 of key}`, for show only: two records may share it, since names may hold a
/// colon.
pub fn record_id(user_id: &str, namespace: &str, key: &str) -> String {
    format!("{user_id}:{namespace}:{}", URL_SAFE.encode(key))
}

/// A whole record as a JSON object; what is not there is `null`.
pub fn record(record: &Record) -> Json {
    Object::with_capacity(record.value.len() + record.metadata.len() + 512)
        .text("_id", record_id(&record.user_id, &record.namespace, &record.key).as_str())
        .text("userId", &*record.user_id)
        .text("namespace", &*record.namespace)
        .text("key", &*record.key)
        .json("value", &record.value)
        .json("metadata", &record.metadata)
        .number("version", record.version)
        .text("createdByAgent", record.created_by_agent.as_deref())
        .text("updatedByAgent", record.updated_by_agent.as_deref())
        .text("lastAccessedByAgent", record.last_accessed_by_agent.as_deref())
        .number("accessCount", record.access_count)
        .time("createdAt", record.created_at)
        .time("updatedAt", record.updated_at)
        .time("lastAccessedAt", record.last_accessed_at)
        .time("expiresAt", record.expires_at)
        .end()
}

/// The statistics of a namespace as a JSON object.
pub fn namespace_stats(stats: &NamespaceStats) -> Json {
    let agents = array(stats.agents.iter().map(|agent| string(agent)));
    Object::with_capacity(256)
        .text("namespace", &*stats.namespace)
        .number("records", stats.records)
        .number("bytes", stats.bytes)
        .json("agents", &agents)
        .time("updatedAt", stats.updated_at)
        .end()
}

/// An error as a JSON object: `code` (see [`error_code`]), `message`, `retryable`, and where known `operation`,
/// `namespace`, `key`, `expectedVersion`, `actualVersion`.
pub fn error(error: &Error) -> Json {
    let mut object = Object::with_capacity(256)
        .text("code", error_code(error.kind()))
        .text("message", error.message())
        .bool("retryable", error.is_retryable());
    for (name, value) in [("operation", error.operation()), ("namespace", error.namespace()), ("key", error.key())] {
        if value.is_some() {
            object = object.text(name, value);
        }
    }
    if let Some(mismatch) = error.version_mismatch() {
        object = object.number("expectedVersion", mismatch.expected).number("actualVersion", mismatch.actual);
    }
    object.end()
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
    Json::from_trusted(serde_json::Value::from(text).to_string())
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
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    /// Adds a string or `null`.
    #[must_use]
    pub fn text<'a>(self, name: &'static str, value: impl Into<Option<&'a str>>) -> Self {
        match value.into() {
            Some(value) => self.member(name, string(value).as_str()),
            None => self.member(name, "null"),
        }
    }

    /// Adds a JSON value as it is.
    #[must_use]
    pub fn json(self, name: &'static str, value: &Json) -> Self {
        self.member(name, value.as_str())
    }

    /// Adds a whole number or `null`.
    #[must_use]
    pub fn number(self, name: &'static str, value: impl Into<Option<u64>>) -> Self {
        match value.into() {
            Some(value) => self.member(name, &value.to_string()),
            None => self.member(name, "null"),
        }
    }

    /// Adds a truth value.
    #[must_use]
    pub fn bool(self, name: &'static str, value: bool) -> Self {
        self.member(name, if value { "true" } else { "false" })
    }

    /// Adds a time or `null`.
    #[must_use]
    pub fn time(self, name: &'static str, value: impl Into<Option<Timestamp>>) -> Self {
        match value.into() {
            Some(value) => self.member(name, &format!("\"{value}\"")),
            None => self.member(name, "null"),
        }
    }

    /// The object.
    pub fn end(mut self) -> Json {
        self.0.push('}');
        Json::from_trusted(self.0)
    }

    fn member(mut self, name: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(value);
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
