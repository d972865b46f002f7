//! What changes, and waiting for it.

use std::time::Duration;

use agent_data_store::model::Change;
use agent_data_store::wire::{self, Object};
use agent_data_store::{DataStore, Follower, block_on};

use super::{Session, Sweep, explain_nothing, place_of};
use crate::args::{ChangesArgs, WaitArgs};
use crate::escape::escaped;
use crate::failure::{Failure, Result};
use crate::output::{Output, time};

impl Session {
    pub(super) fn changes(&self, args: &ChangesArgs, out: &mut Output) -> Result {
        let sweep = if args.follow { Sweep::Meanwhile } else { Sweep::Nothing };
        self.with(sweep, |_, view| {
            let newest = block_on(view.position())?;
            let since = match args.since {
                Some(since) => since,
                None if args.follow => newest,
                None => oldest_kept(view)?,
            };
            let mut follower = view.follow(&args.prefix, since);
            let mut left = args.limit.unwrap_or(u64::MAX);
            while left > 0 {
                let change = match args.follow {
                    true => next_or_wait(&mut follower, out)?,
                    // Changes that are made meanwhile are for the next call.
                    false => block_on(follower.next(Duration::ZERO))?.filter(|change| change.version <= newest),
                };
                let Some(change) = change else { break };
                match out.is_json() {
                    true => out.value(&wire::change(&change))?,
                    false => out.line(&change_line(&change))?,
                }
                left -= 1;
            }
            explain_nothing(view, args.limit.unwrap_or(u64::MAX) == left, "no changes", out);
            out.flush()
        })
    }

    pub(super) fn wait(&self, args: &WaitArgs, out: &mut Output) -> Result {
        self.with(Sweep::Meanwhile, |_, view| {
            let found = block_on(view.wait_for(&args.key, args.timeout, args.since_version, async |_| Ok(true)))?;
            let (value, version) = found.ok_or_else(|| {
                let since = match args.since_version {
                    Some(version) => format!(" with a version after {version}"),
                    None => String::new(),
                };
                let waited = humantime::format_duration(args.timeout);
                let message = format!("no key {:?}{since} in {} within {waited}", args.key, place_of(view));
                Failure::Negative { code: "timed_out", message }
            })?;
            match out.is_json() {
                true => out.value(&Object::with_capacity(32).number("version", version).json("value", &value).end())?,
                false => out.value(&value)?,
            }
            out.flush()
        })
    }
}

/// The position after which no change is missing.
fn oldest_kept(view: &DataStore) -> Result<u64> {
    Ok(block_on(view.changes(u64::MAX, 0))?.complete_from)
}

/// Shows what there is before it waits for more.
fn next_or_wait(follower: &mut Follower, out: &mut Output) -> Result<Option<Change>> {
    if let Some(change) = block_on(follower.next(Duration::ZERO))? {
        return Ok(Some(change));
    }
    out.flush()?;
    Ok(block_on(follower.next(Duration::MAX))?)
}

/// The key last: it may hold spaces.
fn change_line(change: &Change) -> String {
    let agent = escaped(change.agent.as_deref().unwrap_or("-"));
    let key = escaped(change.key.as_deref().unwrap_or("-"));
    format!("{:>8}  {}  {:<6}  {agent:<12}  {key}", change.version, time(change.at), wire::change_kind(change.kind))
}
