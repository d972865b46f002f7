//! Reads and writes over several keys and namespaces, all or nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Cases;
use crate::atomic::AppendOptions;
use crate::blocking::block_on;
use crate::conformance::subject::{Failure, Handle, SECOND, events, json, pairs, refused};
use crate::conformance::threads::{AtEnd, in_threads};
use crate::data_store::SetOptions;
use crate::error::{Error, ErrorKind, Result, VersionMismatch};
use crate::model::ChangeKind::{Delete, Set};
use crate::model::Version;
use crate::transaction::Transaction;

const ROUNDS: usize = 30;

/// The verbs of a transaction, blocking, with JSON as text.
struct Tx(Transaction);

impl Tx {
    fn begin(notes: &Handle) -> Self {
        Self(notes.verbs().transaction())
    }

    fn get(&self, key: &str) -> Option<String> {
        self.try_get(key).expect("get")
    }

    fn try_get(&self, key: &str) -> Result<Option<String>> {
        Ok(block_on(self.0.get(key))?.map(|value| value.to_string()))
    }

    fn set(&self, key: &str, value: &str) {
        self.try_set(key, value, SetOptions::default()).expect("set");
    }

    fn try_set(&self, key: &str, value: &str, options: SetOptions) -> Result<()> {
        self.0.set(key, json(value), options)
    }

    fn delete(&self, key: &str) -> bool {
        block_on(self.0.delete(key)).expect("delete")
    }

    fn increment(&self, key: &str, by: &str) -> Result<String> {
        Ok(block_on(self.0.increment(key, json(by), None))?.to_string())
    }

    fn extend(&self, key: &str, items: &str) -> u64 {
        block_on(self.0.extend(key, json(items), AppendOptions::default())).expect("extend")
    }

    fn merge(&self, key: &str, patch: &str) -> String {
        block_on(self.0.merge(key, json(patch), None)).expect("merge").to_string()
    }

    fn in_namespace(&self, namespace: &str) -> Self {
        Self(self.0.use_namespace(namespace).expect("namespace"))
    }

    fn commit(&self) -> Result<()> {
        block_on(self.0.commit())
    }
}

/// Fails for the version of this key, and says so.
#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(result: Result<T>, namespace: &str, key: &str, [expected, actual]: [Version; 2]) {
    let error = refused(result, ErrorKind::Conflict);
    assert_eq!((error.namespace(), error.key()), (Some(namespace), Some(key)), "{error}");
    assert_eq!(error.version_mismatch(), Some(VersionMismatch { expected, actual }));
}

