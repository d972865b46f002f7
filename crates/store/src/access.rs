//! Reads, gathered in memory until housekeeping writes them: reading never waits for a write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use crate::clock::Timestamp;
use crate::model::{Access, Address};

/// Who reads where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) user: Arc<str>,
    pub(crate) agent: Arc<str>,
    pub(crate) namespace: Arc<str>,
}

type Reads = HashMap<Box<str>, (u64, Timestamp)>;

/// Threads that read at once each count in a place of their own: at one lock they would wait for each other for longer
/// than a read from a cache takes.
const STRIPES: usize = 8;

/// The reads of one scope; shared by all its handles, so that the hot path hashes the key alone.
#[derive(Debug, Default)]
pub(crate) struct AccessBuffer([Stripe; STRIPES]);

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(Mutex<Reads>);

impl AccessBuffer {
    pub(crate) fn record<'a>(&self, keys: impl IntoIterator<Item = &'a str>, now: Timestamp) {
        let mut reads = self.reads_of_this_thread();
        for key in keys {
            match reads.get_mut(key) {
                Some((count, last_at)) => (*count, *last_at) = (*count + 1, now),
                None => {
                    reads.insert(key.into(), (1, now));
                }
            }
        }
    }

    fn reads_of_this_thread(&self) -> MutexGuard<'_, Reads> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
        }
        self.0[STRIPE.with(|stripe| *stripe)].lock()
    }

    /// What all threads have counted.
    fn take(&self) -> Reads {
        let mut reads = Reads::new();
        for stripe in &self.0 {
            let counted = std::mem::take(&mut *stripe.lock());
            if reads.is_empty() {
                reads = counted;
                continue;
            }
            for (key, (count, last_at)) in counted {
                add(&mut reads, key, count, last_at);
            }
        }
        reads
    }
}

impl Stripe {
    fn lock(&self) -> MutexGuard<'_, Reads> {
        unpoisoned(&self.0)
    }
}

fn add(reads: &mut Reads, key: Box<str>, count: u64, last_at: Timestamp) {
    let entry = reads.entry(key).or_insert((0, last_at));
    *entry = (entry.0 + count, entry.1.max(last_at));
}

/// Every scope's buffer.
#[derive(Debug, Default)]
pub(crate) struct AccessLog(Mutex<HashMap<Scope, Arc<AccessBuffer>>>);

impl AccessLog {
    pub(crate) fn buffer(&self, scope: Scope) -> Arc<AccessBuffer> {
        Arc::clone(unpoisoned(&self.0).entry(scope).or_default())
    }

    /// Takes what has been gathered, and forgets the scopes that nobody uses any more.
    pub(crate) fn drain(&self) -> Vec<Access> {
        let mut accesses = Vec::new();
        unpoisoned(&self.0).retain(|scope, buffer| {
            // Asked before the reads are taken: nobody can count after that in a scope which nobody has.
            let is_used = Arc::strong_count(buffer) > 1;
            for (key, (count, last_at)) in buffer.take() {
                accesses.push(Access {
                    user: Arc::clone(&scope.user),
                    address: Address { namespace: Arc::clone(&scope.namespace), key },
                    agent: Arc::clone(&scope.agent),
                    count,
                    last_at,
                });
            }
            is_used
        });
        accesses
    }

    /// Puts back what could not be written, so that a busy moment loses no count.
    pub(crate) fn restore(&self, accesses: Vec<Access>) {
        for access in accesses {
            let Access { user, address: Address { namespace, key }, agent, count, last_at } = access;
            let buffer = self.buffer(Scope { user, agent, namespace });
            add(&mut buffer.reads_of_this_thread(), key, count, last_at);
        }
    }

    /// Keeps everyone out of all the locks until the result is dropped, so that a `fork` finds none of them taken.
    pub(crate) fn hold(&self) -> HeldLog<'_> {
        let registry = unpoisoned(&self.0);
        let buffers: Vec<Arc<AccessBuffer>> = registry.values().map(Arc::clone).collect();
        let guards = buffers
            .iter()
            .flat_map(|buffer| &buffer.0)
            .map(|stripe| {
                let guard = stripe.lock();
                // SAFETY: `HeldLog` keeps the `Arc` for as long as the guard, and drops the guard first.
                unsafe { std::mem::transmute::<MutexGuard<'_, Reads>, MutexGuard<'static, Reads>>(guard) }
            })
            .collect();
        HeldLog { _guards: guards, _buffers: buffers, _registry: registry }
    }
}

/// See [`AccessLog::hold`]. The order of the fields is the order in which they are let go.
pub(crate) struct HeldLog<'a> {
    _guards: Vec<MutexGuard<'static, Reads>>,
    _buffers: Vec<Arc<AccessBuffer>>,
    _registry: MutexGuard<'a, HashMap<Scope, Arc<AccessBuffer>>>,
}

/// A panic in another thread leaves a map of counters in a usable state.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope { user: "user".into(), agent: "agent".into(), namespace: "namespace".into() }
    }

    /// The readers take their handle anew for each read, as requests to a server do, and let go of it at once.
    #[test]
    fn no_read_is_lost_to_a_scope_that_is_let_go_while_it_is_drained() {
        const READS: u64 = 20_000;
        let log = AccessLog::default();
        let running = AtomicUsize::new(2);
        let mut drained = 0;
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    for _ in 0..READS {
                        log.buffer(scope()).record(["key"], Timestamp::from_micros(1));
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while running.load(Ordering::SeqCst) > 0 {
                drained += log.drain().iter().map(|access| access.count).sum::<u64>();
            }
        });
        drained += log.drain().iter().map(|access| access.count).sum::<u64>();
        assert_eq!(drained, 2 * READS);
        assert!(unpoisoned(&log.0).is_empty(), "what nobody uses is forgotten");
    }
}
