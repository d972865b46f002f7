//! Tools for records.

use std::sync::Arc;
use std::time::Duration;

use agent_data_store::model::{Address, Row, View};
use agent_data_store::wire::{self, Object};
use agent_data_store::{AppendOptions, Error, ErrorKind, Json, Result, SetOptions};

use super::bounds::{self, Place, Rows, fits, no_cursor, preview, with_piece, with_value};
use super::path::part;
use super::tools::Call;
use crate::waiting::bounded;

/// How long to wait where nothing is said.
const USUAL_WAIT: Duration = Duration::from_secs(30);
/// How many records are read at once: each may be large.
const AT_ONCE: usize = 16;
/// Looking into longer values is left to threads that may take their time.
const LONG: usize = 256 << 10;
/// The answer for a key that leads to nothing.
const NOT_FOUND: &str =
    r#"{"found":false,"hint":"list_keys shows the keys that are there, search finds keys by a part of them"}"#;

pub(super) async fn get(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let (namespace, key) = (arguments.namespace()?, arguments.needed_text("key")?);
    let path = arguments.text("path")?.unwrap_or_default();
    let bound = arguments
        .whole("max_characters")?
        .map_or(call.bound, |most| usize::try_from(most).unwrap_or(usize::MAX).min(call.bound));
    let place = arguments.text("cursor")?.as_deref().map(Place::parse).transpose()?;
    let bookkeeping = arguments.flag("bookkeeping")?;
    let view = call.caller.reader(&namespace)?;
    let Some(row) = view.read_row(&key, if bookkeeping { View::Record } else { View::Value }).await? else {
        return Ok(NOT_FOUND.to_owned());
    };
    view.count_reads([&*key]);
    if place.is_some_and(|place| place.version != row.version) {
        let message = format!("the record {key:?} was written since the last part was read: begin anew without cursor");
        return Err(Error::new(ErrorKind::Conflict, message).at(&namespace, &key));
    }
    let user = call.caller.identity().user().to_owned();
    let long = row.value.as_ref().is_some_and(|value| value.len() > LONG);
    let show = move || shown(&user, &namespace, row, &path, place, bound);
    match long {
        false => show(),
        true => tokio::task::spawn_blocking(show).await.unwrap_or_else(|_| Err(super::cancelled())),
    }
}

/// A record, or the part of its value that is asked for and fits.
fn shown(user: &str, namespace: &str, row: Row, path: &str, place: Option<Place>, bound: usize) -> Result<String> {
    let (version, value) = (row.version, row.value.clone().unwrap_or_else(|| Json::from_trusted("null")));
    let mut object = Object::with_capacity(value.len().min(bound) + 256).bool("found", true).number("version", version);
    if row.expires_at.is_some() {
        object = object.time("expiresAt", row.expires_at);
    }
    let mut bound = bound;
    if row.details.is_some() {
        let record = wire::push_row(String::new(), user, namespace, &Row { value: None, ..row });
        let record = Json::from_trusted(record);
        // Metadata may be long, too.
        let (room, record) = match bounds::characters(record.as_str()) {
            long if long > bound / 2 => {
                let cut = Object::with_capacity(256)
                    .number("characters", long as u64)
                    .text("preview", preview(&record))
                    .text("cut", "the metadata is too long for an answer")
                    .end();
                (bounds::characters(cut.as_str()), cut)
            }
            characters => (characters, record),
        };
        object = object.json("record", &record);
        bound = bound.saturating_sub(room);
    }
    let part = part(value.as_str(), path)?;
    match place {
        None if fits(part, bound) => Ok(object.json("value", &Json::from_trusted(part)).into_text()),
        place => Ok(with_piece(object, part, place.unwrap_or(Place { version, from: 0 }), bound)?.into_text()),
    }
}

pub(super) async fn get_many(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let (namespace, keys) = (arguments.namespace()?, arguments.texts("keys")?);
    if keys.len() > 1_000 {
        return Err(super::arguments::invalid(format!(
            "{} keys are more than 1000: ask for fewer at once",
            keys.len()
        )));
    }
    let previews = choice(call, &["values", "previews"])? == "previews";
    let begin = match arguments.text("cursor")? {
        None => 0,
        Some(cursor) => cursor.parse().ok().filter(|at| *at < keys.len()).ok_or_else(no_cursor)?,
    };
    let view = call.caller.reader(&namespace)?;
    let shared: Arc<str> = Arc::from(&*namespace);
    let mut rows = Rows::within(call.bound, &namespace);
    let mut shown = begin;
    'all: for keys in keys[begin..].chunks(AT_ONCE) {
        let addresses: Vec<Address> =
            keys.iter().map(|key| Address { namespace: Arc::clone(&shared), key: key.as_str().into() }).collect();
        let found = view.read_rows(&addresses, View::Value).await?;
        for (key, row) in keys.iter().zip(found) {
            let (text, is_whole) = one_of_many(key, row.as_ref(), previews, call.bound, &rows);
            let Some(text) = text else { break 'all };
            if !rows.push(&text, "1000") {
                break 'all;
            }
            shown += 1;
            if is_whole {
                view.count_reads([&**key]);
            }
        }
    }
    let total = keys.len();
    let object = Object::with_capacity(call.bound).text("namespace", &*namespace).json("records", &rows.end());
    if shown == total {
        return Ok(object.into_text());
    }
    let cut = format!("{begin} to {shown} of {total} keys: call again with cursor for the others");
    Ok(object.text("cut", &*cut).text("cursor", &*shown.to_string()).into_text())
}

