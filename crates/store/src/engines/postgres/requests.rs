//! Requests that were applied, kept so that a repeat is not applied again.

use super::Core;
use super::connect::Parameter;
use super::failure::Result;
use crate::model::{Address, Batch, Outcome, View};
use crate::request::{Applied, Request, outcomes_from_text};

const KEEP: &str = "INSERT INTO {t}requests (user_id, id, content, outcome, expires_at) VALUES ($1, $2, $3, $4, $5)";
const REPLACE: &str =
    "UPDATE {t}requests SET content = $3, outcome = $4, expires_at = $5 WHERE user_id = $1 AND id = $2";

/// What is kept of a request.
pub(super) struct Kept {
    id: String,
    content: Vec<u8>,
    outcome: String,
    expires_at: i64,
    replaces: bool,
}

impl Kept {
    /// `replaces`: whether one of the same id is there, whose time is over.
    pub(super) fn new(applied: Applied, request: &Request, replaces: bool) -> Self {
        Self {
            id: request.id.as_str().to_owned(),
            content: applied.content.to_vec(),
            outcome: applied.outcome.into(),
            expires_at: applied.expires_at.as_micros(),
            replaces,
        }
    }

    /// Of two at a time one fails, and then finds what the other has kept.
    pub(super) fn statement(&self) -> &'static str {
        if self.replaces { REPLACE } else { KEEP }
    }

    pub(super) fn parameters<'a>(&'a self, user: &'a &'a str) -> Vec<Parameter<'a>> {
        vec![user, &self.id, &self.content, &self.outcome, &self.expires_at]
    }
}

/// The outcomes of `batch`, which was applied before, from what was kept of them.
pub(super) async fn outcomes(core: &Core, batch: &Batch, text: &str) -> Result<Vec<Outcome>> {
    // Those of which the value itself was not kept are found out first.
    let mut wanted: Vec<Address> = Vec::new();
    let outcomes = outcomes_from_text(text, &batch.writes, |address| -> Result<_> {
        wanted.push(address.clone());
        Ok(None)
    })?;
    if wanted.is_empty() {
        return Ok(outcomes);
    }
    let rows = super::read::read(core, &batch.user, &wanted, View::Value).await?;
    let mut values = rows.into_iter().map(|row| row.and_then(|row| row.value));
    outcomes_from_text(text, &batch.writes, |_| Ok(values.next().flatten()))
}
