//! The program as its users meet it: the built binary, real files, real pipes and terminals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod atomic;
mod data;
mod errors;
mod feed;
mod help;
#[cfg(unix)]
mod lock;
mod mcp;
mod names;
mod run;
#[cfg(unix)]
mod running;
mod secrets;
mod serve;
#[cfg(unix)]
mod serving;
mod streams;
#[cfg(unix)]
mod tasks;
#[cfg(unix)]
mod terminal;
mod token;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A store in a folder of its own, and nothing of the surrounding environment.
struct Ads {
    folder: TempDir,
}

/// What one call did.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Ads {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self) -> String {
        format!("sqlite://{}/store.db", self.path().display())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ads"));
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if ["AGENT_DATA_STORE_", "ADS_", "XDG_", "CLICOLOR", "NO_COLOR"]
                .iter()
                .any(|start| name_text.starts_with(start))
            {
                command.env_remove(name);
            }
        }
        command
            // Build servers set it, and then colours are taken to be welcome on a terminal that has none.
            .env_remove("CI")
            .env("AGENT_DATA_STORE_URL", self.url())
            .env("HOME", self.path())
            .env("ADS", env!("CARGO_BIN_EXE_ads"))
            .current_dir(self.path())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    fn ads<S: AsRef<OsStr>>(&self, args: &[S]) -> Done {
        Done::of(self.command(args).output().expect("ads starts"))
    }

    fn ads_with_input<S: AsRef<OsStr>>(&self, args: &[S], input: impl AsRef<[u8]>) -> Done {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ads starts");
        // One that has seen enough closes its end early.
        let _ = child.stdin.take().expect("piped").write_all(input.as_ref());
        Done::of(child.wait_with_output().expect("ads ends"))
    }

    /// Expects success; returns stdout.
    fn ok<S: AsRef<OsStr> + std::fmt::Debug>(&self, args: &[S]) -> String {
        let done = self.ads(args);
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        done.out
    }

    /// The same with `--json`, parsed.
    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = [&["--json"], args].concat();
        serde_json::from_str(&self.ok(&args)).expect("stdout is one JSON document")
    }
}

impl Done {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code, not a signal"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Expects this exit code, nothing on stdout, and a message in the one form that messages have.
    #[track_caller]
    fn fails(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        let message = self.err.strip_prefix("ads: ").unwrap_or_else(|| panic!("{self:?}"));
        assert!(!message.trim().is_empty(), "{self:?}");
        message
    }
}