/// A record among others, and whether it is shown whole. `None` where an answer of its own would show more of it.
fn one_of_many(key: &str, row: Option<&Row>, previews: bool, bound: usize, rows: &Rows) -> (Option<String>, bool) {
    let object = Object::with_capacity(128).text("key", key);
    let Some(Row { version, value: Some(value), .. }) = row else {
        return (Some(object.bool("missing", true).into_text()), false);
    };
    if !previews && fits(value.as_str(), rows.room()) {
        return (Some(object.json("value", value).number("version", *version).into_text()), true);
    }
    if !previews && !rows.is_empty() && fits(value.as_str(), bound.saturating_sub(bounds::in_json(key) + 200)) {
        return (None, false);
    }
    let object = object
        .number("characters", bounds::characters(value.as_str()) as u64)
        .text("preview", preview(value))
        .number("version", *version);
    (Some(object.into_text()), false)
}

pub(super) async fn set(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let (namespace, key) = (arguments.namespace()?, arguments.needed_text("key")?);
    let view = call.caller.writer(&namespace)?;
    let value = arguments.needed_json("value", view.limits())?;
    let options = SetOptions {
        metadata: arguments.object("metadata", view.limits())?,
        ttl: arguments.ttl("ttl")?,
        if_version: arguments.whole("if_version")?,
    };
    let version = view.set(&key, value, options).await?;
    Ok(Object::with_capacity(32).number("version", version).into_text())
}

pub(super) async fn delete(call: &Call<'_>) -> Result<String> {
    let (namespace, key) = (call.arguments.namespace()?, call.arguments.needed_text("key")?);
    let deleted = call.caller.writer(&namespace)?.delete(&key).await?;
    Ok(Object::with_capacity(32).bool("deleted", deleted).into_text())
}

pub(super) async fn increment(call: &Call<'_>) -> Result<String> {
    let (namespace, key) = (call.arguments.namespace()?, call.arguments.needed_text("key")?);
    let view = call.caller.writer(&namespace)?;
    let by = call.arguments.json("by", view.limits())?.unwrap_or_else(|| Json::from_trusted("1"));
    let value = view.increment(&key, by, call.arguments.ttl("ttl")?).await?;
    Ok(new_value(call, &value))
}

pub(super) async fn append(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let (namespace, key) = (arguments.namespace()?, arguments.needed_text("key")?);
    let view = call.caller.writer(&namespace)?;
    let item = arguments.needed_json("item", view.limits())?;
    let options = AppendOptions {
        unique: arguments.flag("unique")?,
        max_length: arguments.whole("max_length")?.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        ttl: arguments.ttl("ttl")?,
    };
    let length = view.extend(&key, Json::from_trusted(format!("[{item}]")), options).await?;
    Ok(Object::with_capacity(32).number("length", length).into_text())
}

pub(super) async fn merge(call: &Call<'_>) -> Result<String> {
    let (namespace, key) = (call.arguments.namespace()?, call.arguments.needed_text("key")?);
    let view = call.caller.writer(&namespace)?;
    let patch = call.arguments.needed_json("patch", view.limits())?;
    let value = view.merge(&key, patch, call.arguments.ttl("ttl")?).await?;
    Ok(new_value(call, &value))
}

fn new_value(call: &Call<'_>, value: &Json) -> String {
    let object = Object::with_capacity(value.len().min(call.bound) + 64);
    with_value(object, value, call.bound, "it is stored; get reads it part by part").into_text()
}

pub(super) async fn wait_for(call: &Call<'_>) -> Result<String> {
    let arguments = &call.arguments;
    let (namespace, key) = (arguments.namespace()?, arguments.needed_text("key")?);
    let view = call.caller.reader(&namespace)?;
    let timeout = bounded(call.caller.app(), Some(arguments.pause("timeout_seconds")?.unwrap_or(USUAL_WAIT)));
    let since = arguments.whole("since_version")?;
    let found = call.unless_ended(view.wait_for(&key, timeout, since, async |_| Ok(true))).await?;
    let Some((value, version)) = found else {
        let hint = format!("nothing came within {} seconds: call again, or do something else", timeout.as_secs_f64());
        return Ok(Object::with_capacity(128).bool("found", false).text("hint", &*hint).into_text());
    };
    let object = Object::with_capacity(value.len().min(call.bound) + 64).bool("found", true).number("version", version);
    Ok(with_value(object, &value, call.bound, "get reads it part by part").into_text())
}

/// What `show` says, of the forms there are; the first one where it says nothing.
pub(super) fn choice(call: &Call<'_>, forms: &[&'static str]) -> Result<&'static str> {
    let Some(chosen) = call.arguments.text("show")? else { return Ok(forms[0]) };
    let found = forms.iter().find(|form| **form == chosen);
    found.copied().ok_or_else(|| super::arguments::invalid(format!("show is not one of {}", forms.join(", "))))
}
