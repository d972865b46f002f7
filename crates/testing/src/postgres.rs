//! PostgreSQL for tests: a server of their own, which ends with them, or the database that `ADS_TEST_POSTGRES_URL` names.

mod disk;
mod process;
mod programs;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::disk::SmallDisk;
use self::process::Process;
use self::programs::{Owner, Programs};

/// Names the database that is used in place of a server of the tests' own.
pub const URL: &str = "ADS_TEST_POSTGRES_URL";

/// How long a server may take to begin and to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Whether there is a database for tests; where there is none, that is said.
///
/// # Panics
/// Where there is none although `CI` is `true`.
pub fn is_available() -> bool {
    is_given() || Programs::find().is_some()
}

fn is_given() -> bool {
    std::env::var(URL).is_ok_and(|url| !url.is_empty())
}

/// A database for tests that need nothing of its server but that it is there.
pub enum Database {
    /// One that is there already.
    Given(String),
    /// One of a server of the tests' own, which ends when this is dropped.
    Own(Cluster),
}

impl Database {
    /// The database that is given, or one of a new server; `None` where there is no PostgreSQL, which is then said.
    pub fn find() -> Option<Self> {
        Self::find_with(&[])
    }

    /// The same; a new server has these settings, as in [`Cluster::start`].
    pub fn find_with(settings: &[&str]) -> Option<Self> {
        match std::env::var(URL).ok().filter(|url| !url.is_empty()) {
            Some(url) => Some(Self::Given(url)),
            None => Cluster::start(settings).map(Self::Own),
        }
    }

    /// The store URL of the database, with `parameters` such as `ordering=serial`.
    pub fn url(&self, parameters: &str) -> String {
        match self {
            Self::Given(url) => with_parameters(url, parameters),
            Self::Own(cluster) => cluster.url(parameters),
        }
    }

    /// A store URL for a schema that no other test has.
    pub fn schema(&self, parameters: &str) -> Schema {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let url = with_parameters(&self.url(parameters), &format!("schema={name}"));
        let plain = matches!(self, Self::Given(_)).then(|| self.url(""));
        Schema { url, name, plain }
    }
}

fn with_parameters(url: &str, parameters: &str) -> String {
    match (parameters.is_empty(), url.contains('?')) {
        (true, _) => url.to_owned(),
        (false, true) => format!("{url}&{parameters}"),
        (false, false) => format!("{url}?{parameters}"),
    }
}

/// A schema of a test's own, which goes when this is dropped.
pub struct Schema {
    /// Its store URL.
    pub url: String,
    /// Its name.
    pub name: String,
    /// The URL of the database, where what is left behind stays.
    plain: Option<String>,
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Some(url) = &self.plain {
            run_sql(url, &format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.name));
        }
    }
}

/// Runs statements on the database at `url`, a store URL without parameters of the store.
///
/// # Panics
/// Where the database refuses them.
pub fn run_sql(url: &str, sql: &str) {
    query(url, sql);
}

/// The same; what comes back, row by row, as text.
///
/// # Panics
/// Where the database refuses them.
pub fn query(url: &str, sql: &str) -> Vec<Vec<String>> {
    try_query(url, sql).expect("the statements run")
}

/// The same where that may fail.
///
/// # Errors
/// What the database says.
///
/// # Panics
/// Where the system gives no threads.
pub fn try_query(url: &str, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(sql).await;
        drop(client);
        let _ = connection.await;
        let text = |row: &tokio_postgres::SimpleQueryRow| {
            (0..row.len()).map(|index| row.get(index).unwrap_or_default().to_owned()).collect()
        };
        let messages = messages?;
        let rows = messages.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(text(row)),
            _ => None,
        });
        Ok(rows.collect())
    })
}

/// Every connection that a database has to give, until this is dropped.
pub struct AllConnections {
    _clients: Vec<tokio_postgres::Client>,
    _runtime: tokio::runtime::Runtime,
}

