//! What all handlers share.

use std::sync::Arc;

use agent_data_store::Store;
use tokio::sync::watch;

use crate::config::ServerOptions;
use crate::metrics::Metrics;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    options: ServerOptions,
    metrics: Metrics,
    stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(store: Store, options: ServerOptions, stopping: watch::Receiver<bool>) -> Self {
        Self(Arc::new(Shared { store, options, metrics: Metrics::default(), stopping }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Turns to `true`, or is closed, when the server stops: who waits for something else must then come to an end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.clone()
    }
}
