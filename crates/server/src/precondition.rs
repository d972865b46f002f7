//! `If-Match` and `If-None-Match`: what must hold of a record, told by its version.

use agent_data_store::model::{Outcome, Precondition, Version, View, Write};
use agent_data_store::{DataStore, Error, ErrorKind};
use axum::http::HeaderMap;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use utoipa::IntoParams;

use crate::caller::Caller;
use crate::error::{Failure, Result};

/// The headers, as they are described.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct Conditions {
    /// Only if the record has one of these versions, such as `"7"`; `*`: only if there is one.
    #[param(rename = "If-Match", nullable = false, pattern = r#"^(\*|(W/)?"[^",]*"(, *(W/)?"[^",]*")*)$"#)]
    if_match: Option<String>,
    /// Only if it has none of these; `*`: only if there is none.
    #[param(rename = "If-None-Match", nullable = false, pattern = r#"^(\*|(W/)?"[^",]*"(, *(W/)?"[^",]*")*)$"#)]
    if_none_match: Option<String>,
}

/// What a request asks of the record's version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match`: one of these.
    OneOf(Vec<Version>),
    /// `If-None-Match`: none of these.
    NoneOf(Vec<Version>),
}

enum Tags {
    Any,
    Versions(Vec<Version>),
}

impl Condition {
    /// What the headers ask for.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self> {
        match (tags(headers, IF_MATCH, false)?, tags(headers, IF_NONE_MATCH, true)?) {
            (None, None) => Ok(Self::None),
            (Some(Tags::Any), None) => Ok(Self::Present),
            (Some(Tags::Versions(versions)), None) => Ok(Self::OneOf(versions)),
            (None, Some(Tags::Any)) => Ok(Self::Absent),
            (None, Some(Tags::Versions(versions))) => Ok(Self::NoneOf(versions)),
            (Some(_), Some(_)) => Err(Failure::invalid("both If-Match and If-None-Match are given: give one of them")),
        }
    }

    /// Whether it holds for this version; 0 for no record.
    pub(crate) fn holds(&self, version: Version) -> bool {
        match self {
            Self::None => true,
            Self::Absent => version == 0,
            Self::Present => version != 0,
            Self::OneOf(versions) => versions.contains(&version),
            Self::NoneOf(versions) => !versions.contains(&version),
        }
    }

    /// The same as an engine understands it, where it does.
    fn precondition(&self) -> Option<Precondition> {
        match self {
            Self::None => Some(Precondition::None),
            Self::Absent => Some(Precondition::Version(0)),
            Self::OneOf(versions) if versions.len() == 1 => versions.first().copied().map(Precondition::Version),
            Self::Present | Self::OneOf(_) | Self::NoneOf(_) => None,
        }
    }

    /// Why a request is refused.
    pub(crate) fn failed(&self, namespace: &str, key: &str) -> Failure {
        let message =
            format!("key {key:?} in namespace {namespace:?} is not as the request asks: read it again and retry");
        Failure::Store(Error::new(ErrorKind::Conflict, message).at(namespace, key))
    }
}

/// Applies a write of the caller if the condition holds.
pub(crate) async fn write_if(
    condition: &Condition,
    caller: &Caller,
    view: &DataStore,
    mut write: Write,
) -> Result<Outcome> {
    if let Some(precondition) = condition.precondition() {
        // That of the headers, or else that of the body.
        if precondition != Precondition::None {
            write.precondition = precondition;
        }
        return first(view.write(vec![write]).await?);
    }
    if caller.is_named() {
        return Err(Failure::invalid(
            "Idempotency-Key goes with one version in If-Match, or with If-None-Match: *: it cannot be told whether others \
             held the first time",
        ));
    }
    // Looked at here, and the engine makes sure that it has not changed until the write.
    loop {
        let key = &write.address.key;
        let version = view.read_row(key, View::Version).await?.map_or(0, |row| row.version);
        if !condition.holds(version) {
            return Err(condition.failed(view.namespace(), key));
        }
        write.precondition = Precondition::Version(version);
        match view.write(vec![write.clone()]).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            outcomes => return first(outcomes?),
        }
    }
}

fn first(outcomes: Vec<Outcome>) -> Result<Outcome> {
    let none = || Error::new(ErrorKind::CorruptStore, "the engine gave no outcome for a write").into();
    outcomes.into_iter().next().ok_or_else(none)
}

/// The entity tags in a header. What is a tag but no version matches nothing; weak ones match only where that is `weak`.
fn tags(headers: &HeaderMap, header: HeaderName, weak: bool) -> Result<Option<Tags>> {
    let mut values = headers.get_all(&header).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let not_tags = || Failure::invalid(format!("{header} is not an entity tag: write the version in quotes, or *"));
    let mut versions = Vec::new();
    for value in values {
        for tag in value.to_str().map_err(|_| not_tags())?.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Some(Tags::Any));
            }
            let (is_weak, quoted) = match tag.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, tag),
            };
            let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(not_tags)?;
            if weak || !is_weak {
                versions.extend(version(text));
            }
        }
    }
    Ok(Some(Tags::Versions(versions)))
}

/// As we write it: without sign or leading zeros.
fn version(text: &str) -> Option<Version> {
    let version: Version = text.parse().ok()?;
    (version > 0 && version.to_string() == text).then_some(version)
}
