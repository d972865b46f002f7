//! What others do to the file: every commit is seen at once, and nothing but commits.

use rusqlite::backup::Backup;

use crate::support::{Subject, update};

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn a_commit_of_another_connection_is_seen_at_once() {
    let subject = Subject::new();
    subject.set("a", "1");
    let other = subject.connection();
    assert_eq!(subject.warm("a"), some("1"));
    for round in 2..20 {
        other.execute_batch(&update("a", &round.to_string())).unwrap();
        assert_eq!(subject.get_miss("a"), some(&round.to_string()));
        assert_eq!(subject.get_hit("a"), some(&round.to_string()));
    }
}

#[test]
fn what_another_connection_has_not_committed_is_not_seen() {
    let subject = Subject::new();
    subject.set("a", "1");
    let other = subject.connection();
    assert_eq!(subject.warm("a"), some("1"));
    other.execute_batch(&format!("BEGIN; {}", update("a", "2"))).unwrap();
    assert_eq!(subject.get_hit("a"), some("1"));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(subject.get_hit("a"), some("1"));
    other.execute_batch(&format!("BEGIN; {}; COMMIT", update("a", "3"))).unwrap();
    assert_eq!(subject.get("a"), some("3"));
}

#[test]
fn two_openings_of_a_file_see_each_others_writes() {
    let first = Subject::new();
    first.set("a", "1");
    let second = first.again();
    assert_eq!((first.warm("a"), second.warm("a")), (some("1"), some("1")));
    for round in 0..20 {
        let (writer, reader) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        writer.set("a", &format!("[{round}]"));
        assert_eq!(reader.get_miss("a"), Some(format!("[{round}]")));
        assert_eq!(writer.get("a"), Some(format!("[{round}]")));
        assert_eq!((first.warm("a"), second.warm("a")), (first.get("a"), first.get("a")));
    }
}

#[test]
fn what_was_absent_is_seen_when_another_opening_creates_it() {
    let first = Subject::new();
    first.set("other", "1");
    let second = first.again();
    assert_eq!(first.warm("a"), None);
    second.set("a", "1");
    assert_eq!(first.get("a"), some("1"));
    assert_eq!(first.warm("a"), some("1"));
    second.delete("a");
    assert_eq!(first.get("a"), None);
}

#[test]
fn checkpoints_change_nothing() {
    let subject = Subject::new();
    subject.set("a", "1");
    let other = subject.connection();
    for kind in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        assert_eq!(subject.warm("a"), some("1"));
        other.query_row(&format!("PRAGMA wal_checkpoint({kind})"), (), |_| Ok(())).unwrap();
        assert_eq!(subject.get("a"), some("1"), "after {kind}");
        subject.set("b", "1");
        assert_eq!(subject.warm("a"), some("1"));
        other.query_row(&format!("PRAGMA wal_checkpoint({kind})"), (), |_| Ok(())).unwrap();
        other.execute_batch(&update("a", "2")).unwrap();
        assert_eq!(subject.get("a"), some("2"), "after {kind} and a write");
        subject.set("a", "1");
    }
}

#[test]
fn a_vacuum_is_survived() {
    let subject = Subject::new();
    for key in 0..200 {
        subject.set(&format!("filler{key}"), &format!("\"{}\"", "x".repeat(2_000)));
    }
    subject.set("a", "1");
    for key in 0..200 {
        subject.delete(&format!("filler{key}"));
    }
    let other = subject.connection();
    assert_eq!((subject.warm("a"), subject.warm("filler0")), (some("1"), None));
    other.execute_batch("VACUUM").unwrap();
    assert_eq!(subject.get_miss("a"), some("1"));
    assert_eq!((subject.warm("a"), subject.warm("filler0")), (some("1"), None));
    other.execute_batch(&format!("{}; VACUUM", update("a", "2"))).unwrap();
    assert_eq!(subject.get("a"), some("2"));
    subject.set("a", "3");
    assert_eq!(subject.warm("a"), some("3"));
}

#[test]
fn a_backup_that_is_restored_over_the_open_store_is_seen() {
    let backup = Subject::new();
    backup.set("a", "\"old\"");
    let subject = Subject::new();
    subject.set("a", "\"new\"");
    subject.set("b", "\"new\"");
    assert_eq!((subject.warm("a"), subject.warm("b"), subject.warm("c")), (some("\"new\""), some("\"new\""), None));
    let mut target = subject.connection();
    Backup::new(&backup.connection(), &mut target)
        .unwrap()
        .run_to_completion(100, std::time::Duration::ZERO, None)
        .unwrap();
    assert_eq!((subject.get("a"), subject.get("b"), subject.get("c")), (some("\"old\""), None, None));
    subject.set("c", "1");
    assert_eq!((subject.warm("a"), subject.warm("b"), subject.warm("c")), (some("\"old\""), None, some("1")));
}

#[test]
fn the_journal_mode_of_an_open_store_cannot_be_changed() {
    let subject = Subject::new();
    subject.set("a", "1");
    let other = subject.connection();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert_eq!(subject.warm("a"), some("1"));
    for mode in ["DELETE", "TRUNCATE", "MEMORY", "OFF"] {
        let changed = other.query_row(&format!("PRAGMA journal_mode = {mode}"), (), |row| row.get::<_, String>(0));
        assert!(changed.is_err() || changed.as_deref() == Ok("wal"), "{mode}: {changed:?}");
    }
    assert_eq!(subject.warm("a"), some("1"));
    other.execute_batch(&update("a", "2")).unwrap();
    assert_eq!(subject.get("a"), some("2"));
}

#[test]
fn a_journal_mode_that_was_changed_meanwhile_only_takes_the_cache_away() {
    let subject = Subject::new();
    subject.set("a", "1");
    assert_eq!(subject.warm("a"), some("1"));
    let suspension = subject.store.suspend();
    let other = subject.connection();
    let mode: String = other.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    drop(suspension);
    for round in 2..5 {
        other.execute_batch(&update("a", &round.to_string())).unwrap();
        assert_eq!(subject.get_miss("a"), some(&round.to_string()));
    }
    subject.set("a", "9");
    assert_eq!(subject.get_miss("a"), some("9"));
}

/// Of a file that was opened after everybody had closed it and that nobody has written to since: it may look the same
/// again when it has changed.
#[test]
fn nothing_is_kept_of_a_state_that_cannot_be_told_from_others() {
    let subject = Subject::new();
    subject.set("a", "1");
    drop(subject.store.suspend());
    for _ in 0..5 {
        assert_eq!(subject.get_miss("a"), some("1"));
    }
    subject.set("b", "1");
    assert_eq!(subject.warm("a"), some("1"));
}
