//! Where the store is, and what can happen to it there.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agent_data_store::sqlite_url;
use agent_data_store_testing::postgres::{Cluster, try_query};
use agent_data_store_testing::sqlite;
use fastrand::Rng;
use tempfile::TempDir;

use crate::crew::{Crew, pause};
use crate::proxy::Proxy;

/// How long everybody may wait for a server that stands still.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) enum Place {
    File(TempDir),
    Served { server: Server, proxy: Proxy, folder: TempDir },
    Database(Cluster),
}

/// What happens in a round beside the work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    KillWorker,
    PauseWorker,
    KillServer,
    PauseServer,
    Cut,
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn served() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&sqlite_url(&folder.path().join("store.db")));
        let proxy = Proxy::before(server.address);
        Self::Served { server, proxy, folder }
    }

    /// `None` where there is no PostgreSQL, which is then said.
    pub(crate) fn database() -> Option<Self> {
        Cluster::start(&[]).map(Self::Database)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(folder) => sqlite_url(&folder.path().join("store.db")),
            Self::Served { proxy, .. } => format!("http://{}", proxy.address()),
            Self::Database(cluster) => cluster.url(""),
        }
    }

    pub(crate) fn choose(&self, random: &mut Rng) -> Fault {
        use Fault::{Cut, KillServer, KillWorker, PauseServer, PauseWorker};
        let of: &[Fault] = match self {
            Self::File(_) => &[KillWorker, KillWorker, PauseWorker],
            Self::Served { .. } => &[KillWorker, PauseWorker, KillServer, KillServer, PauseServer, Cut],
            Self::Database(_) => &[KillWorker, KillWorker, PauseWorker, KillServer, Cut],
        };
        of[random.usize(..of.len())]
    }

    pub(crate) fn choose_whom_to_kill(&self, random: &mut Rng) -> Fault {
        match self {
            // The database takes its time to come back.
            Self::Database(_) if random.u8(..4) > 0 => Fault::KillWorker,
            Self::Served { .. } | Self::Database(_) if random.bool() => Fault::KillServer,
            _ => Fault::KillWorker,
        }
    }

    /// Has it happen; returns how many processes were killed.
    pub(crate) fn suffer(&mut self, fault: Fault, crew: &mut Crew, random: &mut Rng) -> u64 {
        match fault {
            Fault::KillWorker => {
                crew.kill(random.usize(..crew.len()));
                return 1;
            }
            Fault::PauseWorker => crew.pause(random.usize(..crew.len()), 50),
            Fault::KillServer => {
                match self {
                    Self::File(_) => unreachable!("a file has no server"),
                    Self::Served { server, .. } => server.kill_and_start(),
                    Self::Database(cluster) => {
                        cluster.kill();
                        cluster.start_again();
                    }
                }
                return 1;
            }
            Fault::PauseServer => {
                if let Self::Served { server, .. } = self {
                    pause(server.child.id(), || crew.hear(1, PATIENCE));
                }
            }
            Fault::Cut => match self {
                Self::File(_) => unreachable!("a file has no connections"),
                Self::Served { proxy, .. } => proxy.cut(),
                Self::Database(cluster) => {
                    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE application_name = 'agent-data-store'";
                    try_query(&cluster.url(""), all).expect("connections are cut");
                }
            },
        }
        0
    }

    /// What must hold of the store while nobody has it open.
    pub(crate) fn check(&self) {
        match self {
            Self::File(folder) | Self::Served { folder, .. } => sqlite::check(&folder.path().join("store.db")),
            Self::Database(_) => {}
        }
    }
}

/// `ads serve` in a process of its own. Ends with the test.
pub(crate) struct Server {
    child: Child,
    store: String,
    address: SocketAddr,
}

impl Server {
    fn start(store: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        Self { child: start(address, store), store: store.to_owned(), address }
    }

    fn kill_and_start(&mut self) {
        self.kill();
        self.child = start(self.address, &self.store);
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
fn start(address: SocketAddr, store: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ads"));
    command.args(["serve", "--json", "--store", store, "--listen", &address.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ads");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.contains("url"), "the server does not start");
    child
}
