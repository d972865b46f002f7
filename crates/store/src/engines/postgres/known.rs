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

    /// Notes what a plan, which has been carried out, leaves there. Where it is more than there is room for, only what was known
    /// before is.
    pub(super) fn learn(&self, user: &str, plan: &Plan<'_>) {
        // Before the lock, which a large batch would else keep from other writers for long.
        let left = plan.cells.iter().filter_map(|cell| {
            let space = plan.spaces.get(cell.space)?;
            let found = cell.left().filter(is_worth_knowing);
            Some((name(user, space.name, cell.key), found.map(|found| Entry::Stored(space.id, found))))
        });
        let left: Vec<_> = left.collect();
        let mut entries = self.entries();
        if left.len() == 1 && entries.len() >= RECORDS {
            entries.clear();
        }
        let has_room = left.len() <= RECORDS.saturating_sub(entries.len());
        for (name, stored) in left {
            match (entries.get(&name), stored) {
                (Some(Entry::Shared(_)), _) => {}
                (known, Some(stored)) if has_room || known.is_some() => _ = entries.insert(name, stored),
                // Our own deletion must not pass for another's write.
                _ => _ = entries.remove(&name),
            }
        }
    }
}

fn is_worth_knowing(found: &Found) -> bool {
    found.expires_at.is_none() && found.metadata.as_ref().map_or(0, String::len) <= METADATA_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::engines::postgres::plan::Keys;
    use crate::json::Json;
    use crate::limits::Limits;
    use crate::model::{Address, Expiry, Mutation, Precondition, Write};

    fn write(known: &Known, keys: impl IntoIterator<Item = String>) {
        let value = Json::from_trusted("1");
        let set = |key: String| Write {
            address: Address { namespace: "n".into(), key: key.into() },
            precondition: Precondition::None,
            mutation: Mutation::Set(value.clone()),
            metadata: None,
            expiry: Expiry::Never,
        };
        let writes: Vec<Write> = keys.into_iter().map(set).collect();
        let keys = Keys::of(&writes);
        let found = keys.cells.iter().map(|_| None).collect();
        let versions = (1..).take(writes.len()).collect();
        let mut plan = Plan::begin(&keys, &[Some(7)], found, versions, Timestamp::from_micros(0)).expect("begin");
        plan.apply(&keys, &writes, &Limits::default()).expect("apply");
        known.learn("u", &plan);
    }

    fn version(known: &Known, key: &str) -> Option<u64> {
        known.take("u", "n", key).map(|(_, found)| found.version)
    }

    fn keys(from: usize, count: usize) -> impl Iterator<Item = String> {
        (from..from + count).map(|number| number.to_string())
    }

    #[test]
    fn each_record_of_a_batch_is_known_once() {
        let known = Known::default();
        write(&known, ["a".to_owned(), "b".to_owned()]);
        assert_eq!((version(&known, "b"), version(&known, "b"), version(&known, "a")), (Some(2), None, Some(1)));
    }

    #[test]
    fn a_batch_that_has_no_room_makes_known_what_was_known() {
        let known = Known::default();
        write(&known, keys(0, RECORDS - 1));
        write(&known, keys(RECORDS - 2, 3));
        assert_eq!(version(&known, &(RECORDS - 2).to_string()), Some(1), "the second batch's");
        assert_eq!(version(&known, &RECORDS.to_string()), None);
        assert_eq!(version(&known, "0"), Some(1));
    }

    #[test]
    fn one_record_always_finds_room() {
        let known = Known::default();
        write(&known, keys(0, RECORDS));
        write(&known, ["a".to_owned()]);
        assert_eq!(version(&known, "a"), Some(1));
    }
}
