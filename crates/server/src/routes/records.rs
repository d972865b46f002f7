//! Records: one by one, and lists of them.

use std::sync::Arc;

use agent_data_store::model::{Address, Details, Expiry, Mutation, PageSize, Precondition, Row, Version, View, Write};
use agent_data_store::{DataStore, Json, wire};
use axum::extract::State;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::answer::{json, no_content, number, tagged};
use crate::app::App;
use crate::body::{JsonBody, checked, given};
use crate::caller::Caller;
use crate::error::{Failure, Result};
use crate::listing::Listing;
use crate::place::{Choices, Namespace, Record, Shown, linked_to_next};
use crate::precondition::{Condition, Conditions, write_if};
use crate::schemas;
use crate::write::{ChangeRecord, WriteBody, expiry};

/// When a record expires, where the body is its value alone.
const EXPIRES_AT: HeaderName = HeaderName::from_static("x-expires-at");

/// Which records are listed, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Only keys that start with this.
    prefix: Option<String>,
    /// Only keys after this one.
    after: Option<String>,
    /// At most this many; the header `Link` then leads to the next ones.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// Fewer where keys and values have more bytes than this together; `Link` as for `limit`.
    max_bytes: Option<usize>,
    /// How much of each record.
    view: Option<Shown>,
    /// The keys alone, as strings: the same as `view=key`.
    keys_only: Option<bool>,
    /// All in one consistent state, which the server holds until it is sent.
    snapshot: Option<bool>,
    /// Whether this counts as a read of each record.
    count: Option<bool>,
}

/// How a record is shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetQuery {
    /// How much of it; with `value` the body is the value alone.
    view: Option<Shown>,
    /// Whether this counts as a read.
    count: Option<bool>,
}

/// A value to store.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PutRecord<'a> {
    /// Any JSON.
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = Value, required)]
    value: Option<&'a RawValue>,
    /// Merged key by key into what is there.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<&'a RawValue>,
    /// How long the record lives; without it, or null: until it is deleted.
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0.000001)]
    ttl_seconds: Option<&'a RawValue>,
}

/// Lists the records of a namespace in order of their keys: all of them, unless `limit` is given.
#[utoipa::path(
    get, path = "/data-store/namespaces/{namespace}/records", tag = "records", operation_id = "list_records",
    params(Namespace, ListQuery),
    responses((status = 200, description = "As `view` asks", body = Vec<schemas::Shown>,
        headers(("Link" = String, description = "Where the next ones are, if the page has left any")))),
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Namespace { namespace }: Namespace,
    uri: Uri,
    Choices(query): Choices<ListQuery>,
) -> Result {
    let shown = match (query.keys_only.unwrap_or_default(), query.view) {
        (true, None | Some(Shown::Key)) => View::Key,
        (true, Some(_)) => return Err(Failure::invalid("keysOnly goes with no other view: leave one of them out")),
        (false, view) => view.unwrap_or_default().view(),
    };
    let listing = Listing {
        app,
        view: caller.reader(&namespace)?,
        shown,
        counted: caller.counts(query.count),
        prefix: query.prefix.unwrap_or_default(),
    };
    let after = query.after.as_deref();
    let size = match (query.limit, query.max_bytes, query.snapshot) {
        (Some(0), ..) => return Err(Failure::invalid("limit is 0: ask for at least 1")),
        (None, None, Some(true)) => PageSize::ALL,
        (None, None, _) => return listing.send_all(after).await,
        (rows, bytes, _) => PageSize { rows: rows.unwrap_or(usize::MAX), bytes: bytes.unwrap_or(usize::MAX) },
    };
    let page = listing.page(after, size).await?;
    let whole = query.limit.is_none() && query.max_bytes.is_none();
    if whole && page.more {
        return Err(listing.app.memory().too_large().into());
    }
    let last = page.rows.last().filter(|_| page.more).map(|row| row.key.clone());
    Ok(linked_to_next(&uri, last.as_deref(), listing.send(page.rows).await?))
}

/// Shows a record.
#[utoipa::path(
    get, path = "/data-store/namespaces/{namespace}/records/{key}", tag = "records", operation_id = "get_record",
    params(Record, GetQuery, Conditions),
    responses(
        (status = 200, description = "As `view` asks", body = Value, headers(
            ("ETag" = String, description = "Its version"),
            ("X-Expires-At" = String, description = "When it expires, if it does; with `view=value`"))),
        (status = 304, description = "It has the version that the caller knows"),
        (status = 404, description = "There is none", body = schemas::Error),
        (status = 412, description = "It has another version", body = schemas::Error),
    ),
)]
pub(crate) async fn get(
    caller: Caller,
    place: Record,
    Choices(query): Choices<GetQuery>,
    headers: HeaderMap,
) -> Result {
    let view = caller.reader(&place.namespace)?;
    let shown = query.view.unwrap_or_default();
    // A condition looks at the version, which the key alone does not have.
    let conditional = headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH);
    let condition = if conditional { Condition::of(&headers)? } else { Condition::None };
    let needed = match shown.view() {
        View::Key => View::Version,
        other => other,
    };
    let row = view.read_row(&place.key, needed).await?;
    if !condition.holds(row.as_ref().map_or(0, |row| row.version)) {
        return match (condition, row) {
            (Condition::Absent | Condition::NoneOf(_), Some(row)) => {
                Ok(tagged(row.version, StatusCode::NOT_MODIFIED.into_response()))
            }
            (condition, _) => Err(condition.failed(&place.namespace, &place.key)),
        };
    }
    let Some(row) = row else { return Err(no_record(place)) };
    if row.value.is_some() && caller.counts(query.count) {
        view.count_reads([&*place.key]);
    }
    Ok(match (shown, row.value) {
        (Shown::Key, _) => tagged(row.version, json(wire::string(&place.key))),
        (Shown::Value, Some(value)) => {
            let mut response = tagged(row.version, json(value));
            if let Some(expires_at) = row.expires_at {
                response.headers_mut().insert(EXPIRES_AT, number(&expires_at.to_string()));
            }
            response
        }
        (_, value) => record(&view, &Row { value, ..row }),
    })
}

