//! Clients that are slow or go without a word: each ends by itself, and the others are served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{TestServer, record};

/// Longer than any timeout that a test sets, and shorter than its own.
const PATIENCE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(100);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What comes until the server ends the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("still open: {error}"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Sends this, and returns what comes until the server ends the connection.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(request).expect("the server reads");
    rest(&mut stream)
}

/// One answer without a body that matters, on a connection that stays open.
fn head(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4_096];
    while !text.contains("\r\n\r\n") {
        let count = stream.read(&mut bytes).expect("an answer");
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

fn half_a_put(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = connect(address);
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\
         Connection: close\r\n\r\n{{\"value"
    );
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream
}

#[test]
fn a_head_that_does_not_end_ends_the_connection() {
    let server = TestServer::with(|options| options.header_timeout = SOON);
    let mut slow: Vec<TcpStream> = (0..50).map(|_| connect(server.address())).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /health HTTP/1.1\r\nX-Slow: ").expect("the server reads");
    }
    server.put(&record("n", "k"), r#"{"value": 1}"#).expect(200);
    for stream in &mut slow {
        assert_eq!(rest(stream), "");
    }
}

#[test]
fn dripping_a_head_does_not_prolong_it() {
    let server = TestServer::with(|options| {
        options.header_timeout = SOON;
        // It is not by its size that this one ends.
        options.header_bytes = 1 << 30;
    });
    let mut stream = connect(server.address());
    let deadline = Instant::now() + PATIENCE;
    // Until the server has closed, and the system says so.
    while stream.write_all(b"G").is_ok() {
        assert!(Instant::now() < deadline, "still open");
        thread::yield_now();
    }
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let server = TestServer::with(|options| options.request_timeout = SOON);
    let path = record("n", "k");
    let mut slow: Vec<TcpStream> = (0..50).map(|_| half_a_put(server.address(), &path)).collect();
    server.put(&record("n", "other"), r#"{"value": 1}"#).expect(200);
    for stream in &mut slow {
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
    }
    server.get(&path).fails(404, "not_found");
}

#[test]
fn an_idle_connection_ends_and_one_that_waits_for_its_answer_does_not() {
    let server = TestServer::with(|options| {
        options.idle_timeout = SOON;
        options.heartbeat = SOON / 2;
    });
    let mut never_used = connect(server.address());
    let mut used = connect(server.address());
    used.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    assert!(head(&mut used).starts_with("HTTP/1.1 200 "));
    let waiting = server.begin("/data-store/changes?wait=60");
    let mut events = server.events("/data-store/changes?since=0", &[]);
    assert_eq!(rest(&mut never_used), "");
    rest(&mut used);
    server.put(&record("n", "k"), r#"{"value": 1}"#).expect(200);
    assert_eq!(waiting.end().expect(200)["changes"][0]["key"], "k");
    assert_eq!(events.next().expect("an event").data["key"], "k");
}

#[test]
fn whoever_finds_no_room_is_told_so() {
    let server = TestServer::with(|options| options.connections = 1);
    let mut first = connect(server.address());
    first.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    assert!(head(&mut first).starts_with("HTTP/1.1 200 "));
    let answer = exchange(server.address(), b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1"), "{answer}");
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    while !exchange(server.address(), b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").contains(" 200 ")
    {
        assert!(Instant::now() < deadline, "no room again");
    }
}

#[test]
fn bodies_that_would_fill_the_memory_are_503() {
    const HALF: usize = 40 << 10;
    let server = TestServer::with(|options| {
        options.body_bytes = 64 << 10;
        options.body_memory = 64 << 10;
    });
    let mut slow = connect(server.address());
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n",
        record("n", "k")
    );
    slow.write_all(head.as_bytes()).expect("the server reads");
    slow.write_all(&vec![b' '; HALF]).expect("the server reads");
    let body = format!("{{\"value\": \"{}\"}}", "x".repeat(HALF));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = server.put(&record("n", "other"), &body);
        if reply.status == 503 {
            assert_eq!(reply.header("retry-after"), Some("1"));
            break;
        }
        assert!(Instant::now() < deadline, "{reply:?}");
    }
    server.put(&record("n", "small"), r#"{"value": 1}"#).expect(200);
    drop(slow);
    while server.put(&record("n", "other"), &body).status != 200 {
        assert!(Instant::now() < deadline, "no memory again");
    }
}

#[test]
fn a_request_in_flight_is_answered_after_the_door_is_closed() {
    let server = TestServer::sqlite();
    let address = server.address();
    let mut stream = half_a_put(address, &record("n", "k"));
    let deadline = Instant::now() + PATIENCE;
    // That of the body, and the one that asks.
    while !String::from_utf8_lossy(&server.get("/metrics").body).contains("ads_http_requests_in_flight 2") {
        assert!(Instant::now() < deadline, "the request has not begun");
    }
    let client = thread::spawn(move || {
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < deadline, "the door is still open");
        }
        stream.write_all(b"\": 1}").expect("the server reads");
        rest(&mut stream)
    });
    server.stop();
    let answer = client.join().expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn connections_without_a_whole_request_do_not_keep_the_server_from_stopping() {
    let server = TestServer::with(|options| {
        options.shutdown_grace = 10 * PATIENCE;
        options.idle_timeout = 10 * PATIENCE;
        options.header_timeout = 10 * PATIENCE;
    });
    let mut never_used = connect(server.address());
    let mut used = connect(server.address());
    used.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    assert!(head(&mut used).starts_with("HTTP/1.1 200 "));
    let mut begun = connect(server.address());
    begun.write_all(b"GET /health HT").expect("the server reads");
    let mut begun_again = connect(server.address());
    begun_again.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he").expect("the server reads");
    assert!(head(&mut begun_again).starts_with("HTTP/1.1 200 "));
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < PATIENCE, "it waited for the end of the grace");
    for stream in [&mut never_used, &mut used, &mut begun, &mut begun_again] {
        rest(stream);
    }
}
