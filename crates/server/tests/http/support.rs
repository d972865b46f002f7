//! A server on a port of its own, and a client for it.

use agent_data_store::{Options, Store, sqlite_url};
use agent_data_store_server::{Running, Server, ServerOptions};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

type Bytes = axum::body::Bytes;

/// A running server over an empty store.
pub(crate) struct TestServer {
    runtime: Runtime,
    running: Option<Running>,
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    pub(crate) store: Store,
    _folder: Option<TempDir>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Bytes,
}

/// Runs a test over each embedded engine.
pub(crate) fn on_each_engine(test: impl Fn(&TestServer)) {
    test(&TestServer::memory());
    test(&TestServer::sqlite());
}

impl TestServer {
    pub(crate) fn memory() -> Self {
        Self::start("memory:", None, Options::default(), ServerOptions::default())
    }

    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = sqlite_url(&folder.path().join("store.db"));
        Self::start(&url, Some(folder), Options::default(), ServerOptions::default())
    }

    pub(crate) fn start(url: &str, folder: Option<TempDir>, store: Options, server: ServerOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let store = runtime.block_on(Store::open(url, store)).expect("the store opens");
        let running = runtime.block_on(Server::bind(&store, server)).expect("the server listens");
        let client = Client::builder(TokioExecutor::new()).build_http();
        let base = format!("http://{}", running.local_addr());
        Self { runtime, running: Some(running), client, base, store, _folder: folder }
    }

    /// Sends a request as it is, its path and query included.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let mut request = axum::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            let value = axum::http::HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        self.runtime.block_on(async {
            let response = self.client.request(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            Reply { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], "")
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Reply {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_owned())
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], body.to_owned())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let stopped = self.runtime.block_on(running.shutdown());
            let closed = self.runtime.block_on(self.store.close());
            if !std::thread::panicking() {
                stopped.and(closed).expect("the server stops");
            }
        }
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Insists on a status, and gives the JSON.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// Insists on an error of the one form that errors have, and gives it.
    #[track_caller]
    pub(crate) fn fails(&self, status: u16, code: &str) -> Value {
        let error = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(error["code"], code, "{error}");
        assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{error}");
        error
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// The path of a record.
pub(crate) fn record(namespace: &str, key: &str) -> String {
    format!("/data-store/namespaces/{}/records/{}", segment(namespace), segment(key))
}
