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
