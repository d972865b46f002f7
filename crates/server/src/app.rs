//! What all handlers share.

use std::sync::Arc;

use agent_data_store::{Result, Store};
use tokio::sync::watch;

use crate::admission::Admission;
use crate::auth::Tokens;
use crate::config::ServerOptions;
use crate::memory::Memory;
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
    admission: Admission,
    memory: Memory,
    options: ServerOptions,
    metrics: Metrics,
    stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(store: Store, options: ServerOptions, stopping: watch::Receiver<bool>) -> Result<Self> {
        let tokens = Tokens::of(&store)?;
        let open = options.listen.ip().is_loopback();
        let admission = Admission::new(&options);
        let memory = Memory::of(options.body_memory);
        let metrics = Metrics::default();
        Ok(Self(Arc::new(Shared { store, tokens, open, admission, memory, options, metrics, stopping })))
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

    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.0.memory
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
