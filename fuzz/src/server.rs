//! A server in this process, over memory, and a client that sends bytes as they are.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use agent_data_store::{Identity, Options, Store, block_on};
use agent_data_store_server::{Running, Server, ServerOptions};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::Runtime;

struct Served {
    running: Running,
    _runtime: Runtime,
}

fn address() -> SocketAddr {
    static SERVED: OnceLock<Served> = OnceLock::new();
    let served = SERVED.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut options = Options::default();
        options.changes_kept = 1_000;
        let store = block_on(Store::open("memory:", options)).expect("a store");
        let mut options = ServerOptions::default();
        options.longest_wait = Duration::ZERO;
        let running = runtime.block_on(Server::bind(&store, options)).expect("a server");
        Served { running, _runtime: runtime }
    });
    served.running.local_addr()
}

/// The server's store as its own client sees it, in a namespace.
pub fn store(namespace: &str) -> agent_data_store::Result<agent_data_store::DataStore> {
    static STORE: OnceLock<Store> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let mut options = Options::default();
        options.housekeeping = false;
        block_on(Store::open(&format!("http://{}", address()), options)).expect("a store")
    });
    store.data_store(Identity::new("default", None)?, namespace)
}

/// The path of a record, its slashes bare or not.
pub fn record_path(namespace: &str, key: &str, bare: bool) -> String {
    let encoded = |name: &str| utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
    let key = match bare {
        true => key.split('/').map(encoded).collect::<Vec<_>>().join("/"),
        false => encoded(key),
    };
    format!("/data-store/namespaces/{}/records/{key}", encoded(namespace))
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// A connection to the server.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub fn open() -> Self {
        let stream = TcpStream::connect(address()).expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a connection");
        Self { stream, received: Vec::new() }
    }

    /// Sends a request with the usual headers, unless the server has closed.
    pub fn send(&mut self, method: &str, path: &[u8], headers: &str, body: &[u8]) {
        let mut request = Vec::with_capacity(256 + path.len() + body.len());
        request.extend_from_slice(method.as_bytes());
        request.push(b' ');
        request.extend_from_slice(path);
        request.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        request.extend_from_slice(headers.as_bytes());
        request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        // The answer tells.
        let _ = self.stream.write_all(&request);
    }

    /// Reads on until `is_there` finds what it looks for; `None` where the server closes before.
    pub fn until<T>(&mut self, mut is_there: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = is_there(&self.received) {
                return Some(found);
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                // The fuzzer's own clock.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => match read.expect("an answer in time") {
                    0 => return None,
                    count => self.received.extend_from_slice(&piece[..count]),
                },
            }
        }
    }

    /// The next answer, which is not sent piece by piece.
    fn reply(&mut self) -> Option<Reply> {
        let head = self.until(|bytes| bytes.windows(4).position(|end| end == b"\r\n\r\n"))? + 4;
        let text = String::from_utf8_lossy(&self.received[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        self.until(|bytes| (bytes.len() >= head + length).then_some(()))?;
        let body = self.received[head..head + length].to_vec();
        self.received.drain(..head + length);
        Some(Reply { status, body })
    }
}

/// Asks on a connection that is kept, or on a new one where the server has closed it.
pub fn ask(method: &str, path: &[u8], headers: &str, body: &[u8]) -> Reply {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<Connection>> = const { std::cell::RefCell::new(None) };
    }
    KEPT.with_borrow_mut(|kept| {
        for _ in 0..2 {
            let mut connection = kept.take().unwrap_or_else(Connection::open);
            connection.send(method, path, headers, body);
            if let Some(reply) = connection.reply() {
                // After an answer that breaks the connection off there is no next one.
                *kept = (reply.status < 400).then_some(connection);
                return reply;
            }
        }
        panic!("the server closes without an answer")
    })
}
