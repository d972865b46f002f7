//! Limits, each with its status.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use agent_data_store_server::UserOptions;

use crate::support::{Reply, TestServer, record};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Asks until the answer has this status.
fn until(status: u16, ask: impl Fn() -> Reply) -> Reply {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = ask();
        if reply.status == status {
            return reply;
        }
        assert!(Instant::now() < deadline, "{reply:?}");
    }
}

#[test]
fn a_body_over_the_limit_is_413() {
    let server = TestServer::with(|options| options.body_bytes = 1_024);
    let body = format!("{{\"value\": \"{}\"}}", "x".repeat(1_024));
    server.put(&record("n", "k"), &body).fails(413, "too_large");
    server.put(&record("n", "k"), r#"{"value": 1}"#).expect(200);
    // One that does not say how long it is, and does not end.
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        record("n", "k")
    );
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1_024));
    let answer = crate::slow::exchange(server.address(), format!("{head}{chunk}{chunk}").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn a_head_over_the_limit_is_431() {
    let server = TestServer::with(|options| {
        options.header_bytes = 16 << 10;
        options.header_count = 10;
    });
    let long = "x".repeat(17 << 10);
    assert_eq!(server.send("GET", "/health", &[("x-long", &long)], "").status, 431);
    assert_eq!(server.send("GET", "/health", &[("x-many", "1"); 11], "").status, 431);
    assert_eq!(server.send("GET", "/health", &[("x-many", "1"); 5], "").status, 200);
}

#[test]
fn more_requests_of_a_user_at_a_time_than_allowed_are_429() {
    let server = TestServer::with(|options| options.user_requests = Some(1));
    let bob = [("x-user-id", "bob")];
    let waiting = server.begin("/data-store/changes?wait=60");
    let refused = until(429, || server.get("/data-store/whoami"));
    refused.fails(429, "too_many_requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    server.send("GET", "/data-store/whoami", &bob, "").expect(200);
    server.stop();
    drop(waiting);
}

#[test]
fn a_stream_of_events_is_a_request_until_its_end() {
    let server = TestServer::with(|options| options.user_requests = Some(1));
    let events = server.events("/data-store/changes", &[]);
    server.get("/data-store/whoami").fails(429, "too_many_requests");
    drop(events);
    until(200, || server.get("/data-store/whoami"));
}

#[test]
fn a_token_used_more_often_than_allowed_is_429_and_others_are_not() {
    let server = TestServer::with(|options| {
        options.token_rate = Some(NonZeroU32::MIN);
        options.token_burst = NonZeroU32::new(2);
    });
    let (_, often) = server.token("alice", |_| {});
    let (_, seldom) = server.token("alice", |_| {});
    let ask = |token: &str| server.send("GET", "/data-store/whoami", &[("authorization", token)], "");
    let refused = until(429, || ask(&often));
    refused.fails(429, "too_many_requests");
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|it| it >= 1)));
    ask(&seldom).expect(200);
}

#[test]
fn a_user_over_the_quota_is_507_and_others_are_not() {
    let server = TestServer::with(|options| {
        options.quota_records = Some(1);
        let mut carol = UserOptions::default();
        carol.quota_records = Some(Some(2));
        options.users.insert("carol".to_owned(), carol);
    });
    let put =
        |user: &str, key: &str| server.send("PUT", &record("n", key), &[JSON, ("x-user-id", user)], r#"{"value": 1}"#);
    put("alice", "1").expect(200);
    put("alice", "2").fails(507, "quota_exceeded");
    put("alice", "1").expect(200);
    put("bob", "1").expect(200);
    put("carol", "1").expect(200);
    put("carol", "2").expect(200);
    put("carol", "3").fails(507, "quota_exceeded");
    let batch = r#"{"writes": [{"op": "set", "namespace": "n", "key": "2", "value": 1}]}"#;
    server.send("POST", "/data-store/batch", &[JSON, ("x-user-id", "alice")], batch).fails(507, "quota_exceeded");
    let append = r#"{"op": "append", "items": [1]}"#;
    server.send("POST", &record("n", "3"), &[JSON, ("x-user-id", "alice")], append).fails(507, "quota_exceeded");
    let lock = r#"{"resource": "r"}"#;
    let path = "/data-store/namespaces/n/locks/acquire";
    server.send("POST", path, &[JSON, ("x-user-id", "alice")], lock).fails(507, "quota_exceeded");
}

#[test]
fn answers_are_not_guessed_at_nor_kept_by_others() {
    let server = TestServer::memory();
    for path in ["/data-store/namespaces", "/nowhere", "/docs", "/health"] {
        let reply = server.get(path);
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
    }
    assert!(server.get("/docs").header("content-security-policy").is_some_and(|it| it.contains("default-src 'none'")));
}

#[test]
fn pages_of_other_sites_get_in_only_if_they_are_named() {
    let ask = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
    let server = TestServer::memory();
    let reply = server.send("OPTIONS", &record("n", "k"), &ask, "");
    assert_eq!(reply.header("access-control-allow-origin"), None);
    let server = TestServer::with(|options| options.cors_origins = vec!["https://app.example".to_owned()]);
    let reply = server.send("OPTIONS", &record("n", "k"), &ask, "");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("https://app.example")));
    let other = [("origin", "https://other.example"), ("access-control-request-method", "PUT")];
    let reply = server.send("OPTIONS", &record("n", "k"), &other, "");
    assert_eq!(reply.header("access-control-allow-origin"), None);
    let reply = server.send("GET", "/data-store/whoami", &ask[..1], "");
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
}

#[test]
fn metrics_on_a_listener_of_their_own_are_nowhere_else() {
    let server = TestServer::with(|options| options.metrics_listen = Some("127.0.0.1:0".parse().unwrap()));
    server.token("alice", |_| {});
    server.get("/metrics").fails(404, "no_such_path");
    let answer = crate::slow::exchange(
        server.metrics_address(),
        b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("ads_http_connections"), "{answer}");
    let answer = crate::slow::exchange(
        server.metrics_address(),
        b"GET /data-store/whoami HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}
