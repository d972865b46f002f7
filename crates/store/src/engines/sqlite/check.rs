//! Whether the file agrees with itself, and putting right what can be derived from the records.

use rusqlite::{Connection, params};

use super::failure::Result;
use super::write::{forget_namespace, is_empty, record_bytes};
use crate::verify::{PROBLEMS, Problem, ProblemKind};

/// Everything that is checked by statements, on one committed state.
pub(super) fn check(connection: &Connection) -> Result<Vec<Problem>> {
    // Sorting many records needs more than memory.
    connection.execute_batch("PRAGMA temp_store = FILE")?;
    let mut problems = damage(connection)?;
    if problems.is_empty() {
        problems.extend(super::read::snapshot(connection, || {
            let mut problems = counts(connection)?;
            problems.extend(leftovers(connection)?);
            problems.extend(versions(connection)?);
            problems.extend(feed(connection)?);
            Ok(problems)
        })?);
    }
    Ok(problems)
}

/// What SQLite itself finds.
fn damage(connection: &Connection) -> Result<Vec<Problem>> {
    let sql = format!("PRAGMA integrity_check({PROBLEMS})");
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map((), |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>();
    match found.map_err(super::failure::Failure::from) {
        Ok(lines) => {
            let lines = lines.into_iter().filter(|line| line != "ok");
            Ok(lines.map(|line| Problem::new(ProblemKind::Damage, format!("SQLite finds: {line}"))).collect())
        }
        Err(super::failure::Failure(error)) if error.kind() == crate::error::ErrorKind::CorruptStore => {
            Ok(vec![Problem::new(ProblemKind::Damage, "SQLite cannot read the file through")])
        }
        Err(failure) => Err(failure),
    }
}

fn counts(connection: &Connection) -> Result<Vec<Problem>> {
    let mut statement = connection.prepare(concat!(
        "SELECT n.user, n.name, n.records, n.bytes, ifnull(r.records, 0), ifnull(r.bytes, 0) FROM namespaces n
         LEFT JOIN (SELECT namespace_id, count(*) AS records, sum(",
        record_bytes!(),
        ") AS bytes FROM records GROUP BY namespace_id) r ON r.namespace_id = n.id
         WHERE n.records IS NOT ifnull(r.records, 0) OR n.bytes IS NOT ifnull(r.bytes, 0) OR n.records = 0
         ORDER BY n.user, n.name LIMIT ?1"
    ))?;
    let problem = |row: &rusqlite::Row<'_>| {
        let (user, name): (String, String) = (row.get(0)?, row.get(1)?);
        let told: (i64, i64) = (row.get(2)?, row.get(3)?);
        let there: (i64, i64) = (row.get(4)?, row.get(5)?);
        let detail = format!(
            "the namespace is said to hold {} records of {} bytes and holds {} of {}",
            told.0, told.1, there.0, there.1
        );
        Ok(Problem::new(ProblemKind::Counts, detail).in_namespace(&user, &name))
    };
    Ok(statement.query_map([PROBLEMS], problem)?.collect::<Result<_, _>>()?)
}

/// What belongs to something that is not there.
fn leftovers(connection: &Connection) -> Result<Vec<Problem>> {
    let count = |sql: &str| -> Result<u64> { Ok(connection.query_row(sql, (), |row| row.get(0))?) };
    let mut problems = Vec::new();
    let mut tell = |kind, count: u64, what: &str| {
        if count > 0 {
            problems.push(Problem::new(kind, format!("{count} {what}")));
        }
    };
    tell(ProblemKind::LiveDropped, count(LIVE_DROPPED)?, "namespaces are in use and marked to be swept away");
    tell(ProblemKind::Orphans, count(ORPHAN_ACCESSES)?, "counts of reads belong to no record");
    tell(ProblemKind::Orphans, count(ORPHAN_AGENTS)?, "agents are noted for namespaces that are not there");
    tell(ProblemKind::LostRecords, count(LOST_RECORDS)?, "records belong to namespaces that are not there");
    Ok(problems)
}

const LIVE_DROPPED: &str = "SELECT count(*) FROM dropped_namespaces d JOIN namespaces n ON n.id = d.id";
const ORPHAN_ACCESSES: &str = "SELECT count(*) FROM accesses WHERE record_id NOT IN (SELECT id FROM records)";
const ORPHAN_AGENTS: &str =
    "SELECT count(*) FROM namespace_agents WHERE namespace_id NOT IN (SELECT id FROM namespaces)";
const LOST_RECORDS: &str = "SELECT count(*) FROM records WHERE namespace_id NOT IN (SELECT id FROM namespaces)
     AND namespace_id NOT IN (SELECT id FROM dropped_namespaces)";

fn versions(connection: &Connection) -> Result<Vec<Problem>> {
    let mut above = connection.prepare(
        "SELECT n.user, n.name, r.key, r.version, ifnull(c.last, 0) FROM records r JOIN namespaces n ON n.id = r.namespace_id
         LEFT JOIN (SELECT user, max(version) AS last FROM changes GROUP BY user) c ON c.user = n.user
         WHERE r.version > ifnull(c.last, 0) LIMIT ?1",
    )?;
    let problem = |row: &rusqlite::Row<'_>| {
        let (user, name, key): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (version, last): (i64, i64) = (row.get(3)?, row.get(4)?);
        let detail =
            format!("the record has version {version}, the last one that the user's change feed knows is {last}");
        Ok(Problem::new(ProblemKind::VersionAboveFeed, detail).at(&user, &name, &key))
    };
    let mut problems = above.query_map([PROBLEMS], problem)?.collect::<Result<Vec<_>, _>>()?;
    let mut repeated = connection.prepare(
        "SELECT n.user, r.version, count(*), min(n.name), min(r.key) FROM records r JOIN namespaces n ON n.id = r.namespace_id
         GROUP BY n.user, r.version HAVING count(*) > 1 LIMIT ?1",
    )?;
    let problem = |row: &rusqlite::Row<'_>| {
        let (user, name, key): (String, String, String) = (row.get(0)?, row.get(3)?, row.get(4)?);
        let (version, count): (i64, i64) = (row.get(1)?, row.get(2)?);
        let detail = format!("{count} records of the user have version {version}, this one among them");
        Ok(Problem::new(ProblemKind::RepeatedVersion, detail).at(&user, &name, &key))
    };
    problems.extend(repeated.query_map([PROBLEMS], problem)?.collect::<Result<Vec<_>, _>>()?);
    Ok(problems)
}

