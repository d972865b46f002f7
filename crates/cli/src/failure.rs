//! Why a command did not succeed: its message and its exit code.

use std::io::{self, Write};

use agent_data_store::wire::{self, Object};
use agent_data_store::{Error, ErrorKind};
use anstyle::{AnsiColor, Style};
use clap::error::ErrorKind as UsageKind;

use crate::output::{colored, message};

pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

const NEGATIVE: u8 = 1;
const TASK_FAILED: u8 = 8;
const FAILED: Style = AnsiColor::Red.on_default().bold();

#[derive(Debug)]
pub(crate) enum Failure {
    /// The store's error.
    Store(Error),
    /// The answer is no.
    Negative { code: &'static str, message: String },
    /// A command that did not do what it was to do.
    Command { code: &'static str, message: String, exit: u8 },
    /// The arguments cannot be understood; clap's own message, with usage.
    Usage(String),
    /// The output cannot be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The exit code for an error of this kind: 2 invalid argument, not serializable, too large; 3 conflict, lease held,
/// lease lost; 4 quota exceeded; 5 not authenticated, not allowed; 6 unavailable; 7 corrupt store.
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::NotSerializable | ErrorKind::TooLarge => 2,
        ErrorKind::Conflict | ErrorKind::LeaseHeld | ErrorKind::LeaseLost => 3,
        ErrorKind::QuotaExceeded => 4,
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => 5,
        ErrorKind::Unavailable => 6,
        ErrorKind::CorruptStore => 7,
        _ => NEGATIVE,
    }
}

impl Failure {
    pub(crate) fn missing(message: String) -> Self {
        Self::Negative { code: "not_found", message }
    }

    /// What a command failed at that was to do a task.
    pub(crate) fn task_failed(message: String) -> Self {
        Self::Command { code: "task_failed", message, exit: TASK_FAILED }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Store(Error::new(ErrorKind::InvalidArgument, message))
    }

    /// Tells stderr, and returns the exit code.
    pub(crate) fn report(&self, json: bool) -> u8 {
        let (text, document, code) = match self {
            // Whoever read the output has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return 0,
            Self::Output(error) => {
                let text = format!("cannot write the output: {error}");
                let document = simple(wire::error_code(ErrorKind::Unavailable), &text);
                (text, document, exit_code(ErrorKind::Unavailable))
            }
            Self::Store(error) => (error.message().to_owned(), wire::error(error), exit_code(error.kind())),
            Self::Negative { code, message } => (message.clone(), simple(code, message), NEGATIVE),
            Self::Command { code, message, exit } => (message.clone(), simple(code, message), *exit),
            Self::Usage(text) => {
                // A program has no use for the usage that follows.
                let reason: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
                let document = simple(wire::error_code(ErrorKind::InvalidArgument), &reason.join(" "));
                (text.clone(), document, exit_code(ErrorKind::InvalidArgument))
            }
        };
        if json {
            message(&document.to_string());
        } else {
            let (on, off) = match colored(&io::stderr()) {
                true => (FAILED.render().to_string(), FAILED.render_reset().to_string()),
                false => (String::new(), String::new()),
            };
            message(&format!("{on}ads:{off} {text}"));
        }
        code
    }
}

fn simple(code: &str, text: &str) -> agent_data_store::Json {
    Object::with_capacity(128).text("code", code).text("message", text).bool("retryable", false).end()
}

/// What clap stopped at: help and version are answers, all else is a failure.
pub(crate) fn usage(error: &clap::Error) -> Result<u8> {
    let rendered = error.render();
    match error.kind() {
        UsageKind::DisplayHelp | UsageKind::DisplayVersion => {
            let mut out = io::stdout().lock();
            match colored(&out) {
                true => write!(out, "{}", rendered.ansi())?,
                false => write!(out, "{rendered}")?,
            }
            out.flush()?;
            Ok(0)
        }
        UsageKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::Usage(format!("no command given\n\n{rendered}").trim_end().to_owned()))
        }
        _ => {
            let text = rendered.to_string();
            Err(Failure::Usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_exit_code() {
        let codes = [
            (ErrorKind::InvalidArgument, 2),
            (ErrorKind::NotSerializable, 2),
            (ErrorKind::TooLarge, 2),
            (ErrorKind::Conflict, 3),
            (ErrorKind::LeaseHeld, 3),
            (ErrorKind::LeaseLost, 3),
            (ErrorKind::QuotaExceeded, 4),
            (ErrorKind::Unauthenticated, 5),
            (ErrorKind::PermissionDenied, 5),
            (ErrorKind::Unavailable, 6),
            (ErrorKind::CorruptStore, 7),
        ];
        for (kind, code) in codes {
            assert_eq!(exit_code(kind), code, "{kind:?}");
        }
    }
}
