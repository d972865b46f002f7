//! Waiting for a change.

use super::Cases;
use crate::blocking::block_on;
use crate::clock::Timestamp;
use crate::conformance::subject::{SECOND, Subject, USER};
use crate::conformance::threads::Elsewhere;
use crate::error::Result;
use crate::model::Version;

/// A wait in a thread of its own.
fn wait(subject: &Subject<'_>, user: &'static str, since: Version, until: Timestamp) -> Elsewhere<Result<Version>> {
    let store = subject.store().clone();
    Elsewhere::begin(move || block_on(store.engine().wait_for_change(user, since, until)))
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a wait for what has happened already ends at once", |subject| {
        let newest = subject.notes().set("a", "1");
        let never = subject.now().saturating_add(SECOND);
        for since in 0..newest {
            assert_eq!(wait(subject, USER, since, never).end().expect("wait"), newest);
        }
    });

    cases.add("a wait ends when its time has come", |subject| {
        let newest = subject.notes().set("a", "1");
        assert_eq!(wait(subject, USER, newest, subject.now()).end().expect("wait"), newest);
        let waiting = wait(subject, USER, newest, subject.now().saturating_add(SECOND));
        subject.advance(SECOND);
        assert_eq!(waiting.end().expect("wait"), newest);
    });

    cases.add("every kind of change ends a wait", |subject| {
        let notes = subject.notes();
        let changes: [&dyn Fn(); 5] = [
            &|| _ = notes.set("a", "1"),
            &|| _ = notes.delete("a"),
            &|| _ = notes.set_for(SECOND, "b", "1"),
            &|| {
                subject.advance(SECOND);
                subject.maintain();
            },
            &|| {
                notes.set("a", "1");
                notes.clear();
            },
        ];
        let never = subject.now().saturating_add(1_000 * SECOND);
        for change in changes {
            let since = subject.changes_after(USER, 0, 0).last;
            let waiting = wait(subject, USER, since, never);
            change();
            let position = waiting.end().expect("wait");
            assert!(position > since, "{position} after {since}");
            assert!(!subject.changes_after(USER, since, 10).changes.is_empty());
        }
    });

    cases.add("everyone who waits is woken", |subject| {
        let never = subject.now().saturating_add(SECOND);
        let waiting: Vec<_> = (0..8).map(|_| wait(subject, USER, 0, never)).collect();
        let version = subject.notes().set("a", "1");
        for waiting in waiting {
            assert_eq!(waiting.end().expect("wait"), version);
        }
    });

    cases.add("a wait is for changes of its user", |subject| {
        let notes = subject.notes();
        let since = notes.set("a", "1");
        let waiting = wait(subject, USER, since, subject.now().saturating_add(SECOND));
        for _ in 0..5 {
            notes.of_user("other").set("a", "1");
        }
        notes.get("a");
        subject.flush();
        subject.advance(SECOND);
        assert_eq!(waiting.end().expect("wait"), since);
    });

    cases.add("a wait fails when the store is closed", |subject| {
        let waiting = wait(subject, USER, 0, subject.now().saturating_add(SECOND));
        subject.close();
        assert!(waiting.end().is_err());
    });

    cases.add("a wait goes on after the store was held still", |subject| {
        let waiting = wait(subject, USER, 0, subject.now().saturating_add(SECOND));
        drop(subject.store().suspend());
        let version = subject.notes().set("a", "1");
        assert_eq!(waiting.end().expect("wait"), version);
    });

    cases.add("a store opened twice wakes who waits in the other handle", |subject| {
        let beside = subject.again();
        for round in 0..5 {
            let (here, there) = if round % 2 == 0 { (subject, &beside) } else { (&beside, subject) };
            let since = here.changes_after(USER, 0, 0).last;
            let waiting = wait(here, USER, since, here.now().saturating_add(SECOND));
            let version = there.notes().set("a", "1");
            assert_eq!(waiting.end().expect("wait"), version);
        }
    });
}
