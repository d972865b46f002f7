//! Every route.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::error::{no_such_method, no_such_path, panicked};
use crate::routes::{health, namespaces, records};

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/data-store/namespaces", get(namespaces::list))
        .route("/data-store/namespaces/{namespace}", get(namespaces::stats).delete(namespaces::clear))
        .route("/data-store/namespaces/{namespace}/records", get(records::list))
        .route(
            "/data-store/namespaces/{namespace}/records/{*key}",
            get(records::get).put(records::put).delete(records::delete),
        )
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(app.options().body_bytes))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}
