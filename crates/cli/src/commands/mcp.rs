//! Serving the store to one client of the Model Context Protocol over stdin and stdout.

use std::io;

use agent_data_store_server::{McpOptions, McpServer};
use tracing::level_filters::LevelFilter;

use super::serve::{Signals, quiet, refused};
use super::{Session, Sweep};
use crate::args::{Global, McpArgs};
use crate::failure::Result;

impl Session {
    pub(super) fn mcp(&self, args: &McpArgs, global: &Global) -> Result {
        let mut options = McpOptions::default();
        options.user.clone_from(&self.settings.user);
        options.agent.clone_from(&self.settings.agent);
        options.read_only = args.read_only;
        options.characters = args.max_characters;
        // With a pattern no single namespace is meant.
        if !self.settings.namespace.contains('*') {
            options.namespace.clone_from(&self.settings.namespace);
        }
        options.namespaces = global.namespace.iter().cloned().collect();
        let lines =
            tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_writer(io::stderr).with_ansi(false);
        quiet(lines.with_target(false).finish());
        let runtime = tokio::runtime::Runtime::new().map_err(|source| refused("threads", source))?;
        let served = self.with(Sweep::Meanwhile, |store, _| {
            runtime.block_on(async {
                let mut signals = Signals::new().map_err(|source| refused("signals", source))?;
                Ok(McpServer::stdio(store, options, signals.next()).await?)
            })
        });
        // A client that reads nothing must not keep us.
        runtime.shutdown_background();
        served
    }
}
