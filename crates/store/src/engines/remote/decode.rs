//! What comes back: JSON, of which values stay the text that they are.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::client::Reply;
use crate::clock::Timestamp;
use crate::json::Json;
use crate::model::{Change, ChangeKind, Changes, Details, NamespaceStats, Outcome, Row, Version, View};

/// A record as far as it is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowBody<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    version: Version,
    expires_at: Option<Time>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    created_by_agent: Option<Box<str>>,
    updated_by_agent: Option<Box<str>>,
    last_accessed_by_agent: Option<Box<str>>,
    access_count: Option<u64>,
    created_at: Option<Time>,
    updated_at: Option<Time>,
    last_accessed_at: Option<Time>,
}

#[derive(Deserialize)]
struct OutcomeBody<'a> {
    existed: bool,
    version: Version,
    #[serde(borrow, default, deserialize_with = "given")]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StatsListBody {
    namespaces: Vec<StatsBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatsBody {
    namespace: Box<str>,
    record_count: u64,
    size_bytes: u64,
    agents: Vec<Box<str>>,
    updated_at: Time,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangesBody {
    changes: Vec<ChangeBody>,
    complete_from: Version,
    last: Version,
    #[serde(default = "usually")]
    settled: bool,
}

fn usually() -> bool {
    true
}

#[derive(Deserialize)]
struct ChangeBody {
    version: Version,
    kind: KindBody,
    namespace: Box<str>,
    key: Option<Box<str>>,
    agent: Option<Box<str>>,
    at: Time,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindBody {
    Set,
    Delete,
    Expire,
    Clear,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClearedBody {
    deleted_count: u64,
}

#[derive(Deserialize)]
struct CountBody {
    count: u64,
}

/// Whom the server takes its caller for.
#[derive(Deserialize)]
pub(super) struct WhoAmI {
    pub(super) user: Option<String>,
    pub(super) agent: Option<String>,
}

/// A time in RFC 3339.
#[derive(Clone, Copy)]
struct Time(Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        Timestamp::parse_shown(&text).map(Self).ok_or_else(|| D::Error::custom("expected a time"))
    }
}

/// Keeps `null` apart from a member that is missing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn json(text: &RawValue) -> Json {
    Json::from_trusted(text.get())
}

impl Time {
    fn of(time: Option<Self>) -> Option<Timestamp> {
        time.map(|Self(at)| at)
    }
}

impl RowBody<'_> {
    /// The row, if everything is there that the view asks for.
    fn row(self, view: View) -> Option<Row> {
        let value = match (view, self.value) {
            (View::Value | View::Record, value) => Some(json(value?)),
            _ => None,
        };
        let details = match view {
            View::Record => Some(Box::new(Details {
                metadata: json(self.metadata?),
                created_by_agent: self.created_by_agent,
                updated_by_agent: self.updated_by_agent,
                last_accessed_by_agent: self.last_accessed_by_agent,
                access_count: self.access_count?,
                created_at: self.created_at?.0,
                updated_at: self.updated_at?.0,
                last_accessed_at: Time::of(self.last_accessed_at),
            })),
            _ => None,
        };
        let (key, expires_at) = (Box::from(self.key), Time::of(self.expires_at));
        Some(Row { key, version: self.version, expires_at, value, details })
    }
}

fn key_row(key: Box<str>) -> Row {
    Row { key, version: 0, expires_at: None, value: None, details: None }
}

// Each of these gives `None` where the answer is not what it should be.

/// One record; of [`View::Value`] the body is the value itself.
pub(super) fn record(reply: Reply, view: View) -> Option<Row> {
    match view {
        View::Key => Some(key_row(Box::default())),
        View::Value => {
            let (version, expires_at) = (reply.version()?, reply.expires_at()?);
            let value = Json::from_trusted(String::from_utf8(reply.body).ok()?);
            Some(Row { version, expires_at, value: Some(value), ..key_row(Box::default()) })
        }
        View::Version | View::Record => {
            let row = serde_json::from_slice::<RowBody<'_>>(&reply.body).ok()?.row(view)?;
            Some(Row { key: Box::default(), ..row })
        }
    }
}

/// Records in a row, with `None` in the place of one that is not there.
pub(super) fn found_records(body: &[u8], view: View) -> Option<Vec<Option<Row>>> {
    match view {
        View::Key => {
            let keys: Vec<Option<Box<str>>> = serde_json::from_slice(body).ok()?;
            Some(keys.into_iter().map(|key| key.map(key_row)).collect())
        }
        _ => {
            let rows: Vec<Option<RowBody<'_>>> = serde_json::from_slice(body).ok()?;
            rows.into_iter().map(|row| row.map_or(Some(None), |row| row.row(view).map(Some))).collect()
        }
    }
}

pub(super) fn names(body: &[u8]) -> Option<Vec<Box<str>>> {
    serde_json::from_slice(body).ok()
}

pub(super) fn count(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<CountBody>(body).ok().map(|body| body.count)
}

pub(super) fn cleared(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<ClearedBody>(body).ok().map(|body| body.deleted_count)
}

pub(super) fn whoami(body: &[u8]) -> Option<WhoAmI> {
    serde_json::from_slice(body).ok()
}

pub(super) fn outcomes(body: &[u8]) -> Option<Vec<Outcome>> {
    let outcomes: Vec<OutcomeBody<'_>> = serde_json::from_slice(body).ok()?;
    let outcome = |OutcomeBody { existed, version, result }: OutcomeBody<'_>| Outcome {
        existed,
        version,
        result: result.map(json),
    };
    Some(outcomes.into_iter().map(outcome).collect())
}

pub(super) fn namespaces(body: &[u8]) -> Option<Vec<NamespaceStats>> {
    let StatsListBody { namespaces } = serde_json::from_slice(body).ok()?;
    let stats = |StatsBody { namespace, record_count, size_bytes, agents, updated_at }| NamespaceStats {
        namespace,
        records: record_count,
        bytes: size_bytes,
        agents,
        updated_at: updated_at.0,
    };
    Some(namespaces.into_iter().map(stats).collect())
}

pub(super) fn changes(body: &[u8]) -> Option<Changes> {
    let ChangesBody { changes, complete_from, last, settled } = serde_json::from_slice(body).ok()?;
    let change = |ChangeBody { version, kind, namespace, key, agent, at }| Change {
        version,
        kind: match kind {
            KindBody::Set => ChangeKind::Set,
            KindBody::Delete => ChangeKind::Delete,
            KindBody::Expire => ChangeKind::Expire,
            KindBody::Clear => ChangeKind::Clear,
        },
        namespace,
        key,
        agent,
        at: at.0,
    };
    Some(Changes { changes: changes.into_iter().map(change).collect(), complete_from, last, settled })
}
