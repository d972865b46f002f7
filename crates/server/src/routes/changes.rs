//! The change feed: as JSON, with waiting for more, or as a stream of server-sent events.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use agent_data_store::model::{Changes, Version};
use agent_data_store::wire::{self, Object};
use agent_data_store::{DataStore, Json};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::json;
use crate::app::App;
use crate::caller::Caller;
use crate::error::{Failure, Result};
use crate::place::Choices;
use crate::schemas;
use crate::visible;
use crate::waiting::{bounded, in_seconds, stopped};

/// Changes in one answer, unless fewer are asked for.
const USUAL_LIMIT: usize = 1_000;
/// Changes in one answer, at most.
const HIGHEST_LIMIT: usize = 10_000;

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesQuery {
    /// The position after which they come: that of the last change that was seen, 0 for all that are kept.
    #[param(value_type = Option<u64>)]
    since: Option<Version>,
    /// At most this many, and at most 10,000.
    limit: Option<usize>,
    /// For how many seconds to wait for a change where there is none.
    #[serde(default, deserialize_with = "in_seconds")]
    #[param(value_type = Option<f64>, minimum = 0)]
    wait: Option<Duration>,
}

/// Tells what has changed after a position, or with `Accept: text/event-stream` what changes from now on.
///
/// An event has the change's version as its id and its kind as its name. `Last-Event-ID` or `since` says where to go on.
/// The event `gap` tells that changes before its `completeFrom` are no longer kept.
#[utoipa::path(
    get, path = "/data-store/changes", tag = "changes", operation_id = "changes",
    params(ChangesQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was seen")),
    responses((status = 200, description = "Changes in all namespaces that the token reaches, oldest first",
        content((schemas::Changes = "application/json"), (String = "text/event-stream")))),
)]
pub(crate) async fn changes(
    State(app): State<App>,
    caller: Caller,
    Choices(query): Choices<ChangesQuery>,
    headers: HeaderMap,
) -> Result {
    let view = caller.reader_of_all()?;
    if wants_events(&headers) {
        let since = match last_event_id(&headers)?.or(query.since) {
            Some(since) => since,
            None => view.position().await?,
        };
        return Ok(events(app, caller, view, since));
    }
    let since = query.since.unwrap_or_default();
    let limit = query.limit.unwrap_or(USUAL_LIMIT).min(HIGHEST_LIMIT);
    let until = Instant::now() + bounded(&app, query.wait);
    let mut position = since;
    let changes = loop {
        let changes = visible::changes(caller.permit(), &view, position, limit).await?;
        // After the read: nothing is told that was written when the token had ended.
        caller.check_still_valid().await?;
        let all_hidden = changes.changes.is_empty() && !caller.permit().sees_all();
        match changes.last > position && position >= changes.complete_from {
            true if all_hidden => position = changes.last,
            false if changes.last <= position => {}
            _ => break changes,
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || *app.stopping().borrow() {
            break changes;
        }
        tokio::select! {
            newest = view.wait_for_changes(position, left) => drop(newest?),
            () = stopped(&app) => {}
        }
    };
    Ok(json(shown(&changes)))
}

fn shown(changes: &Changes) -> Json {
    let list = wire::array(changes.changes.iter().map(wire::change));
    let shown = Object::with_capacity(list.len() + 64)
        .json("changes", &list)
        .number("completeFrom", changes.complete_from)
        .number("last", changes.last);
    if changes.settled { shown.end() } else { shown.bool("settled", false).end() }
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepted.flat_map(|accept| accept.split(',')).any(|range| {
        range.split(';').next().is_some_and(|range| range.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Version>> {
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else { return Ok(None) };
    let id = id.to_str().ok().and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(|| Failure::invalid("Last-Event-ID is not the id of an event here: leave it out"))
}

/// A stream of events that is being sent.
struct Events {
    app: App,
    caller: Caller,
    view: DataStore,
    position: Version,
    read: std::vec::IntoIter<Event>,
}

fn events(app: App, caller: Caller, view: DataStore, since: Version) -> Response {
    let keep_alive = KeepAlive::new().interval(app.options().heartbeat);
    let events = Events { app, caller, view, position: since, read: Vec::new().into_iter() };
    let stream = unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    Sse::new(stream).keep_alive(keep_alive).into_response()
}

impl Events {
    async fn changes(&self) -> agent_data_store::Result<Changes> {
        visible::changes(self.caller.permit(), &self.view, self.position, USUAL_LIMIT).await
    }

    /// The next event, waiting for it; `None` when the server stops, the store fails or the token has ended. The client then
    /// comes back by itself, and says how far it got.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.read.next() {
                return Some(event);
            }
            let changes = self.changes().await.ok()?;
            self.caller.check_still_valid().await.ok()?;
            if self.position < changes.complete_from {
                self.position = changes.complete_from;
                return Some(gap(&changes));
            }
            if let Some(last) = changes.changes.last() {
                self.position = last.version;
                let events: Vec<Event> = changes
                    .changes
                    .iter()
                    .map(|change| {
                        let event = Event::default().id(change.version.to_string());
                        event.event(wire::change_kind(change.kind)).data(wire::change(change).as_str())
                    })
                    .collect();
                self.read = events.into_iter();
                continue;
            }
            // Those that may not be seen are passed over.
            self.position = self.position.max(changes.last);
            tokio::select! {
                waited = self.view.wait_for_changes(self.position, Duration::MAX) => drop(waited.ok()?),
                () = stopped(&self.app) => return None,
            }
        }
    }
}

/// Changes before this position are no longer kept: whoever follows has to read the records themselves.
fn gap(changes: &Changes) -> Event {
    let data = Object::with_capacity(64).number("completeFrom", changes.complete_from).number("last", changes.last);
    Event::default().id(changes.complete_from.to_string()).event("gap").data(data.into_text())
}
