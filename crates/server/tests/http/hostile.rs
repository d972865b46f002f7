//! Requests that are not what they should be.

use serde_json::json;

use crate::support::{TestServer, on_each_engine, record};

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_body_that_is_no_json_is_refused() {
    on_each_engine(|server| {
        let path = record("n", "k");
        let deep = format!("{{\"value\": {}{}}}", "[".repeat(129), "]".repeat(129));
        let deeper = format!("{{\"value\": {}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let cases: &[(&[u8], u16, &str)] = &[
            (b"", 400, "invalid_argument"),
            (b"{", 400, "invalid_argument"),
            (b"value", 400, "invalid_argument"),
            (b"[]", 400, "invalid_argument"),
            (b"null", 400, "invalid_argument"),
            (b"{}", 400, "invalid_argument"),
            (b"{\"value\": 1} x", 400, "invalid_argument"),
            (b"{\"value\": 1, \"value\": 2}", 400, "invalid_argument"),
            (b"{\"value\": 1, \"other\": 2}", 400, "invalid_argument"),
            (b"{\"value\": NaN}", 400, "invalid_argument"),
            (b"{\"value\": \"\xff\"}", 400, "invalid_argument"),
            (b"{\"value\": \"\\ud800\"}", 400, "not_serializable"),
            (b"{\"value\": 1e999}", 400, "not_serializable"),
            (b"{\"value\": 1, \"metadata\": [1]}", 400, "invalid_argument"),
            (b"\xef\xbb\xbf{\"value\": 1}", 400, "invalid_argument"),
            (deep.as_bytes(), 413, "too_large"),
            (deeper.as_bytes(), 413, "too_large"),
        ];
        for (body, status, code) in cases {
            server.send("PUT", &path, &[JSON], body.to_vec()).fails(*status, code);
        }
        server.get(&path).fails(404, "not_found");
    });
}

#[test]
fn what_is_too_large_is_refused_whole() {
    on_each_engine(|server| {
        let path = record("n", "k");
        let value = |bytes: usize| format!("{{\"value\": \"{}\"}}", "x".repeat(bytes - 2));
        server.put(&path, &value(16 << 20)).expect(200);
        server.put(&path, &value((16 << 20) + 1)).fails(413, "too_large");
        let metadata = json!({"value": 1, "metadata": {"m": "x".repeat(64 << 10)}});
        server.put(&path, &metadata.to_string()).fails(413, "too_large");
        let keys: Vec<&str> = std::iter::repeat_n("k", 100_001).collect();
        let read = json!({"records": [{"namespace": "n", "keys": keys}]});
        server.post("/data-store/read", &read.to_string()).fails(413, "too_large");
        let writes = vec![json!({"namespace": "n", "key": "k", "op": "delete"}); 100_001];
        server.post("/data-store/batch", &json!({"writes": writes}).to_string()).fails(413, "too_large");
        assert_eq!(server.get(&path).expect(200)["value"].as_str().map(str::len), Some((16 << 20) - 2));
    });
}

#[test]
fn a_body_above_the_servers_limit_is_not_read() {
    let server = TestServer::with(|options| options.body_bytes = 1_000);
    let path = record("n", "k");
    server.put(&path, &json!({"value": "x".repeat(900)}).to_string()).expect(200);
    server.put(&path, &json!({"value": "x".repeat(1_000)}).to_string()).fails(413, "too_large");
}

