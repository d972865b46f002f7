//! Accepting connections and letting them end.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::app::App;
use crate::waiting::stopped;

/// After a failure to accept, such as too many open files, others get time to close theirs.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Serves everyone who connects until the server stops; then nobody can connect any more, and requests in flight finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, app: App) {
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&app) => break,
        };
        match accepted {
            Ok((stream, _)) => serve_one(stream, router.clone(), Open::of(&app), &connections),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(app.options().shutdown_grace, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight at the end of the shutdown");
    }
}

fn serve_one(stream: TcpStream, router: Router, open: Open, connections: &GracefulShutdown) {
    // Small answers go out at once. Where the system refuses, they are only slower.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        let _open = open;
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

/// Counts a connection for as long as it is open.
struct Open(App);

impl Open {
    fn of(app: &App) -> Self {
        app.metrics().connections.inc();
        Self(app.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics().connections.dec();
    }
}
