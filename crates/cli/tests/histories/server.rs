//! A server in a process of its own, which can be killed and started again where it was: the program `ads`, or this test
//! program, where the clock is to jump.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use agent_data_store_server::ServerOptions;

use crate::worker;

const STORE: &str = "ADS_TEST_STORE";
const LISTEN: &str = "ADS_TEST_LISTEN";
const CLOCK: &str = "ADS_TEST_SERVER_CLOCK";

/// Ends with the test.
pub(crate) struct Server {
    child: Child,
    store: String,
    pub(crate) address: SocketAddr,
    clock: PathBuf,
    jumps: bool,
}

impl Server {
    pub(crate) fn start(store: &str, clock: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let child = start(address, store, None);
        Self { child, store: store.to_owned(), address, clock: clock.to_owned(), jumps: false }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Serves from now on by the clock that jumps, or by that of the system.
    pub(crate) fn go_by(&mut self, jumps: bool) {
        if self.jumps != jumps {
            self.jumps = jumps;
            self.kill_and_start();
        }
    }

    pub(crate) fn kill_and_start(&mut self) {
        self.kill();
        self.child = start(self.address, &self.store, self.jumps.then_some(&self.clock));
    }

    fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the server and waits until it serves.
fn start(address: SocketAddr, store: &str, clock: Option<&PathBuf>) -> Child {
    let mut command = match clock {
        None => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ads"));
            command.args(["serve", "--json", "--store", store, "--listen", &address.to_string()]);
            command
        }
        Some(clock) => {
            let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
            command.args(["--exact", "server", "--nocapture", "--quiet"]);
            command.env(STORE, store).env(LISTEN, address.to_string()).env(CLOCK, clock);
            command
        }
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a server");
    let mut lines = BufReader::new(child.stdout.as_mut().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("http://")), "the server does not start");
    child
}

/// What this process is to do, if it is a server: it serves until its standard input ends.
pub(crate) fn serve_if_asked() -> bool {
    let variable = |name| std::env::var(name).ok();
    let (Some(url), Some(listen), Some(clock)) = (variable(STORE), variable(LISTEN), variable(CLOCK)) else {
        return false;
    };
    let store = worker::open(&url, clock.as_ref());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut options = ServerOptions::default();
    options.listen = listen.parse().expect("an address");
    let running = runtime.block_on(agent_data_store_server::Server::bind(&store, options)).expect("it serves");
    println!("\nserving {}", running.url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    true
}
