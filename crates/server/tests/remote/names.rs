//! Names with any character in them come to the server as they are.

use agent_data_store::block_on;

use crate::support::{TestServer, get, json, open, set, view};

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
            let id = agent_data_store::RequestId::new(name).expect("an id");
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
