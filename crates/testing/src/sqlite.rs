//! What must hold of a store file at any time.

use std::path::Path;

use rusqlite::Connection;

/// Checks that SQLite finds the file sound, that the counts are those of the rows, and that nothing belongs to nothing.
///
/// # Panics
/// Where that is not so, or the file cannot be opened.
pub fn check(path: &Path) {
    let connection = Connection::open(path).expect("the file opens");
    let number = |query: &str| -> u64 { connection.query_row(query, (), |row| row.get(0)).expect("a number") };
    let sound: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).expect("a text");
    assert_eq!(sound, "ok");
    let wrong = number(
        "SELECT count(*) FROM namespaces n WHERE records != (SELECT count(*) FROM records WHERE namespace_id = n.id)
            OR bytes != (SELECT ifnull(sum(octet_length(key) + octet_length(value)
                         + ifnull(octet_length(metadata), 0)), 0) FROM records WHERE namespace_id = n.id)
            OR records = 0",
    );
    assert_eq!(wrong, 0, "namespaces whose counts are not those of their rows");
    let orphans = number(
        "SELECT (SELECT count(*) FROM records WHERE namespace_id NOT IN
                    (SELECT id FROM namespaces UNION ALL SELECT id FROM dropped_namespaces))
              + (SELECT count(*) FROM accesses WHERE record_id NOT IN (SELECT id FROM records))",
    );
    assert_eq!(orphans, 0, "rows that belong to nothing");
}
