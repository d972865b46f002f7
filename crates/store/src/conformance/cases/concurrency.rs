//! Writers at the same time: nothing is lost, done twice or out of order.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Cases;
use crate::conformance::subject::{
    Handle, OutcomeExt, USER, WriteExt, append, assert_rising, increment, json, put, refused,
};
use crate::conformance::threads::{AtEnd, THREADS, in_threads};
use crate::error::ErrorKind;
use crate::model::ChangeKind::Set;
use crate::model::{Mutation, Version};

const ROUNDS: usize = 50;
/// Every conflict is another's success, so nobody can fail more often than all others succeed.
const MOST_ATTEMPTS: usize = THREADS * ROUNDS + 1;

/// Reads, changes and writes back until no one else came in between.
fn update(notes: &Handle, key: &str, change: impl Fn(i64) -> i64) -> Version {
    for _ in 0..MOST_ATTEMPTS {
        let found = notes.find(key);
        let (version, value) = found.map_or((0, 0), |record| (record.version, record.value.as_str().parse().expect("n")));
        match notes.set_if(version, key, &change(value).to_string()) {
            Ok(version) => return version,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    panic!("never the first to write");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("increments of many threads add up", |subject| {
        let notes = subject.notes();
        let sums = in_threads(|_| {
            let sum = |_| notes.apply("n", increment("1")).text().expect("a sum").to_owned();
            (0..ROUNDS).map(sum).collect::<Vec<_>>()
        });
        assert_eq!(notes.get("n"), Some((THREADS * ROUNDS).to_string()));
        let distinct: HashSet<_> = sums.iter().flatten().collect();
        assert_eq!(distinct.len(), THREADS * ROUNDS, "two increments returned the same sum");
    });

    cases.add("appends of many threads are all there", |subject| {
        let notes = subject.notes();
        in_threads(|thread| {
            (0..ROUNDS).for_each(|round| _ = notes.apply("l", append(&format!("[\"{thread} {round}\"]"))));
        });
        let list: Vec<String> = serde_json::from_str(&notes.get("l").expect("a list")).expect("strings");
        assert_eq!(list.iter().collect::<HashSet<_>>().len(), THREADS * ROUNDS);
        for thread in 0..THREADS {
            let own: Vec<_> = list.iter().filter(|item| item.starts_with(&format!("{thread} "))).collect();
            assert!(own.into_iter().eq((0..ROUNDS).map(|round| format!("{thread} {round}")).collect::<Vec<_>>().iter()));
        }
    });

    cases.add("compare and set of many threads loses no update", |subject| {
        let notes = subject.notes();
        let versions = in_threads(|_| (0..ROUNDS).map(|_| update(&notes, "n", |n| n + 1)).collect::<Vec<_>>());
        assert_eq!(notes.get("n"), Some((THREADS * ROUNDS).to_string()));
        versions.iter().for_each(|versions| assert_rising(versions));
        let distinct: HashSet<_> = versions.iter().flatten().collect();
        assert_eq!(distinct.len(), THREADS * ROUNDS, "two writes got the same version");
    });

    cases.add("of many creations one succeeds", |subject| {
        let notes = subject.notes();
        let won = in_threads(|thread| {
            (0..ROUNDS).filter(|round| notes.set_if(0, &round.to_string(), &thread.to_string()).is_ok()).count()
        });
        assert_eq!(won.iter().sum::<usize>(), ROUNDS);
        assert_eq!(notes.count(""), ROUNDS as u64);
    });

    cases.add("of many deletions one finds the record", |subject| {
        let notes = subject.notes();
        let items: Vec<_> = (0..ROUNDS).map(|round| round.to_string()).collect();
        notes.set_many(&items.iter().map(|key| (key.as_str(), "1")).collect::<Vec<_>>());
        let found = in_threads(|_| items.iter().filter(|key| notes.delete(key)).count());
        assert_eq!(found.iter().sum::<usize>(), ROUNDS);
        assert_eq!(notes.count(""), 0);
    });

    cases.add("writers of different keys, namespaces and users do not disturb each other", |subject| {
        let notes = subject.notes();
        in_threads(|thread| {
            let user = ["user", "other"][thread % 2];
            let own = notes.of_user(user).in_namespace(&thread.to_string());
            for round in 0..ROUNDS {
                own.set(&round.to_string(), &thread.to_string());
                own.apply("n", increment("1"));
            }
        });
        for thread in 0..THREADS {
            let own = notes.of_user(["user", "other"][thread % 2]).in_namespace(&thread.to_string());
            assert_eq!(own.get("n"), Some(ROUNDS.to_string()));
            assert_eq!(own.count(""), ROUNDS as u64 + 1);
        }
    });

    cases.add("of the first writes to a namespace none is lost", |subject| {
        for round in 0..20 {
            let notes = subject.notes().in_namespace(&round.to_string());
            in_threads(|_| notes.apply("n", increment("1")));
            assert_eq!(notes.get("n"), Some(THREADS.to_string()), "round {round}");
        }
    });

    cases.add("transfers that may be refused keep the total", |subject| {
        let notes = subject.notes();
        for account in ["a", "b", "c"] {
            notes.set(account, "10");
        }
        in_threads(|thread| {
            for round in 0..ROUNDS {
                let (from, to) = (["a", "b", "c"][(thread + round) % 3], ["a", "b", "c"][(thread + round + 1) % 3]);
                let source = notes.record(from);
                let left = source.value.as_str().parse::<i64>().expect("n") - 3;
                if left < 0 {
                    continue;
                }
                let writes = vec![
                    notes.write_to(to, increment("3")),
                    notes.write_to(from, put(&left.to_string())).if_version(source.version),
                ];
                if let Err(error) = notes.try_write(writes) {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                }
            }
        });
        let balances: Vec<i64> = notes.get_all().iter().map(|(_, value)| value.parse().expect("n")).collect();
        assert_eq!(balances.iter().sum::<i64>(), 30);
        assert!(balances.iter().all(|balance| *balance >= 0));
    });

    cases.add("a refused write does not take down those committed beside it", |subject| {
        let notes = subject.notes();
        notes.set("list", "[]");
        in_threads(|thread| {
            for _ in 0..ROUNDS {
                if thread % 2 == 0 {
                    let writes = vec![notes.write_to("n", increment("1000")), notes.write_to("list", increment("1"))];
                    refused(notes.try_write(writes), ErrorKind::InvalidArgument);
                } else {
                    notes.apply("n", increment("1"));
                }
            }
        });
        assert_eq!(notes.get("n"), Some((THREADS / 2 * ROUNDS).to_string()));
    });

    cases.add("a clear takes each record or leaves it, and counts what it takes", |subject| {
        let notes = subject.notes();
        let done = AtomicBool::new(false);
        let cleared = thread::scope(|scope| {
            let cleaner = scope.spawn(|| {
                let mut cleared = 0;
                while !done.load(Ordering::SeqCst) {
                    cleared += notes.clear();
                    subject.maintain();
                }
                cleared
            });
            let end = AtEnd(|| done.store(true, Ordering::SeqCst));
            in_threads(|thread| {
                (0..ROUNDS).for_each(|round| _ = notes.set(&format!("{thread} {round}"), "1"));
            });
            drop(end);
            cleaner.join().expect("the thread")
        });
        assert_eq!(cleared + notes.count(""), (THREADS * ROUNDS) as u64);
        subject.maintain();
        let stats = notes.stats().map_or(0, |stats| stats.records);
        assert_eq!((stats, notes.get_all().len() as u64), (notes.count(""), notes.count("")));
    });

    cases.add("a clear and an overwriting at the same time come one after the other", |subject| {
        let notes = subject.notes();
        for round in 0..ROUNDS {
            // Written twice, so that it is known when it is written once more.
            notes.set("a", "0");
            let known = notes.set("a", "1");
            thread::scope(|scope| {
                scope.spawn(|| notes.clear());
                notes.set("a", "2");
            });
            let changes = subject.changes_after(USER, known, usize::MAX).changes;
            let is_there = changes.last().is_some_and(|change| change.kind == Set);
            let expected = is_there.then(|| "2".to_owned());
            assert_eq!((notes.get("a"), notes.count("")), (expected, u64::from(is_there)), "round {round}: {changes:?}");
        }
    });

    cases.add("a reader of the feed meets every change once, in order, while writers write", |subject| {
        let notes = subject.notes();
        let done = AtomicBool::new(false);
        let (met, written) = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut met, mut position) = (Vec::new(), 0);
                loop {
                    let last_look = done.load(Ordering::SeqCst);
                    let changes = subject.changes_after(USER, position, 7).changes;
                    if changes.is_empty() && last_look {
                        return met;
                    }
                    position = changes.last().map_or(position, |change| change.version);
                    met.extend(changes);
                    assert!(met.len() <= 3 * THREADS * ROUNDS, "more changes than writes");
                }
            });
            let end = AtEnd(|| done.store(true, Ordering::SeqCst));
            let written = in_threads(|thread| {
                let keys = [format!("own {thread}"), "shared".to_owned()];
                let mut written = Vec::new();
                for round in 0..ROUNDS {
                    let key = &keys[round % 2];
                    written.push((key.clone(), notes.set(key, "1")));
                    let batch = keys.iter().map(|key| notes.write_to(key, put("2"))).collect();
                    let outcomes = notes.write(batch);
                    written.extend(keys.iter().cloned().zip(outcomes.iter().map(|outcome| outcome.version)));
                }
                written
            });
            drop(end);
            (reader.join().expect("the thread"), written)
        });
        assert_rising(&met.iter().map(|change| change.version).collect::<Vec<_>>());
        let written: HashSet<_> = written.into_iter().flatten().collect();
        let met: Vec<_> = met.iter().map(|change| (change.key.as_deref().expect("a key"), change.version)).collect();
        assert_eq!(met.len(), written.len());
        assert!(met.iter().all(|(key, version)| written.contains(&((*key).to_owned(), *version))));
    });

    cases.add("keys that come and go keep rising versions", |subject| {
        let notes = subject.notes();
        let seen = in_threads(|thread| {
            let mut seen = Vec::new();
            for round in 0..ROUNDS {
                match (thread + round) % 3 {
                    0 => _ = notes.delete("a"),
                    _ => seen.push(notes.set("a", &json(&round.to_string()).to_string())),
                }
            }
            seen
        });
        seen.iter().for_each(|versions| assert_rising(versions));
        let mut counts: HashMap<Version, usize> = HashMap::new();
        seen.iter().flatten().for_each(|version| *counts.entry(*version).or_default() += 1);
        assert!(counts.values().all(|count| *count == 1), "two writes got the same version");
        let check = notes.write_to("a", Mutation::Check);
        let last = notes.write(vec![check])[0].version;
        assert!(last == 0 || counts.contains_key(&last));
    });
}
