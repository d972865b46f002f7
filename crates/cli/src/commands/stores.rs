//! Whole stores: how they are opened, and copied.

use std::sync::Arc;

use agent_data_store::copy::{Copied, Stage, copy};
use agent_data_store::wire::Object;
use agent_data_store::{Options, Store, block_on};

use super::Session;
use crate::args::{CopyArgs, Global, WholeStore};
use crate::failure::{Failure, Result};
use crate::output::{Entry, Output, message, number, size};
use crate::progress::Progress;
use crate::warnings::Warnings;

impl Session {
    pub(super) fn copy(&self, args: &CopyArgs, global: &Global, out: &mut Output) -> Result {
        of_all(global, "copy", &["FROM", "TO"])?;
        let from = self.open_whole(&args.from, false)?;
        let to = self.open_whole(&args.to, true)?;
        let mut progress = Progress::new(out.is_json());
        let copied = block_on(copy(&from, &to, &mut |done| {
            let stage = if done.stage == Stage::Copying { "copying" } else { "comparing" };
            progress.show(stage, done.records, done.of_records);
        }));
        progress.end();
        close(&from);
        block_on(to.close())?;
        let copied = copied?;
        show(&copied, out)?;
        match copied.still_written {
            0 => {
                out.note("both stores hold the same");
                Ok(())
            }
            users => Err(Failure::Negative {
                code: "still_written",
                message: format!(
                    "the store is being written to: {users} of its users have newer records than the copy; stop those who \
                     write, and run the same command again, which copies what has changed"
                ),
            }),
        }
    }

    /// Opens a store for all its users.
    pub(super) fn open_whole(&self, store: &WholeStore, may_create: bool) -> Result<Store> {
        refuse_memory(store)?;
        let mut options = Options::default();
        options.limits = self.limits.clone();
        options.warnings = Some(Arc::new(Warnings::default()));
        options.housekeeping = false;
        options.create = may_create;
        options.token = self.settings.token()?;
        Ok(block_on(Store::open(&store.0, options))?)
    }
}

pub(super) fn refuse_memory(WholeStore(url): &WholeStore) -> Result {
    match url.starts_with("memory:") {
        true => Err(Failure::invalid("a store in memory ends with this command: name one that stays")),
        false => Ok(()),
    }
}

/// What is about whole stores is about all their users, and names the stores itself.
pub(super) fn of_all(global: &Global, command: &str, stores: &[&str]) -> Result {
    let given = [("--store", &global.store), ("--user", &global.user), ("--namespace", &global.namespace)];
    match given.iter().find(|(_, value)| value.is_some()) {
        Some((option, _)) => Err(Failure::invalid(format!(
            "{command} is about everything in the stores that are given as {}: leave out {option}",
            stores.join(" and ")
        ))),
        None => Ok(()),
    }
}

/// What was only read has nothing to lose.
pub(super) fn close(store: &Store) {
    if let Err(error) = block_on(store.close()) {
        message(&format!("ads: warning: {}", error.message()));
    }
}

fn show(copied: &Copied, out: &mut Output) -> Result {
    let checksum = copied.checksum.to_string();
    if out.is_json() {
        let document = Object::with_capacity(256)
            .number("users", copied.users)
            .number("namespaces", copied.namespaces)
            .number("records", copied.records)
            .number("bytes", copied.bytes)
            .text("checksum", checksum.as_str())
            .number("usersStillWritten", copied.still_written);
        out.value(&document.end())?;
    } else {
        out.listing(&[
            ("users", Entry::Text(number(copied.users))),
            ("namespaces", Entry::Text(number(copied.namespaces))),
            ("records", Entry::Text(number(copied.records))),
            ("size", Entry::Text(size(copied.bytes))),
            ("checksum", Entry::Text(checksum)),
        ])?;
    }
    out.flush()
}
