//! What answers take of the memory: bounded, whatever is asked for, and however slowly it is taken.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Reply, TestServer, record};

const RECORDS: &str = "/data-store/namespaces/n/records";
/// More than the system takes of an answer that nobody reads.
const LARGE: usize = 12 << 20;

fn with_memory(bytes: usize) -> TestServer {
    TestServer::with(|options| {
        options.body_bytes = bytes;
        options.body_memory = bytes;
    })
}

fn value(bytes: usize) -> String {
    json!({"value": "x".repeat(bytes - 14)}).to_string()
}

/// Somebody who asks for a record and takes nothing of the answer but its beginning.
fn slow(server: &TestServer, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).expect("an answer");
    assert_eq!(&begin, b"HTTP/1.1 200");
    stream
}

fn becomes(server: &TestServer, status: u16, ask: impl Fn() -> Reply) {
    server.await_until(&format!("an answer with {status}"), || ask().status == status);
}

#[test]
fn one_record_asked_for_a_thousand_times_is_no_answer_of_a_thousand_times_its_size() {
    let server = with_memory(1 << 20);
    server.put(&record("n", "k"), &value(10 << 10)).expect(200);
    let read = |times: usize| {
        let keys = vec!["k"; times];
        server.post("/data-store/read", &json!({"records": [{"namespace": "n", "keys": keys}]}).to_string())
    };
    assert_eq!(read(50).expect(200).as_array().map(Vec::len), Some(50));
    read(1_000).fails(413, "too_large");
    assert_eq!(read(50).status, 200, "what was refused is given back");
}

#[test]
fn a_list_that_cannot_be_held_at_once_is_sent_in_parts_or_refused() {
    let server = with_memory(1 << 20);
    for key in 0..200 {
        server.put(&record("n", &format!("{key:03}")), &value(10 << 10)).expect(200);
    }
    let whole = server.get(RECORDS);
    assert_eq!(whole.expect(200).as_array().map(Vec::len), Some(200), "read and sent page by page");
    server.get(&format!("{RECORDS}?snapshot=true")).fails(413, "too_large");
    assert_eq!(
        server.get(&format!("{RECORDS}?snapshot=true&prefix=00")).expect(200).as_array().map(Vec::len),
        Some(10)
    );
    let part = server.get(&format!("{RECORDS}?limit=200"));
    assert!(part.expect(200).as_array().is_some_and(|part| part.len() < 200));
    assert!(part.header("link").is_some_and(|link| link.contains("after=")), "{:?}", part.headers);
}

#[test]
fn those_who_take_large_answers_slowly_leave_room_for_others() {
    let server = with_memory(40 << 20);
    let path = record("n", "large");
    server.put(&path, &value(LARGE)).expect(200);
    server.put(&record("n", "small"), r#"{"value": 1}"#).expect(200);
    let taking: Vec<TcpStream> = (0..3).map(|_| slow(&server, &path)).collect();
    let refused = server.get(&path);
    refused.fails(503, "unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    server.get(&record("n", "small")).expect(200);
    drop(taking);
    becomes(&server, 200, || server.get(&path));
}

#[test]
fn a_large_answer_is_a_request_until_it_was_taken() {
    let server = TestServer::with(|options| options.user_requests = Some(1));
    let path = record("n", "large");
    server.put(&path, &value(LARGE)).expect(200);
    let taking = slow(&server, &path);
    server.get("/data-store/whoami").fails(429, "too_many_requests");
    server.send("GET", "/data-store/whoami", &[("x-user-id", "other")], "").expect(200);
    drop(taking);
    becomes(&server, 200, || server.get("/data-store/whoami"));
}
