//! Time, injected: nothing in this crate asks the system for the time but [`SystemClock`].

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in UTC, in whole microseconds since 1970-01-01; shown as RFC 3339 with `Z` and six decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment plus `duration`, or the last representable one.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Parses RFC 3339, for instance `2026-01-31T12:00:00.000001Z`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_microsecond()))
    }

    /// Reads back what [`Timestamp`] shows. The last moment with a notation stands for all those after it, so it is taken
    /// for the end of time.
    #[cfg(feature = "remote")]
    pub(crate) fn parse_shown(text: &str) -> Option<Self> {
        let end = Self(jiff::Timestamp::MAX.as_microsecond());
        Self::parse(text).map(|moment| if moment == end { Self(i64::MAX) } else { moment })
    }

    /// As Python's `datetime.now().isoformat()` writes it: this machine's local time, without a zone.
    pub(crate) fn to_naive_local(self) -> String {
        let moment = self.moment().to_zoned(jiff::tz::TimeZone::system());
        format!("{:.6}", moment.datetime())
    }

    /// Reads what [`Timestamp::to_naive_local`] writes, or a time with a zone.
    pub(crate) fn parse_naive_local(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| {
            let local = text.parse::<jiff::civil::DateTime>().ok()?;
            Some(Self(local.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp().as_microsecond()))
        })
    }

    /// The nearest moment that has a notation: those beyond the year 9999 have none.
    fn moment(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.moment())
    }
}

/// Where a store takes the time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Whether this is the system's clock, in whose place an engine may know a better one: that of a database which several
    /// machines share.
    fn is_system(&self) -> bool {
        false
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock set before 1970 reads as 1970: expiry then errs on the side of keeping records.
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // In 64 bits: `as_micros` would divide 128.
        let micros = elapsed.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(elapsed.subsec_micros()));
        Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn is_system(&self) -> bool {
        true
    }
}

/// A clock that stands still until told: for tests without sleeps.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_micros()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Starts at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp(1_767_225_600_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_and_read_back() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_767_225_600_000_001, "2026-01-01T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(micros)));
        }
        assert!(Timestamp(i64::MAX).to_string().starts_with("9999-12-"));
    }

    #[test]
    fn local_times_come_back() {
        let moment = Timestamp(1_767_225_600_000_001);
        let local = moment.to_naive_local();
        assert!(!local.ends_with('Z') && local.len() == "2026-01-01T00:00:00.000001".len(), "{local}");
        assert_eq!(Timestamp::parse_naive_local(&local), Some(moment));
        assert_eq!(Timestamp::parse_naive_local("2026-01-01T00:00:00Z"), Some(Timestamp(1_767_225_600_000_000)));
        assert_eq!(Timestamp::parse_naive_local("yesterday"), None);
    }
}
