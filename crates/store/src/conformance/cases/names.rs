//! Names: any character but NUL, within the limits.

use super::Cases;
use crate::blocking::block_on;
use crate::conformance::subject::{AGENT, Handle, json, pairs, put, refused};
use crate::data_store::{Identity, SetOptions};
use crate::error::ErrorKind::InvalidArgument;
use crate::limits::{IDENTITY_BYTES, KEY_BYTES, NAMESPACE_BYTES};

/// Names that a careless engine would split, quote, fold or lose.
const ODD: [&str; 14] = [
    ":", "a:b", "/", "../a", "%", "%2F", "a b", " ", "'; --", "\"\\\"", "\n\t\u{1}", "😀", "\u{202e}עברית", "null",
];

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("odd keys are kept as they are", |subject| {
        let notes = subject.notes();
        for (index, key) in ODD.iter().enumerate() {
            notes.set(key, &index.to_string());
        }
        let mut ordered = ODD;
        ordered.sort_unstable();
        assert_eq!(notes.keys(""), ordered);
        for (index, key) in ODD.iter().enumerate() {
            assert_eq!(notes.get(key), Some(index.to_string()), "{key:?}");
            assert_eq!(&*notes.record(key).key, *key);
            assert_eq!(notes.keys(key).first().map(String::as_str), Some(*key));
        }
        for key in ODD {
            assert!(notes.delete(key), "{key:?}");
        }
        assert_eq!(notes.count(""), 0);
    });

    cases.add("odd users, namespaces and agents are kept as they are", |subject| {
        for user in ODD {
            for namespace in ODD {
                let here = Handle::new(subject.store(), user, Some(namespace), namespace);
                here.set("a", &json_string(&[user, namespace]));
            }
        }
        let mut ordered = ODD;
        ordered.sort_unstable();
        for user in ODD {
            for namespace in ODD {
                let here = Handle::new(subject.store(), user, None, namespace);
                assert_eq!(here.get_all(), [("a".to_owned(), json_string(&[user, namespace]))]);
                let record = here.record("a");
                assert_eq!((&*record.user_id, &*record.namespace), (user, namespace));
                assert_eq!(record.created_by_agent.as_deref(), Some(namespace));
            }
            let anywhere = Handle::new(subject.store(), user, None, "a");
            assert_eq!(anywhere.list_namespaces(""), ordered);
            let stats = anywhere.namespaces();
            assert!(stats.iter().all(|stats| stats.agents == [stats.namespace.clone()]));
            let feed = subject.changes_after(user, 0, usize::MAX).changes;
            assert!(feed.iter().map(|change| &*change.namespace).eq(ODD));
            assert!(feed.iter().map(|change| change.agent.as_deref()).eq(ODD.map(Some)));
        }
    });

    cases.add("user, namespace and key never run into each other", |subject| {
        let splits = [
            ["a:b", "c", "d"],
            ["a", "b:c", "d"],
            ["a", "b", "c:d"],
            ["a:b:c", "d", ":"],
            ["a/b", "c", "d"],
            ["a", "b/c", "d"],
            ["a", "b", "c/d"],
            ["ab", "c", "d"],
            ["a", "bc", "d"],
            ["a", "b", "cd"],
            ["a", "b", "d"],
        ];
        let at = |[user, namespace, _]: [&str; 3]| Handle::new(subject.store(), user, Some(AGENT), namespace);
        for split in splits {
            at(split).set(split[2], &json_string(&split));
        }
        for split in splits {
            assert_eq!(at(split).get(split[2]), Some(json_string(&split)));
        }
        assert!(at(splits[0]).delete("d"));
        assert_eq!(at(splits[1]).clear(), 1);
        for split in &splits[2..] {
            assert_eq!(at(*split).get(split[2]), Some(json_string(split)));
        }
    });

    cases.add("names may be as long as their limits", |subject| {
        let (user, agent) = ("é".repeat(IDENTITY_BYTES / 2), "😀".repeat(IDENTITY_BYTES / 4));
        let (namespace, key) = ("n".repeat(NAMESPACE_BYTES), "中".repeat(KEY_BYTES / 3) + "k");
        assert_eq!(key.len(), 1_024);
        let here = Handle::new(subject.store(), &user, Some(&agent), &namespace);
        here.set(&key, "1");
        assert_eq!(here.get_all(), pairs([(&key, "1")]));
        assert_eq!(here.record(&key).created_by_agent.as_deref(), Some(&*agent));
        assert_eq!(here.list_namespaces(""), [namespace]);
        // Two that differ in their last byte alone.
        let sibling = "中".repeat(KEY_BYTES / 3) + "l";
        here.set(&sibling, "2");
        assert_eq!(here.get_all(), pairs([(&key, "1"), (&sibling, "2")]));
    });

    cases.add("longer names, empty names and names with NUL are refused by every verb", |subject| {
        let notes = subject.notes();
        notes.set("a", "1");
        let verbs = notes.verbs();
        let long = "k".repeat(KEY_BYTES + 1);
        for key in [&long, "", "a\0b"] {
            refused(block_on(verbs.get(key)), InvalidArgument);
            refused(block_on(verbs.get_record(key)), InvalidArgument);
            refused(block_on(verbs.get_many(&["a", key])), InvalidArgument);
            refused(block_on(verbs.set(key, json("1"), SetOptions::default())), InvalidArgument);
            refused(block_on(verbs.set_many(vec![("a", json("2")), (key, json("2"))], None, None)), InvalidArgument);
            refused(block_on(verbs.delete(key)), InvalidArgument);
            refused(block_on(verbs.delete_many(&["a", key])), InvalidArgument);
            refused(notes.try_write(vec![notes.write_to("a", put("2")), notes.write_to(key, put("2"))]), InvalidArgument);
        }
        let long = "n".repeat(NAMESPACE_BYTES + 1);
        for namespace in [&long, "", "a\0b"] {
            refused(verbs.use_namespace(namespace), InvalidArgument);
            refused(subject.store().data_store(verbs.identity().clone(), namespace), InvalidArgument);
            let mut write = notes.write_to("a", put("2"));
            write.address.namespace = namespace.into();
            refused(notes.try_write(vec![write]), InvalidArgument);
        }
        let long = "i".repeat(IDENTITY_BYTES + 1);
        for name in [&long, "", "a\0b"] {
            refused(Identity::new(name, None), InvalidArgument);
            refused(Identity::new("a", Some(name)), InvalidArgument);
        }
        assert_eq!(notes.get_all(), pairs([("a", "1")]));
        assert_eq!(notes.list_namespaces(""), [notes.namespace()]);
    });
}

fn json_string(parts: &[&str]) -> String {
    serde_json::to_string(&parts).expect("strings")
}
