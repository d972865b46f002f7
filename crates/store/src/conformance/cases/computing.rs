//! One computes, the others wait for the result.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{Failure, Handle, SECOND, json, refused};
use crate::conformance::threads::{Elsewhere, THREADS, in_threads};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::LockOptions;
use crate::observe::{Observer, Operation};

/// How long the others wait after the one that computes has died.
const LEASE: Duration = Duration::from_secs(10);
const ROUNDS: usize = 20;

fn get_or_compute(
    notes: &Handle,
    ttl: Option<Duration>,
    function: impl FnOnce() -> Result<&'static str, Failure>,
) -> Result<String, Failure> {
    let function = async || function().map(json);
    Ok(block_on(notes.verbs().get_or_compute("a", ttl, function))?.to_string())
}

/// What is there already.
#[track_caller]
fn cached(notes: &Handle) -> String {
    get_or_compute(notes, None, || panic!("computed again")).expect("get_or_compute")
}

fn compute(notes: &Handle, ttl: Option<Duration>, value: &'static str) -> String {
    get_or_compute(notes, ttl, || Ok(value)).expect("get_or_compute")
}

/// The lock of one who died while it computed.
fn die_computing(notes: &Handle) {
    let options = LockOptions { ttl: LEASE, keep_alive: false, ..LockOptions::default() };
    mem::forget(block_on(notes.verbs().lock("compute:a", options)).expect("lock"));
}

/// Stores a value once somebody has looked in vain.
struct Interfering {
    notes: Handle,
    done: AtomicBool,
}

impl Observer for Interfering {
    fn observe(&self, operation: &Operation<'_>) {
        if operation.verb == "get" && operation.found == Some(false) && !self.done.swap(true, Ordering::SeqCst) {
            self.notes.set("a", "[1]");
        }
    }
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("what was computed is stored and not computed again", |subject| {
        let notes = subject.notes();
        assert_eq!(compute(&notes, None, "[1]"), "[1]");
        assert_eq!((cached(&notes), notes.get("a").as_deref()), ("[1]".to_owned(), Some("[1]")));
        assert_eq!(notes.keys(""), ["a"], "no lock is left");
        notes.set("a", "[2]");
        assert_eq!(cached(&notes), "[2]");
    });

    cases.add("null is a result like others", |subject| {
        let notes = subject.notes();
        assert_eq!(compute(&notes, None, "null"), "null");
        assert_eq!(cached(&notes), "null");
    });

    cases.add("what was computed for a time is computed again when that is over", |subject| {
        let notes = subject.notes();
        assert_eq!(compute(&notes, Some(SECOND), "1"), "1");
        assert_eq!(notes.record("a").expires_at, Some(subject.now().saturating_add(SECOND)));
        assert_eq!(cached(&notes), "1");
        subject.advance(SECOND);
        assert_eq!(compute(&notes, Some(SECOND), "2"), "2");
        notes.delete("a");
        assert_eq!(compute(&notes, None, "3"), "3");
    });

    cases.add("a failed computation passes its error on, stores nothing and lets the next one compute", |subject| {
        let notes = subject.notes();
        assert!(matches!(get_or_compute(&notes, None, || Err(Failure::Own)), Err(Failure::Own)));
        assert_eq!(notes.keys(""), [""; 0]);
        assert_eq!(compute(&notes, None, "1"), "1");
    });

    cases.add_with(
        |options| options.limits.value_bytes = 200,
        "a computed value that cannot be stored is an error and lets the next one compute",
        |subject| {
            let notes = subject.notes();
            let large = Box::leak(format!("\"{}\"", "x".repeat(200)).into_boxed_str());
            refused(get_or_compute(&notes, None, || Ok(large)).map_err(Failure::of_store), ErrorKind::TooLarge);
            assert_eq!(notes.keys(""), [""; 0]);
            assert_eq!(compute(&notes, None, "1"), "1");
        },
    );

    cases.add("nothing is computed where it could not be stored", |subject| {
        let notes = subject.notes();
        let error = get_or_compute(&notes, Some(Duration::ZERO), || panic!("computed")).map_err(Failure::of_store);
        refused(error, ErrorKind::InvalidArgument);
        for key in ["x".repeat(1_012), String::new()] {
            let computed = block_on(notes.verbs().get_or_compute::<Error>(&key, None, async || panic!("computed")));
            refused(computed, ErrorKind::InvalidArgument);
        }
        let longest = "x".repeat(1_011);
        block_on(notes.verbs().get_or_compute::<Error>(&longest, None, async || Ok(json("1")))).expect("get_or_compute");
        assert_eq!(notes.keys(""), [longest]);
    });

