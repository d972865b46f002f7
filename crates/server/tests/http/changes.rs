//! The change feed: in one answer, waiting for it, and as events.

use serde_json::{Value, json};

use crate::support::{Events, TestServer, on_each_engine, record};

fn changes(server: &TestServer, query: &str) -> Value {
    server.get(&format!("/data-store/changes?{query}")).expect(200)
}

fn last(server: &TestServer) -> u64 {
    changes(server, "limit=0")["last"].as_u64().expect("a position")
}

fn put(server: &TestServer, key: &str) -> u64 {
    server.put(&record("n", key), r#"{"value": 1}"#).expect(200)["version"].as_u64().expect("a version")
}

#[test]
fn every_change_is_told_in_order() {
    on_each_engine(|server| {
        assert_eq!(changes(server, ""), json!({"changes": [], "completeFrom": 0, "last": 0}));
        let agent = [("content-type", "application/json"), ("x-agent-name", "writer")];
        let version = server.send("PUT", &record("n", "a/b"), &agent, r#"{"value": 1}"#).expect(200)["version"].clone();
        server.delete(&record("n", "a/b"));
        put(server, "c");
        server.delete("/data-store/namespaces/n").expect(200);
        let told = changes(server, "since=0");
        let kinds: Vec<&str> =
            told["changes"].as_array().expect("a list").iter().filter_map(|change| change["kind"].as_str()).collect();
        assert_eq!(kinds, ["set", "delete", "set", "clear"]);
        let first = &told["changes"][0];
        assert!(first["at"].is_string());
        let expected = json!({
            "version": version, "kind": "set", "namespace": "n", "key": "a/b", "agent": "writer", "at": first["at"],
        });
        assert_eq!(*first, expected);
        assert_eq!(told["changes"][3]["key"], Value::Null);
        assert_eq!(told["changes"][3]["version"], told["last"]);
        let rest = changes(server, &format!("since={version}&limit=2"));
        assert_eq!(rest["changes"], json!(told["changes"].as_array().expect("a list")[1..3]));
        assert_eq!(changes(server, "since=9223372036854775808")["changes"], json!([]));
    });
}

#[test]
fn a_request_waits_until_there_is_a_change() {
    on_each_engine(|server| {
        put(server, "a");
        let since = last(server);
        let waiting = server.begin(&format!("/data-store/changes?since={since}&wait=30"));
        server.await_in_flight(1);
        let version = put(server, "b");
        let told = waiting.end().expect(200);
        assert_eq!(told["changes"][0]["version"], version);
        assert_eq!(told["changes"][0]["key"], "b");
        // Where there is one already, nobody waits; and nobody waits for longer than they ask.
        assert_eq!(changes(server, &format!("since={since}&wait=30"))["changes"][0]["key"], "b");
        assert_eq!(changes(server, &format!("since={version}&wait=0.01"))["changes"], json!([]));
        let waiting = server.begin(&format!("/data-store/changes?since={version}&limit=0&wait=30"));
        server.await_in_flight(1);
        let version = put(server, "c");
        assert_eq!(waiting.end().expect(200)["last"], version);
    });
}

#[test]
fn a_wait_ends_when_the_server_stops() {
    let server = TestServer::memory();
    let waiting = server.begin(&format!("/data-store/changes?since={}&wait=30", last(&server)));
    let mut events = server.events("/data-store/changes", &[]);
    server.await_in_flight(1);
    server.stop();
    assert_eq!(waiting.end().expect(200)["changes"], json!([]));
    assert_eq!(events.next(), None);
}

// By itself: who gives up waiting leaves a queue, which is a change.
#[test]
fn a_wait_for_a_lock_ends_when_the_server_stops() {
    let server = TestServer::memory();
    let lock = r#"{"resource": "r", "waitSeconds": 30}"#;
    server.post("/data-store/namespaces/n/locks/acquire", lock).expect(200);
    let waiting = server.begin_post("/data-store/namespaces/n/locks/acquire", lock);
    server.await_in_flight(1);
    server.stop();
    waiting.end().fails(503, "unavailable");
}

#[test]
fn changes_come_as_events_that_can_be_resumed() {
    on_each_engine(|server| {
        let before = put(server, "before");
        let mut events = server.events("/data-store/changes", &[]);
        let first = put(server, "a");
        let second = put(server, "b");
        let event = events.next().expect("an event");
        assert_eq!((&*event.name, event.id), ("set", Some(first)));
        assert_eq!((&event.data["key"], &event.data["version"]), (&json!("a"), &json!(first)));
        assert_eq!(events.next().expect("an event").id, Some(second));
        drop(events);

        let third = put(server, "c");
        let resumed = first.to_string();
        let ids = |mut events: Events<'_>, count: usize| -> Vec<Option<u64>> {
            (0..count).map(|_| events.next().expect("an event").id).collect()
        };
        let events = server.events("/data-store/changes", &[("last-event-id", &resumed)]);
        assert_eq!(ids(events, 2), [Some(second), Some(third)]);
        let events = server.events("/data-store/changes?since=0", &[]);
        assert_eq!(ids(events, 4), [Some(before), Some(first), Some(second), Some(third)]);
        // What the browser remembers comes before what the page once asked for.
        let events = server.events("/data-store/changes?since=0", &[("last-event-id", &resumed)]);
        assert_eq!(ids(events, 1), [Some(second)]);
        let accept = ("accept", "text/event-stream");
        server.send("GET", "/data-store/changes", &[accept, ("last-event-id", "x")], "").fails(400, "invalid_argument");
    });
}

#[test]
fn whoever_follows_is_told_of_a_gap() {
    for server in TestServer::each_keeping(3) {
        for n in 0..50 {
            put(&server, &format!("k{n}"));
        }
        let complete_from = changes(&server, "")["completeFrom"].as_u64().expect("a position");
        assert!(complete_from > 0);
        let mut events = server.events("/data-store/changes?since=0", &[]);
        let gap = events.next().expect("an event");
        assert_eq!((&*gap.name, gap.id), ("gap", Some(complete_from)));
        assert_eq!(gap.data, json!({"completeFrom": complete_from, "last": last(&server)}));
        assert!(events.next().expect("an event").id > Some(complete_from));
    }
}

#[test]
fn a_quiet_stream_shows_that_it_is_alive() {
    let server = TestServer::with(|options| options.heartbeat = std::time::Duration::from_millis(10));
    let mut events = server.events("/data-store/changes", &[]);
    assert_eq!(events.next_line(), Some(":".to_owned()));
}
