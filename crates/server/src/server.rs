//! Starting and stopping.

use std::fmt;
use std::net::SocketAddr;

use agent_data_store::{Error, ErrorKind, Result, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::auth::Tokens;
use crate::config::ServerOptions;
use crate::connection;
use crate::off_thread::off_thread;
use crate::router::router;

/// Serves a store.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Listens and serves `store` until the result is shut down or dropped. Needs a tokio runtime with time and network.
    /// The store stays the caller's to close.
    ///
    /// # Errors
    /// `Unavailable` where the address cannot be listened on. `InvalidArgument` for options that do not go together, and
    /// where others than this machine could connect to a store that holds no token.
    pub async fn bind(store: &Store, options: ServerOptions) -> Result<Running> {
        options.check()?;
        if !options.listen.ip().is_loopback() && !Tokens::of(store)?.are_required().await? {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the store holds no token, so everyone who can connect to {} could do everything: make one with \
                     `ads token create`, or listen on 127.0.0.1",
                    options.listen
                ),
            ));
        }
        let cannot_listen = |source: std::io::Error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("cannot listen on {}: {source}: choose another address or end who uses it", options.listen),
            )
            .caused_by(source)
        };
        let listener = TcpListener::bind(options.listen).await.map_err(cannot_listen)?;
        let local_addr = listener.local_addr().map_err(cannot_listen)?;
        let store = store.layered(off_thread)?;
        let (stop, stopping) = watch::channel(false);
        let app = App::new(store.clone(), options, stopping)?;
        let serving = tokio::spawn(connection::serve(listener, router(app.clone()), app));
        Ok(Running { local_addr, stop, serving, store })
    }
}

/// A server that serves. Dropped, it stops without waiting for anybody.
pub struct Running {
    local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    store: Store,
}

impl Running {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The store as it is served: reads over HTTP are gathered in this one.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Stops: first nobody can connect any more, then requests in flight finish, then reads that were gathered are
    /// written.
    ///
    /// # Errors
    /// `Unavailable` where the gathered reads could not be written.
    pub async fn shutdown(self) -> Result<()> {
        // Nobody listens where it has stopped already.
        let _ = self.stop.send(true);
        // A panic there has been reported by its own thread.
        let _ = self.serving.await;
        self.store.close().await
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}
