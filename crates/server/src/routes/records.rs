//! Records.

use agent_data_store::model::{PageSize, Range, Row, View};
use agent_data_store::{DataStore, SetOptions, wire};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::body::{JsonBody, checked, given};
use crate::caller::Caller;
use crate::error::{Failure, JSON, Result};
use crate::place::{Namespace, Record};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutBody<'a> {
    #[serde(borrow, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// The records of a namespace, in order of their keys.
pub(crate) async fn list(caller: Caller, Namespace(namespace): Namespace) -> Result {
    let view = caller.reader(&namespace)?;
    let page = view.scan(Range::default(), View::Record, PageSize::ALL).await?;
    view.count_reads(page.rows.iter().map(|row| &*row.key));
    let mut text = String::from("[");
    for (index, row) in page.rows.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text = wire::push_row(text, view.identity().user(), view.namespace(), row);
    }
    text.push(']');
    Ok(([(CONTENT_TYPE, JSON)], text).into_response())
}

/// One record.
pub(crate) async fn get(caller: Caller, place: Record) -> Result {
    let view = caller.reader(&place.namespace)?;
    let Some(row) = view.read_row(&place.key, View::Record).await? else { return Err(no_record(place)) };
    view.count_reads([&*place.key]);
    Ok(record(&view, &row))
}

/// Stores a value.
pub(crate) async fn put(caller: Caller, place: Record, body: JsonBody) -> Result {
    let view = caller.writer(&place.namespace)?;
    let PutBody { value, metadata } = body.parse()?;
    let value = value.ok_or_else(|| Failure::invalid("the body has no value: send {\"value\": …}"))?;
    let metadata = metadata.map(|metadata| checked(metadata, view.limits())).transpose()?;
    let options = SetOptions { metadata, ..SetOptions::default() };
    view.set(&place.key, checked(value, view.limits())?, options).await?;
    let Some(row) = view.read_row(&place.key, View::Record).await? else { return Err(no_record(place)) };
    Ok(record(&view, &row))
}

/// Removes a record.
pub(crate) async fn delete(caller: Caller, place: Record) -> Result {
    match caller.writer(&place.namespace)?.delete(&place.key).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(no_record(place)),
    }
}

fn record(view: &DataStore, row: &Row) -> Response {
    let text = wire::push_row(String::new(), view.identity().user(), view.namespace(), row);
    ([(CONTENT_TYPE, JSON)], text).into_response()
}

fn no_record(Record { namespace, key }: Record) -> Failure {
    Failure::NoRecord { namespace, key }
}
