//! Whether a store is sound.

use agent_data_store::verify::{Problem, ProblemKind, Verified, verify};
use agent_data_store::wire::{self, Object};
use agent_data_store::{Json, block_on};

use super::Session;
use super::stores::{close, of_all};
use crate::args::{Global, VerifyArgs};
use crate::escape::escaped;
use crate::failure::{Failure, Result};
use crate::output::{Entry, Output, number, size};
use crate::progress::Progress;

impl Session {
    pub(super) fn verify(&self, args: &VerifyArgs, global: &Global, out: &mut Output) -> Result {
        of_all(global, "verify", &["STORE"])?;
        let store = self.open_whole(&args.store, false)?;
        let mut progress = Progress::new(out.is_json());
        let verified = block_on(verify(&store, args.repair, &mut |done, of| progress.show("reading", done, of)));
        progress.end();
        let was_lost = |problem: &Problem| problem.kind == ProblemKind::LostRecords && problem.mended;
        if verified.as_ref().is_ok_and(|verified| verified.problems.iter().any(was_lost)) {
            // Left to housekeeping, which has its turn now.
            while matches!(block_on(store.maintain()), Ok(true)) {}
        }
        close(&store);
        let verified = verified?;
        show(&verified, out)?;
        let left = verified.problems.iter().filter(|problem| !problem.mended).count();
        if left > 0 {
            let mendable = verified.problems.iter().any(|problem| problem.kind.is_mendable() && !problem.mended);
            let hint = if mendable && !args.repair { "; --repair mends what can be derived" } else { "" };
            let message = format!("the store has {}{hint}", problems(left));
            return Err(Failure::Negative { code: "problems", message });
        }
        out.note(match verified.problems.len() {
            0 => "the store is sound",
            _ => "the store is sound again",
        });
        Ok(())
    }
}

fn problems(count: usize) -> String {
    format!("{} {}", number(count as u64), if count == 1 { "problem" } else { "problems" })
}

fn show(verified: &Verified, out: &mut Output) -> Result {
    let Verified { users, namespaces, records, bytes, problems, .. } = verified;
    if out.is_json() {
        let document = Object::with_capacity(256)
            .bool("sound", verified.is_sound())
            .number("users", *users)
            .number("namespaces", *namespaces)
            .number("records", *records)
            .number("bytes", *bytes)
            .json("problems", &wire::array(problems.iter().map(document)));
        out.value(&document.end())?;
        return out.flush();
    }
    out.listing(&[
        ("users", Entry::Text(number(*users))),
        ("namespaces", Entry::Text(number(*namespaces))),
        ("records", Entry::Text(number(*records))),
        ("size", Entry::Text(size(*bytes))),
        ("problems", Entry::Text(number(problems.len() as u64))),
    ])?;
    for problem in problems {
        out.line(&line(problem))?;
    }
    out.flush()
}

/// Where it is, what it is, and what to do about it.
fn line(problem: &Problem) -> String {
    let mut text = format!("{}: ", problem.kind.code());
    for (what, name) in [("user", &problem.user), ("namespace", &problem.namespace), ("key", &problem.key)] {
        if let Some(name) = name {
            text.push_str(&escaped(&format!("{what} {name:?} ")));
        }
    }
    text.push_str(&escaped(&problem.detail));
    match problem.mended {
        true => text.push_str(": mended"),
        false => text.push_str(&format!(": {}", problem.kind.remedy())),
    }
    text
}

fn document(problem: &Problem) -> Json {
    Object::with_capacity(256)
        .text("kind", problem.kind.code())
        .text("user", problem.user.as_deref())
        .text("namespace", problem.namespace.as_deref())
        .text("key", problem.key.as_deref())
        .text("detail", problem.detail.as_str())
        .text("remedy", problem.kind.remedy())
        .bool("mended", problem.mended)
        .end()
}
