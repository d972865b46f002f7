//! Whether the tables agree with each other, and putting right what can be derived from the records.

use super::Core;
use super::begin::{Ask, begin};
use super::connect::Link;
use super::failure::{Patience, Result};
use crate::error::Result as StoreResult;
use crate::verify::{PROBLEMS, Problem, ProblemKind};

/// One committed state, with all the time and all the plans that whole tables take.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const AT_LEISURE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
const PLANS: &str = "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on;
                     SET LOCAL enable_material = on";

macro_rules! record_bytes {
    () => {
        "octet_length(r.key) + octet_length(r.value) + coalesce(octet_length(r.metadata), 0)"
    };
}

const COUNTS: &str = concat!(
    "SELECT n.user_id, n.name, c.records, c.bytes, coalesce(r.records, 0), coalesce(r.bytes, 0) FROM {t}namespaces n
     CROSS JOIN LATERAL (SELECT coalesce(sum(c.records), 0)::bigint AS records, coalesce(sum(c.bytes), 0)::bigint AS bytes
         FROM {t}counts c WHERE c.user_id = n.user_id AND c.namespace_id = n.id) c
     LEFT JOIN (SELECT r.user_id, r.namespace_id, count(*) AS records, sum(",
    record_bytes!(),
    ")::bigint AS bytes FROM {t}records r GROUP BY r.user_id, r.namespace_id) r ON r.user_id = n.user_id AND r.namespace_id = n.id
     WHERE c.records <> coalesce(r.records, 0) OR c.bytes <> coalesce(r.bytes, 0) ORDER BY n.user_id, n.name LIMIT $1"
);

macro_rules! without_namespace {
    ($what:literal, $table:literal) => {
        concat!(
            $what,
            " FROM {t}",
            $table,
            " o WHERE NOT EXISTS (SELECT 1 FROM {t}namespaces n WHERE n.user_id = o.user_id AND n.id = o.namespace_id)
                 AND NOT EXISTS (SELECT 1 FROM {t}dropped d WHERE d.user_id = o.user_id AND d.namespace_id = o.namespace_id)"
        )
    };
}
const LIVE_DROPPED: &str =
    "SELECT count(*) FROM {t}dropped d JOIN {t}namespaces n ON n.user_id = d.user_id AND n.id = d.namespace_id";
const ORPHAN_COUNTS: &str = without_namespace!("SELECT count(*)", "counts");
const ORPHAN_AGENTS: &str = without_namespace!("SELECT count(*)", "agents");
const LOST_RECORDS: &str = without_namespace!("SELECT count(*)", "records");

const ABOVE: &str = "SELECT n.user_id, n.name, r.key, r.version, coalesce(c.last, 0) FROM {t}records r
     JOIN {t}namespaces n ON n.user_id = r.user_id AND n.id = r.namespace_id
     LEFT JOIN (SELECT user_id, max(version) AS last FROM {t}changes GROUP BY user_id) c ON c.user_id = r.user_id
     WHERE r.version > coalesce(c.last, 0) LIMIT $1";

const REPEATED: &str = "SELECT r.user_id, min(n.name), min(r.key), r.version, count(*) FROM {t}records r
     JOIN {t}namespaces n ON n.user_id = r.user_id AND n.id = r.namespace_id
     GROUP BY r.user_id, r.version HAVING count(*) > 1 LIMIT $1";

const NEWEST: &str = "SELECT c.user_id, c.namespace, c.key, c.version, r.version, c.kind = 1 AND d.version IS NULL
     FROM (SELECT DISTINCT ON (user_id, namespace, key) user_id, namespace, key, version, kind FROM {t}changes
             WHERE key IS NOT NULL ORDER BY user_id, namespace, key, version DESC) c
     LEFT JOIN (SELECT user_id, namespace, max(version) AS version FROM {t}changes WHERE kind = 4
             GROUP BY user_id, namespace) d ON d.user_id = c.user_id AND d.namespace = c.namespace AND d.version > c.version
     LEFT JOIN {t}namespaces n ON n.user_id = c.user_id AND n.name = c.namespace
     LEFT JOIN {t}records r ON r.user_id = n.user_id AND r.namespace_id = n.id AND r.key = c.key
     WHERE CASE WHEN c.kind = 1 AND d.version IS NULL THEN coalesce(r.version, 0) ELSE r.version END < c.version LIMIT $1";

// A version that something expired with may be that of a record which was copied from elsewhere.
const UNKNOWN: &str = "SELECT n.user_id, n.name, r.key, r.version FROM {t}records r
     JOIN {t}namespaces n ON n.user_id = r.user_id AND n.id = r.namespace_id
     JOIN (SELECT user_id, min(version) AS first, max(version) AS last FROM {t}changes GROUP BY user_id) f
         ON f.user_id = r.user_id AND r.version BETWEEN f.first AND f.last
     LEFT JOIN {t}changes c ON c.user_id = r.user_id AND c.version = r.version
     WHERE c.version IS NULL OR c.kind IN (2, 4)
         OR c.kind = 1 AND (c.namespace <> n.name OR c.key IS DISTINCT FROM r.key) LIMIT $1";

/// Everything that is checked by statements.
pub(super) async fn check(core: &Core) -> StoreResult<Vec<Problem>> {
    let mut patience = Patience::new();
    loop {
        match try_check(core).await {
            Ok(problems) => return Ok(problems),
            Err(failure) => patience.after(failure).await?,
        }
    }
}

async fn try_check(core: &Core) -> Result<Vec<Problem>> {
    let link = core.connections.link().await?.at_leisure();
    link.execute(BEGIN).await?;
    let problems = look(&link).await;
    // With the settings of the transaction, whatever came of it.
    match (&problems, link.execute("ROLLBACK").await) {
        (Ok(_), Ok(())) => {}
        _ => link.discard(),
    }
    problems
}

async fn look(link: &Link) -> Result<Vec<Problem>> {
    link.execute(AT_LEISURE).await?;
    link.execute("SAVEPOINT plans").await?;
    // Databases that do not know these choose by other rules.
    if link.execute(PLANS).await.is_err() {
        link.execute("ROLLBACK TO plans").await?;
    }
    let most = i64::try_from(PROBLEMS)?;
    let mut problems = Vec::new();
    for row in link.query(COUNTS, &[&most]).await? {
        let told: (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let there: (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
        let detail = format!(
            "the namespace is said to hold {} records of {} bytes and holds {} of {}",
            told.0, told.1, there.0, there.1
        );
        problems.push(Problem::new(ProblemKind::Counts, detail).in_namespace(row.try_get(0)?, row.try_get(1)?));
    }
    for (kind, sql, what) in [
        (ProblemKind::LiveDropped, LIVE_DROPPED, "namespaces are in use and marked to be swept away"),
        (ProblemKind::Orphans, ORPHAN_COUNTS, "counts are of namespaces that are not there"),
        (ProblemKind::Orphans, ORPHAN_AGENTS, "agents are noted for namespaces that are not there"),
        (ProblemKind::LostRecords, LOST_RECORDS, "records belong to namespaces that are not there"),
    ] {
        let count: i64 = link.query_one(sql, &[]).await?.try_get(0)?;
        if count > 0 {
            problems.push(Problem::new(kind, format!("{count} {what}")));
        }
    }
    let at = |row: &tokio_postgres::Row, kind, detail| -> Result<Problem> {
        Ok(Problem::new(kind, detail).at(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    for row in link.query(ABOVE, &[&most]).await? {
        let (version, last): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        let detail =
            format!("the record has version {version}, the last one that the user's change feed knows is {last}");
        problems.push(at(&row, ProblemKind::VersionAboveFeed, detail)?);
    }
    for row in link.query(REPEATED, &[&most]).await? {
        let (version, count): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        let detail = format!("{count} records of the user have version {version}, this one among them");
        problems.push(at(&row, ProblemKind::RepeatedVersion, detail)?);
    }
    for row in link.query(NEWEST, &[&most]).await? {
        let (version, found, is_set): (i64, Option<i64>, bool) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        let detail = match (is_set, found) {
            (true, None) => format!("it was written with version {version} and is not there"),
            (true, Some(found)) => format!("it was written with version {version} and is there with version {found}"),
            (false, _) => format!("it was removed after version {version} and is there"),
        };
        problems.push(at(&row, ProblemKind::Feed, detail)?);
    }
    for row in link.query(UNKNOWN, &[&most]).await? {
        let version: i64 = row.try_get(3)?;
        let detail = format!("the change feed does not know that it was written with version {version}");
        problems.push(at(&row, ProblemKind::Feed, detail)?);
    }
    Ok(problems)
}

const KEEP_LIVE: &str =
    "DELETE FROM {t}dropped d USING {t}namespaces n WHERE n.user_id = d.user_id AND n.id = d.namespace_id";
const FORGET_COUNTS: &str = without_namespace!("DELETE", "counts");
const FORGET_AGENTS: &str = without_namespace!("DELETE", "agents");
const DROP_LOST: &str = concat!(
    "INSERT INTO {t}dropped (user_id, namespace_id) ",
    without_namespace!("SELECT DISTINCT o.user_id, o.namespace_id", "records"),
    " ON CONFLICT DO NOTHING"
);

const COUNT_ANEW: &str = concat!(
    "WITH gone AS (DELETE FROM {t}counts WHERE user_id = $1 AND namespace_id = $2 AND slot <> 0)
     INSERT INTO {t}counts AS c (user_id, namespace_id, slot, records, bytes, updated_at)
     SELECT $1, $2::bigint, 0, count(*), coalesce(sum(",
    record_bytes!(),
    "), 0)::bigint, coalesce((SELECT max(updated_at) FROM {t}counts WHERE user_id = $1 AND namespace_id = $2), 0)
     FROM {t}records r WHERE r.user_id = $1 AND r.namespace_id = $2
     ON CONFLICT (user_id, namespace_id, slot) DO UPDATE SET records = excluded.records, bytes = excluded.bytes,
         updated_at = excluded.updated_at"
);

/// Each step by itself; any of them may be repeated.
pub(super) async fn mend(core: &Core, problems: &[Problem]) -> StoreResult<()> {
    let has = |kind| problems.iter().any(|problem| problem.kind == kind);
    let steps = [
        (ProblemKind::LiveDropped, KEEP_LIVE),
        (ProblemKind::Orphans, FORGET_COUNTS),
        (ProblemKind::Orphans, FORGET_AGENTS),
        (ProblemKind::LostRecords, DROP_LOST),
    ];
    for (_, sql) in steps.iter().filter(|(kind, _)| has(*kind)) {
        let link = core.connections.link().await?;
        link.query(sql, &[]).await?;
    }
    for problem in problems.iter().filter(|problem| problem.kind == ProblemKind::Counts) {
        let (Some(user), Some(namespace)) = (&problem.user, &problem.namespace) else { continue };
        let mut patience = Patience::new();
        while let Err(failure) = count_anew(core, user, namespace).await {
            patience.after(failure).await?;
        }
        super::clear::forget_if_empty(core, user, namespace).await?;
    }
    Ok(())
}

async fn count_anew(core: &Core, user: &str, namespace: &str) -> Result<()> {
    let namespaces = [namespace];
    // Nobody else counts there meanwhile.
    let ask = Ask {
        user,
        namespaces: &namespaces,
        alone: true,
        keys: &[],
        skip_locked: false,
        request: None,
        with_usage: false,
        versions: 0,
    };
    let (transaction, met) = begin(&core.shared, core.connections.link().await?, &ask).await?;
    let Some(Some(id)) = met.ids.first().copied() else {
        transaction.rollback().await;
        return Ok(());
    };
    let counted = async {
        let link = transaction.link()?;
        link.query(COUNT_ANEW, &[&user, &id]).await?;
        link.execute("COMMIT").await
    };
    match counted.await {
        Ok(()) => {
            transaction.committed();
            Ok(())
        }
        Err(failure) => {
            transaction.rollback().await;
            Err(failure)
        }
    }
}