/// Compares the newest change of each key with its record, and each record with the change that made it.
fn feed(connection: &Connection) -> Result<Vec<Problem>> {
    let mut newest = connection.prepare(
        "SELECT c.user, c.namespace, c.key, c.version, c.kind = 1 AND d.version IS NULL, r.version
         FROM (SELECT user, namespace, key, max(version) AS version, kind FROM changes WHERE key IS NOT NULL
                 GROUP BY user, namespace, key) c
         LEFT JOIN (SELECT user, namespace, max(version) AS version FROM changes WHERE kind = 4
                 GROUP BY user, namespace) d ON d.user = c.user AND d.namespace = c.namespace AND d.version > c.version
         LEFT JOIN namespaces n ON n.user = c.user AND n.name = c.namespace
         LEFT JOIN records r ON r.namespace_id = n.id AND r.key = c.key
         WHERE iif(c.kind = 1 AND d.version IS NULL, ifnull(r.version, 0) < c.version, r.version < c.version) LIMIT ?1",
    )?;
    let problem = |row: &rusqlite::Row<'_>| {
        let (user, name, key): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (version, is_set, found): (i64, bool, Option<i64>) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let detail = match (is_set, found) {
            (true, None) => format!("it was written with version {version} and is not there"),
            (true, Some(found)) => format!("it was written with version {version} and is there with version {found}"),
            (false, _) => format!("it was removed after version {version} and is there"),
        };
        Ok(Problem::new(ProblemKind::Feed, detail).at(&user, &name, &key))
    };
    let mut problems = newest.query_map([PROBLEMS], problem)?.collect::<Result<Vec<_>, _>>()?;
    // A version that something expired with may be that of a record which was copied from elsewhere.
    let mut records = connection.prepare(
        "SELECT n.user, n.name, r.key, r.version FROM records r JOIN namespaces n ON n.id = r.namespace_id
         JOIN (SELECT user, min(version) AS first, max(version) AS last FROM changes GROUP BY user) f ON f.user = n.user
         LEFT JOIN changes c ON c.user = n.user AND c.version = r.version
         WHERE r.version BETWEEN f.first AND f.last AND (c.version IS NULL OR c.kind IN (2, 4)
             OR c.kind = 1 AND (c.namespace IS NOT n.name OR c.key IS NOT r.key)) LIMIT ?1",
    )?;
    let problem = |row: &rusqlite::Row<'_>| {
        let (user, name, key): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let detail =
            format!("the change feed does not know that it was written with version {}", row.get::<_, i64>(3)?);
        Ok(Problem::new(ProblemKind::Feed, detail).at(&user, &name, &key))
    };
    problems.extend(records.query_map([PROBLEMS], problem)?.collect::<Result<Vec<_>, _>>()?);
    Ok(problems)
}

/// Puts right what can be, inside a transaction that [`super::writer`] has begun.
pub(super) fn mend(connection: &Connection, problems: &[Problem]) -> Result<()> {
    let has = |kind| problems.iter().any(|problem| problem.kind == kind);
    if has(ProblemKind::LiveDropped) {
        connection.execute("DELETE FROM dropped_namespaces WHERE id IN (SELECT id FROM namespaces)", ())?;
    }
    if has(ProblemKind::Orphans) {
        connection.execute("DELETE FROM accesses WHERE record_id NOT IN (SELECT id FROM records)", ())?;
        connection.execute("DELETE FROM namespace_agents WHERE namespace_id NOT IN (SELECT id FROM namespaces)", ())?;
    }
    if has(ProblemKind::LostRecords) {
        // Housekeeping removes them, step by step.
        connection.execute(
            "INSERT OR IGNORE INTO dropped_namespaces SELECT DISTINCT namespace_id FROM records
             WHERE namespace_id NOT IN (SELECT id FROM namespaces)",
            (),
        )?;
    }
    for problem in problems.iter().filter(|problem| problem.kind == ProblemKind::Counts) {
        if let (Some(user), Some(namespace)) = (&problem.user, &problem.namespace) {
            count_anew(connection, user, namespace)?;
        }
    }
    Ok(())
}

fn count_anew(connection: &Connection, user: &str, namespace: &str) -> Result<()> {
    let mut ids = connection.prepare_cached("SELECT id FROM namespaces WHERE user = ?1 AND name = ?2")?;
    let ids = ids.query_map(params![user, namespace], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    for id in ids {
        connection
            .prepare_cached(concat!(
                "UPDATE namespaces SET (records, bytes) = (SELECT count(*), ifnull(sum(",
                record_bytes!(),
                "), 0) FROM records WHERE namespace_id = ?1) WHERE id = ?1"
            ))?
            .execute([id])?;
        if is_empty(connection, id)? {
            forget_namespace(connection, id)?;
        }
    }
    Ok(())
}
