//! A checksum of records, in whichever order they come.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::model::Row;

/// The SHA-256 of each record with its names and its bookkeeping, all combined by exclusive or: equal for equal records,
/// whatever keeps them. Shown in hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// Adds one record.
    pub(super) fn add(&mut self, user: &str, namespace: &str, row: &Row) {
        let digest = digest(user, namespace, row);
        self.0.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Every text goes after its length, so that they cannot run into each other.
fn digest(user: &str, namespace: &str, row: &Row) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = |text: Option<&str>| {
        hash.update([u8::from(text.is_some())]);
        hash.update((text.map_or(0, str::len) as u64).to_le_bytes());
        hash.update(text.unwrap_or_default());
    };
    let details = row.details.as_deref();
    text(Some(user));
    text(Some(namespace));
    text(Some(&row.key));
    text(row.value.as_ref().map(|value| value.as_str()));
    text(details.map(|details| details.metadata.as_str()));
    text(details.and_then(|details| details.created_by_agent.as_deref()));
    text(details.and_then(|details| details.updated_by_agent.as_deref()));
    text(details.and_then(|details| details.last_accessed_by_agent.as_deref()));
    let mut number = |number: Option<u64>| {
        hash.update([u8::from(number.is_some())]);
        hash.update(number.unwrap_or_default().to_le_bytes());
    };
    let micros = |at: crate::clock::Timestamp| at.as_micros().cast_unsigned();
    number(Some(row.version));
    number(row.expires_at.map(micros));
    number(details.map(|details| details.access_count));
    number(details.map(|details| micros(details.created_at)));
    number(details.map(|details| micros(details.updated_at)));
    number(details.and_then(|details| details.last_accessed_at).map(micros));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::json::Json;
    use crate::model::Details;

    fn row() -> Row {
        let details = Details {
            metadata: Json::from_trusted("{}"),
            created_by_agent: None,
            updated_by_agent: None,
            last_accessed_by_agent: None,
            access_count: 0,
            created_at: Timestamp::from_micros(1),
            updated_at: Timestamp::from_micros(1),
            last_accessed_at: None,
        };
        let value = Some(Json::from_trusted("1"));
        Row { key: "k".into(), version: 1, expires_at: None, value, details: Some(Box::new(details)) }
    }

    fn of(rows: &[(&str, &str, &Row)]) -> Checksum {
        let mut sum = Checksum::default();
        rows.iter().for_each(|(user, namespace, row)| sum.add(user, namespace, row));
        sum
    }

    #[test]
    fn whatever_differs_in_a_record_shows_and_the_order_does_not() {
        let changed = |change: fn(&mut Row, &mut Details)| {
            let mut row = row();
            let mut details = row.details.take().expect("details");
            change(&mut row, &mut details);
            Row { details: Some(details), ..row }
        };
        let rows = [
            row(),
            changed(|row, _| row.key = "l".into()),
            changed(|row, _| row.version = 2),
            changed(|row, _| row.expires_at = Some(Timestamp::from_micros(0))),
            changed(|row, _| row.value = Some(Json::from_trusted("2"))),
            changed(|_, details| details.metadata = Json::from_trusted("{\"a\":1}")),
            changed(|_, details| details.created_by_agent = Some("a".into())),
            changed(|_, details| details.updated_by_agent = Some("a".into())),
            changed(|_, details| details.last_accessed_by_agent = Some("a".into())),
            changed(|_, details| details.access_count = 1),
            changed(|_, details| details.created_at = Timestamp::from_micros(2)),
            changed(|_, details| details.updated_at = Timestamp::from_micros(2)),
            changed(|_, details| details.last_accessed_at = Some(Timestamp::from_micros(0))),
        ];
        let mut sums: Vec<String> = rows.iter().map(|row| of(&[("u", "n", row)]).to_string()).collect();
        sums.extend([of(&[("un", "", &rows[0])]), of(&[("", "un", &rows[0])])].map(|sum| sum.to_string()));
        let distinct: std::collections::HashSet<_> = sums.iter().collect();
        assert_eq!(distinct.len(), sums.len());
        let (first, second) = (("u", "n", &rows[0]), ("u", "n", &rows[1]));
        assert_eq!(of(&[first, second]), of(&[second, first]));
        assert_ne!(of(&[first]), of(&[first, second]));
    }
}