impl AllConnections {
    /// Takes them, also from those who have one.
    ///
    /// # Panics
    /// Where they are not to be had.
    pub fn take(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let clients = runtime.block_on(async {
            let url = with_parameters(url, "application_name=taking-all");
            let mut clients: Vec<tokio_postgres::Client> = Vec::new();
            let until = Instant::now() + DEADLINE;
            loop {
                while let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                    tokio::spawn(connection);
                    clients.push(client);
                }
                let first = clients.first().expect("a connection");
                let row = first.query_one("SELECT current_setting('max_connections')::bigint", &[]).await;
                if row.expect("a setting").get::<_, i64>(0) == i64::try_from(clients.len()).expect("a number") {
                    return clients;
                }
                assert!(Instant::now() < until, "others keep their connections");
                let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE backend_type = 'client backend' AND application_name <> 'taking-all'";
                first.batch_execute(cut).await.expect("the others are cut off");
            }
        });
        Self { _clients: clients, _runtime: runtime }
    }
}

/// A server of a test's own, on a loopback port. Ends when this is dropped, and when the test's process does.
pub struct Cluster {
    programs: Programs,
    owner: Owner,
    settings: Vec<String>,
    port: u16,
    running: Mutex<Option<Process>>,
    disk: Option<SmallDisk>,
    // Removed last.
    folder: TempDir,
}

impl Cluster {
    /// Makes and starts a server with `settings` such as `max_connections=20`; `None` where there is no PostgreSQL, which
    /// is then said.
    ///
    /// # Panics
    /// Where there is none although `CI` is `true`, and where it does not begin.
    pub fn start(settings: &[&str]) -> Option<Self> {
        Self::prepare(Programs::find()?, settings).begin()
    }

    /// The same with a disk of so many bytes beside its own, the folder [`Cluster::small_disk`], which is empty again whenever
    /// the server starts. `None` also where this user may not mount one, which is then said.
    ///
    /// # Panics
    /// As above.
    pub fn start_with_small_disk(bytes: u64) -> Option<Self> {
        let mut cluster = Self::prepare(Programs::find()?, &[]);
        if !SmallDisk::may_be_mounted() {
            eprintln!("\n*** SKIPPED: a full disk of PostgreSQL. This user may not mount a small one. ***\n");
            return None;
        }
        std::fs::create_dir(cluster.small_disk()).expect("a folder");
        cluster.disk = Some(SmallDisk::new(cluster.small_disk(), bytes, cluster.owner.ids()));
        cluster.begin()
    }

    fn begin(self) -> Option<Self> {
        let data = self.data();
        let made = self.command("initdb").args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=ads"]);
        // What makes it safe against a loss of power is not what the tests are about; later writes are synced.
        made.args(["--no-sync", "--pgdata"]).arg(&data).run();
        self.start_again();
        Some(self)
    }

