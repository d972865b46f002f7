//! What records came to when this process last wrote them: as long as that is still so they are written again without being
//! looked at first (see `overwrite`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::plan::{Found, Plan};

/// How many records are remembered.
const RECORDS: usize = 10_000;
/// Longer metadata is not remembered, in bytes.
const METADATA_BYTES: usize = 1_024;
/// How many writes of a record look at it first once another process was found to write it, too.
const WRITES_THAT_LOOK: u8 = 16;

/// A user, a namespace of theirs, and a key.
type Name = (Box<str>, Box<str>, Box<str>);

#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<Name, Entry>>);

enum Entry {
    /// The namespace's id and the row in it, which does not expire.
    Stored(i64, Found),
    /// Others write it: so many writes go by before what this process knows is relied on again.
    Shared(u8),
}

fn name(user: &str, namespace: &str, key: &str) -> Name {
    (user.into(), namespace.into(), key.into())
}

impl Known {
    fn entries(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is known of a record that is about to be written: the namespace's id and the row.
    pub(super) fn take(&self, user: &str, namespace: &str, key: &str) -> Option<(i64, Found)> {
        let (name, mut entries) = (name(user, namespace, key), self.entries());
        match entries.get_mut(&name)? {
            Entry::Shared(left) if *left > 0 => {
                *left -= 1;
                None
            }
            _ => match entries.remove(&name)? {
                Entry::Stored(id, found) => Some((id, found)),
                Entry::Shared(_) => None,
            },
        }
    }

    /// Notes that what was known was not so any more.
    pub(super) fn note_shared(&self, user: &str, namespace: &str, key: &str) {
        self.entries().insert(name(user, namespace, key), Entry::Shared(WRITES_THAT_LOOK));
    }

    /// Notes what a plan of one record, which has been carried out, leaves there.
    pub(super) fn learn(&self, user: &str, plan: &Plan<'_>) {
        let [cell] = &*plan.cells else { return };
        let Some(space) = plan.spaces.get(cell.space) else { return };
        let (name, mut entries) = (name(user, space.name, cell.key), self.entries());
        if matches!(entries.get(&name), Some(Entry::Shared(_))) {
            return;
        }
        let Some(found) = cell.left().filter(is_worth_knowing) else {
            // Our own deletion must not pass for another's write.
            entries.remove(&name);
            return;
        };
        if entries.len() >= RECORDS {
            entries.clear();
        }
        entries.insert(name, Entry::Stored(space.id, found));
    }
}

fn is_worth_knowing(found: &Found) -> bool {
    found.expires_at.is_none() && found.metadata.as_ref().map_or(0, String::len) <= METADATA_BYTES
}
