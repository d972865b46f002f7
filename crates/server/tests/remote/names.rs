//! Names with any character in them come to the server as they are.

use agent_data_store::model::{PageSize, Range, View};
use agent_data_store::{RequestId, SetOptions, block_on};

use crate::support::{TestServer, get, json, open, set, try_open, view};

#[test]
fn users_agents_and_request_ids_hold_any_character() {
    let server = TestServer::start();
    let store = open(&server.url());
    for (index, name) in
        [" spaces ", "ünï\tcode", "UTF-8''x", "a\r\nx-user-id: b", "%41", "a,b;c=\"d\""].iter().enumerate()
    {
        let view = view(&store, name, Some(name));
        set(&view, "a", &index.to_string());
        let record = block_on(view.get_record("a")).expect("get_record").expect("a record");
        assert_eq!((&*record.user_id, record.created_by_agent.as_deref()), (*name, Some(*name)));
        for _ in 0..2 {
            let id = RequestId::new(name).expect("an id");
            let once = view.clone().with_request(id);
            assert_eq!(block_on(once.increment("n", json("1"), None)).expect("increment").as_str(), "1");
        }
    }
    assert_eq!(get(&view(&store, "b", None), "a"), None);
}

#[test]
fn namespaces_and_keys_hold_any_character() {
    let server = TestServer::start();
    let store = open(&server.url());
    let names =
        [".", "..", "/", "a/../b", "a/records/b", "?view=key", "#", "%2e", "a b", "&prefix=x", "\u{1}", "ключ", "\"\\"];
    for (index, name) in names.iter().enumerate() {
        let view = view(&store, "default", None).use_namespace(name).expect("a namespace");
        set(&view, name, &index.to_string());
        set(&view, "other", "0");
        assert_eq!(get(&view, name), Some(index.to_string()), "{name:?}");
        assert_eq!(block_on(view.list_keys(name)).expect("list_keys"), [Box::from(*name)], "{name:?}");
        assert_eq!(block_on(view.count(name)).expect("count"), 1, "{name:?}");
        assert_eq!(block_on(view.get_many(&[name])).expect("get_many").len(), 1, "{name:?}");
    }
    let mut sorted: Vec<Box<str>> = names.iter().map(|name| Box::from(*name)).collect();
    sorted.sort_unstable();
    assert_eq!(block_on(view(&store, "default", None).list_namespaces("")).expect("list_namespaces"), sorted);
}

#[test]
fn prefixes_that_no_name_can_have_find_nothing() {
    let server = TestServer::start();
    let store = open(&server.url());
    let view = view(&store, "default", None);
    set(&view, "a", "1");
    let long = "a".repeat(1 << 20);
    assert!(block_on(view.list_keys(&long)).expect("list_keys").is_empty());
    assert!(block_on(view.list_namespaces(&long)).expect("list_namespaces").is_empty());
    assert_eq!(block_on(view.count(&long)).expect("count"), 0);
}

#[test]
fn the_longest_names_fit_into_the_smallest_head_that_a_server_may_allow() {
    let server = TestServer::with(|options| options.header_bytes = 16 << 10);
    let token = server.make_token();
    // Two bytes each, and six in a path or a header.
    let name = |bytes: usize| "ü".repeat(bytes / 2);
    let store = try_open(&server.url(), Some(&token)).expect("the store opens");
    let view = view(&store, &name(256), Some(&name(256))).use_namespace(&name(512)).expect("a namespace");
    let prefix = name(1_022);
    let keys = ["aa", "bb", "cc"].map(|end| format!("{prefix}{end}"));
    for key in &keys {
        let id = RequestId::new(&name(256)).expect("an id");
        let once = view.clone().with_request(id);
        // Refused for all but the first: the id has come whole.
        let stored = block_on(once.set(key, json("1"), SetOptions::default()));
        assert_eq!(stored.is_ok(), *key == keys[0]);
        set(&view, key, "1");
    }
    let mut after: Option<&str> = None;
    for key in &keys {
        assert_eq!(get(&view, key), Some("1".to_owned()));
        let page = PageSize { rows: 1, bytes: usize::MAX };
        let page = block_on(view.scan(Range { prefix: &prefix, after }, View::Record, page)).expect("a page");
        assert_eq!(page.rows.iter().map(|row| &*row.key).collect::<Vec<_>>(), [key]);
        assert_eq!(page.more, *key != keys[2]);
        after = Some(key);
    }
    assert_eq!(block_on(view.list_keys(&prefix)).expect("list_keys").len(), 3);
    assert_eq!(block_on(view.list_namespaces(&name(512))).expect("list_namespaces").len(), 1);
}
