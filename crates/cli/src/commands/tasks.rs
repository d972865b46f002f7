//! Tasks: how they stand, and doing one.

use std::sync::{Mutex, PoisonError};

use agent_data_store::wire::{self, Object};
use agent_data_store::{Claim, ClaimOptions, ClaimedTask, Error, ErrorKind, FailedTask, Json, TaskSummary, block_on};

use super::keeping::keeping;
use super::{Session, Sweep, place_of};
use crate::args::ClaimArgs;
use crate::failure::{Failure, Result};
use crate::input::{self, Source};
use crate::output::{Align, Entry, Output, number, time};
use crate::process::{self, Ended, Streams};

/// How much of an error a table shows, in characters.
const ERROR_SHOWN: usize = 120;

impl Session {
    pub(super) fn tasks(&self, prefix: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let summary = block_on(view.tasks(prefix))?;
            match out.is_json() {
                true => out.value(&summary_json(&summary))?,
                false => print_summary(&summary, out)?,
            }
            out.flush()
        })
    }

    pub(super) fn claim(&self, args: &ClaimArgs, out: &mut Output) -> Result {
        let mut options = ClaimOptions::new(args.ttl);
        options.wait = args.wait;
        options.max_attempts = args.max_attempts;
        self.with(Sweep::Meanwhile, |_, view| {
            let claim = block_on(view.claim(&args.prefix, options))?.ok_or_else(|| {
                let message = format!("no task under {:?} to claim in {}", args.prefix, place_of(view));
                Failure::Negative { code: "no_task", message }
            })?;
            self.work_on(claim, args, out)
        })
    }

    fn work_on(&self, claim: Claim, args: &ClaimArgs, out: &mut Output) -> Result {
        let task = Task { key: claim.key().to_owned(), attempt: claim.attempt() };
        let variables = [("ADS_TASK_KEY", task.key.clone()), ("ADS_TASK_ATTEMPT", task.attempt.to_string())];
        let streams =
            Streams::Captured { input: format!("{}\n", claim.value()), limit: input::text_limit(&self.limits) };
        let claim = Mutex::new(claim);
        let renew = || block_on(claim.lock().unwrap_or_else(PoisonError::into_inner).renew(args.ttl));
        let ended = keeping(args.ttl, renew, out, || process::run(&args.command, &variables, streams));
        let claim = claim.into_inner().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ok(ended) => self.end(claim, &task, &ended, args, out),
            Err(failure) => {
                // Not the task's fault. Where it cannot be given back now, it goes back by itself.
                let _ = block_on(claim.release());
                Err(failure)
            }
        }
    }

    fn end(&self, claim: Claim, task: &Task, ended: &Ended, args: &ClaimArgs, out: &mut Output) -> Result {
        let outcome = match (&ended.out, ended.interrupted) {
            (Some(printed), _) if ended.status.success() => match self.result(printed) {
                Ok(result) => match block_on(claim.clone().complete(result)) {
                    Err(error) if is_refusal(&error) => Err(Cause::new(error.message().to_owned())),
                    completed => Ok(completed?),
                },
                Err(cause) => Err(cause),
            },
            (_, Some(signal)) => {
                block_on(claim.release())?;
                task.tell("waiting", out)?;
                let message = format!("{task}: interrupted by signal {signal}; it has gone back to the others");
                let exit = u8::try_from(128 + signal).unwrap_or(1);
                return Err(Failure::Command { code: "interrupted", message, exit });
            }
            (_, None) => Err(Cause { short: ended.reason(), whole: stderr_or(ended) }),
        };
        match outcome {
            Ok(()) => {
                task.tell("done", out)?;
                out.note(&format!("{task}: done"));
                Ok(())
            }
            Err(cause) => {
                let fail = |error: &str| block_on(claim.clone().fail(error, args.retry_in));
                match fail(&cause.whole) {
                    // What the command wrote may be nothing to keep; that it failed is.
                    Err(error) if is_refusal(&error) => fail(&cause.short)?,
                    failed => failed?,
                }
                task.tell(if args.retry_in.is_some() { "waiting" } else { "failed" }, out)?;
                let next = args.retry_in.map_or_else(String::new, |pause| {
                    format!("; it goes back to the others in {}", humantime::format_duration(pause))
                });
                Err(Failure::task_failed(format!("{task}: failed: {}{next}", cause.short)))
            }
        }
    }

    /// What a command has printed as a value, or why it cannot be one.
    fn result(&self, printed: &[u8]) -> Result<Option<Json>, Cause> {
        if printed.is_empty() {
            return Ok(None);
        }
        if printed.len() > input::text_limit(&self.limits) {
            let limit = self.limits.value_bytes;
            return Err(Cause::new(format!("stdout is over the limit of {limit} bytes: print a reference to it")));
        }
        let Ok(text) = std::str::from_utf8(printed) else {
            return Err(Cause::new("stdout is not UTF-8 text: print base64 text, or a reference to it".to_owned()));
        };
        let value = Json::parse(text, &self.limits).or_else(|_| {
            let text = text.strip_suffix('\n').unwrap_or(text);
            input::value(Source::Argument(text), true, &self.limits)
        });
        value.map(Some).map_err(|error| Cause::new(format!("stdout: {}", error.message())))
    }
}

