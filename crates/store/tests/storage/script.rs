//! What a store is made to do, step by step, and what must come of it.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};
use agent_data_store::mutation::{Effect, Present, apply};
use agent_data_store::{Json, Limits, Timestamp};
use fastrand::Rng;

pub(crate) const NAMESPACES: [&str; 3] = ["a", "b", "a:b"];
pub(crate) const KEYS: [&str; 5] = ["k", "l", "m", "n", "o"];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// One batch.
    Write(Vec<Write>),
    Clear(&'static str),
    /// The time goes on.
    Wait(Duration),
    /// Housekeeping, until nothing is left of it.
    Sweep,
    /// The log is moved into the file, and begins anew.
    Checkpoint,
    /// Whoever has the turn closes its store and opens it again, or all do, so that nobody has the file open in between.
    Reopen {
        all: bool,
    },
}

/// The steps of a seed. They begin with one of each kind.
pub(crate) fn script(seed: u64, length: usize) -> Vec<Step> {
    let mut random = Rng::with_seed(seed);
    let first = [0, 0, 40, 0, 70, 80, 0, 85, 90, 0, 95, 0];
    (0..length).map(|index| step(&mut random, first.get(index).copied())).collect()
}

fn one_of<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

fn step(random: &mut Rng, kind: Option<u8>) -> Step {
    match kind.unwrap_or_else(|| random.u8(..100)) {
        0..40 => Step::Write(vec![write(random)]),
        40..65 => {
            let count = random.usize(2..20);
            Step::Write((0..count).map(|_| write(random)).collect())
        }
        65..72 => Step::Clear(one_of(random, &NAMESPACES)),
        72..80 => Step::Wait(Duration::from_secs(random.u64(1..4))),
        80..85 => Step::Wait(Duration::from_secs(5)),
        85..90 => Step::Sweep,
        90..95 => Step::Checkpoint,
        _ => Step::Reopen { all: random.bool() },
    }
}

fn write(random: &mut Rng) -> Write {
    // Keys of one kind, so that no mutation meets a value of the wrong one.
    let (key, mutation) = match random.u8(..100) {
        0..25 => ("n", Mutation::Increment(json("1"))),
        25..45 => {
            let item = text(random, 200);
            ("l", Mutation::Append { items: json(&format!("[{item}]")), unique: false, max_length: Some(50) })
        }
        45..60 => (one_of(random, &KEYS), Mutation::Delete),
        _ => {
            let longest = one_of(random, &[10, 1_000, 6_000, 6_000, 90_000]);
            (one_of(random, &["k", "m", "o"]), Mutation::Set(json(&text(random, longest))))
        }
    };
    let expiry = match random.u8(..100) {
        0..20 if mutation != Mutation::Delete => Expiry::After(Duration::from_secs(random.u64(1..6))),
        _ => Expiry::Default,
    };
    Write {
        address: Address { namespace: one_of(random, &NAMESPACES).into(), key: key.into() },
        precondition: Precondition::None,
        mutation,
        metadata: None,
        expiry,
    }
}

fn text(random: &mut Rng, longest: usize) -> String {
    let length = random.usize(1..=longest);
    format!("\"{}\"", std::iter::repeat_with(|| random.lowercase()).take(length).collect::<String>())
}

pub(crate) fn json(text: &str) -> Json {
    Json::from_trusted(text)
}

/// The records that must be there, those whose time is up included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model(BTreeMap<(String, String), Held>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    value: Json,
    expires_at: Option<Timestamp>,
}

/// The live records: namespace, key, value.
pub(crate) type Contents = BTreeMap<(String, String), String>;

/// What a write returns: whether a record was there, and the result of its mutation.
pub(crate) type Returned = (bool, Option<Json>);

impl Model {
    pub(crate) fn contents(&self, now: Timestamp) -> Contents {
        let live = self.0.iter().filter(|(_, held)| held.is_live(now));
        live.map(|(names, held)| (names.clone(), held.value.as_str().to_owned())).collect()
    }

    pub(crate) fn write(&mut self, writes: &[Write], now: Timestamp) -> Vec<Returned> {
        writes.iter().map(|write| self.write_one(write, now)).collect()
    }

    fn write_one(&mut self, write: &Write, now: Timestamp) -> Returned {
        let names = (write.address.namespace.to_string(), write.address.key.to_string());
        let live = self.0.get(&names).filter(|held| held.is_live(now)).cloned();
        let present = live.as_ref().map(|held| Present {
            version: 1,
            value: Some(held.value.as_str()),
            metadata: None,
            expires_at: held.expires_at,
        });
        let effect = apply(write, present, now, &Limits::default()).expect("steps that are allowed");
        let existed = live.is_some();
        match effect {
            Effect::Nothing => (existed, None),
            Effect::Remove => {
                self.0.remove(&names);
                (existed, None)
            }
            Effect::Put(put) => {
                let value = put.value.or(live.map(|held| held.value)).expect("a value");
                self.0.insert(names, Held { value, expires_at: put.expires_at });
                (existed, put.result)
            }
        }
    }

    /// Returns how many live records went.
    pub(crate) fn clear(&mut self, namespace: &str, now: Timestamp) -> u64 {
        let live = self.0.iter().filter(|((held_in, _), held)| held_in == namespace && held.is_live(now)).count();
        self.0.retain(|(held_in, _), _| held_in != namespace);
        live as u64
    }
}

impl Held {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}