    fn prepare(programs: Programs, settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("ads-postgres-").tempdir().expect("a temporary folder");
        let owner = Owner::find();
        if let Some((user, group)) = owner.ids() {
            chown(folder.path(), Some(user), Some(group)).expect("the folder changes hands");
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { programs, owner, settings, port: free_port(), running: Mutex::default(), disk: None, folder }
    }

    /// Where the small disk is, as the server sees it.
    pub fn small_disk(&self) -> PathBuf {
        self.folder.path().join("small")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> programs::Command {
        self.programs.command(program, &self.owner, self.folder.path())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the server where it was, and waits until it takes connections.
    ///
    /// # Panics
    /// Where it does not.
    pub fn start_again(&self) {
        let until = Instant::now() + DEADLINE;
        let log = self.folder.path().join("log");
        loop {
            let process = Process::start(self.server().stderr_to(&log), self.disk.clone());
            if self.becomes_ready(&process, until) {
                *self.running() = Some(process);
                return;
            }
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            // Those who served a server that was killed keep its memory until they have noticed, and a connection of anybody
            // may have come from the port meanwhile.
            let is_early = !process.is_running()
                && (said.contains("is still in use") || said.contains("could not create any TCP/IP sockets"));
            assert!(is_early && Instant::now() < until, "PostgreSQL does not start: {said}");
        }
    }

    fn server(&self) -> programs::Command {
        let mut command = self.command("postgres").arg("-D").arg(self.data());
        let own = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", self.folder.path().display()),
            "fsync=on".to_owned(),
            "log_min_messages=fatal".to_owned(),
        ];
        for setting in own.iter().chain(&self.settings) {
            command = command.arg("-c").arg(setting);
        }
        command
    }

    fn becomes_ready(&self, process: &Process, until: Instant) -> bool {
        let state = self.data().join("postmaster.pid");
        // Its last line tells the state.
        while !std::fs::read_to_string(&state).is_ok_and(|text| {
            text.starts_with(&format!("{}\n", process.id()))
                && text.lines().last().is_some_and(|line| line.trim() == "ready")
        }) {
            if Instant::now() >= until || !process.is_running() {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Ends the server: clients are cut off, transactions rolled back.
    pub fn stop(&self) {
        self.end(libc::SIGINT);
    }

    /// Ends the server as a loss of power would: the next start has to recover.
    pub fn crash(&self) {
        self.end(libc::SIGQUIT);
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.end(libc::SIGKILL);
    }

    fn end(&self, signal: i32) {
        if let Some(process) = self.running().take() {
            process.end(signal, DEADLINE);
        }
    }

    /// The store URL of its database.
    pub fn url(&self, parameters: &str) -> String {
        with_parameters(&format!("postgresql://ads@{}/postgres", self.host()), parameters)
    }

    /// Host and port, as in a URL.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The folder of the server, for files that it is to read.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that only the server's owner may read.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write_private(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("a new file");
        file.write_all(content.as_bytes()).expect("the file is written");
        if let Some((user, group)) = self.owner.ids() {
            chown(&path, Some(user), Some(group)).expect("the file changes hands");
        }
        path
    }

    /// A server that follows this one, and holds all that it has committed. This one then commits nothing that the other
    /// has not got, see [`Cluster::wait_for_standbys`].
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn standby(&self, name: &str) -> Self {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let standby = Self::prepare(self.programs.clone(), &settings);
        std::fs::DirBuilder::new().mode(0o700).create(standby.data()).expect("a folder");
        if let Some((user, group)) = standby.owner.ids() {
            chown(standby.data(), Some(user), Some(group)).expect("the folder changes hands");
        }
        let from = format!("host=127.0.0.1 port={} user=ads application_name={name}", self.port);
        let copy = standby.command("pg_basebackup").args(["--no-sync", "--write-recovery-conf", "--checkpoint=fast"]);
        copy.args(["--wal-method=stream", "--dbname", &from, "--pgdata"]).arg(standby.data()).run();
        standby.start_again();
        standby
    }

    /// Commits wait from now on for the standby `name`.
    ///
    /// # Panics
    /// Where it does not follow in time.
    pub fn wait_for_standbys(&self, name: &str) {
        let url = self.url("");
        run_sql(&url, &format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
        run_sql(&url, "SELECT pg_reload_conf()");
        let until = Instant::now() + DEADLINE;
        while query(&url, "SELECT sync_state FROM pg_stat_replication") != [["sync"]] {
            assert!(Instant::now() < until, "the standby does not follow");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a standby take writes.
    ///
    /// # Panics
    /// Where it does not.
    pub fn promote(&self) {
        run_sql(&self.url(""), "ALTER SYSTEM RESET synchronous_standby_names");
        run_sql(&self.url(""), "SELECT pg_reload_conf(); SELECT pg_promote(true)");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing of it is kept.
        self.end(libc::SIGQUIT);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
