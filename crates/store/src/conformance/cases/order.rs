//! Code point order, prefixes, and what is the same name and what is not.

use super::Cases;
use crate::conformance::subject::Handle;

/// In code point order, which neither dictionaries nor UTF-16 keep.
const ORDERED: [&str; 20] = [
    " ", "!", "0", "10", "2", "A", "Z", "_", "a", "a ", "aa", "b", "~", "e\u{301}", "\u{e9}", "中", "\u{d7ff}", "\u{fffd}",
    "😀", "\u{10ffff}",
];

fn set_all(notes: &Handle, keys: &[&str]) {
    // Not in order.
    for key in keys.iter().skip(1).step_by(2).chain(keys.iter().step_by(2)) {
        notes.set(key, "1");
    }
}

/// What each prefix finds, by `list_keys` and by `count`.
fn assert_found(notes: &Handle, prefix: &str, keys: &[&str]) {
    assert_eq!(notes.keys(prefix), keys, "{prefix:?}");
    assert_eq!(notes.count(prefix), keys.len() as u64, "{prefix:?}");
}

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("keys come in code point order", |subject| {
        let notes = subject.notes();
        let mut ordered = ORDERED;
        ordered.sort_unstable();
        set_all(&notes, &ordered);
        assert_eq!(notes.keys(""), ordered);
        assert!(notes.get_all().iter().map(|(key, _)| key.as_str()).eq(ordered));
        assert!(notes.records().iter().map(|record| &*record.key).eq(ordered));
    });

    cases.add("namespaces come in code point order", |subject| {
        let notes = subject.notes();
        let mut ordered = ORDERED;
        ordered.sort_unstable();
        for name in ordered.iter().rev() {
            notes.in_namespace(name).set("a", "1");
        }
        assert_eq!(notes.list_namespaces(""), ordered);
        assert!(notes.namespaces().iter().map(|stats| &*stats.namespace).eq(ordered));
    });

    cases.add("a prefix finds the keys that begin with it", |subject| {
        let notes = subject.notes();
        set_all(&notes, &["a", "ab", "abc", "ac", "b", "ba"]);
        assert_found(&notes, "", &["a", "ab", "abc", "ac", "b", "ba"]);
        assert_found(&notes, "a", &["a", "ab", "abc", "ac"]);
        assert_found(&notes, "ab", &["ab", "abc"]);
        assert_found(&notes, "abc", &["abc"]);
        assert_found(&notes, "abcd", &[]);
        assert_found(&notes, "c", &[]);
    });

    cases.add("a prefix finds the namespaces that begin with it", |subject| {
        let notes = subject.notes();
        let names = ["job", "job:1", "job:2", "jobs", "other", "%"];
        for name in names {
            notes.in_namespace(name).set("a", "1");
        }
        assert_eq!(notes.list_namespaces("job:"), ["job:1", "job:2"]);
        assert_eq!(notes.list_namespaces("job"), ["job", "job:1", "job:2", "jobs"]);
        assert_eq!(notes.list_namespaces("%"), ["%"]);
        assert_eq!(notes.list_namespaces("_"), [""; 0]);
        assert_eq!(notes.list_namespaces("Job"), [""; 0]);
    });

    cases.add("a prefix may end in any character, the last one included", |subject| {
        let notes = subject.notes();
        // The neighbours of the ends of each encoded length, of the surrogates, and of all characters.
        let ends = ["\u{7f}", "\u{7ff}", "\u{d7ff}", "\u{ffff}", "\u{3ffff}", "\u{10ffff}", "\u{10ffff}\u{10ffff}"];
        let nexts = ["\u{80}", "\u{800}", "\u{e000}", "\u{10000}", "\u{40000}", "b"];
        for end in ends {
            let keys = [format!("a{end}"), format!("a{end}\u{1}"), format!("a{end}\u{10ffff}x")];
            let space = notes.in_namespace(end);
            set_all(&space, &["a", "b", &keys[0], &keys[1], &keys[2]]);
            nexts.iter().for_each(|next| _ = space.set(&format!("a{next}"), "1"));
            assert_found(&space, &keys[0], &[&keys[0], &keys[1], &keys[2]]);
        }
        let last = notes.in_namespace("last");
        set_all(&last, &["\u{10ffff}", "\u{10ffff}\u{10ffff}", "\u{10fffe}"]);
        assert_found(&last, "\u{10ffff}", &["\u{10ffff}", "\u{10ffff}\u{10ffff}"]);
        assert_found(&last, "\u{10ffff}\u{10ffff}", &["\u{10ffff}\u{10ffff}"]);
        assert_eq!(notes.list_namespaces("\u{10ffff}"), ["\u{10ffff}", "\u{10ffff}\u{10ffff}"]);
    });

    cases.add("a prefix has no wildcards", |subject| {
        let notes = subject.notes();
        set_all(&notes, &["%", "%a", "*", "*a", "?", "[a]", "\\", "\\%", "_", "_a", "a", "a%b", "a_b", "aXb"]);
        assert_found(&notes, "%", &["%", "%a"]);
        assert_found(&notes, "_", &["_", "_a"]);
        assert_found(&notes, "*", &["*", "*a"]);
        assert_found(&notes, "?", &["?"]);
        assert_found(&notes, "[a", &["[a]"]);
        assert_found(&notes, "\\", &["\\", "\\%"]);
        assert_found(&notes, "a%", &["a%b"]);
        assert_found(&notes, "a_", &["a_b"]);
        assert_found(&notes, "'", &[]);
    });

    cases.add("upper and lower case are different characters", |subject| {
        let notes = subject.notes();
        set_all(&notes, &["KEY", "Key", "key", "É", "é", "ß", "ss"]);
        notes.set("Key", "2");
        assert_eq!(notes.count(""), 7);
        assert_eq!(notes.of_user("User").count(""), 0);
        assert_eq!(notes.in_namespace("Notes").count(""), 0);
        assert_eq!(notes.get("key").as_deref(), Some("1"));
        assert_found(&notes, "K", &["KEY", "Key"]);
        assert_found(&notes, "É", &["É"]);
    });

    cases.add("names that look alike are different names", |subject| {
        let notes = subject.notes();
        // Composed and combining, Latin and Cyrillic and wide, joined or not, spaces, numbers.
        let alike = [
            "\u{e9}", "e\u{301}", "a", "\u{430}", "\u{ff41}", "a\u{200d}", "a ", " a", "a\u{a0}", "1", "01", "1.0", "\u{661}",
        ];
        for (index, name) in alike.iter().enumerate() {
            notes.set(name, &index.to_string());
            notes.in_namespace(name).set("a", &index.to_string());
            notes.of_user(name).set("a", &index.to_string());
        }
        for (index, name) in alike.iter().enumerate() {
            assert_eq!(notes.get(name), Some(index.to_string()), "{name:?}");
            assert_eq!(notes.in_namespace(name).get("a"), Some(index.to_string()), "{name:?}");
            assert_eq!(notes.of_user(name).get("a"), Some(index.to_string()), "{name:?}");
        }
        assert_eq!(notes.count(""), alike.len() as u64);
        assert_eq!(notes.list_namespaces("").len(), alike.len() + 1);
    });

    cases.add("a prefix longer than any key finds nothing", |subject| {
        let notes = subject.notes();
        let longest = "k".repeat(1_024);
        notes.set(&longest, "1");
        assert_found(&notes, &longest, &[&longest]);
        assert_found(&notes, &"k".repeat(1_025), &[]);
    });
}
