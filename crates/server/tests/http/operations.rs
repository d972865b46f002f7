//! What those who run the server look at.

use std::net::TcpStream;

use crate::support::{TestServer, on_each_engine, record};

#[test]
fn the_server_says_whether_it_is_well() {
    on_each_engine(|server| {
        assert_eq!(server.get("/health").expect(200)["status"], "ok");
        assert_eq!(server.get("/ready").expect(200)["status"], "ready");
        server.close_store();
        assert_eq!(server.get("/health").expect(200)["status"], "ok");
        let error = server.get("/ready");
        error.fails(503, "unavailable");
        assert_eq!(error.header("retry-after"), Some("1"));
    });
}

#[test]
fn requests_are_counted_by_route() {
    on_each_engine(|server| {
        server.put(&record("secret-namespace", "secret-key"), r#"{"value": 1}"#).expect(200);
        server.get(&record("secret-namespace", "gone")).fails(404, "not_found");
        server.get("/nowhere").fails(404, "no_such_path");
        server.send("BREW", "/nowhere", &[], "").fails(404, "no_such_path");
        let reply = server.get("/metrics");
        let text = String::from_utf8(reply.body.to_vec()).expect("text");
        let route = "/data-store/namespaces/{namespace}/records/{*key}";
        for line in [
            format!("ads_http_requests_total{{method=\"PUT\",route=\"{route}\",status=\"200\"}} 1"),
            format!("ads_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"404\"}} 1"),
            "ads_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1".to_owned(),
            "ads_http_requests_total{method=\"other\",route=\"none\",status=\"404\"} 1".to_owned(),
            "ads_http_requests_in_flight 1".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("secret"), "{text}");
        let begins = |start: &str| text.lines().any(|line| line.starts_with(start));
        assert!(begins("ads_http_request_duration_seconds_count{") && begins("ads_http_connections "), "{text}");
    });
}

#[test]
fn every_answer_carries_the_id_of_its_request() {
    on_each_engine(|server| {
        let new = server.get("/nowhere");
        assert!(new.header("x-request-id").is_some_and(|id| id.len() == 16), "{new:?}");
        let given = server.send("GET", "/health", &[("x-request-id", "abc-123")], "");
        assert_eq!(given.header("x-request-id"), Some("abc-123"));
        let long = "x".repeat(200);
        for id in ["has space", "", &long] {
            let reply = server.send("GET", "/health", &[("x-request-id", id)], "");
            assert_eq!(reply.header("x-request-id").map(str::len), Some(16), "{id:?}");
        }
    });
}

#[test]
fn a_server_that_stops_closes_its_door_and_keeps_what_it_has_gathered() {
    let server = TestServer::sqlite();
    server.put(&record("n", "k"), r#"{"value": 1}"#).expect(200);
    server.send("GET", &record("n", "k"), &[("x-agent-name", "reader")], "").expect(200);
    let address = server.address();
    server.stop();
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(server.stored_record("n", "k").access_count, 1);
}
