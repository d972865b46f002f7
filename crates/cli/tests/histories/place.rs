//! Where the store is, and what can happen to it there.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::time::Duration;

use agent_data_store::{Store, sqlite_url};
use agent_data_store_testing::postgres::{Cluster, try_query};
use agent_data_store_testing::sqlite;
use fastrand::Rng;
use tempfile::TempDir;

use crate::clock::Jumper;
use crate::crew::{Crew, pause};
use crate::proxy::Proxy;
use crate::server::Server;
use crate::worker;

/// How long everybody may wait for a server that stands still.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) struct Place {
    pub(crate) name: &'static str,
    kind: Kind,
    pub(crate) clock: Jumper,
}

enum Kind {
    File(TempDir),
    /// What is in memory ends with the server.
    Served {
        server: Server,
        proxy: Proxy,
        folder: Option<TempDir>,
        jumps: bool,
    },
    Database(Cluster),
}

/// What happens in a round beside the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillWorker,
    KillServer,
    PauseWorker,
    PauseServer,
    Cut,
    Jump,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::KillWorker => "kill -9 of a client",
            Fault::KillServer => "kill -9 of the server",
            Fault::PauseWorker => "client paused",
            Fault::PauseServer => "server paused",
            Fault::Cut => "all connections cut",
            Fault::Jump => "jump of the clock",
        })
    }
}

/// How often each has happened.
pub(crate) type Faults = BTreeMap<Fault, u64>;

impl Place {
    pub(crate) fn file() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { name: "store file", kind: Kind::File(folder), clock: Jumper::new() }
    }

    pub(crate) fn served() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = sqlite_url(&folder.path().join("store.db"));
        Self::serving("server of a store file", &store, Some(folder))
    }

    pub(crate) fn served_from_memory() -> Self {
        Self::serving("server of a store in memory", "memory:", None)
    }

    fn serving(name: &'static str, store: &str, folder: Option<TempDir>) -> Self {
        let clock = Jumper::new();
        let server = Server::start(store, clock.path());
        let proxy = Proxy::before(server.address);
        Self { name, kind: Kind::Served { server, proxy, folder, jumps: false }, clock }
    }

    /// `None` where there is no PostgreSQL, which is then said.
    pub(crate) fn database() -> Option<Self> {
        Some(Self { name: "database", kind: Kind::Database(Cluster::start(&[])?), clock: Jumper::new() })
    }

    pub(crate) fn url(&self) -> String {
        match &self.kind {
            Kind::File(folder) => sqlite_url(&folder.path().join("store.db")),
            Kind::Served { proxy, .. } => format!("http://{}", proxy.address()),
            Kind::Database(cluster) => cluster.url(""),
        }
    }

    pub(crate) fn open(&self) -> Store {
        worker::open(&self.url(), self.clock.path())
    }

    /// Gets ready for another round. The program `ads` goes by the clock of the system: it serves every other time.
    pub(crate) fn begin(&mut self, round: u64) {
        self.clock.set_right();
        if let Kind::Served { server, jumps, .. } = &mut self.kind {
            *jumps = round % 2 == 1;
            server.go_by(*jumps);
        }
    }

    /// Has what somebody held be over, where the clock jumps; elsewhere it takes its time.
    pub(crate) fn end_leases(&mut self, beyond: Duration) {
        if !matches!(self.kind, Kind::Served { jumps: false, .. }) {
            self.clock.jump_beyond(beyond);
        }
    }

    pub(crate) fn choose(&self, random: &mut Rng) -> Fault {
        use Fault::{Cut, Jump, KillServer, KillWorker, PauseServer, PauseWorker};
        let of: &[Fault] = match &self.kind {
            Kind::File(_) => &[KillWorker, KillWorker, KillWorker, PauseWorker, Jump, Jump],
            Kind::Served { folder: None, jumps: false, .. } => &[KillWorker, PauseWorker, PauseServer, Cut],
            Kind::Served { folder: None, .. } => &[KillWorker, PauseWorker, PauseServer, Cut, Jump, Jump],
            Kind::Served { jumps: false, .. } => &[KillWorker, PauseWorker, KillServer, KillServer, PauseServer, Cut],
            Kind::Served { .. } => &[KillWorker, PauseWorker, KillServer, KillServer, PauseServer, Cut, Jump, Jump],
            Kind::Database(_) => &[KillWorker, KillWorker, KillWorker, PauseWorker, KillServer, Cut, Jump, Jump],
        };
        of[random.usize(..of.len())]
    }

    pub(crate) fn choose_whom_to_kill(&self, random: &mut Rng) -> Fault {
        match self.kind {
            // The database takes its time to come back.
            Kind::Database(_) if random.u8(..4) > 0 => Fault::KillWorker,
            Kind::Served { folder: Some(_), .. } | Kind::Database(_) if random.bool() => Fault::KillServer,
            _ => Fault::KillWorker,
        }
    }

    /// Has it happen.
    pub(crate) fn suffer(&mut self, fault: Fault, crew: &mut Crew, random: &mut Rng) {
        match (fault, &mut self.kind) {
            (Fault::KillWorker, _) => crew.kill(random.usize(..crew.len())),
            (Fault::PauseWorker, _) => crew.pause(random.usize(..crew.len()), 50),
            (Fault::Jump, _) => self.clock.jump(random),
            (Fault::KillServer, Kind::Served { server, .. }) => server.kill_and_start(),
            (Fault::KillServer, Kind::Database(cluster)) => {
                cluster.kill();
                cluster.start_again();
            }
            (Fault::PauseServer, Kind::Served { server, .. }) => pause(server.id(), || crew.hear(1, PATIENCE)),
            (Fault::Cut, Kind::Served { proxy, .. }) => proxy.cut(),
            (Fault::Cut, Kind::Database(cluster)) => {
                let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'agent-data-store'";
                try_query(&cluster.url(""), all).expect("connections are cut");
            }
            (fault, _) => unreachable!("{fault} is nothing for a {}", self.name),
        }
    }

    /// What must hold of the store while nobody has it open.
    pub(crate) fn check(&self) {
        if let Kind::File(folder) | Kind::Served { folder: Some(folder), .. } = &self.kind {
            sqlite::check(&folder.path().join("store.db"));
        }
    }
}