    cases.add("of many who want a value one computes it", |subject| {
        let notes = subject.notes();
        for round in 0..ROUNDS {
            let (computed, together) = (AtomicUsize::new(0), Barrier::new(THREADS));
            let values = in_threads(|_| {
                together.wait();
                get_or_compute(&notes, None, || {
                    computed.fetch_add(1, Ordering::SeqCst);
                    Ok("[1]")
                })
                .expect("get_or_compute")
            });
            assert_eq!((values, computed.into_inner()), (vec!["[1]".to_owned(); THREADS], 1), "round {round}");
            assert_eq!(notes.clear(), 1, "the value and no lock");
        }
    });

    cases.add("who waits for a computation that fails computes in its place", |subject| {
        let notes = subject.notes();
        let attempts = Arc::new(AtomicUsize::new(0));
        let begin = || {
            let (notes, attempts) = (notes.clone(), Arc::clone(&attempts));
            Elsewhere::begin(move || {
                get_or_compute(&notes, None, || match attempts.fetch_add(1, Ordering::SeqCst) {
                    0 => Err(Failure::Own),
                    _ => Ok("1"),
                })
            })
        };
        let both = [begin(), begin()].map(Elsewhere::end);
        assert_eq!(both.iter().filter(|result| matches!(result, Err(Failure::Own))).count(), 1);
        assert_eq!(both.iter().filter(|result| matches!(result, Ok(value) if value == "1")).count(), 1);
        assert_eq!(attempts.load(Ordering::SeqCst), 2);
    });

    cases.add("who waits for a computation takes a value that somebody else stores", |subject| {
        let notes = subject.notes();
        die_computing(&notes);
        let waiting = Elsewhere::begin({
            let notes = notes.clone();
            move || cached(&notes)
        });
        notes.set("a", "[1]");
        assert_eq!(waiting.end(), "[1]");
    });

    cases.add("another one computes when the time of a dead one is over", |subject| {
        let notes = subject.notes();
        die_computing(&notes);
        let waiting = Elsewhere::begin({
            let notes = notes.clone();
            move || compute(&notes, None, "1")
        });
        subject.advance(LEASE);
        assert_eq!(waiting.end(), "1");
        assert_eq!(notes.keys(""), ["a"]);
    });

    cases.add("a value that comes too late does not replace that of whoever took over", |subject| {
        let notes = subject.notes();
        let slow = get_or_compute(&notes, None, || {
            subject.advance(LEASE);
            assert_eq!(compute(&notes, None, "\"in time\""), "\"in time\"");
            Ok("\"late\"")
        });
        // Its caller has nothing better.
        assert_eq!(slow.expect("get_or_compute"), "\"late\"");
        assert_eq!(notes.get("a").as_deref(), Some("\"in time\""));
        assert_eq!(notes.keys(""), ["a"]);
    });

    cases.add("a value that is stored right before one begins to compute is taken", |subject| {
        let notes = subject.notes();
        let interfering = Interfering { notes: notes.clone(), done: AtomicBool::new(false) };
        let view = notes.verbs().clone().with_observer(Arc::new(interfering));
        let value = block_on(view.get_or_compute::<Error>("a", None, async || panic!("computed")));
        assert_eq!(value.expect("get_or_compute").as_str(), "[1]");
        assert_eq!(notes.keys(""), ["a"], "no lock is left");
    });

    cases.add("a value counts as read when it was there, and as written when it was computed", |subject| {
        let notes = subject.notes();
        compute(&notes, None, "1");
        subject.flush();
        assert_eq!(notes.inspect("a").access_count, 0);
        cached(&notes);
        subject.flush();
        assert_eq!(notes.inspect("a").access_count, 1);
    });

    cases.add("a store opened twice computes once for both handles", |subject| {
        let beside = subject.again();
        let handles = [subject.notes(), beside.notes()];
        let computed = AtomicUsize::new(0);
        let values = in_threads(|thread| {
            get_or_compute(&handles[thread % 2], None, || {
                computed.fetch_add(1, Ordering::SeqCst);
                Ok("[1]")
            })
            .expect("get_or_compute")
        });
        assert_eq!((values, computed.into_inner()), (vec!["[1]".to_owned(); THREADS], 1));
    });
}
