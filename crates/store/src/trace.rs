//! Wraps a verb: names it in errors and tells the observer, if there is one.

use std::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::model::Outcome;
use crate::observe::{Observer, Operation, preview};

/// A verb that has begun.
pub(crate) struct Traced<'a> {
    verb: &'static str,
    namespace: &'a str,
    key: &'a str,
    /// Taken only where somebody watches: two clock readings would be a tenth of a cached read.
    watch: Option<(&'a dyn Observer, Timestamp, Instant)>,
}

/// What the observer gets to see of a result.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) found: Option<bool>,
    pub(crate) count: Option<u64>,
    pub(crate) value: Option<Json>,
}

impl Seen {
    pub(crate) fn value(value: Option<&Json>) -> Self {
        Self { found: Some(value.is_some()), count: None, value: value.cloned() }
    }

    pub(crate) fn outcome(outcome: &Outcome) -> Self {
        Self { found: Some(outcome.existed), count: None, value: outcome.result.clone() }
    }

    pub(crate) fn count(count: usize) -> Self {
        Self { count: Some(count as u64), ..Self::default() }
    }
}

impl<'a> Traced<'a> {
    pub(crate) fn begin(
        observer: Option<&'a dyn Observer>,
        clock: &dyn Clock,
        verb: &'static str,
        namespace: &'a str,
        key: &'a str,
    ) -> Self {
        let watch = observer.map(|observer| (observer, clock.now(), Instant::now()));
        Self { verb, namespace, key, watch }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.watch.is_some()
    }

    #[inline]
    pub(crate) fn end<T>(self, result: Result<T>, see: impl FnOnce(&T) -> Seen) -> Result<T> {
        let result = result.map_err(|error| error.during(self.verb));
        if self.is_on() {
            let seen = result.as_ref().map(see).unwrap_or_default();
            self.observe(seen, result.as_ref().err());
        }
        result
    }

    #[cold]
    fn observe(self, seen: Seen, error: Option<&Error>) {
        let Some((observer, started_at, started)) = self.watch else { return };
        observer.observe(&Operation {
            started_at,
            duration: started.elapsed(),
            verb: self.verb,
            namespace: self.namespace,
            key: self.key,
            found: seen.found,
            count: seen.count,
            preview: seen.value.as_ref().map(|value| preview(value.as_str())),
            error,
        });
    }
}
