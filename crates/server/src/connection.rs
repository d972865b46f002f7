//! Accepting connections and letting them end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use agent_data_store::wire::Object;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::app::App;
use crate::patience::{Activity, Patience, Patient};
use crate::tls::{self, Tls};
use crate::waiting::stopped;

/// After a failure to accept, such as too many open files, others get time to close theirs.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// How many clients for whom there is no room are told so at a time; further ones are only sent away.
const TURNED_AWAY: usize = 64;
/// How long a client may take to listen to that.
const TURNED_AWAY_IN: Duration = Duration::from_secs(1);

/// Whom a listener serves, and how.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Serves everyone who connects until the server stops; then nobody can connect any more, and requests in flight finish.
pub(crate) async fn serve(Door { listener, router, tls }: Door, app: App) {
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(app.options().connections.min(Semaphore::MAX_PERMITS)));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&app) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        match Arc::clone(&room).try_acquire_owned() {
            Ok(place) => {
                let open = Open::new(&app, place);
                tokio::spawn(serve_one(stream, router.clone(), tls.clone(), open, connections.watcher()));
            }
            Err(_) => {
                app.metrics().turned_away.inc();
                if let (None, Ok(place)) = (&tls, Arc::clone(&turned_away).try_acquire_owned()) {
                    tokio::spawn(turn_away(stream, place));
                }
            }
        }
    }
    drop(listener);
    if timeout(app.options().shutdown_grace, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight at the end of the shutdown");
    }
}

async fn serve_one(stream: TcpStream, router: Router, tls: Option<Arc<Tls>>, open: Open, watcher: Watcher) {
    // Small answers go out at once. Where the system refuses, they are only slower.
    let _ = stream.set_nodelay(true);
    let ended = match tls {
        None => answer_on(stream, router, &open.app, watcher).await,
        Some(tls) => {
            let handshake = tokio::select! {
                handshake = timeout(open.app.options().header_timeout, tls.acceptor().accept(stream)) => handshake,
                () = stopped(&open.app) => return,
            };
            match handshake.unwrap_or_else(|_| Err(tls::too_slow())) {
                Ok(stream) => answer_on(stream, router, &open.app, watcher).await,
                Err(error) => return tracing::debug!(%error, "a handshake failed"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer_on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    app: &App,
    watcher: Watcher,
) -> Result<(), hyper::Error> {
    let options = app.options();
    let patience = Patience { head: options.header_timeout, idle: options.idle_timeout };
    let activity = Activity::default();
    let stream = Patient::new(stream, activity.clone(), patience, app.stopping());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        let answering = activity.answering();
        let answer = hyper::service::Service::call(&router, request);
        async move {
            let _answering = answering;
            answer.await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The stream itself sees to that.
        .header_read_timeout(None)
        .max_headers(options.header_count)
        .max_buf_size(options.header_bytes)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}

/// Tells a client that there is no room, as HTTP without knowing what it would have asked for.
async fn turn_away(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let detail = "the server has as many connections as it may have: try again later";
    let body = Object::with_capacity(128).text("detail", detail).text("code", "unavailable").bool("retryable", true);
    let body = body.into_text();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\nRetry-After: 1\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closed with something unread, the answer might be lost on its way.
        let mut unread = [0; 4 << 10];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Who does not listen need not be told.
    let _ = timeout(TURNED_AWAY_IN, told).await;
}

/// Counts a connection for as long as it is open.
struct Open {
    app: App,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(app: &App, place: OwnedSemaphorePermit) -> Self {
        app.metrics().connections.inc();
        Self { app: app.clone(), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics().connections.dec();
    }
}
