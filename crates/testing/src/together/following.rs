//! Six writers, three readers that are killed and go on where they were: each meets every change once, in order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agent_data_store::model::{ChangeKind, Mutation, Version, Write};
use agent_data_store::{DataStore, SetOptions, block_on};

use super::crew::{Crew, Told, commands, number, tell};
use super::json;
use super::place::{Place, Seat, view, view_as};
use crate::forms::short_or_long;

const WRITERS: usize = 6;
const READERS: usize = 3;

fn duration() -> Duration {
    Duration::from_secs(short_or_long(3, 60))
}

fn write_to(data_store: &DataStore, key: &str, mutation: Mutation) -> Write {
    use agent_data_store::model::{Address, Expiry, Precondition};
    let address = Address { namespace: data_store.namespace().into(), key: key.into() };
    Write { address, precondition: Precondition::None, mutation, metadata: None, expiry: Expiry::Default }
}

/// Writes to keys of its own and to shared ones, and tells what was acknowledged: kind, key and version, 0 for a deletion.
pub(crate) fn write(seat: &Seat) {
    let store = seat.open();
    let number = number();
    let data_store = view_as(&store, &number.to_string());
    commands().next();
    let end = Instant::now() + duration();
    let mut n = 0u64;
    while Instant::now() < end {
        n += 1;
        let own = format!("{number}:{}", fastrand::u64(..5));
        match fastrand::u64(..10) {
            0..4 => {
                let version = block_on(data_store.set(&own, json(&n.to_string()), SetOptions::default())).expect("set");
                tell("set", format!("{own} {version}"));
            }
            4..6 => {
                let increment = || Mutation::Increment(json("1"));
                let keys = [format!("{number}:n"), "shared".to_owned(), format!("{number}:m")];
                let batch = keys.iter().map(|key| write_to(&data_store, key, increment())).collect();
                let outcomes = block_on(data_store.write(batch)).expect("a batch");
                keys.iter().zip(outcomes).for_each(|(key, done)| tell("set", format!("{key} {}", done.version)));
            }
            6..8 => {
                if block_on(data_store.delete(&own)).expect("delete") {
                    tell("delete", format!("{own} 0"));
                }
            }
            _ => {
                // Gone at once, so that the next write to it, or sweeping, has it appear as expired.
                let options = SetOptions { ttl: Some(Duration::from_micros(1)), ..SetOptions::default() };
                let version = block_on(data_store.set("fleeting", json("1"), options)).expect("set");
                tell("set", format!("fleeting {version}"));
            }
        }
    }
}

/// Follows from the position that it is told, and tells every change. Ends only by being killed.
pub(crate) fn follow(seat: &Seat) {
    let store = seat.open();
    let since = commands().next().and_then(|since| since.parse().ok()).expect("a position");
    let mut follower = view(&store).follow("", since);
    while let Some(change) = block_on(follower.next(Duration::from_secs(3_600))).expect("a change") {
        let kind = match change.kind {
            ChangeKind::Set => "set",
            ChangeKind::Delete => "delete",
            ChangeKind::Expire => "expire",
            ChangeKind::Clear => "clear",
        };
        tell(kind, format!("{} {}", change.key.as_deref().unwrap_or_default(), change.version));
    }
}

/// A change as it was told: kind, key, version.
type Met = (String, String, Version);

fn met(told: &Told) -> Option<Met> {
    let (key, version) = told.value.rsplit_once(' ')?;
    Some((told.what.clone(), key.to_owned(), version.parse().ok()?))
}

/// Notes what a reader has told, and since when it stands where.
struct Reader {
    changes: Vec<Met>,
}

impl Reader {
    fn position(&self) -> Version {
        self.changes.last().map_or(0, |(.., version)| *version)
    }

    fn note(&mut self, told: &Told) {
        if let Some(change) = met(told) {
            assert!(change.2 > self.position(), "{change:?} after {:?}", self.changes.last());
            self.changes.push(change);
        }
    }
}

/// Has a reader killed, hears what it had told before, and starts another one at the place where it stood.
fn restart(crew: &mut Crew, readers: &mut [Reader], number: usize) {
    crew.kill(number);
    loop {
        let told = crew.hear();
        readers[told.number].note(&told);
        if told.number == number && told.what == "ended" {
            break;
        }
    }
    crew.replace(number, &readers[number].position().to_string());
}

/// What was told of keys that only one writer writes, in order.
fn of_own_keys<'a>(changes: impl Iterator<Item = &'a Met>) -> HashMap<&'a str, Vec<(&'a str, Version)>> {
    let mut by_key = HashMap::<&str, Vec<_>>::new();
    for (kind, key, version) in changes.filter(|(_, key, _)| key.contains(':')) {
        let version = if kind == "delete" { 0 } else { *version };
        by_key.entry(key).or_default().push((kind.as_str(), version));
    }
    by_key
}

/// Six processes write, three follow and are killed again and again.
///
/// # Panics
/// Where that does not hold.
pub fn readers_that_stop_and_resume_meet_every_change_once_in_order(place: &Place) {
    let store = place.own_seat().open();
    let data_store = view(&store);
    let mut writing = Crew::start("writing", place, WRITERS);
    let mut following = Crew::start("following", place, READERS);
    let mut readers: Vec<_> = (0..READERS).map(|_| Reader { changes: Vec::new() }).collect();
    following.say("0");
    writing.say("go");

    let (mut stops, end) = (0, Instant::now() + duration());
    let mut next_stop = Instant::now();
    while Instant::now() < end {
        if let Some(told) = following.hear_within(Duration::from_millis(10)) {
            readers[told.number].note(&told);
        }
        if Instant::now() >= next_stop {
            restart(&mut following, &mut readers, fastrand::usize(..READERS));
            stops += 1;
            next_stop = Instant::now() + Duration::from_millis(fastrand::u64(..300));
        }
    }
    let written: Vec<_> = writing.finish().iter().filter_map(met).collect();
    while block_on(store.maintain()).unwrap() {}
    let last = block_on(data_store.position()).unwrap();
    while readers.iter().any(|reader| reader.position() < last) {
        let told = following.hear();
        readers[told.number].note(&told);
    }
    drop(following);

    let versions = |changes: &[Met], kind| {
        let of_kind = changes.iter().filter(|change| change.0 == kind);
        let mut versions: Vec<_> = of_kind.map(|(_, key, version)| (*version, key.clone())).collect();
        versions.sort_unstable();
        versions
    };
    for reader in &readers {
        assert!(reader.changes == readers[0].changes, "all readers meet the same");
        assert!(
            versions(&reader.changes, "set") == versions(&written, "set"),
            "what was acknowledged, and nothing else"
        );
        // One writer's changes to a key come in the order in which it made them.
        assert!(of_own_keys(reader.changes.iter()) == of_own_keys(written.iter()));
    }
    let expired = readers[0].changes.iter().filter(|change| change.0 == "expire").count();
    assert_eq!(expired, versions(&written, "set").iter().filter(|(_, key)| key == "fleeting").count());
    assert!(stops > 0);
    println!(
        "{} changes, {} of them expiries, met by {READERS} readers; {stops} stops",
        readers[0].changes.len(),
        expired
    );
    drop((data_store, store));
}
