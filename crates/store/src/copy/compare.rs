//! Every record of a user, read on both sides and compared.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::cursor::Cursor;
use super::sync::{UserSync, bytes_of, stats_of};
use super::{Copied, Copier, NAMES, foreign, position};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{Address, NamespaceStats, Range, Row, View};

/// How many records that differ are looked at once more together.
const SUSPECTS: usize = 500;

impl Copier<'_> {
    /// Compares what the user has on both sides, and copies once more what differs.
    pub(super) async fn compare_user(&mut self, user: &Arc<str>, copied: &mut Copied) -> Result<()> {
        let Some(position_then) = self.positions.get(user).copied() else {
            // One who has come while the others were copied.
            self.copy_user(user).await?;
            return Box::pin(self.compare_user(user, copied)).await;
        };
        let mut sync = UserSync::begin(self, user);
        sync.position = position_then;
        sync.follow().await?;
        let mut there: HashSet<Box<str>> = sync.to().namespace_names(user, "").await?.into_iter().collect();
        let mut after: Option<Box<str>> = None;
        loop {
            let page = sync.from().namespaces(user, Range { prefix: "", after: after.as_deref() }, NAMES).await?;
            after = page.rows.last().map(|stats| stats.namespace.clone());
            for stats in page.rows {
                there.remove(&stats.namespace);
                copied.namespaces += 1;
                sync.compare(&stats, copied).await?;
            }
            if !page.more {
                break;
            }
        }
        for name in there {
            sync.remove_namespace(&name).await?;
        }
        sync.flush().await?;
        sync.follow().await?;
        let is_still_written = position(sync.from(), user).await? != sync.position;
        copied.still_written += u64::from(is_still_written);
        Ok(())
    }
}

impl UserSync<'_, '_> {
    async fn compare(&mut self, stats: &NamespaceStats, copied: &mut Copied) -> Result<()> {
        let (user, name): (Arc<str>, Arc<str>) = (Arc::clone(&self.user), (&*stats.namespace).into());
        let mut here = Cursor::new(self.from(), &user, &name, View::Record);
        let mut there = Cursor::new(self.to(), &user, &name, View::Record);
        let mut suspects: Vec<Address> = Vec::new();
        loop {
            let order = match (here.peek().await?, there.peek().await?) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => one.key.cmp(&other.key),
            };
            let one = if order == Ordering::Greater { None } else { here.take() };
            let other = if order == Ordering::Less { None } else { there.take() };
            if one == other {
                one.iter().for_each(|row| self.is_in_both(&name, row, copied));
            } else if let Some(row) = one.or(other) {
                suspects.push(Address { namespace: Arc::clone(&name), key: row.key });
            }
            if suspects.len() >= SUSPECTS {
                self.settle(&std::mem::take(&mut suspects), copied).await?;
            }
        }
        if !suspects.is_empty() {
            self.settle(&suspects, copied).await?;
        }
        let there = stats_of(self.to(), &user, &name).await?;
        let is_told = |there: &NamespaceStats| {
            there.updated_at >= stats.updated_at && stats.agents.iter().all(|agent| there.agents.contains(agent))
        };
        if there.is_some_and(|there| !is_told(&there)) {
            self.add(stats, Vec::new(), Vec::new()).await?;
        }
        Ok(())
    }

    fn is_in_both(&mut self, namespace: &str, row: &Row, copied: &mut Copied) {
        copied.checksum.add(&self.user, namespace, row);
        let bytes = bytes_of(row);
        copied.records += 1;
        copied.bytes += bytes;
        self.copier.did(1, bytes);
    }

    /// Copies records once more that differ, and insists that they are then what was read of them.
    async fn settle(&mut self, suspects: &[Address], copied: &mut Copied) -> Result<()> {
        let user = Arc::clone(&self.user);
        self.follow().await?;
        let here = self.take_over(suspects).await?;
        self.flush().await?;
        let there = self.to().read(&user, suspects, View::Record).await?;
        let (here_now, there_now) = (self.copier.clocks.0.now(), self.copier.clocks.1.now());
        for ((address, one), other) in suspects.iter().zip(here).zip(there) {
            match (one, other) {
                (None, None) => {}
                (Some(one), Some(other)) if one == other => self.is_in_both(&address.namespace, &one, copied),
                // The clocks of two stores may differ.
                (Some(row), None) if is_over(&row, there_now) => {}
                (None, Some(row)) if is_over(&row, here_now) => {}
                _ => return Err(foreign(&user)),
            }
        }
        Ok(())
    }
}

fn is_over(row: &Row, now: Timestamp) -> bool {
    row.expires_at.is_some_and(|expires_at| expires_at <= now)
}
