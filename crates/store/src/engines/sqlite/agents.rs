//! Which agents have written in a namespace.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::failure::Result;

/// How many are remembered: more than a process is likely to write as.
const REMEMBERED: usize = 1_024;

/// What the one connection that writes knows to be stored. A namespace's id never comes back and its agents go only with
/// it, so what was stored once needs no further look.
#[derive(Default)]
pub(super) struct AgentsNoted(RefCell<Noted>);

#[derive(Default)]
struct Noted {
    stored: HashMap<i64, HashSet<Box<str>>>,
    count: usize,
    /// Met in the present transaction.
    met: Vec<(i64, Box<str>)>,
}

impl AgentsNoted {
    /// Stores that `agent` has written in a namespace, where that is not known.
    pub(super) fn note(&self, connection: &Connection, namespace: i64, agent: &str) -> Result<()> {
        let mut noted = self.0.borrow_mut();
        if noted.stored.get(&namespace).is_some_and(|agents| agents.contains(agent)) {
            return Ok(());
        }
        // One that is added now may still be taken back by itself; the next write will meet it.
        if !note_agent(connection, namespace, agent)? {
            noted.met.push((namespace, agent.into()));
        }
        Ok(())
    }

    /// Ends the transaction: what was met in it is known from now on if it was committed.
    pub(super) fn end(&self, committed: bool) {
        let Noted { stored, count, met } = &mut *self.0.borrow_mut();
        if committed && !met.is_empty() {
            if *count + met.len() > REMEMBERED {
                stored.clear();
                *count = 0;
            }
            *count += met.len();
            for (namespace, agent) in met.drain(..) {
                stored.entry(namespace).or_default().insert(agent);
            }
        }
        met.clear();
    }
}

/// Stores that `agent` has written in a namespace; `false` where that was stored before.
pub(super) fn note_agent(connection: &Connection, namespace: i64, agent: &str) -> Result<bool> {
    let added = connection
        .prepare_cached("INSERT OR IGNORE INTO namespace_agents (namespace_id, agent) VALUES (?1, ?2)")?
        .execute(params![namespace, agent])?;
    Ok(added > 0)
}
