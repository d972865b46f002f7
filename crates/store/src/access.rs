//! Reads, gathered in memory until housekeeping writes them: reading never waits for a write.

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

/// The reads of one scope; shared by all its handles, so that the hot path hashes the key alone.
#[derive(Debug, Default)]
pub(crate) struct AccessBuffer(Mutex<Reads>);

impl AccessBuffer {
    pub(crate) fn record<'a>(&self, keys: impl IntoIterator<Item = &'a str>, now: Timestamp) {
        let mut reads = unpoisoned(&self.0);
        for key in keys {
            match reads.get_mut(key) {
                Some((count, last_at)) => (*count, *last_at) = (*count + 1, now),
                None => {
                    reads.insert(key.into(), (1, now));
                }
            }
        }
    }
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
        let mut buffers = unpoisoned(&self.0);
        let mut accesses = Vec::new();
        for (scope, buffer) in buffers.iter() {
            for (key, (count, last_at)) in std::mem::take(&mut *unpoisoned(&buffer.0)) {
                accesses.push(Access {
                    user: Arc::clone(&scope.user),
                    address: Address { namespace: Arc::clone(&scope.namespace), key },
                    agent: Arc::clone(&scope.agent),
                    count,
                    last_at,
                });
            }
        }
        buffers.retain(|_, buffer| Arc::strong_count(buffer) > 1);
        accesses
    }

    /// Puts back what could not be written, so that a busy moment loses no count.
    pub(crate) fn restore(&self, accesses: Vec<Access>) {
        for access in accesses {
            let Access { user, address: Address { namespace, key }, agent, count, last_at } = access;
            let buffer = self.buffer(Scope { user, agent, namespace });
            let mut reads = unpoisoned(&buffer.0);
            let entry = reads.entry(key).or_insert((0, last_at));
            *entry = (entry.0 + count, entry.1.max(last_at));
        }
    }

    /// Keeps everyone out of all the locks until the result is dropped, so that a `fork` finds none of them taken.
    pub(crate) fn hold(&self) -> HeldLog<'_> {
        let registry = unpoisoned(&self.0);
        let buffers: Vec<Arc<AccessBuffer>> = registry.values().map(Arc::clone).collect();
        let guards = buffers
            .iter()
            .map(|buffer| {
                let guard = unpoisoned(&buffer.0);
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
