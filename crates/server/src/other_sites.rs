//! Which pages of other sites may use the store from a browser: none, unless the operator names them.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LINK, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what is allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What tells browsers about these origins; `None` if there are none.
pub(crate) fn other_sites(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let own = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            own("idempotency-key"),
            own("last-event-id"),
            own("mcp-method"),
            own("mcp-name"),
            own("mcp-protocol-version"),
            own("mcp-session-id"),
            own("x-agent-name"),
            own("x-request-id"),
            own("x-user-id"),
        ])
        .expose_headers([ETAG, LINK, RETRY_AFTER, own("mcp-session-id"), own("x-expires-at"), own("x-request-id")])
        .max_age(REMEMBERED);
    Some(layer)
}

/// Whether a browser names one of these origins.
pub(crate) fn is_one_of(origin: &HeaderValue, origins: &[String]) -> bool {
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
}

/// Whether this can be an origin as browsers send it.
pub(crate) fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'))
}
