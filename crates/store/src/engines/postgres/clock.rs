//! The database's time, as this process knows it.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, SystemClock, Timestamp};

/// SQL for the present moment at the database, in microseconds.
macro_rules! database_now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}
pub(super) use database_now;

/// SQL for the moment that a read is about: a parameter that is NULL where the database's clock counts.
macro_rules! read_now {
    ($parameter:literal) => {
        concat!("coalesce(", $parameter, "::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)")
    };
}
pub(super) use read_now;

/// The system's clock, set right by the database's: all who use one database have the same time.
#[derive(Debug, Default)]
pub(super) struct DatabaseClock {
    /// By how many microseconds the database is ahead.
    ahead: AtomicI64,
}

impl DatabaseClock {
    /// Learns that the database's clock showed `shown` at some moment after `before`, a moment of the system's clock.
    pub(super) fn learn(&self, before: Timestamp, shown: Timestamp) {
        // Only what contradicts the former knowledge changes it, so that time hardly ever jumps.
        let least = shown.as_micros() - SystemClock.now().as_micros();
        let most = shown.as_micros() - before.as_micros();
        let ahead = self.ahead.load(Ordering::Relaxed);
        if !(least..=most).contains(&ahead) {
            self.ahead.store(least.midpoint(most), Ordering::Relaxed);
        }
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() + self.ahead.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_follows_the_databases() {
        let clock = DatabaseClock::default();
        for ahead in [0, 3_600_000_000, -7_200_000_000] {
            let before = SystemClock.now();
            clock.learn(before, Timestamp::from_micros(before.as_micros() + ahead));
            let off = clock.now().as_micros() - SystemClock.now().as_micros() - ahead;
            assert!(off.abs() < 60_000_000, "{off}");
        }
    }
}
