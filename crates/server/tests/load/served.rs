//! The server's process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use agent_data_store::{Options, Store, block_on, sqlite_url};
use agent_data_store_server::{Config, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) const STORE_PATH: &str = "ADS_TEST_STORE";
/// How the line begins that says where it listens.
const AT: &str = "serving at ";

/// A server over a file, every write of it on the disk when it is acknowledged.
pub(crate) struct Served {
    process: Child,
    address: SocketAddr,
}

impl Served {
    /// `settings` are variables as `ads serve` takes them.
    pub(crate) fn start(path: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--exact", "serve", "--nocapture", "--quiet"]).env(STORE_PATH, path);
        // It ends with the pipe, should this process end before it.
        command.envs(settings.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
        let address = lines.find_map(|line| Some(line.split_once(AT)?.1.to_owned())).expect("it says where it listens");
        Self { process, address: address.parse().expect("an address") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of memory that are its own.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// The most memory that it has had at a time, in bytes.
    pub(crate) fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let kib = status.lines().find_map(|line| line.strip_prefix(which)?.trim().strip_suffix(" kB"));
        kib.expect("its memory").parse::<u64>().expect("a number") << 10
    }
}

/// `kill -9`.
impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }
}

/// What the process does.
pub(crate) fn serve(path: &Path) {
    allow_open_files();
    let config = Config::default().layered(None, |name| Ok(std::env::var(name).ok()), []).expect("sound settings");
    let store = block_on(Store::open(&sqlite_url(path), Options::default())).expect("the store opens");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let running = runtime.block_on(Server::bind(&store, config.server)).expect("it listens");
    println!("{AT}{}", running.local_addr());
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
}

/// As `ads serve` does; how many there may be.
pub(crate) fn allow_open_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the maximum");
    maximum.unwrap_or(u64::MAX)
}