/// Stores a value, whether or not there is one.
#[utoipa::path(
    put, path = "/data-store/namespaces/{namespace}/records/{key}", tag = "records", operation_id = "put_record",
    params(Record, Conditions), request_body = PutRecord<'_>,
    responses(
        (status = 200, description = "The record as it now is", body = schemas::Record,
            headers(("ETag" = String, description = "Its version"))),
        (status = 412, description = "It has another version", body = schemas::Error),
    ),
)]
pub(crate) async fn put(caller: Caller, place: Record, headers: HeaderMap, body: JsonBody) -> Result {
    let condition = Condition::of(&headers)?;
    let view = caller.writer(&place.namespace)?;
    let PutRecord { value, metadata, ttl_seconds } = body.parse()?;
    let value = value.ok_or_else(|| Failure::invalid("the body has no value: send {\"value\": …}"))?;
    let value = checked(value, view.limits())?;
    let metadata = metadata.map(|metadata| checked(metadata, view.limits())).transpose()?;
    let write = Write {
        address: address(&place),
        precondition: Precondition::None,
        mutation: Mutation::Set(value.clone()),
        metadata,
        expiry: expiry(ttl_seconds)?,
    };
    let version = write_if(&condition, &caller, &view, write.clone()).await?.version;
    let found = view.read_row(&place.key, View::Record).await?;
    Ok(record(&view, &as_written(found, &write, version, value, &view)))
}

/// Changes a record in one step.
#[utoipa::path(
    post, path = "/data-store/namespaces/{namespace}/records/{key}", tag = "records", operation_id = "change_record",
    params(Record, Conditions), request_body = ChangeRecord,
    responses(
        (status = 200, description = "What the write did", body = schemas::Outcome,
            headers(("ETag" = String, description = "The version after it, if there is a record"))),
        (status = 412, description = "It has another version", body = schemas::Error),
    ),
)]
pub(crate) async fn change(caller: Caller, place: Record, headers: HeaderMap, body: JsonBody) -> Result {
    let condition = Condition::of(&headers)?;
    let view = caller.writer(&place.namespace)?;
    let write = body.parse::<WriteBody<'_>>()?.at(address(&place), view.limits())?;
    if condition != Condition::None && write.precondition != Precondition::None {
        return Err(Failure::invalid("the version is asked for in the headers and in the body: leave one of them out"));
    }
    let outcome = write_if(&condition, &caller, &view, write).await?;
    let response = json(wire::outcome(&outcome));
    Ok(if outcome.version == 0 { response } else { tagged(outcome.version, response) })
}

/// Removes a record.
#[utoipa::path(
    delete, path = "/data-store/namespaces/{namespace}/records/{key}", tag = "records", operation_id = "delete_record",
    params(Record, Conditions),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There was none", body = schemas::Error),
        (status = 412, description = "It has another version", body = schemas::Error),
    ),
)]
pub(crate) async fn delete(caller: Caller, place: Record, headers: HeaderMap) -> Result {
    let condition = Condition::of(&headers)?;
    let view = caller.writer(&place.namespace)?;
    let write = Write {
        address: address(&place),
        precondition: Precondition::None,
        mutation: Mutation::Delete,
        metadata: None,
        expiry: Expiry::Default,
    };
    match write_if(&condition, &caller, &view, write).await?.existed {
        true => Ok(no_content()),
        false => Err(no_record(place)),
    }
}

fn address(place: &Record) -> Address {
    Address { namespace: Arc::from(&*place.namespace), key: place.key.as_str().into() }
}

fn record(view: &DataStore, row: &Row) -> Response {
    let text = wire::push_row(String::new(), view.identity().user(), view.namespace(), row);
    tagged(row.version, json(text))
}

/// The record as a write has left it. Others may have written since, or its time may be up already: then version and value
/// are ours all the same, so that nobody takes for their own what they have not seen.
fn as_written(found: Option<Row>, write: &Write, version: Version, value: Json, view: &DataStore) -> Row {
    let key = write.address.key.clone();
    match found {
        Some(row) if row.version == version => row,
        Some(row) => Row { version, value: Some(value), ..row },
        None => {
            let (now, agent) = (view.now(), view.identity().agent());
            let details = Details {
                metadata: write.metadata.clone().unwrap_or_else(|| Json::from_trusted("{}")),
                created_by_agent: agent.map(Into::into),
                updated_by_agent: agent.map(Into::into),
                last_accessed_by_agent: agent.map(Into::into),
                access_count: 0,
                created_at: now,
                updated_at: now,
                last_accessed_at: agent.map(|_| now),
            };
            let expires_at = match write.expiry {
                Expiry::After(ttl) => Some(now.saturating_add(ttl)),
                _ => None,
            };
            Row { key, version, expires_at, value: Some(value), details: Some(Box::new(details)) }
        }
    }
}

fn no_record(Record { namespace, key }: Record) -> Failure {
    Failure::NoRecord { namespace, key }
}
