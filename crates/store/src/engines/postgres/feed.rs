//! The change feed: what has been committed and cannot be preceded by anything any more.
//!
//! Versions are committed in another order than they are given. A reader looks at the newest version first, then for the
//! fences of those who write (see `begin`), and only then at the changes: what is at or below the newest version, and below
//! everything that is still being written, is complete.

use super::address::Ordering;
use super::begin::fences_of;
use super::connect::Link;
use super::failure::{Patience, Result, unreadable};
use super::read::again;
use super::{Core, kind_from_number};
use crate::clock::Timestamp;
use crate::error::Result as StoreResult;
use crate::model::{Change, Changes, Version};

const NEWEST: &str = "SELECT last_value FROM {t}versions";

/// Every fence that is up in this database, whoever's it is.
const FENCES: &str = "SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_catalog.pg_locks l
     WHERE l.locktype = 'advisory' AND l.objsubid = 1
         AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())";

/// One row without a change where there is none.
const CHANGES: &str = "SELECT (SELECT max(l.version) FROM {t}changes l WHERE l.user_id = $1 AND l.version <= $3),
         (SELECT f.trimmed_to FROM {t}feeds f WHERE f.user_id = $1),
         c.version, c.kind, c.namespace, c.key, c.agent, c.at
     FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT * FROM {t}changes c WHERE c.user_id = $1 AND c.version > $2 AND c.version <= $3
         ORDER BY c.version LIMIT $4) c ON true ORDER BY c.version";

const POSITIONS: &str =
    "SELECT u.place, (SELECT max(c.version) FROM {t}changes c WHERE c.user_id = u.name AND c.version <= u.bound)
     FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY u(name, bound, place)";

/// Up to where each user's feed is complete.
pub(super) struct Bounds {
    newest: i64,
    /// Who is writing: what the user's fences begin with, and the version above which they write.
    fences: Vec<(i64, i64)>,
}

impl Bounds {
    pub(super) async fn look(core: &Core, link: &Link) -> Result<Self> {
        if core.shared.ordering() == Ordering::Serial {
            return Ok(Self { newest: i64::MAX, fences: Vec::new() });
        }
        let (newest, fences) = (link.prepare(NEWEST).await?, link.prepare(FENCES).await?);
        // In this order: a fence that is put up after the look at it stands above the newest version.
        let mut results = link.all(vec![link.send(&newest, &[]), link.send(&fences, &[])]).await?.into_iter();
        let mut next = || results.next().ok_or_else(unreadable);
        let newest = next()?.pop().ok_or_else(unreadable)?.try_get(0)?;
        let mask = (1i64 << 48) - 1;
        let split = |key: i64| (key & !mask, key & mask);
        let fences = next()?.iter().map(|row| Ok(split(row.try_get(0)?))).collect::<Result<_>>()?;
        Ok(Self { newest, fences })
    }

    /// The last version of a complete feed, and whether that is the newest of all.
    pub(super) fn of(&self, core: &Core, user: &str) -> (i64, bool) {
        let fences = fences_of(&core.shared, user);
        let written = self.fences.iter().filter(|(of, _)| *of == fences).map(|(_, above)| *above).min();
        let bound = written.map_or(self.newest, |above| above.min(self.newest));
        (bound, bound == self.newest)
    }
}

pub(super) async fn changes(core: &Core, user: &str, since: Version, limit: usize) -> StoreResult<Changes> {
    again!(try_changes(core, user, since, limit))
}

async fn try_changes(core: &Core, user: &str, since: Version, limit: usize) -> Result<Changes> {
    let link = core.connections.link().await?;
    let (bound, settled) = Bounds::look(core, &link).await?.of(core, user);
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = link.query(CHANGES, &[&user, &since, &bound, &limit]).await?;
    let mut result = Changes { changes: Vec::with_capacity(rows.len()), complete_from: 0, last: 0, settled };
    for row in &rows {
        result.last = row.try_get::<_, Option<i64>>(0)?.map_or(0, i64::cast_unsigned);
        result.complete_from = row.try_get::<_, Option<i64>>(1)?.map_or(0, i64::cast_unsigned);
        let Some(version) = row.try_get::<_, Option<i64>>(2)? else { continue };
        result.changes.push(Change {
            version: version.cast_unsigned(),
            kind: kind_from_number(row.try_get(3)?)?,
            namespace: row.try_get::<_, &str>(4)?.into(),
            key: row.try_get::<_, Option<&str>>(5)?.map(Into::into),
            agent: row.try_get::<_, Option<&str>>(6)?.map(Into::into),
            at: Timestamp::from_micros(row.try_get(7)?),
        });
    }
    Ok(result)
}

/// The newest position of each user, and whether all of them are those of everything that is committed.
pub(super) async fn positions(core: &Core, users: &[Box<str>]) -> Result<(Vec<Version>, bool)> {
    let link = core.connections.link().await?;
    let bounds = Bounds::look(core, &link).await?;
    let of_users: Vec<(i64, bool)> = users.iter().map(|user| bounds.of(core, user)).collect();
    let names: Vec<&str> = users.iter().map(|user| &**user).collect();
    let bounds: Vec<i64> = of_users.iter().map(|(bound, _)| *bound).collect();
    let mut positions = vec![0; users.len()];
    for row in link.query(POSITIONS, &[&names, &bounds]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)? - 1)?;
        if let Some(position) = positions.get_mut(place) {
            *position = row.try_get::<_, Option<i64>>(1)?.map_or(0, i64::cast_unsigned);
        }
    }
    Ok((positions, of_users.iter().all(|(_, settled)| *settled)))
}

pub(super) async fn position(core: &Core, user: &str) -> StoreResult<Version> {
    let users = [Box::from(user)];
    let found: StoreResult<_> = async { again!(positions(core, &users)) }.await;
    Ok(found?.0.first().copied().unwrap_or(0))
}
