//! Versions as entity tags.

use serde_json::json;

use crate::support::{Reply, TestServer, on_each_engine, record};

const BODY: &str = r#"{"value": "new"}"#;

fn put(server: &TestServer, header: &str, value: &str) -> Reply {
    server.send("PUT", &record("n", "k"), &[("content-type", "application/json"), (header, value)], BODY)
}

/// Stores a first value; its version.
fn first(server: &TestServer) -> u64 {
    let stored = server.put(&record("n", "k"), r#"{"value": "old"}"#);
    let version = stored.expect(200)["version"].as_u64().expect("a version");
    assert_eq!(stored.header("etag"), Some(&*format!("\"{version}\"")));
    version
}

#[test]
fn a_write_happens_only_to_the_version_that_was_seen() {
    on_each_engine(|server| {
        let version = first(server);
        let error = put(server, "if-match", "\"999\"").fails(412, "conflict");
        assert_eq!((&error["expectedVersion"], &error["actualVersion"]), (&json!(999), &json!(version)));
        assert_eq!((&error["namespace"], &error["key"]), (&json!("n"), &json!("k")));
        let stored = put(server, "if-match", &format!("\"{version}\""));
        let next = stored.expect(200)["version"].as_u64();
        assert!(next > Some(version));
        put(server, "if-match", &format!("\"{version}\"")).fails(412, "conflict");
        let path = record("n", "k");
        server.send("DELETE", &path, &[("if-match", "\"1000\"")], "").fails(412, "conflict");
        let tag = stored.header("etag").expect("a tag");
        assert_eq!(server.send("DELETE", &path, &[("if-match", tag)], "").status, 204);
        let error = server.send("DELETE", &path, &[("if-match", tag)], "").fails(412, "conflict");
        assert_eq!(error["actualVersion"], 0);
    });
}

#[test]
fn a_write_happens_only_where_nothing_is() {
    on_each_engine(|server| {
        put(server, "if-none-match", "*").expect(200);
        let error = put(server, "if-none-match", "*").fails(412, "conflict");
        assert_eq!(error["expectedVersion"], 0);
        assert!(error["actualVersion"].as_u64() > Some(0));
    });
}

#[test]
fn tags_may_be_many_or_any() {
    on_each_engine(|server| {
        put(server, "if-match", "*").fails(412, "conflict");
        let version = first(server);
        put(server, "if-match", "\"7\", \"8\"").fails(412, "conflict");
        put(server, "if-none-match", &format!("\"7\", \"{version}\"")).fails(412, "conflict");
        // No version is written so, hence none of these matches any.
        for tag in ["W/\"{}\"", "\"0{}\"", "\"+{}\"", "\"x\"", "\"\""] {
            put(server, "if-match", &tag.replace("{}", &version.to_string())).fails(412, "conflict");
        }
        let stored = put(server, "if-match", &format!("\"7\", \"{version}\"")).expect(200);
        put(server, "if-match", "*").expect(200);
        put(server, "if-none-match", &format!("{}", json!(stored["version"].to_string()))).expect(200);
        assert_eq!(server.send("DELETE", &record("n", "k"), &[("if-match", "*")], "").status, 204);
        put(server, "if-none-match", "\"7\"").expect(200);
    });
}

#[test]
fn a_read_says_whether_anything_is_new() {
    on_each_engine(|server| {
        let path = record("n", "k");
        server.send("GET", &path, &[("if-none-match", "\"1\"")], "").fails(404, "not_found");
        let tag = format!("\"{}\"", first(server));
        for same in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let reply = server.send("GET", &path, &[("if-none-match", &same)], "");
            assert_eq!((reply.status, reply.body.len(), reply.header("etag")), (304, 0, Some(&*tag)), "{same}");
        }
        server.send("GET", &path, &[("if-none-match", "\"1000\"")], "").expect(200);
        server.send("GET", &path, &[("if-match", &tag)], "").expect(200);
        server.send("GET", &path, &[("if-match", "\"1000\"")], "").fails(412, "conflict");
        let reply = server.send("GET", &format!("{path}?view=value"), &[("if-none-match", &tag)], "");
        assert_eq!(reply.status, 304);
    });
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    on_each_engine(|server| {
        for header in ["if-match", "if-none-match"] {
            for value in ["7", "\"7", "", "7\"", "\"7\" \"8\"x", "W/7"] {
                put(server, header, value).fails(400, "invalid_argument");
            }
        }
        let both = [("content-type", "application/json"), ("if-match", "\"1\""), ("if-none-match", "*")];
        server.send("PUT", &record("n", "k"), &both, BODY).fails(400, "invalid_argument");
        server.get(&record("n", "k")).fails(404, "not_found");
    });
}
