//! The stream of events, read as the standard says: one event for each write, with its names as they are.
#![no_main]

use agent_data_store::limits::{KEY_BYTES, NAMESPACE_BYTES};
use agent_data_store_fuzz::{Connection, ask, record_path};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|names: (String, String)| {
    let (namespace, key) = names;
    let fits = |name: &str, bytes: usize| (1..=bytes).contains(&name.len()) && !name.contains('\0');
    if !fits(&namespace, NAMESPACE_BYTES) || !fits(&key, KEY_BYTES) {
        return;
    }
    let path = record_path(&namespace, &key, false);
    let stored: Value = serde_json::from_slice(&ask("PUT", path.as_bytes(), "", br#"{"value":1}"#).body).expect("JSON");
    let version = stored["version"].as_u64().expect("a version");
    let mut stream = Connection::open();
    let since = format!("/data-store/changes?since={}", version - 1);
    stream.send("GET", since.as_bytes(), "Accept: text/event-stream\r\n", b"");
    let event = stream.until(|bytes| event(&unchunked(bytes)?)).expect("an event");
    assert_eq!((event.id, &*event.name), (version, "set"));
    let data: Value = serde_json::from_str(&event.data).expect("JSON");
    assert_eq!((&data["namespace"], &data["key"]), (&json!(namespace), &json!(key)));
    assert_eq!(ask("DELETE", path.as_bytes(), "", b"").status, 204);
});

struct Event {
    id: u64,
    name: String,
    data: String,
}

/// The first event of a stream, if it is whole.
fn event(stream: &str) -> Option<Event> {
    // Any of the three ends a line, and an empty line an event.
    let text = stream.replace("\r\n", "\n").replace('\r', "\n");
    let mut event = Event { id: 0, name: String::new(), data: String::new() };
    for line in text.split_inclusive('\n') {
        let line = line.strip_suffix('\n')?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() && !event.data.is_empty() => return Some(event),
            "id" => event.id = value.parse().expect("a version"),
            "event" => value.clone_into(&mut event.name),
            "data" => event.data.push_str(value),
            _ => {}
        }
    }
    None
}

/// What of a body has come, chunk by chunk.
fn unchunked(bytes: &[u8]) -> Option<String> {
    let start = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let (mut rest, mut body) = (&bytes[start..], Vec::new());
    while let Some(end) = rest.windows(2).position(|end| end == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
    String::from_utf8(body).ok()
}
