//! The byte limit, the off switch, and what does not fit.

use agent_data_store::{ErrorKind, Options, Store, block_on, sqlite_url};

use crate::support::{Subject, json};

const MIB: usize = 1 << 20;

fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

#[test]
fn the_cache_stays_within_its_bytes_and_keeps_what_is_used() {
    const KEYS: usize = 8_000;
    let subject = Subject::with_cache_bytes(MIB);
    let items = (0..KEYS).map(|n| (format!("k{n}"), json(&format!("\"{n:0400}\"")))).collect();
    block_on(subject.data_store.set_many(items, None, None)).unwrap();
    subject.set("often", "1");
    assert_eq!(subject.warm("often").as_deref(), Some("1"));
    for n in 0..KEYS {
        let value = Some(format!("\"{n:0400}\""));
        // Asked for twice, so that it is kept; by chance after the first time.
        assert_eq!(subject.get(&format!("k{n}")), value);
        assert_eq!(subject.get(&format!("k{n}")), value);
        assert!(subject.stats().bytes <= MIB, "{:?}", subject.stats());
        if n % 50 == 0 {
            assert_eq!(subject.get_hit("often").as_deref(), Some("1"));
        }
    }
    assert!(subject.stats().bytes > MIB / 3, "most of it is used: {:?}", subject.stats());
    // What was read last is there, what was read first is not.
    subject.get_hit(&format!("k{}", KEYS - 1));
    subject.get_miss("k0");
}

#[test]
fn what_is_read_once_takes_no_place_from_what_is_read_again_and_again() {
    const KEYS: usize = 8_000;
    let subject = Subject::with_cache_bytes(MIB);
    let items = (0..KEYS).map(|n| (format!("k{n}"), json(&format!("\"{n:0400}\"")))).collect();
    block_on(subject.data_store.set_many(items, None, None)).unwrap();
    subject.set("often", "1");
    assert_eq!(subject.warm("often").as_deref(), Some("1"));
    let before = subject.stats().bytes;
    for n in 0..KEYS {
        subject.get_miss(&format!("k{n}"));
    }
    assert_eq!(subject.get_hit("often").as_deref(), Some("1"));
    // By chance one or the other looks as if it had been asked for before.
    let kept = subject.stats().bytes - before;
    assert!(kept < 100 * 600, "{kept} bytes");
}

#[test]
fn writing_keeps_the_cache_within_its_bytes() {
    let subject = Subject::with_cache_bytes(MIB);
    subject.set("first", "1");
    for n in 0..400 {
        let key = format!("k{n}");
        subject.set(&key, "1");
        subject.warm(&key);
        subject.set(&key, &text(6_000));
        assert!(subject.stats().bytes <= MIB, "{:?}", subject.stats());
        assert_eq!(subject.get(&key), Some(text(6_000)));
    }
}

#[test]
fn what_is_forgotten_is_not_counted() {
    let subject = Subject::new();
    subject.set("a", &text(1_000));
    subject.warm("a");
    for _ in 0..10 {
        assert!((1_000..2_000).contains(&subject.stats().bytes), "{:?}", subject.stats());
        subject.set("a", &text(1_000));
        subject.get_hit("a");
    }
    block_on(subject.data_store.clear()).unwrap();
    subject.get("a");
    assert!(subject.stats().bytes < 1_000, "{:?}", subject.stats());
    drop(subject.store.suspend());
    assert_eq!(subject.stats().bytes, 0);
}

#[test]
fn values_too_large_for_the_cache_are_not_kept() {
    let subject = Subject::with_cache_bytes(MIB);
    subject.set("big", &text(20_000));
    subject.set("a", "1");
    assert_eq!(subject.warm("a").as_deref(), Some("1"));
    for _ in 0..3 {
        assert_eq!(subject.get_miss("big"), Some(text(20_000)));
    }
    // One that grows above the limit goes.
    subject.set("a", &text(20_000));
    for _ in 0..3 {
        assert_eq!(subject.get_miss("a"), Some(text(20_000)));
    }
    subject.set("a", "2");
    assert_eq!(subject.warm("a").as_deref(), Some("2"));
}

#[test]
fn no_bytes_switch_the_cache_off() {
    let subject = Subject::with_cache_bytes(0);
    subject.set("a", "1");
    for _ in 0..5 {
        assert_eq!(subject.get("a").as_deref(), Some("1"));
    }
    assert_eq!(subject.stats(), agent_data_store::engines::sqlite::CacheStats::default());
}

#[test]
fn the_url_takes_a_number_of_bytes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let url = |bytes: &str| format!("{}?cache_bytes={bytes}", sqlite_url(&folder.path().join("store.db")));
    for bytes in ["", "-1", "1e6", "64MB", "0x10", "99999999999999999999999"] {
        let error = block_on(Store::open(&url(bytes), Options::default())).expect_err(bytes);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bytes}");
        assert!(error.message().contains("cache_bytes=NUMBER"), "{error}");
    }
    for bytes in ["0", "1", "1000000"] {
        block_on(Store::open(&url(bytes), Options::default())).expect(bytes);
    }
}
