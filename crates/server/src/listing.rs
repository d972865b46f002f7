//! Lists of records as one JSON array, made piece by piece: however many there are, only some are held at a time.

use std::collections::VecDeque;

use agent_data_store::model::{Page, PageSize, Range, Row, View};
use agent_data_store::{DataStore, Json, wire};
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream::try_unfold;

use crate::answer::{json, json_body};
use crate::app::App;
use crate::error::Result;
use crate::memory::{SMALL, Share};

/// How much of a list is read at once.
const PAGE: PageSize = PageSize { rows: 1_000, bytes: 1 << 20 };
/// How large a piece of the text gets before it is sent.
const PIECE_BYTES: usize = 64 << 10;

/// A list of the records of a namespace.
pub(crate) struct Listing {
    pub(crate) app: App,
    pub(crate) view: DataStore,
    pub(crate) shown: View,
    /// Whether showing a value counts as a read of it.
    pub(crate) counted: bool,
    pub(crate) prefix: String,
}

/// A list that is being sent.
struct Sending {
    listing: Listing,
    rows: VecDeque<Row>,
    /// The last key that was read, if there is more to read after it.
    read_on_after: Option<Box<str>>,
    /// For the rows, where all of them were read at once.
    _share: Option<Share>,
    begun: bool,
    ended: bool,
}

impl Listing {
    /// One page, as one call of the engine: it ends early where more would be held than may be.
    pub(crate) async fn page(&self, after: Option<&str>, page: PageSize) -> agent_data_store::Result<Page<Row>> {
        let page = PageSize { bytes: page.bytes.min(self.app.memory().bytes()), ..page };
        self.view.scan(Range { prefix: &self.prefix, after }, self.shown, page).await
    }

    /// Sends these rows.
    pub(crate) async fn send(self, rows: Vec<Row>) -> Result {
        let bytes = rows.iter().map(bytes_of).sum();
        let share = if bytes > SMALL { Some(self.app.memory().take(bytes)?) } else { None };
        let sending = Sending {
            listing: self,
            rows: rows.into(),
            read_on_after: None,
            _share: share,
            begun: false,
            ended: false,
        };
        sending.respond().await
    }

    /// Sends everything after `after`, read page by page as it is sent.
    pub(crate) async fn send_all(self, after: Option<&str>) -> Result {
        let first = self.page(after, PAGE).await?;
        let mut sending = Sending {
            listing: self,
            rows: VecDeque::new(),
            read_on_after: None,
            _share: None,
            begun: false,
            ended: false,
        };
        sending.take(first);
        sending.respond().await
    }
}

/// What a row holds, about.
pub(crate) fn bytes_of(row: &Row) -> usize {
    let details = row.details.as_ref().map_or(0, |details| details.metadata.len());
    row.key.len() + row.value.as_ref().map_or(0, Json::len) + details
}

impl Sending {
    async fn respond(mut self) -> Result<Response> {
        // Read before the answer begins, so that a failure still has a status of its own.
        let piece = self.piece().await?;
        if self.ended {
            return Ok(json(piece));
        }
        let rest = try_unfold((Some(piece), self), |(first, mut sending)| async move {
            match first {
                Some(piece) => Ok(Some((piece, (None, sending)))),
                None if sending.ended => Ok(None),
                None => match sending.piece().await {
                    Ok(piece) => Ok(Some((piece, (None, sending)))),
                    // The connection ends early, by which the client knows.
                    Err(error) => {
                        tracing::error!(%error, "a list could not be read to its end");
                        Err(error)
                    }
                },
            }
        });
        Ok(json_body(Body::from_stream(rest)))
    }

    async fn piece(&mut self) -> agent_data_store::Result<Bytes> {
        let mut text = String::new();
        if !self.begun {
            text.push('[');
        }
        loop {
            let Listing { view, counted, .. } = &self.listing;
            while let Some(row) = self.rows.pop_front() {
                if std::mem::replace(&mut self.begun, true) {
                    text.push(',');
                }
                if *counted && row.value.is_some() {
                    view.count_reads([&*row.key]);
                }
                text = wire::push_row(text, view.identity().user(), view.namespace(), &row);
                if text.len() >= PIECE_BYTES {
                    return Ok(text.into());
                }
            }
            let Some(after) = self.read_on_after.take() else { break };
            let page = self.listing.page(Some(&after), PAGE).await?;
            self.take(page);
        }
        self.begun = true;
        self.ended = true;
        text.push(']');
        Ok(text.into())
    }

    fn take(&mut self, page: Page<Row>) {
        self.rows = page.rows.into();
        self.read_on_after = self.rows.back().filter(|_| page.more).map(|row| row.key.clone());
    }
}
