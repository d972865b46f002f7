//! Requests that wait: bounded, and over when the server stops.

use std::time::Duration;

use agent_data_store::{Error, ErrorKind};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::app::App;
use crate::write::seconds;

/// Seconds in a query, as a time.
pub(crate) fn in_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    seconds(&text).map(Some).ok_or_else(|| D::Error::custom("expected a number of seconds"))
}

/// What is left of a wait that a request asks for: the server's own bound.
pub(crate) fn bounded(app: &App, wait: Option<Duration>) -> Duration {
    wait.unwrap_or_default().min(app.options().longest_wait)
}

/// Comes when the server stops.
pub(crate) async fn stopped(app: &App) {
    // An error: whoever could stop it is gone.
    let _ = app.stopping().wait_for(|stopping| *stopping).await;
}

/// The result of a wait, unless the server stops meanwhile.
pub(crate) async fn unless_stopped<T>(
    app: &App,
    wait: impl Future<Output = agent_data_store::Result<T>>,
) -> agent_data_store::Result<T> {
    tokio::select! {
        biased;
        result = wait => result,
        () = stopped(app) => Err(Error::new(ErrorKind::Unavailable, "the server is stopping: try again on another one")),
    }
}
