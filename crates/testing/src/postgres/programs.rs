//! Where PostgreSQL's programs are, and as whom they run.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The programs of one version.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    folder: PathBuf,
}

impl Programs {
    pub(super) fn find() -> Option<Self> {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let of_debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut of_debian: Vec<PathBuf> = of_debian.map(|version| version.path().join("bin")).collect();
        of_debian.sort_by_key(|folder| std::cmp::Reverse(version_of(folder)));
        let found = std::env::split_paths(&on_path)
            .chain(of_debian)
            .find(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()));
        if found.is_none() {
            let remedy = "PostgreSQL is not installed: `scripts/postgres` installs Debian's package as root, or name an empty \
                          database in ADS_TEST_POSTGRES_URL";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{remedy}");
            eprintln!("\n*** SKIPPED: all tests of the PostgreSQL engine. {remedy}. ***\n");
        }
        // Links lead to where the others are.
        let folder = found?;
        let real = folder.join("postgres").canonicalize().ok().and_then(|program| Some(program.parent()?.to_owned()));
        Some(Self { folder: real.unwrap_or(folder) })
    }

    pub(super) fn command(&self, program: &str, owner: &Owner, folder: &Path) -> Command {
        let mut command = std::process::Command::new(self.folder.join(program));
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).env("LC_ALL", "C");
        if let Some((user, group)) = owner.ids() {
            command.uid(user).gid(group);
        }
        Command(command)
    }
}

fn version_of(folder: &Path) -> u32 {
    let version = folder.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// A command as it is put together.
pub(super) struct Command(pub(super) std::process::Command);

impl Command {
    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Adds what it says of itself to a file.
    pub(super) fn stderr_to(mut self, path: &Path) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        self.0.stderr(file.expect("a file for what the program says"));
        self
    }

    /// Runs it to its end.
    pub(super) fn run(mut self) {
        let status = self.0.status().expect("the program starts");
        assert!(status.success(), "{:?}: {status}", self.0.get_program());
    }
}

/// As whom the server runs: it refuses to be root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner(Option<(u32, u32)>);

impl Owner {
    pub(super) fn find() -> Self {
        // SAFETY: asks for a number.
        if unsafe { libc::geteuid() } != 0 {
            return Self(None);
        }
        let accounts = std::fs::read_to_string("/etc/passwd").expect("the system has accounts");
        let of = |name: &str| {
            let fields: Vec<&str> =
                accounts.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
            Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
        };
        Self(Some(of("postgres").or_else(|| of("nobody")).expect("an account other than root's")))
    }

    pub(super) fn ids(&self) -> Option<(u32, u32)> {
        self.0
    }
}
