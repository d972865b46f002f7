//! One line of log and one count for each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::caller::Caller;
use crate::metrics::Route;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;
const NO_ROUTE: &str = "none";

/// A request that is being answered; dropped without an answer where the client has gone.
struct Observed {
    app: App,
    route: Route,
    id: HeaderValue,
    started: Instant,
    answered: bool,
}

/// Observes every request, also those that no handler gets to see.
pub(crate) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let id = request_id(&request);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    app.metrics().in_flight.inc();
    let route = Route { method: method(request.method()).to_owned(), route };
    let observed = Observed { app, route, id, started: Instant::now(), answered: false };
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, observed.id.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers are somebody's own data, unless their route says otherwise.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    observed.end(&response);
    response
}

impl Observed {
    fn end(mut self, response: &Response) {
        self.answered = true;
        let elapsed = self.started.elapsed();
        let status = response.status().as_u16();
        self.app.metrics().answered(&self.route, status, elapsed.as_secs_f64());
        let identity = response.extensions().get::<Caller>().map(Caller::identity);
        tracing::info!(
            id = self.id.to_str().unwrap_or_default(),
            user = identity.map(|identity| identity.user()),
            agent = identity.and_then(|identity| identity.agent()),
            method = self.route.method,
            route = self.route.route,
            status,
            micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.app.metrics().in_flight.dec();
        if !self.answered {
            tracing::info!(
                id = self.id.to_str().unwrap_or_default(),
                method = self.route.method,
                route = self.route.route,
                micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
                "the client went before its answer"
            );
        }
    }
}

/// The id that the client or a proxy has given, if it is one, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID).filter(|id| {
        (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
    });
    given.cloned().unwrap_or_else(|| crate::answer::number(&format!("{:016x}", fastrand::u64(..))))
}

/// Made up methods would fill the memory with counts of them.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
