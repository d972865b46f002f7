//! What all handlers share.

use std::sync::Arc;

use agent_data_store::{Result, Store};
use tokio::sync::watch;

use crate::auth::Tokens;
use crate::config::ServerOptions;
use crate::metrics::Metrics;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    tokens: Tokens,
    /// Whether everyone who can connect may do everything while the store holds no token.
    open: bool,
    options: ServerOptions,
    metrics: Metrics,
    stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(store: Store, options: ServerOptions, stopping: watch::Receiver<bool>) -> Result<Self> {
        let tokens = Tokens::of(&store)?;
        let open = options.listen.ip().is_loopback();
        Ok(Self(Arc::new(Shared { store, tokens, open, options, metrics: Metrics::default(), stopping })))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Whether everyone who can connect may do everything while the store holds no token.
    pub(crate) fn is_open(&self) -> bool {
        self.0.open
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
