//! A server on a port of its own, and a client for it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_data_store::engine::Engine;
use agent_data_store::model::Record;
use agent_data_store::{Clock, Identity, Options, Store, block_on, sqlite_url};
use agent_data_store_server::{NewToken, Running, Server, ServerOptions, Tokens};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server over an empty store.
pub(crate) struct TestServer {
    runtime: Runtime,
    running: RefCell<Option<Running>>,
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    store: Store,
    folder: Option<TempDir>,
}

/// A request whose answer is still to come.
pub(crate) struct Pending<'s> {
    server: &'s Runtime,
    answer: JoinHandle<Reply>,
}

/// A stream of events that is being read.
pub(crate) struct Events<'s> {
    runtime: &'s Runtime,
    body: Incoming,
    read: String,
}

/// One of its events.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Runs a test over each embedded engine.
pub(crate) fn on_each_engine(test: impl Fn(&TestServer)) {
    test(&TestServer::memory());
    test(&TestServer::sqlite());
}

impl TestServer {
    pub(crate) fn memory() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn sqlite() -> Self {
        Self::start(
            Some(tempfile::tempdir().expect("a temporary folder")),
            Options::default(),
            ServerOptions::default(),
        )
    }

    /// A server over memory with options of its own.
    pub(crate) fn with(adjust: impl Fn(&mut ServerOptions)) -> Self {
        let mut options = ServerOptions::default();
        adjust(&mut options);
        Self::start(None, Options::default(), options)
    }

    /// A server on each engine that keeps only so many changes.
    pub(crate) fn each_keeping(changes: u64) -> [Self; 2] {
        let mut options = Options::default();
        options.changes_kept = changes;
        let folder = tempfile::tempdir().expect("a temporary folder");
        [None, Some(folder)].map(|folder| Self::start(folder, options.clone(), ServerOptions::default()))
    }

    /// A server over memory with a layer around the engine.
    pub(crate) fn layered(layer: impl FnOnce(Arc<dyn Engine>) -> Arc<dyn Engine>) -> Self {
        let store = block_on(Store::open("memory:", Options::default())).expect("the store opens");
        Self::over(None, store.layered(layer).expect("a layer"), ServerOptions::default())
    }

    fn start(folder: Option<TempDir>, options: Options, server: ServerOptions) -> Self {
        let store = block_on(Store::open(&url(folder.as_ref()), options)).expect("the store opens");
        Self::over(folder, store, server)
    }

