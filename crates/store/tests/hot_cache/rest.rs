//! The store at rest: suspended, forked, and after its locks were lost.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use agent_data_store::ErrorKind;
use agent_data_store::engine::Engine;
use agent_data_store::engines::sqlite::SqliteOptions;

use crate::support::{NAMESPACE, Subject, USER, update};

/// Set for the process that forks: the path of its store.
pub(crate) const FORKS: &str = "ADS_TEST_FORKS";

/// More than any machine needs.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn what_happens_during_a_suspension_is_seen_after_it() {
    let subject = Subject::new();
    subject.set("a", "1");
    assert_eq!(subject.warm("a").as_deref(), Some("1"));
    let suspension = subject.store.suspend();
    subject.connection().execute_batch(&update("a", "2")).unwrap();
    drop(suspension);
    assert_eq!(subject.get("a").as_deref(), Some("2"));
    subject.set("b", "1");
    assert_eq!(subject.warm("a").as_deref(), Some("2"));
}

#[test]
fn nothing_is_at_hand_during_a_suspension_and_nobody_has_to_wait_for_that() {
    let subject = Subject::new();
    subject.set("a", "1");
    assert_eq!(subject.warm("a").as_deref(), Some("1"));
    assert!(subject.engine.peek(USER, NAMESPACE, "a").is_some());
    let suspension = subject.store.suspend();
    let (answer, answered) = mpsc::channel();
    let (reader, engine) = (subject.data_store.clone(), subject.engine.clone());
    let thread = std::thread::spawn(move || {
        answer.send(engine.peek(USER, NAMESPACE, "a").is_none() && reader.get_if_at_hand("a").is_none()).unwrap();
        agent_data_store::block_on(reader.get("a")).unwrap().unwrap().as_str().to_owned()
    });
    assert_eq!(answered.recv_timeout(DEADLINE), Ok(true));
    drop(suspension);
    assert_eq!(thread.join().unwrap(), "1");
}

#[test]
fn what_is_cached_goes_with_locks_that_were_lost() {
    let subject = Subject::new();
    subject.set("a", "1");
    assert_eq!(subject.warm("a").as_deref(), Some("1"));
    // What a second SQLite library in the process does when it closes the file: the log is folded up, both files go.
    let name = |suffix: &str| format!("{}{suffix}", subject.path().display());
    let copy = |suffix: &str| format!("{}.copy{suffix}", subject.path().display());
    for suffix in ["", "-wal"] {
        std::fs::copy(name(suffix), copy(suffix)).unwrap();
    }
    rusqlite::Connection::open(copy("")).unwrap().execute_batch(&update("a", "2")).unwrap();
    std::fs::write(subject.path(), std::fs::read(copy("")).unwrap()).unwrap();
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(name(suffix)).unwrap();
    }
    let error = subject.write(vec![crate::support::write("b", agent_data_store::model::Mutation::Check)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(subject.get("a").as_deref(), Some("2"));
    subject.set("b", "1");
    assert_eq!(subject.warm("a").as_deref(), Some("2"));
    subject.connection().execute_batch(&update("a", "3")).unwrap();
    assert_eq!(subject.get("a").as_deref(), Some("3"));
}

#[test]
fn parent_and_child_go_on_after_a_fork() {
    let folder = tempfile::tempdir().unwrap();
    // Alone in a process: other threads' locks would be taken for ever in the child.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture", "--quiet"])
        .env(FORKS, folder.path().join("store.db"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Ends the process.
pub(crate) fn fork(path: &Path) -> ! {
    // SAFETY: no memory is involved. Whoever hangs is ended.
    unsafe { libc::alarm(60) };
    let subject = Subject::at(path, SqliteOptions::default().cache_bytes);
    subject.set("a", "1");
    assert_eq!(subject.warm("a").as_deref(), Some("1"));
    let suspension = subject.store.suspend();
    // SAFETY: this is the only thread that does anything, and the store is at rest.
    let child = unsafe { libc::fork() };
    drop(suspension);
    if child == 0 {
        // SAFETY: as above; an alarm is not inherited.
        unsafe { libc::alarm(60) };
        let before = subject.get("a");
        subject.set("a", "2");
        let seen = (before, subject.get("a"), subject.warm("a"));
        let expected = ["1", "2", "2"].map(|value| Some(value.to_owned()));
        let good = [seen.0, seen.1, seen.2] == expected;
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: `status` lives until the call returns.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child saw something else");
    assert_eq!(subject.get("a").as_deref(), Some("2"));
    subject.set("a", "3");
    assert_eq!(subject.warm("a").as_deref(), Some("3"));
    std::process::exit(0);
}
