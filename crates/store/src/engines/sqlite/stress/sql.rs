//! The steps of [`super::ledger`] as SQL, for writers that know nothing of the engine.

use rusqlite::Connection;

use super::ledger::{Key, NEVER_COMMITTED, SLOTS};
use super::{BALLAST, NAMESPACE, USER};

/// Nobody cuts the power here, and who waits for the disk does nothing else. Large transactions overflow into the log.
pub(super) const SETTINGS: &str = "PRAGMA synchronous = OFF; PRAGMA cache_size = 10;";

pub(super) const CHECKPOINTS: [&str; 4] = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];

/// Statements that belong together; `?1` stands for the step.
pub(super) struct Script(Vec<String>);

impl Script {
    pub(super) fn run(&self, connection: &Connection, step: u64) {
        for sql in &self.0 {
            let mut statement = connection.prepare_cached(sql).unwrap();
            let parameters = &[step][..statement.parameter_count()];
            statement.execute(rusqlite::params_from_iter(parameters)).unwrap();
        }
    }

    pub(super) fn text(&self, step: u64) -> String {
        self.0.iter().map(|sql| format!("{}; ", sql.replace("?1", &step.to_string()))).collect()
    }
}

pub(super) struct Scripts {
    /// Takes the number one step further, as the engine would: with a version and a change.
    pub(super) begin_step: Script,
    /// Brings the other keys to the step that [`read_number`] then gives.
    pub(super) finish_step: Script,
    /// Writes what must never be seen, more than the connection's cache holds: part of it goes to the log at once.
    pub(super) write_in_vain: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let id = |name: &str| format!("(SELECT id FROM namespaces WHERE user = '{USER}' AND name = '{name}')");
        let (namespace, ballast) = (id(NAMESPACE), id(BALLAST));
        let version = format!("(SELECT max(version) FROM changes WHERE user = '{USER}')");
        let number = is_record(Key::Number);
        let begin_step = vec![
            "BEGIN IMMEDIATE".to_owned(),
            format!(
                "INSERT INTO changes (user, version, kind, namespace, key, agent, at)
                 SELECT '{USER}', max(version) + 1, 1, '{NAMESPACE}', 'number', NULL, 0 FROM changes
                 WHERE user = '{USER}'"
            ),
            format!("UPDATE records SET value = CAST(value AS INTEGER) + 1, version = {version} WHERE {number}"),
        ];
        let finish_step = vec![
            format!(
                "INSERT INTO records (namespace_id, key, version, created_at, updated_at, value)
                 SELECT {namespace}, 'flicker', {version}, 0, 0, ?1 WHERE ?1 % 2 = 1"
            ),
            format!("DELETE FROM records WHERE {} AND ?1 % 2 = 0", is_record(Key::Flicker)),
            format!(
                "UPDATE records SET value = ?1, version = {version}
                 WHERE namespace_id = {namespace} AND key = 'slot' || (?1 % {SLOTS})"
            ),
            format!(
                "UPDATE namespaces SET (records, bytes) =
                     (SELECT count(*), sum(length(key) + length(value)) FROM records WHERE namespace_id = namespaces.id)
                 WHERE id = {namespace}"
            ),
        ];
        let write_in_vain = vec![
            "BEGIN IMMEDIATE".to_owned(),
            format!(
                "UPDATE records SET value = CAST(value AS INTEGER) + {NEVER_COMMITTED}, version = version + 1
                 WHERE namespace_id = {namespace}"
            ),
            format!("UPDATE records SET value = replace(value, 'x', 'y') WHERE namespace_id = {ballast}"),
        ];
        Self { begin_step: Script(begin_step), finish_step: Script(finish_step), write_in_vain: Script(write_in_vain) }
    }
}

/// The number as this connection sees it.
pub(super) fn read_number() -> String {
    format!("SELECT CAST(value AS INTEGER) FROM records WHERE {}", is_record(Key::Number))
}

fn is_record(key: Key) -> String {
    format!(
        "namespace_id = (SELECT id FROM namespaces WHERE user = '{USER}' AND name = '{NAMESPACE}') AND key = '{}'",
        key.name()
    )
}
