//! Nothing crosses from one user to another; agents are no boundary.

use super::Cases;
use crate::conformance::subject::{SECOND, events, increment, pairs, refused};
use crate::error::ErrorKind;
use crate::model::ChangeKind::{Clear, Delete, Set};
use crate::model::{PageSize, Range};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("no verb shows another user's records", |subject| {
        let mine = subject.notes();
        let theirs = mine.of_user("other");
        theirs.set("a", "1");
        theirs.in_namespace("private").set("b", "2");
        assert_eq!(mine.get("a"), None);
        assert_eq!(mine.find("a"), None);
        assert_eq!(mine.get_many(&["a"]), []);
        assert_eq!(mine.get_all(), []);
        assert_eq!(mine.page(Range::default(), PageSize::ALL), (vec![], false));
        assert_eq!(mine.records(), []);
        assert_eq!(mine.keys(""), [""; 0]);
        assert_eq!(mine.count(""), 0);
        assert_eq!(mine.list_namespaces(""), [""; 0]);
        assert_eq!(mine.namespaces(), []);
        assert_eq!(subject.feed(), []);
    });

    cases.add("no verb changes another user's records", |subject| {
        let mine = subject.notes();
        let theirs = mine.of_user("other");
        theirs.set("a", "1");
        let before = theirs.everything();
        assert!(!mine.delete("a"));
        assert_eq!(mine.delete_many(&["a"]), 0);
        assert_eq!(mine.clear(), 0);
        assert_eq!(theirs.everything(), before);
        mine.set("a", "5");
        assert_eq!(mine.apply("a", increment("1")).result.map(|sum| sum.to_string()), Some("6".to_owned()));
        assert_eq!(theirs.everything(), before);
        assert_eq!(mine.clear(), 1);
        subject.maintain();
        assert_eq!(theirs.everything(), before);
    });

    cases.add("a precondition looks at one's own record", |subject| {
        let mine = subject.notes();
        let version = mine.of_user("other").set("a", "1");
        refused(mine.set_if(version, "a", "2"), ErrorKind::Conflict);
        mine.set_if(0, "a", "2").expect("nothing of mine is there");
    });

    cases.add("each user has statistics of the same namespace apart", |subject| {
        let mine = subject.notes();
        let theirs = mine.of_user("other").as_agent("stranger");
        mine.set("a", "1");
        subject.advance(SECOND);
        theirs.set("long key", "[1,2,3]");
        let (mine, theirs) = (mine.stats().expect("mine"), theirs.stats().expect("theirs"));
        assert_eq!((mine.records, mine.bytes, theirs.records, theirs.bytes), (1, 2, 1, 15));
        assert_eq!((mine.agents, theirs.agents), (vec!["agent".into()], vec!["stranger".into()]));
        assert!(mine.updated_at < theirs.updated_at);
    });

    cases.add("each user has a change feed", |subject| {
        let mine = subject.notes();
        let theirs = mine.of_user("other");
        mine.set("a", "1");
        theirs.set("b", "1");
        mine.delete("a");
        theirs.clear();
        assert_eq!(events(&subject.feed()), [(Set, "a"), (Delete, "a")]);
        assert_eq!(events(&subject.changes_after("other", 0, 10).changes), [(Set, "b"), (Clear, "")]);
        assert_eq!(subject.changes_after("nobody", 0, 10).changes, []);
    });

    cases.add("agents of one user share its records", |subject| {
        let notes = subject.notes();
        notes.as_agent("writer").set("a", "1");
        assert_eq!(notes.as_agent("reader").get("a").as_deref(), Some("1"));
        assert_eq!(notes.as_administrator().get_all(), pairs([("a", "1")]));
        assert!(notes.as_agent("third").delete("a"));
    });

    cases.add("namespaces of one user are apart", |subject| {
        let notes = subject.notes();
        let other = notes.in_namespace("other");
        notes.set("a", "1");
        other.set("a", "2");
        other.set("b", "3");
        assert_eq!(notes.get_all(), pairs([("a", "1")]));
        assert!(!notes.delete("b"));
        assert!(other.delete("a"));
        assert_eq!(notes.get("a").as_deref(), Some("1"));
        assert_eq!(other.get_all(), pairs([("b", "3")]));
    });
}
