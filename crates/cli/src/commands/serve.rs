//! Serving the store over HTTP until a signal comes.

use std::io;

use agent_data_store::wire::Object;
use agent_data_store::{Error, ErrorKind};
use agent_data_store_server::{Server, ServerOptions};

use super::{Session, Sweep};
use crate::args::ServeArgs;
use crate::failure::Result;
use crate::output::Output;

impl Session {
    pub(super) fn serve(&self, args: &ServeArgs, out: &mut Output) -> Result {
        let runtime = tokio::runtime::Runtime::new().map_err(|source| refused("threads", source))?;
        self.with(Sweep::Meanwhile, |store, _| {
            runtime.block_on(async {
                // First, so that none is missed once somebody knows that we serve.
                let mut signals = Signals::new().map_err(|source| refused("signals", source))?;
                let mut options = ServerOptions::default();
                options.listen = args.listen;
                let running = Server::bind(store, options).await?;
                let url = format!("http://{}", running.local_addr());
                out.note(&format!("ads: serving {url}"));
                if out.is_json() {
                    out.value(&Object::with_capacity(64).text("url", &*url).end())?;
                    out.flush()?;
                }
                signals.next().await;
                out.note("ads: stopping");
                Ok(running.shutdown().await?)
            })
        })
    }
}

fn refused(what: &str, source: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the system refuses {what} for serving: {source}")).caused_by(source)
}

/// Those by which people and their tools ask a process to end.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}