#[test]
fn a_body_is_declared_as_json() {
    on_each_engine(|server| {
        let path = record("n", "k");
        for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            let headers = [("content-type", media_type)];
            server.send("PUT", &path, &headers, r#"{"value": 1}"#).fails(415, "unsupported_media_type");
        }
        server.send("POST", "/data-store/batch", &[], r#"{"writes": []}"#).fails(415, "unsupported_media_type");
        for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=UTF-8"] {
            server.send("PUT", &path, &[("content-type", media_type)], r#"{"value": 1}"#).expect(200);
        }
    });
}

#[test]
fn paths_and_methods_that_are_not_there_say_so() {
    on_each_engine(|server| {
        for path in ["/", "/data-store", "/data-store/", "/data-store/x", "/health/", "/data-store/namespaces/n/x"] {
            server.get(path).fails(404, "no_such_path");
        }
        for (method, path) in [("POST", "/data-store/namespaces"), ("PATCH", &*record("n", "k")), ("DELETE", "/health")]
        {
            let reply = server.send(method, path, &[JSON], "{}");
            reply.fails(405, "method_not_allowed");
            assert!(reply.header("allow").is_some_and(|allow| !allow.is_empty()), "{reply:?}");
        }
    });
}

#[test]
fn errors_never_show_a_value() {
    on_each_engine(|server| {
        let path = record("n", "k");
        server.put(&path, r#"{"value": "hunter2"}"#).expect(200);
        let bodies = [
            r#"{"op": "increment"}"#,
            r#"{"op": "increment", "by": "hunter2"}"#,
            r#"{"op": "append", "items": ["hunter2"]}"#,
            r#"{"op": "append", "items": "hunter2"}"#,
            r#"{"op": "hunter2"}"#,
            r#"{"op": "set", "value": 1, "ifVersion": "hunter2"}"#,
            r#"{"op": "set", "value": 1, "metadata": "hunter2"}"#,
            r#"{"op": "set", "value": 1, "ttlSeconds": "hunter2"}"#,
            r#"{"op": "append", "items": [], "unique": "hunter2"}"#,
            r#"{"op": "set", "value": "hunter2"#,
            r#""hunter2""#,
            r#"["hunter2"]"#,
        ];
        for body in bodies {
            let error = server.post(&path, body).fails(400, "invalid_argument");
            assert!(!error.to_string().contains("hunter2"), "{body}: {error}");
        }
        let error = server.post(&path, r#"{"op": "set", "value": 1, "ifVersion": 7}"#).fails(412, "conflict");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    });
}

#[test]
fn an_encoded_body_is_refused_and_never_unpacked() {
    on_each_engine(|server| {
        let path = record("n", "k");
        for encoding in ["gzip", "deflate", "br", "zstd", "identity, gzip"] {
            let headers = [JSON, ("content-encoding", encoding)];
            let error = server.send("PUT", &path, &headers, r#"{"value": 1}"#).fails(415, "unsupported_media_type");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.contains("Content-Encoding")), "{error}");
        }
        server.get(&path).fails(404, "not_found");
        server.send("PUT", &path, &[JSON, ("content-encoding", "identity")], r#"{"value": 1}"#).expect(200);
    });
}

#[test]
fn names_of_any_length_are_refused_with_a_short_answer() {
    on_each_engine(|server| {
        let long = "x".repeat(10_000_000);
        let writes = |namespace: &str, key: &str| {
            json!({"writes": [{"op": "set", "namespace": namespace, "key": key, "value": 1}]}).to_string()
        };
        let value = json!({"value": 1, &long: 1}).to_string();
        let read =
            |namespace: &str, key: &str| json!({"records": [{"namespace": namespace, "keys": [key]}]}).to_string();
        for reply in [
            server.post("/data-store/batch", &writes("n", &long)),
            server.post("/data-store/batch", &writes(&long, "k")),
            server.post("/data-store/batch", &writes("n", "a\0b")),
            server.post("/data-store/read", &read("n", &long)),
            server.post("/data-store/read", &read(&long, "k")),
            server.post(&record("n", "k"), &json!({"op": long}).to_string()),
            server.put(&record("n", "k"), &value),
            server.get(&format!("/data-store/namespaces/n/records?{}=1", &long[..20_000])),
        ] {
            reply.fails(400, "invalid_argument");
            assert!(reply.body.len() < 8_192, "{} bytes", reply.body.len());
        }
        assert_eq!(server.get("/data-store/namespaces").expect(200)["totalRecordCount"], 0);
    });
}

#[test]
fn more_entries_than_a_request_may_have_are_refused_however_they_are_spread() {
    on_each_engine(|server| {
        let groups = |groups: usize, keys: usize| {
            let group = format!(r#"{{"namespace":"n","keys":[{}]}}"#, vec![r#""k""#; keys].join(","));
            format!(r#"{{"records":[{}]}}"#, vec![group; groups].join(","))
        };
        for body in [groups(1, 100_001), groups(11, 10_000), groups(100_001, 0)] {
            let error = server.post("/data-store/read", &body).fails(413, "too_large");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.ends_with("split it")), "{error}");
        }
        let found = server.post("/data-store/read", &groups(10, 10_000)).expect(200);
        assert_eq!(found.as_array().map(Vec::len), Some(100_000));
        let reads = vec![json!({"namespace": "n", "key": "k", "count": 1, "lastAt": "x"}); 100_001];
        server.post("/data-store/access", &json!({"reads": reads}).to_string()).fails(413, "too_large");
        // That it is too much is known before the rest is looked at.
        let writes = format!(r#"{{"writes":[{}1]}}"#, r#"{"op":"delete","namespace":"n","key":"k"},"#.repeat(100_000));
        server.post("/data-store/batch", &writes).fails(400, "invalid_argument");
        let writes = writes.replace(",1]", r#",{"op":"delete"},1]"#);
        server.post("/data-store/batch", &writes).fails(413, "too_large");
    });
}

#[test]
fn numbers_without_sense_are_refused_and_those_beyond_all_bounds_mean_the_bound() {
    on_each_engine(|server| {
        let path = record("n", "k");
        for number in ["-1", "1.5", "18446744073709551616", "1e308", "NaN", "Infinity", "\"1\"", "1e999", "[]"] {
            let set = format!(r#"{{"op": "set", "value": 1, "ifVersion": {number}}}"#);
            server.post(&path, &set).fails(400, "invalid_argument");
            let append = format!(r#"{{"op": "append", "items": [], "maxLength": {number}}}"#);
            server.post(&path, &append).fails(400, "invalid_argument");
        }
        for seconds in ["-1", "0", "-0.0", "1e-9", "NaN", "\"1\"", "true", "[]"] {
            server.put(&path, &format!(r#"{{"value": 1, "ttlSeconds": {seconds}}}"#)).fails(400, "invalid_argument");
            let lock = format!(r#"{{"resource": "r", "ttlSeconds": {seconds}}}"#);
            server.post("/data-store/namespaces/n/locks/acquire", &lock).fails(400, "invalid_argument");
        }
        for query in
            ["since=-1", "since=18446744073709551616", "since=NaN", "since=1e3", "limit=-1", "wait=NaN", "wait=-1"]
        {
            server.get(&format!("/data-store/changes?{query}")).fails(400, "invalid_argument");
        }
        let error = server.get("/data-store/changes?since=NaN").fails(400, "invalid_argument");
        let detail = error["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("since") && detail.contains("/docs"), "{error}");
        for id in ["-1", "18446744073709551616", "NaN"] {
            let headers = [("accept", "text/event-stream"), ("last-event-id", id)];
            server.send("GET", "/data-store/changes", &headers, "").fails(400, "invalid_argument");
        }
        server.get(&path).fails(404, "not_found");
        // A version that no record can have is one that this record does not have.
        for version in ["9223372036854775808", "18446744073709551615"] {
            let set = format!(r#"{{"op": "set", "value": 1, "ifVersion": {version}}}"#);
            server.post(&path, &set).fails(412, "conflict");
            let headers = [JSON, ("if-match", &*format!("\"{version}\""))];
            server.send("PUT", &path, &headers, r#"{"value": 1}"#).fails(412, "conflict");
            assert_eq!(server.get(&format!("/data-store/changes?since={version}")).expect(200)["changes"], json!([]));
        }
        for seconds in ["9223372036854775808", "1e308", "1e999"] {
            let stored = server.put(&path, &format!(r#"{{"value": 1, "ttlSeconds": {seconds}}}"#)).expect(200);
            assert!(stored["expiresAt"].as_str().is_some_and(|time| time.starts_with("9999-")), "{stored}");
        }
    });
}
