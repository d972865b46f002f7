//! Who waits for a lock, in the order in which they asked: whoever has just released it and wants it again would
//! otherwise be quicker than all the others, who have to notice first.
//!
//! Each who waits has a record in the namespace `locks-waiting:{namespace}`. Only the first takes the lock when it is
//! free; the others leave it a moment to do so, because it may have died.

use std::time::Duration;

use crate::blocking::block_on;
use crate::clock::Timestamp;
use crate::data_store::DataStore;
use crate::error::Result;
use crate::json::Json;
use crate::model::{Expiry, Mutation, PageSize, Precondition, Range, Row, Version, View, Write};

/// How long a free lock is left to the first, who may be dead.
const PRECEDENCE: Duration = Duration::from_millis(250);

/// And how much longer to each one after the first, so that they follow in order.
const STEP: Duration = Duration::from_millis(20);

/// How long the place of one who has died is kept, if nobody passes it over before.
const PLACE_TTL: Duration = Duration::from_secs(60);

/// Digits of the random number with which the key of a place ends.
const DIGITS: usize = 16;

/// The queue at one lock, and one's own place in it, which is given up when this is dropped.
pub(crate) struct LockQueue {
    places: DataStore,
    /// Where the keys of all places at this lock begin.
    prefix: String,
    own: Option<Place>,
    /// The first in the queue, and since when it could have taken the lock.
    first: Option<(Box<str>, Timestamp)>,
}

/// How one stands to a lock that is free.
#[derive(Default)]
pub(crate) struct Turn {
    /// Until when it is left to others; `None` for not at all.
    pub(crate) left_until: Option<Timestamp>,
    /// What goes together with taking it: one's own place, and those of others that are passed over.
    pub(crate) leaving: Vec<Write>,
}

struct Place {
    key: Box<str>,
    /// The version of the record when it was new, which is the place in the order.
    number: Version,
    renew_at: Timestamp,
}

impl LockQueue {
    /// `None` where names are too long to have a queue: those who wait are then served in no order.
    pub(crate) fn at(view: &DataStore, resource: &str) -> Option<Self> {
        let places = view.use_namespace(&format!("locks-waiting:{}", view.namespace())).ok()?;
        let prefix = format!("{resource}:");
        places.checked_address(&format!("{prefix}{:0DIGITS$x}", 0)).ok()?;
        Some(Self { places, prefix, own: None, first: None })
    }

    /// How one stands, the lock being free `now`.
    pub(crate) async fn turn(&mut self, now: Timestamp) -> Result<Turn> {
        let mut ahead = self.ahead().await?;
        let left_until = ahead.first().map(|first| {
            let since = match &self.first {
                Some((known, since)) if known == first => *since,
                _ => now,
            };
            self.first = Some((first.clone(), since));
            let after_it = STEP.saturating_mul(u32::try_from(ahead.len() - 1).unwrap_or(u32::MAX));
            since.saturating_add(PRECEDENCE).saturating_add(after_it)
        });
        let left_until = left_until.filter(|until| now < *until);
        if left_until.is_some() {
            ahead.clear();
        }
        ahead.extend(self.own.as_ref().map(|own| own.key.clone()));
        let leaving = ahead.iter().map(|key| self.removal(key)).collect::<Result<_>>()?;
        Ok(Turn { left_until, leaving })
    }

    /// Notes that the lock is held, so that nobody has left it free.
    pub(crate) fn lock_is_held(&mut self) {
        self.first = None;
    }

    /// The places of those who have waited longer: all of them without a place of one's own.
    async fn ahead(&mut self) -> Result<Vec<Box<str>>> {
        let range = Range { prefix: &self.prefix, after: None };
        let rows = self.places.scan(range, View::Value, PageSize::ALL).await?.rows;
        // Other resources may begin like this one.
        let places = rows.into_iter().filter(|row| row.key.len() == self.prefix.len() + DIGITS);
        // The version rises when a place is kept; the value then says what it was.
        let number =
            |row: &Row| row.value.as_ref().and_then(|value| value.as_str().parse().ok()).unwrap_or(row.version);
        let mut places: Vec<(Version, Box<str>)> = places.map(|row| (number(&row), row.key)).collect();
        places.sort_unstable();
        match self.own.as_ref().and_then(|own| places.iter().position(|(_, key)| *key == own.key)) {
            Some(index) => places.truncate(index),
            // Somebody has passed it over.
            None => self.own = None,
        }
        Ok(places.into_iter().map(|(_, key)| key).collect())
    }

    /// Takes a place, or keeps the one that one has; when to do so again.
    pub(crate) async fn wait(&mut self) -> Result<Timestamp> {
        let now = self.places.now();
        let (key, number, value) = match &self.own {
            Some(own) if now < own.renew_at => return Ok(own.renew_at),
            Some(own) => (own.key.clone(), Some(own.number), own.number.to_string()),
            None => (format!("{}{:0DIGITS$x}", self.prefix, fastrand::u64(..)).into(), None, "null".to_owned()),
        };
        let write = Write {
            address: self.places.checked_address(&key)?,
            precondition: Precondition::None,
            mutation: Mutation::Set(Json::from_trusted(value)),
            metadata: None,
            expiry: Expiry::After(PLACE_TTL),
        };
        let version = self.places.apply_one(write).await?.version;
        let renew_at = now.saturating_add(PLACE_TTL / 3);
        self.own = Some(Place { key, number: number.unwrap_or(version), renew_at });
        Ok(renew_at)
    }

    /// Notes that the lock was taken, and one's place left.
    pub(crate) fn left(&mut self) {
        self.own = None;
    }

    fn removal(&self, key: &str) -> Result<Write> {
        Ok(Write {
            address: self.places.checked_address(key)?,
            precondition: Precondition::None,
            mutation: Mutation::Delete,
            metadata: None,
            expiry: Expiry::Default,
        })
    }
}

impl Drop for LockQueue {
    fn drop(&mut self) {
        if let Some(Ok(removal)) = self.own.take().map(|own| self.removal(&own.key)) {
            // Where this fails the others pass it over.
            let _ = block_on(self.places.apply_one(removal));
        }
    }
}