/// Runs `function` in a transaction as often as it takes.
fn transact<R>(notes: &Handle, mut function: impl FnMut(&Tx) -> Result<R, Failure>) -> Result<R, Failure> {
    let is_conflict =
        |failure: &Failure| matches!(failure, Failure::Store(error) if error.kind() == ErrorKind::Conflict);
    block_on(notes.verbs().transact(async |tx| function(&Tx(tx.clone())), is_conflict))
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a transaction sees its own writes, and nobody else does before the commit", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("changed", "1"), ("deleted", "1")]);
        let before = notes.get_all();
        let tx = Tx::begin(&notes);
        tx.set("new", "\"x\"");
        tx.set("changed", "2");
        assert_eq!((tx.delete("deleted"), tx.delete("deleted"), tx.delete("missing")), (true, false, false));
        assert_eq!([tx.get("new").as_deref(), tx.get("changed").as_deref()], [Some("\"x\""), Some("2")]);
        assert_eq!([tx.get("deleted"), tx.get("missing")], [None, None]);
        assert_eq!(notes.get_all(), before);
        tx.commit().expect("commit");
        assert_eq!(notes.get_all(), pairs([("changed", "2"), ("new", "\"x\"")]));
    });

    cases.add("changes in a transaction build on each other", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("n", "40"), ("l", "[1]"), ("m", r#"{"a":1}"#)]);
        let tx = Tx::begin(&notes);
        assert_eq!(tx.increment("n", "1").expect("increment"), "41");
        assert_eq!(tx.increment("n", "1").expect("increment"), "42");
        assert_eq!((tx.extend("l", "[2]"), tx.extend("l", "[3,4]")), (2, 4));
        assert_eq!(tx.merge("m", r#"{"b":2}"#), r#"{"a":1,"b":2}"#);
        assert_eq!(tx.merge("m", r#"{"a":null}"#), r#"{"b":2}"#);
        tx.set("s", "10");
        assert_eq!(tx.increment("s", "5").expect("increment"), "15");
        tx.delete("s");
        assert_eq!(tx.increment("s", "1").expect("increment"), "1");
        let expected = pairs([("l", "[1,2,3,4]"), ("m", r#"{"b":2}"#), ("n", "42"), ("s", "1")]);
        let own = expected.iter().map(|(key, _)| (key.clone(), tx.get(key).expect("own"))).collect::<Vec<_>>();
        assert_eq!(own, expected);
        tx.commit().expect("commit");
        assert_eq!(notes.get_all(), expected);
    });

    cases.add("a conflict names the key and both versions, and nothing of the transaction is stored", |subject| {
        let notes = subject.notes();
        let seen = notes.set("read", "1");
        notes.set("kept", "1");
        let tx = Tx::begin(&notes);
        assert_eq!(tx.get("read").as_deref(), Some("1"));
        tx.set("new", "1");
        tx.delete("kept");
        tx.in_namespace("other").set("new", "1");
        let present = notes.set("read", "2");
        let feed = subject.feed();
        assert_conflict(tx.commit(), notes.namespace(), "read", [seen, present]);
        assert_eq!(notes.get_all(), pairs([("kept", "1"), ("read", "2")]));
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
        assert_eq!(subject.feed(), feed);
    });

    cases.add("a transaction conflicts over whatever has happened to what it read", |subject| {
        let notes = subject.notes();
        let happenings: [(&str, &dyn Fn()); 6] = [
            ("a", &|| _ = notes.set("a", "1")),
            ("a", &|| _ = notes.delete("a")),
            ("a", &|| {
                notes.delete("a");
                notes.set("a", "1");
            }),
            ("a", &|| _ = notes.clear()),
            ("short", &|| subject.advance(SECOND)),
            ("missing", &|| _ = notes.set("missing", "1")),
        ];
        for (key, happen) in happenings {
            notes.clear();
            notes.set("a", "1");
            notes.set_for(SECOND, "short", "1");
            let seen = notes.find(key).map_or(0, |record| record.version);
            let tx = Tx::begin(&notes);
            tx.get(key);
            tx.in_namespace("other").set("written", "1");
            happen();
            let present = notes.find(key).map_or(0, |record| record.version);
            assert_conflict(tx.commit(), notes.namespace(), key, [seen, present]);
            assert_eq!(notes.in_namespace("other").get("written"), None);
        }
    });

    cases.add("a transaction conflicts over what it changed without looking, but not over what it only wrote", |subject| {
        let notes = subject.notes();
        let changes: [&dyn Fn(&Tx); 4] = [
            &|tx| _ = tx.increment("a", "1"),
            &|tx| _ = tx.extend("a", "[]"),
            &|tx| _ = tx.merge("a", "{}"),
            &|tx| _ = tx.delete("a"),
        ];
        for change in changes {
            notes.delete("a");
            let tx = Tx::begin(&notes);
            change(&tx);
            let present = notes.set("a", "\"other\"");
            assert_conflict(tx.commit(), notes.namespace(), "a", [0, present]);
        }
        let tx = Tx::begin(&notes);
        tx.set("a", "1");
        notes.set("a", "2");
        tx.commit().expect("commit");
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("all reads of a transaction show one state, however many they are", |subject| {
        let notes = subject.notes();
        for others in [0, 5, 50] {
            notes.clear();
            notes.set_many(&[("a", "1"), ("b", "1"), ("c", "1")]);
            notes.set_for(SECOND, "short", "1");
            let read = |keys: &[&str]| {
                let tx = Tx::begin(&notes);
                (0..others).for_each(|n| assert_eq!(tx.get(&format!("other {n}")), None));
                keys.iter().for_each(|key| assert_eq!(tx.get(key).as_deref(), Some("1")));
                tx
            };
            let seen = notes.record("a").version;
            let tx = read(&["a", "b"]);
            notes.set("c", "2");
            assert_eq!(tx.get("c").as_deref(), Some("2"), "what was read is as it was");
            notes.set_many(&[("a", "2"), ("d", "2")]);
            assert_eq!(tx.get("a").as_deref(), Some("1"), "what was read stays");
            assert_conflict(tx.try_get("d"), notes.namespace(), "a", [seen, notes.record("a").version]);
            let seen = notes.record("short").version;
            let tx = read(&["b", "short"]);
            assert_eq!(tx.get("missing"), None);
            subject.advance(SECOND);
            assert_conflict(tx.try_get("c"), notes.namespace(), "short", [seen, 0]);
        }
    });

    cases.add("a transaction that only reads commits if all of it is still so", |subject| {
        let notes = subject.notes();
        let version = notes.set("a", "1");
        let feed = subject.feed();
        let read = || {
            let tx = Tx::begin(&notes);
            tx.get("a");
            tx.get("missing");
            tx
        };
        read().commit().expect("commit");
        assert_eq!(subject.feed(), feed);
        let tx = read();
        let present = notes.set("a", "2");
        assert_conflict(tx.commit(), notes.namespace(), "a", [version, present]);
        Tx::begin(&notes).commit().expect("commit of nothing");
    });

    cases.add("a transaction works across namespaces", |subject| {
        let notes = subject.notes();
        let (inbox, done) = (notes.in_namespace("inbox"), notes.in_namespace("done"));
        inbox.set("a", "[1]");
        let tx = Tx::begin(&notes);
        let (from, to) = (tx.in_namespace("inbox"), tx.in_namespace("done"));
        to.set("a", &from.get("a").expect("a record"));
        from.delete("a");
        assert_eq!(tx.increment("moved", "1").expect("increment"), "1");
        assert_eq!((from.get("a"), to.get("a").as_deref()), (None, Some("[1]")));
        assert_eq!((inbox.count(""), done.count("")), (1, 0));
        tx.commit().expect("commit");
        assert_eq!((inbox.get("a"), done.get("a").as_deref(), notes.get("moved").as_deref()), (None, Some("[1]"), Some("1")));
        refused(from.try_get("a"), ErrorKind::InvalidArgument);
    });

    cases.add("a transaction reaches no other user", |subject| {
        let notes = subject.notes();
        let theirs = notes.of_user("other");
        theirs.set("a", "1");
        let tx = Tx::begin(&notes);
        assert_eq!(tx.get("a"), None);
        tx.set("a", "2");
        theirs.set("a", "3");
        tx.commit().expect("commit");
        assert_eq!((notes.get("a").as_deref(), theirs.get("a").as_deref()), (Some("2"), Some("3")));
    });

    cases.add("a commit appears in the feed in the order of its writes", |subject| {
        let notes = subject.notes();
        notes.set("c", "1");
        let tx = Tx::begin(&notes);
        tx.get("missing");
        tx.set("b", "1");
        tx.delete("c");
        tx.in_namespace("other").set("a", "1");
        tx.set("b", "2");
        tx.commit().expect("commit");
        assert_eq!(events(&subject.feed()[1..]), [(Set, "b"), (Delete, "c"), (Set, "a"), (Set, "b")]);
    });

    cases.add("what a write of a transaction says beyond its value holds at the commit", |subject| {
        let notes = subject.notes();
        let version = notes.set_with(r#"{"a":1}"#, "a", "1");
        let options = |if_version| SetOptions {
            metadata: Some(json(r#"{"b":2}"#)),
            ttl: Some(5 * SECOND),
            if_version: Some(if_version),
        };
        let tx = Tx::begin(&notes);
        tx.try_set("a", "2", options(version)).expect("set");
        subject.advance(SECOND);
        tx.commit().expect("commit");
        let record = notes.record("a");
        assert_eq!((record.value.as_str(), record.metadata.as_str()), ("2", r#"{"a":1,"b":2}"#));
        assert_eq!(record.expires_at, Some(subject.now().saturating_add(5 * SECOND)));
        let tx = Tx::begin(&notes);
        tx.set("b", "1");
        tx.try_set("a", "3", options(version)).expect("shows at the commit");
        assert_conflict(tx.commit(), notes.namespace(), "a", [version, record.version]);
        assert_eq!((notes.get("a").as_deref(), notes.get("b")), (Some("2"), None));
    });

    cases.add("a transaction goes on after a call that was refused", |subject| {
        let notes = subject.notes();
        notes.set("text", "\"x\"");
        let tx = Tx::begin(&notes);
        tx.set("a", "1");
        let error = refused(tx.increment("text", "1"), ErrorKind::InvalidArgument);
        assert_eq!(error.key(), Some("text"));
        refused(tx.try_set("", "1", SetOptions::default()), ErrorKind::InvalidArgument);
        tx.commit().expect("commit");
        assert_eq!(notes.get_all(), pairs([("a", "1"), ("text", "\"x\"")]));
    });

    cases.add_with(
        |options| options.limits.batch_writes = 3,
        "a transaction refuses more writes than a batch may have",
        |subject| {
            let notes = subject.notes();
            let tx = Tx::begin(&notes);
            for key in ["a", "b", "c"] {
                tx.set(key, "1");
            }
            refused(tx.try_set("d", "1", SetOptions::default()), ErrorKind::TooLarge);
            tx.commit().expect("commit");
            assert_eq!(notes.keys(""), ["a", "b", "c"]);
        },
    );

    cases.add("a transaction that is over takes no more calls, however it ended", |subject| {
        let notes = subject.notes();
        let committed = Tx::begin(&notes);
        committed.commit().expect("commit");
        let rolled_back = Tx::begin(&notes);
        rolled_back.set("a", "1");
        rolled_back.0.roll_back();
        let failed = Tx::begin(&notes);
        failed.get("b");
        failed.set("a", "1");
        notes.set("b", "1");
        refused(failed.commit(), ErrorKind::Conflict);
        let dropped = Tx::begin(&notes);
        dropped.set("a", "1");
        drop(dropped);
        for tx in [committed, rolled_back, failed] {
            refused(tx.try_get("a"), ErrorKind::InvalidArgument);
            refused(tx.try_set("a", "1", SetOptions::default()), ErrorKind::InvalidArgument);
            refused(tx.commit(), ErrorKind::InvalidArgument);
        }
        assert_eq!(notes.get_all(), pairs([("b", "1")]));
    });

    cases.add("reading in a transaction counts as a read, writing as a write", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("read", "1"), ("written", "1")]);
        let tx = Tx::begin(&notes.as_agent("second"));
        tx.get("read");
        tx.set("written", "2");
        tx.commit().expect("commit");
        subject.flush();
        let (read, written) = (notes.inspect("read"), notes.inspect("written"));
        assert_eq!((read.access_count, written.access_count), (1, 0));
        assert_eq!((read.updated_by_agent.as_deref(), written.updated_by_agent.as_deref()), (Some("agent"), Some("second")));
    });

    cases.add("transact returns what its function returned, once it is committed", |subject| {
        let notes = subject.notes();
        let moved = transact(&notes, |tx| {
            tx.set("a", "1");
            Ok("moved")
        });
        assert_eq!((moved.expect("transact"), notes.get("a").as_deref()), ("moved", Some("1")));
    });

    cases.add("transact runs its function again where somebody else wrote in between", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "1"), ("b", "1")]);
        let mut attempts = 0;
        // Once between read and commit, once between two reads.
        let sum = transact(&notes, |tx| {
            attempts += 1;
            let a: i64 = tx.get("a").expect("a").parse().expect("a number");
            if attempts <= 2 {
                notes.set("a", &(10 * attempts).to_string());
            }
            if attempts == 2 {
                tx.try_get("b")?;
            }
            tx.set("sum", &(a + 1).to_string());
            Ok(a + 1)
        });
        assert_eq!((sum.expect("transact"), attempts), (21, 3));
        assert_eq!(notes.get("sum").as_deref(), Some("21"));
    });

    cases.add("transact stores nothing where its function fails, and passes the error on at once", |subject| {
        let notes = subject.notes();
        let mut attempts = 0;
        let failed: Result<(), _> = transact(&notes, |tx| {
            attempts += 1;
            tx.set("a", "1");
            Err(Failure::Own)
        });
        assert!(matches!(failed, Err(Failure::Own)) && attempts == 1);
        let failed: Result<(), _> = transact(&notes, |tx| {
            tx.set("a", "1");
            Err(Error::invalid("mine").into())
        });
        assert!(matches!(failed, Err(Failure::Store(error)) if error.message() == "mine"));
        assert_eq!(subject.feed(), []);
    });

    cases.add("transact gives up with the conflict when somebody else always writes in between", |subject| {
        let notes = subject.notes();
        let failed = transact(&notes, |tx| {
            tx.get("a");
            notes.set("a", "1");
            tx.set("b", "1");
            Ok(())
        });
        assert!(matches!(failed, Err(Failure::Store(error)) if error.kind() == ErrorKind::Conflict));
        assert_eq!(notes.keys(""), ["a"]);
    });

    cases.add("transfers of many threads keep the total at every look", |subject| {
        let notes = subject.notes();
        notes.set_many(&[("a", "100"), ("b", "100")]);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let sum = |values: [&str; 2]| values.iter().map(|n| n.parse::<i64>().expect("a number")).sum::<i64>();
                while !done.load(Ordering::SeqCst) {
                    let snapshot = notes.get_many(&["a", "b"]);
                    assert_eq!(sum([&snapshot[0].1, &snapshot[1].1]), 200);
                    let tx = Tx::begin(&notes);
                    // A conflict is an answer too: what was read first is no longer so.
                    if let (Ok(Some(a)), Ok(Some(b))) = (tx.try_get("a"), tx.try_get("b")) {
                        assert_eq!(sum([&a, &b]), 200);
                    }
                }
            });
            let end = AtEnd(|| done.store(true, Ordering::SeqCst));
            let moved = in_threads(|thread| {
                let (from, to) = if thread % 2 == 0 { ("a", "b") } else { ("b", "a") };
                let transfer = |round| {
                    let amount = (round % 7 + thread + 1) as i64;
                    let moved = transact(&notes, |tx| {
                        tx.increment(from, &format!("-{amount}"))?;
                        Ok(tx.increment(to, &amount.to_string())?)
                    });
                    moved.expect("transact");
                    amount
                };
                (0..ROUNDS).map(transfer).sum::<i64>()
            });
            drop(end);
            reader.join().expect("the thread");
            let gained = moved[1] + moved[3] - moved[0] - moved[2];
            assert_eq!(notes.get_many(&["a", "b"]), pairs([("a", &(100 + gained).to_string()), ("b", &(100 - gained).to_string())]));
        });
    });
}
