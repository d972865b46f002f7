//! Who wrote a record and when.

use super::Cases;
use crate::conformance::subject::{NAMESPACE, SECOND, USER, append, increment, merge, put};
use crate::model::Mutation;

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("a new record tells who created it, where and when", |subject| {
        let notes = subject.notes();
        let version = notes.as_agent("writer").set("a", "1");
        let record = notes.inspect("a");
        assert_eq!((&*record.user_id, &*record.namespace, &*record.key), (USER, NAMESPACE, "a"));
        assert_eq!((record.value.as_str(), record.metadata.as_str()), ("1", "{}"));
        assert_eq!(record.version, version);
        assert_eq!(record.created_by_agent.as_deref(), Some("writer"));
        assert_eq!(record.updated_by_agent.as_deref(), Some("writer"));
        assert_eq!(record.last_accessed_by_agent.as_deref(), Some("writer"));
        assert_eq!((record.created_at, record.updated_at), (subject.now(), subject.now()));
        assert_eq!(record.last_accessed_at, Some(subject.now()));
        assert_eq!((record.access_count, record.expires_at), (0, None));
    });

    cases.add("an overwrite keeps the creation and tells of the update", |subject| {
        let notes = subject.notes();
        notes.as_agent("first").set("a", "1");
        let created = notes.inspect("a");
        subject.advance(SECOND);
        let version = notes.as_agent("second").set("a", "2");
        let updated = notes.inspect("a");
        assert_eq!(updated.created_by_agent, created.created_by_agent);
        assert_eq!(updated.created_at, created.created_at);
        assert_eq!(updated.updated_by_agent.as_deref(), Some("second"));
        assert_eq!(updated.updated_at, subject.now());
        assert_eq!(updated.last_accessed_by_agent.as_deref(), Some("second"));
        assert_eq!(updated.last_accessed_at, Some(subject.now()));
        assert_eq!(updated.version, version);
    });

    cases.add("every mutation keeps the creation and tells of the update", |subject| {
        let notes = subject.notes().as_agent("first");
        let mutations =
            [("1", put("2")), ("1", increment("1")), ("[]", append("[1]")), ("{}", merge("{}")), ("1", Mutation::Touch)];
        for (value, mutation) in mutations {
            notes.set("a", value);
            let created = notes.inspect("a");
            subject.advance(SECOND);
            let outcome = notes.as_agent("second").apply("a", mutation.clone());
            let updated = notes.inspect("a");
            assert_eq!(updated.created_by_agent.as_deref(), Some("first"), "{mutation:?}");
            assert_eq!(updated.created_at, created.created_at, "{mutation:?}");
            assert_eq!(updated.updated_by_agent.as_deref(), Some("second"), "{mutation:?}");
            assert_eq!(updated.updated_at, subject.now(), "{mutation:?}");
            assert_eq!(updated.last_accessed_by_agent.as_deref(), Some("second"), "{mutation:?}");
            assert_eq!(updated.last_accessed_at, Some(subject.now()), "{mutation:?}");
            assert_eq!(updated.version, outcome.version, "{mutation:?}");
            notes.delete("a");
        }
    });

    cases.add("a record created after a deletion begins anew", |subject| {
        let notes = subject.notes();
        notes.as_agent("first").set("a", "1");
        notes.get("a");
        subject.flush();
        notes.delete("a");
        subject.advance(SECOND);
        notes.as_agent("second").set("a", "2");
        let record = notes.inspect("a");
        assert_eq!(record.created_by_agent.as_deref(), Some("second"));
        assert_eq!((record.created_at, record.access_count), (subject.now(), 0));
    });

    cases.add("an administrator's record names no agent", |subject| {
        let administrator = subject.notes().as_administrator();
        administrator.set("a", "1");
        let record = administrator.record("a");
        assert_eq!((record.created_by_agent, record.updated_by_agent), (None, None));
        assert_eq!((record.last_accessed_by_agent, record.last_accessed_at), (None, None));
        assert_eq!((record.created_at, record.updated_at), (subject.now(), subject.now()));
    });

    cases.add("an administrator's overwrite leaves the last access alone", |subject| {
        let notes = subject.notes().as_agent("writer");
        notes.set("a", "1");
        let accessed_at = subject.now();
        subject.advance(SECOND);
        notes.as_administrator().set("a", "2");
        let record = notes.inspect("a");
        assert_eq!(record.created_by_agent.as_deref(), Some("writer"));
        assert_eq!((record.updated_by_agent, record.updated_at), (None, subject.now()));
        assert_eq!(record.last_accessed_by_agent.as_deref(), Some("writer"));
        assert_eq!(record.last_accessed_at, Some(accessed_at));
    });

    cases.add("a listing of records tells of each what get_record does", |subject| {
        let notes = subject.notes();
        notes.set_with(r#"{"a":1}"#, "a", "1");
        subject.advance(SECOND);
        notes.as_agent("other").set_for(SECOND, "b", "2");
        notes.get("a");
        subject.flush();
        let administrator = notes.as_administrator();
        assert_eq!(administrator.records(), [notes.inspect("a"), notes.inspect("b")]);
    });

    cases.add("times are kept to the microsecond", |subject| {
        let notes = subject.notes();
        subject.advance(std::time::Duration::from_micros(123_457));
        notes.set_for(std::time::Duration::from_micros(7_654_321), "a", "1");
        let record = notes.record("a");
        assert_eq!(record.created_at, subject.now());
        assert_eq!(record.expires_at.map(|at| at.as_micros() - subject.now().as_micros()), Some(7_654_321));
    });
}
