//! Subscriptions: clients hear of records that change, from the change feed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use agent_data_store::model::{Change, Version};
use agent_data_store::{DataStore, Error, ErrorKind, Result};
use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::{Peer, SubscriptionSink};
use tokio_util::sync::CancellationToken;

use super::uri::{self, Target};
use crate::caller::Caller;
use crate::visible;
use crate::waiting::stopped;

/// How many changes are read at once.
const AT_ONCE: usize = 1_000;
/// Most records of one client.
const MOST: usize = 1_000;

/// Who is told of changes.
pub(super) enum Listener {
    /// A client that has subscribed in a session.
    Session(Peer<RoleServer>),
    /// One that waits for notifications as the answer to a request.
    Request(SubscriptionSink),
}

impl Listener {
    /// Whether anybody listens still.
    async fn tell(&self, uri: String) -> bool {
        match self {
            Self::Session(peer) => {
                peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await.is_ok()
            }
            Self::Request(sink) => sink.notify_resource_updated(uri).await.is_ok(),
        }
    }
}

/// Records that a client follows, and the feed that tells of them.
#[derive(Debug)]
pub(super) struct Watch {
    caller: Caller,
    view: DataStore,
    position: Version,
    /// The URIs that were asked for, by the record that they lead to.
    uris: HashMap<(String, String), Vec<String>>,
}

impl Watch {
    /// Follows records from the position `since` on, or from now.
    pub(super) async fn begin(caller: Caller, uris: &[String], since: Option<Version>) -> Result<Self> {
        if uris.len() > MOST {
            return Err(too_many());
        }
        let mut by_record: HashMap<_, Vec<String>> = HashMap::new();
        for uri in uris {
            let Target { namespace, key, .. } = uri::parse(uri)?;
            caller.reader(&namespace)?;
            by_record.entry((namespace, key)).or_default().push(uri.clone());
        }
        let view = caller.reader_of_all()?;
        let position = match since {
            Some(since) => since,
            None => view.position().await?,
        };
        Ok(Self { caller, view, position, uris: by_record })
    }

    /// Tells `listener` of each change, until nobody listens, the server stops, or the caller's token ends.
    pub(super) async fn run(mut self, listener: Listener) -> Result<()> {
        loop {
            let touched = self.touched().await?;
            if touched.is_empty() {
                tokio::select! {
                    waited = self.view.wait_for_changes(self.position, Duration::MAX) => drop(waited?),
                    () = stopped(self.caller.app()) => return Ok(()),
                }
                continue;
            }
            self.caller.check_still_valid().await?;
            for uri in touched {
                if !listener.tell(uri).await {
                    return Ok(());
                }
            }
        }
    }

    /// The URIs of what has changed since the last time, each once.
    async fn touched(&mut self) -> Result<Vec<String>> {
        let changes = visible::changes(self.caller.permit(), &self.view, self.position, AT_ONCE).await?;
        if self.position < changes.complete_from {
            // What is missing may have been any of them.
            self.position = changes.last.max(changes.complete_from);
            return Ok(self.uris.values().flatten().cloned().collect());
        }
        self.position = changes.changes.last().map_or(self.position.max(changes.last), |change| change.version);
        let mut seen = HashSet::new();
        let touched = changes.changes.iter().flat_map(|change| self.uris_of(change));
        Ok(touched.filter(|uri| seen.insert(*uri)).cloned().collect())
    }

    fn uris_of(&self, change: &Change) -> Vec<&String> {
        match &change.key {
            Some(key) => {
                let record = (change.namespace.to_string(), key.to_string());
                self.uris.get(&record).into_iter().flatten().collect()
            }
            // The whole namespace was cleared.
            None => {
                let here = self.uris.iter().filter(|((namespace, _), _)| **namespace == *change.namespace);
                here.flat_map(|(_, uris)| uris).collect()
            }
        }
    }
}

/// The subscriptions of a client that makes them one by one. They end with it.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<HashMap<String, CancellationToken>>);

impl Subscriptions {
    /// Takes one on, unless there is one for this URI already.
    pub(super) fn add(&self, uri: &str) -> Result<Option<CancellationToken>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, ended| !ended.is_cancelled());
        if all.contains_key(uri) {
            return Ok(None);
        }
        if all.len() == MOST {
            return Err(too_many());
        }
        let ended = CancellationToken::new();
        all.insert(uri.to_owned(), ended.clone());
        Ok(Some(ended))
    }

    /// Ends one, if there is one for this URI.
    pub(super) fn remove(&self, uri: &str) {
        if let Some(ended) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uri) {
            ended.cancel();
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for ended in self.0.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            ended.cancel();
        }
    }
}

fn too_many() -> Error {
    Error::new(ErrorKind::TooLarge, format!("more than {MOST} subscriptions at a time: end some of them first"))
}
