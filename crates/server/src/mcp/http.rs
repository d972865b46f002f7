//! The protocol's streamable HTTP transport at one path. Who calls is known before, as for every route.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

use super::arguments::Message;
use super::envelope::{no_message, without_arguments};
use super::handler::{Door, Handler};
use super::position;
use super::sessions::Owners;
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::{Failure, Result};
use crate::other_sites::is_one_of;
use crate::waiting::stopped;

const SESSION: &str = "mcp-session-id";
const METHOD: &str = "mcp-method";
const LISTEN: &[u8] = b"subscriptions/listen";
/// How long a session may be without a message: long enough for one that waits to hear of changes.
const SESSION_KEPT: Duration = Duration::from_secs(3_600);
/// The namespace of calls that name none.
const NAMESPACE: &str = "default";

/// What answers at the path. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Endpoint {
    service: StreamableHttpService<Handler, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    owners: Arc<Owners>,
}

impl Endpoint {
    /// One for a server, which ends with it. Needs a tokio runtime.
    pub(crate) fn new(app: &App) -> Self {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SESSION_KEPT);
        let sessions = Arc::new(sessions);
        let ended = CancellationToken::new();
        let options = app.options();
        // Hosts and origins are looked at before.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_json_response(true)
            .with_max_request_body_bytes(options.body_bytes)
            .with_sse_keep_alive(Some(options.heartbeat))
            .with_cancellation_token(ended.clone());
        let bound = options.mcp_characters;
        let handler = move || Ok(Handler::new(Door::Http, NAMESPACE.to_owned(), bound));
        let service = StreamableHttpService::new(handler, Arc::clone(&sessions), config);
        let app = app.clone();
        tokio::spawn(async move {
            stopped(&app).await;
            ended.cancel();
        });
        Self { service, sessions, owners: Arc::default() }
    }

    async fn answer(&self, caller: &Caller, request: Request) -> Result {
        let session = request.headers().get(SESSION).map(HeaderValue::to_str);
        let is_new = session.is_none();
        if session.is_some_and(|session| !session.is_ok_and(|session| self.owners.are(session, caller))) {
            // As the protocol wants it: the client then begins a new one.
            let detail = "there is no such session: begin a new one";
            return Err(Failure::request(StatusCode::NOT_FOUND, "no_such_session", detail));
        }
        let response = self.service.handle(request).await;
        if let Some(session) = response.headers().get(SESSION).filter(|_| is_new).and_then(|id| id.to_str().ok()) {
            self.owners.add(session, caller, &self.sessions).await;
        }
        Ok(response.map(Body::new))
    }
}

/// Takes a message of the Model Context Protocol.
///
/// The transport is that protocol's own: <https://modelcontextprotocol.io>. Tools and resources are described by
/// `tools/list` and `resources/templates/list`.
#[utoipa::path(
    post, path = "/mcp", tag = "mcp", operation_id = "mcp_message", request_body = Object,
    responses(
        (status = 200, description = "The answer", content((Object = "application/json"), (String = "text/event-stream"))),
        (status = 202, description = "Nothing is to be answered"),
    ),
)]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Extension(endpoint): Extension<Endpoint>,
    request: Request,
) -> Result {
    check_origin(&app, request.headers())?;
    let (mut parts, body) = request.into_parts();
    let mut head = Request::new(body);
    *head.headers_mut() = parts.headers.clone();
    let body = JsonBody::from_request(head, &app).await?;
    if parts.headers.get(METHOD).is_some_and(|method| method.as_bytes() == LISTEN)
        && let Some(position) = position(&caller).await
    {
        parts.extensions.insert(position);
    }
    let request_body = Body::from(without_arguments(body.bytes())?);
    // The library looks at it, and would have it agree.
    parts.headers.remove(CONTENT_LENGTH);
    parts.extensions.insert(Message::Body(Arc::new(body)));
    let request = Request::from_parts(parts, request_body);
    let response = endpoint.answer(&caller, request).await?;
    // It is JSON, and has been declared as such: this is how the library says that it is nothing else.
    match response.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Err(no_message().into()),
        _ => Ok(response),
    }
}

/// Follows the messages of a session of the Model Context Protocol.
#[utoipa::path(
    get, path = "/mcp", tag = "mcp", operation_id = "mcp_messages",
    responses((status = 200, description = "The messages", body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Extension(endpoint): Extension<Endpoint>,
    request: Request,
) -> Result {
    check_origin(&app, request.headers())?;
    endpoint.answer(&caller, request).await
}

/// Ends a session of the Model Context Protocol.
#[utoipa::path(
    delete, path = "/mcp", tag = "mcp", operation_id = "mcp_end",
    responses((status = 200, description = "It has ended")),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Extension(endpoint): Extension<Endpoint>,
    request: Request,
) -> Result {
    check_origin(&app, request.headers())?;
    let mut response = endpoint.answer(&caller, request).await?;
    // Clients take it for a failure where they are told that it will be done.
    if response.status() == StatusCode::ACCEPTED {
        *response.status_mut() = StatusCode::OK;
    }
    Ok(response)
}

/// Pages of other sites are let in only where the operator names them, as the protocol asks of every server.
fn check_origin(app: &App, headers: &HeaderMap) -> Result<()> {
    let mut origins = headers.get_all(axum::http::header::ORIGIN).iter();
    match origins.all(|origin| is_one_of(origin, &app.options().cors_origins)) {
        true => Ok(()),
        false => Err(Failure::request(
            StatusCode::FORBIDDEN,
            "permission_denied",
            "pages of this site may not use the store: name it in cors_origins",
        )),
    }
}
