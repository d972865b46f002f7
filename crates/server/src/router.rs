//! Every route.

use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::caller::identify;
use crate::error::{no_such_method, no_such_path, panicked};
use crate::mcp::http::{self, Endpoint};
use crate::observe::observe;
use crate::other_sites::other_sites;
use crate::routes::{access, batch, changes, docs, health, locks, metrics, namespaces, read, records, tasks, whoami};

const METRICS: &str = "/metrics";

type Routes = Vec<(&'static str, MethodRouter<App>)>;

/// Whose data it is has been settled before any of these runs.
fn data_routes() -> Routes {
    vec![
        ("/data-store/whoami", get(whoami::whoami)),
        ("/data-store/namespaces", get(namespaces::list)),
        ("/data-store/namespaces/{namespace}", get(namespaces::stats).delete(namespaces::clear)),
        ("/data-store/namespaces/{namespace}/count", get(namespaces::count)),
        ("/data-store/namespaces/{namespace}/records", get(records::list)),
        (
            "/data-store/namespaces/{namespace}/records/{*key}",
            get(records::get).put(records::put).post(records::change).delete(records::delete),
        ),
        ("/data-store/namespaces/{namespace}/tasks", get(tasks::summary)),
        ("/data-store/namespaces/{namespace}/tasks/claim", post(tasks::claim)),
        ("/data-store/namespaces/{namespace}/tasks/renew", post(tasks::renew)),
        ("/data-store/namespaces/{namespace}/tasks/complete", post(tasks::complete)),
        ("/data-store/namespaces/{namespace}/tasks/fail", post(tasks::fail)),
        ("/data-store/namespaces/{namespace}/tasks/release", post(tasks::release)),
        ("/data-store/namespaces/{namespace}/locks/acquire", post(locks::acquire)),
        ("/data-store/namespaces/{namespace}/locks/renew", post(locks::renew)),
        ("/data-store/namespaces/{namespace}/locks/release", post(locks::release)),
        ("/data-store/read", post(read::read)),
        ("/data-store/batch", post(batch::write)),
        ("/data-store/access", post(access::record)),
        ("/data-store/changes", get(changes::changes)),
        (METRICS, get(metrics::for_admins)),
        ("/mcp", get(http::get).post(http::post).delete(http::delete)),
    ]
}

/// Open to everyone who can connect.
fn open_routes() -> Routes {
    vec![
        ("/health", get(health::health)),
        ("/ready", get(health::ready)),
        ("/openapi.json", get(docs::openapi)),
        ("/docs", get(docs::page)),
    ]
}

fn of(routes: Routes) -> Router<App> {
    routes.into_iter().fold(Router::new(), |router, (path, verbs)| router.route(path, verbs))
}

pub(crate) fn router(app: App) -> Router {
    let mut known = data_routes();
    if app.options().metrics_listen.is_some() {
        known.retain(|(path, _)| *path != METRICS);
    }
    let routes = of(known)
        .layer(Extension(Endpoint::new(&app)))
        .route_layer(from_fn_with_state(app.clone(), identify))
        .merge(of(open_routes()))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked));
    let routes = match other_sites(&app.options().cors_origins) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    routes.layer(from_fn_with_state(app.clone(), observe)).with_state(app)
}

/// What is served where only those can connect who may look at the server itself.
pub(crate) fn metrics_router(app: App) -> Router {
    let routes =
        vec![(METRICS, get(metrics::metrics)), ("/health", get(health::health)), ("/ready", get(health::ready))];
    of(routes)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_has_its_route() {
        let routes = data_routes().into_iter().chain(open_routes()).map(|(path, _)| path.replace("{*", "{"));
        let routes: BTreeSet<String> = routes.collect();
        let document: serde_json::Value = serde_json::from_str(crate::openapi::text()).expect("JSON");
        let described: BTreeSet<String> = document["paths"].as_object().expect("paths").keys().cloned().collect();
        assert_eq!(routes, described);
    }
}
