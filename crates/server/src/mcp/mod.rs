//! The store as tools and resources of the Model Context Protocol, over the standard streams and over HTTP.

mod arguments;
mod bounds;
mod coordination;
mod envelope;
mod errors;
mod handler;
pub(crate) mod http;
mod keys;
mod path;
mod records;
mod resources;
mod schema;
mod sessions;
mod stdio;
mod subscriptions;
mod tools;
mod uri;

use agent_data_store::model::Version;
use agent_data_store::{Error, ErrorKind, Result, Store};
use tokio::sync::watch;

pub(crate) use bounds::USUAL as USUAL_CHARACTERS;
use handler::{Door, Handler, cancelled};

use crate::app::App;
use crate::auth::{Access, Namespaces, Permit, check_patterns};
use crate::caller::Caller;
use crate::config::ServerOptions;
use crate::off_thread::off_thread;

/// Fewer characters than these hold no answer of use.
pub(crate) const FEWEST_CHARACTERS: usize = 2_000;

/// Serves a store to one client of the Model Context Protocol.
#[derive(Debug)]
pub struct McpServer;

/// What the client may do, and as whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct McpOptions {
    /// The owner of the data. `None`: whom the store takes its caller for.
    pub user: Option<String>,
    /// Who acts. `None`: the client, under the name that it gives itself.
    pub agent: Option<String>,
    /// Patterns of the namespaces that are reached, in which `*` stands for any characters; none for all.
    pub namespaces: Vec<String>,
    /// The namespace of calls that name none. Default `default`.
    pub namespace: String,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Most characters of an answer, at least 2,000. Default 20,000.
    pub characters: usize,
}

impl Default for McpOptions {
    fn default() -> Self {
        Self {
            user: None,
            agent: None,
            namespaces: Vec::new(),
            namespace: "default".to_owned(),
            read_only: false,
            characters: USUAL_CHARACTERS,
        }
    }
}

/// The position of the change feed when a request came.
#[derive(Clone, Copy, Debug)]
struct Position(Version);

/// The position now. It must be known before a request to be told of changes is answered: else what changes right afterwards
/// would be missed.
async fn position(caller: &Caller) -> Option<Position> {
    caller.reader_of_all().ok()?.position().await.ok().map(Position)
}

impl McpServer {
    /// Serves one client over this process's standard streams, until it closes its end or `stop` comes. The store stays the
    /// caller's to close. Needs a tokio runtime with time.
    ///
    /// # Errors
    /// `InvalidArgument` for options that cannot be; `Unavailable` where the client breaks the protocol before it has begun,
    /// or does not read its answers.
    pub async fn stdio(store: &Store, options: McpOptions, stop: impl Future<Output = ()>) -> Result<()> {
        check_patterns(&options.namespaces)?;
        if options.characters < FEWEST_CHARACTERS {
            let message =
                format!("{} characters hold no answer: give at least {FEWEST_CHARACTERS}", options.characters);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let identity = store.identity(options.user.as_deref(), options.agent.as_deref())?;
        let permit = Permit::Given {
            namespaces: Namespaces::matching(options.namespaces),
            access: if options.read_only { Access::Read } else { Access::Write },
        };
        let (ended, stopping) = watch::channel(false);
        let app = App::new(store.layered(off_thread)?, ServerOptions::default(), stopping)?;
        let caller = Caller::of_process(app.clone(), permit, identity);
        let handler = Handler::new(Door::Stdio(caller.clone()), options.namespace, options.characters);
        let served = tokio::select! {
            served = stdio::serve(handler, caller, ended.clone()) => served,
            () = stop => Ok(()),
        };
        // Reads that were gathered.
        let closed = app.store().close().await;
        served.and(closed)
    }
}
