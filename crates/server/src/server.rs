//! Starting and stopping.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use agent_data_store::{Error, ErrorKind, Result, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::auth::Tokens;
use crate::config::ServerOptions;
use crate::connection::{self, Door};
use crate::off_thread::off_thread;
use crate::router::{metrics_router, router};
use crate::tls::Tls;

/// Serves a store.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Listens and serves `store` until the result is shut down or dropped. Needs a tokio runtime with time and network.
    /// The store stays the caller's to close.
    ///
    /// # Errors
    /// `Unavailable` where the address cannot be listened on. `InvalidArgument` for options that do not go together, for a
    /// store that is on a server, and where others than this machine could connect to a store that holds no token.
    pub async fn bind(store: &Store, options: ServerOptions) -> Result<Running> {
        options.check()?;
        if store.caller().is_some() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the store is on a server already, which knows its tokens and is the only one that does: connect to that \
                 one, or put a reverse proxy in front of it",
            ));
        }
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
        let tls = match (&options.tls_certificate, &options.tls_key) {
            (Some(certificate), Some(key)) => Some(Arc::new(Tls::load(certificate, key)?)),
            _ => None,
        };
        let is_tls = tls.is_some();
        let (listener, local_addr) = listen(options.listen).await?;
        let metrics = match options.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let store = store.layered(off_thread)?;
        let (stop, stopping) = watch::channel(false);
        let app = App::new(store.clone(), options, stopping)?;
        let metrics_addr = metrics.as_ref().map(|(_, address)| *address);
        let doors = [
            Some(Door { listener, router: router(app.clone()), tls }),
            metrics.map(|(listener, _)| Door { listener, router: metrics_router(app.clone()), tls: None }),
        ];
        let serving = doors.into_iter().flatten().map(|door| tokio::spawn(connection::serve(door, app.clone())));
        Ok(Running { local_addr, metrics_addr, is_tls, serving: serving.collect(), stop, store })
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listening = async {
        let listener = TcpListener::bind(address).await?;
        let local_addr = listener.local_addr()?;
        Ok((listener, local_addr))
    };
    listening.await.map_err(|source: std::io::Error| {
        let message = format!("cannot listen on {address}: {source}: choose another address or end who uses it");
        Error::new(ErrorKind::Unavailable, message).caused_by(source)
    })
}

/// A server that serves. Dropped, it stops without waiting for anybody.
pub struct Running {
    local_addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    is_tls: bool,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    store: Store,
}

impl Running {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where it serves its metrics, if that is a place of its own.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The URL under which it is reached at its address.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.local_addr)
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
        for serving in self.serving {
            let _ = serving.await;
        }
        self.store.close().await
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}