    fn over(folder: Option<TempDir>, store: Store, server: ServerOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let running = runtime.block_on(Server::bind(&store, server)).expect("the server listens");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address: running.local_addr(), runtime, running: RefCell::new(Some(running)), client, store, folder }
    }

    /// A server over memory whose store has a clock of the test's own.
    pub(crate) fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let mut options = Options::default();
        options.clock = clock;
        Self::start(None, options, ServerOptions::default())
    }

    /// Makes a token for `user`, and returns its id and the header that shows it.
    pub(crate) fn token(&self, user: &str, adjust: impl Fn(&mut NewToken)) -> (String, String) {
        let mut new = NewToken::default();
        new.user = user.to_owned();
        adjust(&mut new);
        let issued = block_on(self.tokens().create(new)).expect("a token");
        (issued.token.id().to_owned(), format!("Bearer {}", issued.secret))
    }

    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::of(&self.store).expect("tokens")
    }

    pub(crate) fn metrics_address(&self) -> SocketAddr {
        let running = self.running.borrow();
        running.as_ref().and_then(Running::metrics_addr).expect("a listener of its own")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request as it is, its path and query included.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        self.runtime.block_on(answer(self.client.request(self.request(method, path, headers, body))))
    }

    /// Sends a request whose answer is not awaited yet.
    pub(crate) fn begin(&self, path: &str) -> Pending<'_> {
        self.begin_with(path, &[])
    }

    pub(crate) fn begin_with(&self, path: &str, headers: &[(&str, &str)]) -> Pending<'_> {
        let request = self.client.request(self.request("GET", path, headers, ""));
        Pending { server: &self.runtime, answer: self.runtime.spawn(answer(request)) }
    }

    pub(crate) fn begin_post(&self, path: &str, body: &str) -> Pending<'_> {
        let headers = [("content-type", "application/json")];
        let request = self.client.request(self.request("POST", path, &headers, body.to_owned()));
        Pending { server: &self.runtime, answer: self.runtime.spawn(answer(request)) }
    }

    /// Whether an answer ends before its end, be it in the body or before.
    pub(crate) fn breaks_off(&self, path: &str) -> bool {
        self.runtime.block_on(async {
            let Ok(response) = self.client.request(self.request("GET", path, &[], "")).await else { return true };
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.is_err()
        })
    }

    /// Follows a stream of events.
    pub(crate) fn events(&self, path: &str, headers: &[(&str, &str)]) -> Events<'_> {
        let headers = [&[("accept", "text/event-stream")], headers].concat();
        let response = self.runtime.block_on(self.client.request(self.request("GET", path, &headers, "")));
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { runtime: &self.runtime, body: response.into_body(), read: String::new() }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        request.body(Full::new(body.into())).expect("a request")
    }

    /// Waits until so many requests wait for their answer.
    pub(crate) fn await_in_flight(&self, requests: usize) {
        self.await_in_flight_by(requests, &[]);
    }

    /// The same, looked at by an admin.
    pub(crate) fn await_in_flight_by(&self, requests: usize, admin: &[(&str, &str)]) {
        // The one that asks is one of them.
        let expected = format!("ads_http_requests_in_flight {}", requests + 1);
        self.await_until(&expected, || {
            let metrics = self.send("GET", "/metrics", admin, "").body;
            String::from_utf8_lossy(&metrics).lines().any(|line| line == expected)
        });
    }

    /// Waits until something is so.
    pub(crate) fn await_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < PATIENCE, "{what}");
        }
    }

    /// Stops the server, and closes the store.
    pub(crate) fn stop(&self) {
        let running = self.running.take().expect("a running server");
        self.runtime.block_on(running.shutdown()).expect("the server stops");
        self.close_store();
    }

    pub(crate) fn close_store(&self) {
        self.runtime.block_on(self.store.close()).expect("the store closes");
    }

    /// What is kept once the server has stopped.
    pub(crate) fn stored_record(&self, namespace: &str, key: &str) -> Record {
        let store = block_on(Store::open(&url(self.folder.as_ref()), Options::default())).expect("the store opens");
        let view = store.data_store(Identity::new("default", None).expect("a user"), namespace).expect("a view");
        block_on(view.get_record(key)).expect("a read").expect("a record")
    }

    /// Writes the reads that were gathered.
    pub(crate) fn flush(&self) {
        let running = self.running.borrow();
        let running = running.as_ref().expect("a running server");
        self.runtime.block_on(running.store().flush()).expect("the reads are written");
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

fn url(folder: Option<&TempDir>) -> String {
    folder.map_or("memory:".to_owned(), |folder| sqlite_url(&folder.path().join("store.db")))
}

async fn answer(request: ResponseFuture) -> Reply {
    let (parts, body) = request.await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

impl Pending<'_> {
    pub(crate) fn end(self) -> Reply {
        self.server.block_on(self.answer).expect("an answer")
    }
}

impl Events<'_> {
    /// The next line, and `None` at the end of the stream.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.read.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(line);
            }
            let frame = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.body.frame()).await });
            let frame = frame.expect("a line in time")?.expect("a sound stream");
            self.read.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("UTF-8"));
        }
    }

    /// The next event, and `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut event = Event { name: String::new(), id: None, data: Value::Null };
        loop {
            let line = self.next_line()?;
            match line.split_once(": ") {
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("id", id)) => event.id = Some(id.parse().expect("a version")),
                Some(("data", data)) => event.data = serde_json::from_str(data).expect("JSON"),
                _ if line.is_empty() && !event.name.is_empty() => return Some(event),
                _ => {}
            }
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let stopped = self.runtime.block_on(running.shutdown());
        let closed = self.runtime.block_on(self.store.close());
        if !std::thread::panicking() {
            // A test may have closed it itself.
            drop(stopped);
            closed.expect("the store closes");
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
