//! Touch: expiry and metadata without the value.

use super::Cases;
use crate::conformance::subject::{SECOND, WriteExt};
use crate::model::{Expiry, Mutation};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("touch leaves the value and returns none", |subject| {
        let notes = subject.notes();
        notes.set("a", "[1, 2]");
        let outcome = notes.apply("a", Mutation::Touch);
        assert_eq!((outcome.existed, outcome.result), (true, None));
        assert_eq!(notes.get("a").as_deref(), Some("[1, 2]"));
    });

    cases.add("touch gives, moves and removes an expiry", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let touch = |expiry| notes.write(vec![notes.write_to("a", Mutation::Touch).expiring(expiry)]);
        touch(Expiry::After(SECOND));
        assert_eq!(notes.record("a").expires_at, Some(subject.now().saturating_add(SECOND)));
        subject.advance(SECOND / 2);
        touch(Expiry::After(SECOND));
        assert_eq!(notes.record("a").expires_at, Some(subject.now().saturating_add(SECOND)));
        let kept = notes.record("a").expires_at;
        subject.advance(SECOND / 2);
        touch(Expiry::Default);
        assert_eq!(notes.record("a").expires_at, kept);
        touch(Expiry::Never);
        assert_eq!(notes.record("a").expires_at, None);
        subject.advance(10 * SECOND);
        assert_eq!(notes.get("a").as_deref(), Some("1"));
    });

    cases.add("touch does nothing where no record is", |subject| {
        let notes = subject.notes();
        notes.set_for(SECOND, "expired", "1");
        subject.advance(SECOND);
        for key in ["missing", "expired"] {
            let touch = notes.write_to(key, Mutation::Touch).with_metadata(r#"{"a":1}"#).expiring(Expiry::Never);
            let outcome = &notes.write(vec![touch])[0];
            assert_eq!((outcome.existed, outcome.version), (false, 0));
            assert_eq!(notes.get(key), None);
        }
        assert_eq!(notes.list_namespaces(""), [""; 0]);
    });

    cases.add("a check brings neither metadata nor expiry", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let before = notes.inspect("a");
        subject.advance(SECOND);
        let check = notes.write_to("a", Mutation::Check).with_metadata(r#"{"a":1}"#).expiring(Expiry::After(SECOND));
        notes.write(vec![check]);
        assert_eq!(notes.inspect("a"), before);
    });
}
