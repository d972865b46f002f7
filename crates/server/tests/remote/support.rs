//! A server that can go and come back, and somebody in between who meddles with what is said.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use agent_data_store::{DataStore, Identity, Json, Limits, Options, Result, Store, Token, block_on, sqlite_url};
use agent_data_store_server::{Access, NewToken, Running, Server, ServerOptions, Tokens};
use tempfile::TempDir;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

/// A server over a file of its own.
pub(crate) struct TestServer {
    address: SocketAddr,
    options: ServerOptions,
    folder: TempDir,
    serving: Option<(Running, Store)>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// A server with options of its own.
    pub(crate) fn with(adjust: impl Fn(&mut ServerOptions)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut options = ServerOptions::default();
        adjust(&mut options);
        let mut server = Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options, folder, serving: None };
        server.start_again();
        server
    }

    /// Starts the server at the place where it was.
    pub(crate) fn start_again(&mut self) {
        let url = sqlite_url(&self.folder.path().join("store.db"));
        let store = block_on(Store::open(&url, Options::default())).expect("the store opens");
        let mut options = self.options.clone();
        options.listen = self.address;
        let running = RUNTIME.block_on(Server::bind(&store, options)).expect("the server listens");
        self.address = running.local_addr();
        self.serving = Some((running, store));
    }

    pub(crate) fn stop(&mut self) {
        let Some((running, store)) = self.serving.take() else { return };
        RUNTIME.block_on(running.shutdown()).expect("the server stops");
        block_on(store.close()).expect("the store closes");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token that may do everything. From the first one on nobody gets in without.
    pub(crate) fn make_token(&self) -> String {
        let (_, store) = self.serving.as_ref().expect("it serves");
        let mut new = NewToken::default();
        (new.user, new.access) = ("operator".to_owned(), Access::Admin);
        block_on(Tokens::of(store).expect("tokens").create(new)).expect("a token").secret
    }

    /// The store itself, without a network.
    pub(crate) fn served(&self) -> DataStore {
        let (_, store) = self.serving.as_ref().expect("it serves");
        view(store, "default", None)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A request that came to the one in between.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find_map(|(header, value)| header.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn is_for(&self, path: &str) -> bool {
        self.head.split(' ').nth(1).is_some_and(|asked| asked.starts_with(path))
    }
}

/// What the one in between does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Lets it and its answer pass.
    Pass,
    /// Lets it pass, and so much of the answer; then the connection ends.
    Cut(usize),
    /// Ends the connection.
    Close,
    /// Says this in the server's place.
    Say(Vec<u8>),
    /// Says nothing at all.
    Silence,
}

/// Somebody in between a client and a server.
pub(crate) struct Between {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: Option<SocketAddr>,
    plan: Box<dyn Fn(&Heard) -> Act + Send + Sync>,
    heard: Mutex<Vec<Heard>>,
    open: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

impl Between {
    pub(crate) fn before(server: &TestServer, plan: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        Self::start(Some(server.address()), plan)
    }

    /// Without a server: it answers itself, and says who is calling.
    pub(crate) fn alone(plan: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        let who = reply("200 OK", "application/json", r#"{"user":"default","agent":null}"#);
        Self::start(
            None,
            move |heard| if heard.is_for("/data-store/whoami") { Act::Say(who.clone()) } else { plan(heard) },
        )
    }

    /// Without a server: it answers everything with this.
    pub(crate) fn saying(answer: Vec<u8>) -> Self {
        Self::start(None, move |_| Act::Say(answer.clone()))
    }

    fn start(server: Option<SocketAddr>, plan: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server,
            plan: Box::new(plan),
            heard: Mutex::default(),
            open: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(|stream| stream.ok()) {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came so far to this path.
    pub(crate) fn heard(&self, path: &str) -> Vec<Heard> {
        let heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|heard| heard.is_for(path)).cloned().collect()
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // So that the thread notices.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(stream.try_clone().expect("a handle"));
        while let Some(heard) = hear(&mut stream) {
            let act = (self.plan)(&heard);
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard.clone());
            let (answer, goes_on) = match act {
                Act::Pass => (self.pass(&heard), false),
                Act::Cut(bytes) => {
                    let mut answer = self.pass(&heard);
                    assert!(answer.len() > bytes, "the answer is {} bytes", answer.len());
                    answer.truncate(bytes);
                    (answer, false)
                }
                Act::Close => (Vec::new(), false),
                Act::Say(answer) => (answer, true),
                Act::Silence => {
                    // Until the client gives up.
                    let _ = stream.read(&mut [0]);
                    (Vec::new(), false)
                }
            };
            // The client may have gone.
            if stream.write_all(&answer).is_err() || !goes_on {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// What the server answers.
    fn pass(&self, heard: &Heard) -> Vec<u8> {
        let mut answer = Vec::new();
        let server = self.server.expect("there is a server");
        let Ok(mut stream) = TcpStream::connect(server) else { return answer };
        let head = heard.head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&heard.body)).expect("the server listens");
        // A server that is killed ends in the midst of it.
        let _ = stream.read_to_end(&mut answer);
        answer
    }
}

fn hear(stream: &mut TcpStream) -> Option<Heard> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let mut heard = Heard { head: String::from_utf8(head).expect("ASCII"), body: Vec::new() };
    heard.body.resize(heard.header("content-length").map_or(0, |length| length.parse().expect("a length")), 0);
    stream.read_exact(&mut heard.body).ok()?;
    Some(heard)
}

/// An answer over HTTP.
pub(crate) fn reply(status: &str, media_type: &str, body: &str) -> Vec<u8> {
    reply_with(status, media_type, "", body)
}

/// The same with more headers, each with its line break.
pub(crate) fn reply_with(status: &str, media_type: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into()
}

/// A plan that does one thing at the first `times` requests to `path`, and lets everything else pass.
pub(crate) fn at_first(times: usize, path: &'static str, act: Act) -> impl Fn(&Heard) -> Act + Send + Sync {
    let left = AtomicUsize::new(times);
    move |heard| {
        let is_due = heard.is_for(path)
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_due { act.clone() } else { Act::Pass }
    }
}

pub(crate) fn open(url: &str) -> Store {
    try_open(url, None).expect("the store opens")
}

/// Without housekeeping, so that nothing is sent but what the test sends.
pub(crate) fn try_open(url: &str, token: Option<&str>) -> Result<Store> {
    let mut options = Options::default();
    options.housekeeping = false;
    options.token = token.map(Token::new).transpose()?;
    block_on(Store::open(url, options))
}

pub(crate) fn view(store: &Store, user: &str, agent: Option<&str>) -> DataStore {
    store.data_store(Identity::new(user, agent).expect("an identity"), "default").expect("a view")
}

/// An administrator's view.
pub(crate) fn notes(store: &Store) -> DataStore {
    view(store, "default", None)
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text, &Limits::default()).expect("JSON")
}

pub(crate) fn set(view: &DataStore, key: &str, value: &str) {
    block_on(view.set(key, json(value), agent_data_store::SetOptions::default())).expect("set");
}

pub(crate) fn get(view: &DataStore, key: &str) -> Option<String> {
    block_on(view.get(key)).expect("get").map(|value| value.to_string())
}

pub(crate) fn runtime() -> &'static Runtime {
    &RUNTIME
}
