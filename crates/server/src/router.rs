//! Every route.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::caller::identify;
use crate::error::{no_such_method, no_such_path, panicked};
use crate::observe::observe;
use crate::routes::{access, batch, changes, docs, health, locks, metrics, namespaces, read, records, tasks, whoami};

/// Whose data it is has been settled before any of these runs.
fn data_routes() -> Router<App> {
    Router::new()
        .route("/data-store/whoami", get(whoami::whoami))
        .route("/data-store/namespaces", get(namespaces::list))
        .route("/data-store/namespaces/{namespace}", get(namespaces::stats).delete(namespaces::clear))
        .route("/data-store/namespaces/{namespace}/count", get(namespaces::count))
        .route("/data-store/namespaces/{namespace}/records", get(records::list))
        .route(
            "/data-store/namespaces/{namespace}/records/{*key}",
            get(records::get).put(records::put).post(records::change).delete(records::delete),
        )
        .route("/data-store/namespaces/{namespace}/tasks", get(tasks::summary))
        .route("/data-store/namespaces/{namespace}/tasks/claim", post(tasks::claim))
        .route("/data-store/namespaces/{namespace}/tasks/renew", post(tasks::renew))
        .route("/data-store/namespaces/{namespace}/tasks/complete", post(tasks::complete))
        .route("/data-store/namespaces/{namespace}/tasks/fail", post(tasks::fail))
        .route("/data-store/namespaces/{namespace}/tasks/release", post(tasks::release))
        .route("/data-store/namespaces/{namespace}/locks/acquire", post(locks::acquire))
        .route("/data-store/namespaces/{namespace}/locks/renew", post(locks::renew))
        .route("/data-store/namespaces/{namespace}/locks/release", post(locks::release))
        .route("/data-store/read", post(read::read))
        .route("/data-store/batch", post(batch::write))
        .route("/data-store/access", post(access::record))
        .route("/data-store/changes", get(changes::changes))
        .route("/metrics", get(metrics::for_admins))
}

/// Open to everyone who can connect.
fn open_routes() -> Router<App> {
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::page))
}

pub(crate) fn router(app: App) -> Router {
    data_routes()
        .route_layer(from_fn_with_state(app.clone(), identify))
        .merge(open_routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(app.options().body_bytes))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}
