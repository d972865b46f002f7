//! The cases, by theme. Each is declared once, where it is written: naming a theme here is all that it takes.

use super::subject::Subject;
use crate::store::Options;

/// One promise of the product.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Adjusts what the store is opened with.
    pub(super) options: fn(&mut Options),
    /// Panics where the promise is broken.
    pub(super) promise: fn(&Subject<'_>),
}

/// Where the themes put their cases.
#[derive(Default)]
pub(super) struct Cases(Vec<Case>);

impl Cases {
    /// A promise that holds of every store.
    pub(super) fn add(&mut self, name: &'static str, promise: fn(&Subject<'_>)) {
        self.add_with(|_| {}, name, promise);
    }

    /// A promise that holds of a store with other options.
    pub(super) fn add_with(&mut self, options: fn(&mut Options), name: &'static str, promise: fn(&Subject<'_>)) {
        self.0.push(Case { name, options, promise });
    }
}

macro_rules! themes {
    ($($theme:ident)*) => {
        $(mod $theme;)*

        /// Every case.
        pub(super) fn all() -> Vec<Case> {
            let mut cases = Cases::default();
            $($theme::add_to(&mut cases);)*
            cases.0
        }
    };
}

themes! {
    values
    metadata
    bookkeeping
    access
    versions
    preconditions
    batches
    requests
    quotas
    arithmetic
    lists_and_patches
    touching
    expiry
    sweeping
    order
    paging
    names
    users
    namespaces
    clearing
    feed
    waiting
    limits
    rows
    at_hand
    snapshots
    concurrency
    atomic
    transactions
    leases
    computing
    tasks
    following
    credentials
    lifecycle
    persistence
    copies
    soundness
    random_histories
}
