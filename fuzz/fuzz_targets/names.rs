//! Keys and namespaces on their way through a URL: a record is found under its own names and no others.
#![no_main]

use agent_data_store::block_on;
use agent_data_store::limits::{KEY_BYTES, NAMESPACE_BYTES};
use agent_data_store_fuzz::{ask, record_path, store};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
struct Names {
    namespace: String,
    key: String,
    /// What is asked for as it is, whatever it leads to.
    path: Vec<u8>,
    bare: bool,
}

fuzz_target!(|names: Names| {
    let Names { namespace, key, path, bare } = names;
    let visible: Vec<u8> = path.into_iter().filter(|byte| byte.is_ascii_graphic()).take(2_000).collect();
    for start in ["/", "/data-store/namespaces/", "/data-store/namespaces/n/records/", "/data-store/changes?"] {
        let reply = ask("GET", &[start.as_bytes(), &visible].concat(), "", b"");
        assert!(reply.status < 500, "{reply:?}");
    }
    let fits = |name: &str, bytes: usize| (1..=bytes).contains(&name.len()) && !name.contains('\0');
    let is_name = fits(&namespace, NAMESPACE_BYTES) && fits(&key, KEY_BYTES);
    let path = record_path(&namespace, &key, bare);
    let value = json!({"value": [namespace, key]}).to_string();
    let reply = ask("PUT", path.as_bytes(), "", value.as_bytes());
    if !is_name {
        assert!((400..500).contains(&reply.status), "{reply:?}");
        return;
    }
    let stored: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!((reply.status, &stored["namespace"], &stored["key"]), (200, &json!(namespace), &json!(key)));
    // Its own client, which encodes by itself, finds it and nothing else.
    let view = store(&namespace).expect("a name");
    let found = block_on(view.get(&key)).expect("a read").expect("it is there");
    assert_eq!(serde_json::from_str::<Value>(found.as_str()).expect("JSON"), json!([namespace, key]));
    assert_eq!(block_on(view.list_keys("")).expect("a list"), [key.clone().into_boxed_str()]);
    assert!(block_on(view.delete(&key)).expect("a write"));
    assert_eq!(ask("GET", path.as_bytes(), "", b"").status, 404);
});