/// A task, for messages.
struct Task {
    key: String,
    attempt: u64,
}

impl Task {
    /// Tells a program what has become of it.
    fn tell(&self, state: &'static str, out: &mut Output) -> Result {
        if out.is_json() {
            let object = Object::with_capacity(128).text("key", self.key.as_str()).number("attempt", self.attempt);
            out.value(&object.text("state", state).end())?;
        }
        out.flush()
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "task {:?}, attempt {}", self.key, self.attempt)
    }
}

/// Why a task failed: for the message, and for the record.
struct Cause {
    short: String,
    whole: String,
}

impl Cause {
    fn new(text: String) -> Self {
        Self { short: text.clone(), whole: text }
    }
}

/// Whether the store does not take what it was given.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::NotSerializable | ErrorKind::TooLarge)
}

/// The end of stderr; where there is nothing, how the command ended.
fn stderr_or(ended: &Ended) -> String {
    let text = String::from_utf8_lossy(&ended.err);
    // The beginning may be the rest of a character.
    match text.trim_start_matches(char::REPLACEMENT_CHARACTER).trim() {
        "" => ended.reason(),
        text => text.to_owned(),
    }
}

fn summary_json(summary: &TaskSummary) -> Json {
    let claimed = summary.claimed.iter().map(|task| {
        Object::with_capacity(128)
            .text("key", &*task.key)
            .text("agent", agent(task))
            .number("attempt", task.attempt)
            .time("until", task.until)
            .end()
    });
    let failed = summary.failed.iter().map(|task| {
        Object::with_capacity(128)
            .text("key", &*task.key)
            .number("attempts", task.attempts)
            .text("error", task.error.as_deref())
            .end()
    });
    Object::with_capacity(128)
        .number("waiting", summary.waiting)
        .json("claimed", &wire::array(claimed))
        .number("done", summary.done)
        .json("failed", &wire::array(failed))
        .end()
}

fn print_summary(summary: &TaskSummary, out: &mut Output) -> Result {
    let count = |count: u64| Entry::Text(number(count));
    out.listing(&[
        ("waiting", count(summary.waiting)),
        ("claimed", count(summary.claimed.len() as u64)),
        ("done", count(summary.done)),
        ("failed", count(summary.failed.len() as u64)),
    ])?;
    if !summary.claimed.is_empty() {
        let header =
            [("CLAIMED", Align::Left), ("ATTEMPT", Align::Right), ("UNTIL", Align::Left), ("AGENT", Align::Left)];
        let row = |task: &ClaimedTask| {
            [task.key.to_string(), number(task.attempt), time(task.until), agent(task).unwrap_or("-").to_owned()]
        };
        out.text("\n")?;
        out.table(header, summary.claimed.iter().map(row))?;
    }
    if !summary.failed.is_empty() {
        let header = [("FAILED", Align::Left), ("ATTEMPTS", Align::Right), ("ERROR", Align::Left)];
        let row = |task: &FailedTask| {
            [task.key.to_string(), number(task.attempts), task.error.as_deref().map_or("-".to_owned(), last_line)]
        };
        out.text("\n")?;
        out.table(header, summary.failed.iter().map(row))?;
    }
    Ok(())
}

/// Those without a name claim under an empty one.
fn agent(task: &ClaimedTask) -> Option<&str> {
    task.agent.as_deref().filter(|agent| !agent.is_empty())
}

/// The line of a message or traceback that says most, shortened.
fn last_line(error: &str) -> String {
    let line = error.trim_end().lines().next_back().unwrap_or_default().trim();
    match line.char_indices().nth(ERROR_SHOWN) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_the_last_line_of_an_error() {
        let traceback = "Traceback (most recent call last):\n  File \"x.py\", line 1\nValueError: no such page\n";
        assert_eq!(last_line(traceback), "ValueError: no such page");
        assert_eq!(last_line(""), "");
        assert_eq!(last_line(&"é".repeat(ERROR_SHOWN)), "é".repeat(ERROR_SHOWN));
        assert_eq!(last_line(&"é".repeat(ERROR_SHOWN + 1)), "é".repeat(ERROR_SHOWN) + "…");
    }
}
