//! The Model Context Protocol over HTTP: who may do what there, on every tool and every other request. What its clients see
//! when all is well is tested with them, in `python/tests/test_mcp.py`.

use agent_data_store::block_on;
use agent_data_store_server::Access;
use serde_json::{Value, json};

use crate::support::{Reply, TestServer, record};

const JSON: (&str, &str) = ("content-type", "application/json");
const ACCEPT: (&str, &str) = ("accept", "application/json, text/event-stream");
const VERSION: &str = "2026-07-28";
/// In every value, key and agent name that others must not see.
const MARK: &str = "hidden-mark";

/// Sends one request of the protocol as `token` allows.
fn ask(server: &TestServer, token: &str, method: &str, mut params: Value) -> Reply {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut headers =
        vec![JSON, ACCEPT, ("authorization", token), ("mcp-protocol-version", VERSION), ("mcp-method", method)];
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        headers.push(("mcp-name", name));
    }
    server.send("POST", "/mcp", &headers, body.to_string())
}

fn call(server: &TestServer, token: &str, tool: &str, arguments: Value) -> Value {
    let reply = ask(server, token, "tools/call", json!({"name": tool, "arguments": arguments}));
    let result = reply.expect(200)["result"].clone();
    let mut answer: Value = serde_json::from_str(result["content"][0]["text"].as_str().expect("text")).expect("JSON");
    answer["isError"] = result["isError"].as_bool().unwrap_or_default().into();
    answer
}

/// Arguments for a tool that would read or change what is in the namespace `hidden`.
fn on_hidden(tool: &str) -> Value {
    let mut arguments = match tool {
        "get" | "delete" | "increment" => json!({"key": "k"}),
        "set" => json!({"key": "k", "value": 1}),
        "append" => json!({"key": "k", "item": 1}),
        "merge" => json!({"key": "k", "patch": {"a": 1}}),
        "get_many" => json!({"keys": ["k"]}),
        "list_keys" => json!({"show": "previews"}),
        "search" => json!({"text": "h"}),
        "wait_for" => json!({"key": "k", "timeout_seconds": 0}),
        "lock" => json!({"resource": "r"}),
        "unlock" => json!({"resource": "r", "token": 1}),
        "claim" => json!({}),
        "complete" => json!({"key": "k", "token": 1}),
        "list_namespaces" => return json!({}),
        other => panic!("no arguments for {other}"),
    };
    arguments["namespace"] = "hidden".into();
    arguments
}

/// Every request there is, aimed at the namespace `hidden`.
fn requests(server: &TestServer, token: &str) -> Vec<(&'static str, Value)> {
    let listed = ask(server, token, "tools/list", json!({})).expect(200);
    let tools: Vec<String> = listed["result"]["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| tool["name"].as_str().expect("a name").to_owned())
        .collect();
    assert!(tools.len() >= 14, "{tools:?}");
    let uri = "ads://hidden/k";
    let template = json!({"type": "ref/resource", "uri": "ads://{namespace}/{key}"});
    let mut requests: Vec<_> =
        tools.iter().map(|tool| ("tools/call", json!({"name": tool, "arguments": on_hidden(tool)}))).collect();
    // Without a namespace it searches all.
    requests.push(("tools/call", json!({"name": "search", "arguments": {"text": "h"}})));
    requests.extend([
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": uri})),
        ("completion/complete", json!({"ref": template, "argument": {"name": "namespace", "value": ""}})),
        (
            "completion/complete",
            json!({"ref": template, "argument": {"name": "key", "value": ""}, "context": {"arguments": {"namespace": "hidden"}}}),
        ),
        ("subscriptions/listen", json!({"notifications": {"resourceSubscriptions": [uri]}})),
    ]);
    requests
}

fn fill(server: &TestServer) -> String {
    let (_, alice) = server.token("alice", |new| new.access = Access::Write);
    for (namespace, key) in [("hidden", "k"), ("hidden", MARK), ("open:1", "k")] {
        let body = json!({"value": if namespace == "hidden" { MARK } else { "shown" }}).to_string();
        let headers = [JSON, ("authorization", &alice), ("x-agent-name", "agent")];
        server.send("PUT", &record(namespace, key), &headers, body).expect(200);
    }
    alice
}

fn unchanged(server: &TestServer, alice: &str) {
    let found = server.send("GET", &record("hidden", "k"), &[("authorization", alice)], "").expect(200);
    assert_eq!((&found["value"], &found["version"]), (&json!(MARK), &json!(1)));
    let all = server.send("GET", "/data-store/namespaces", &[("authorization", alice)], "").expect(200);
    assert_eq!(all["totalRecordCount"], 3);
}

fn assert_tells_nothing(reply: &Reply, what: &str) {
    let body = String::from_utf8_lossy(&reply.body);
    assert!(!body.contains(MARK), "{what}: {body}");
}

#[test]
fn no_request_is_answered_without_a_valid_token() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (id, revoked) = server.token("alice", |new| new.access = Access::Write);
    assert!(block_on(server.tokens().revoke(&id)).unwrap());
    for (method, params) in requests(&server, &alice) {
        for token in ["", "Bearer ads_wrong", &revoked] {
            ask(&server, token, method, params.clone()).fails(401, "unauthenticated");
        }
    }
    unchanged(&server, &alice);
}

#[test]
fn another_user_sees_and_changes_nothing_by_any_request() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, bob) = server.token("bob", |new| new.access = Access::Write);
    for (method, params) in requests(&server, &alice) {
        if method != "subscriptions/listen" {
            assert_tells_nothing(&ask(&server, &bob, method, params.clone()), &params.to_string());
        }
    }
    unchanged(&server, &alice);
}

#[test]
fn a_token_limited_to_namespaces_learns_nothing_of_others_by_any_request() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, limited) = server.token("alice", |new| {
        new.access = Access::Write;
        new.namespaces = vec!["open:*".to_owned()];
    });
    for (method, params) in requests(&server, &alice) {
        let reply = ask(&server, &limited, method, params.clone());
        assert_tells_nothing(&reply, &params.to_string());
        let body = String::from_utf8_lossy(&reply.body);
        if params.to_string().contains("hidden") {
            assert!(body.contains("permission_denied"), "{params}: {body}");
        } else {
            assert!(!body.contains("hidden"), "{params}: {body}");
        }
    }
    let found = call(&server, &limited, "search", json!({"text": "k"}));
    assert_eq!(found["found"], json!([{"namespace": "open:1", "key": "k"}]));
    unchanged(&server, &alice);
}

#[test]
fn a_read_only_token_is_shown_tools_that_read_and_changes_nothing_by_the_others() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, reader) = server.token("alice", |_| {});
    let listed = ask(&server, &reader, "tools/list", json!({})).expect(200);
    let shown: Vec<&Value> = listed["result"]["tools"].as_array().unwrap().iter().collect();
    assert!(shown.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true), "{shown:?}");
    let shown: Vec<&str> = shown.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for (method, params) in requests(&server, &alice) {
        let Some(tool) = params["name"].as_str().filter(|_| method == "tools/call") else { continue };
        let answer = call(&server, &reader, tool, params["arguments"].clone());
        assert_eq!(answer["isError"], !shown.contains(&tool), "{tool}: {answer}");
        if !shown.contains(&tool) {
            assert_eq!(answer["code"], "permission_denied", "{tool}");
        }
    }
    unchanged(&server, &alice);
}

#[test]
fn a_revoked_token_ends_at_once() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (id, token) = server.token("alice", |_| {});
    assert_eq!(call(&server, &token, "get", json!({"namespace": "open:1", "key": "k"}))["value"], "shown");
    assert!(block_on(server.tokens().revoke(&id)).unwrap());
    ask(&server, &token, "tools/list", json!({})).fails(401, "unauthenticated");
    unchanged(&server, &alice);
}

/// Begins a session of the protocol as it was before; returns its id.
fn begin(server: &TestServer, token: &str) -> String {
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let reply = server.send("POST", "/mcp", &[JSON, ACCEPT, ("authorization", token)], body.to_string());
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.header("mcp-session-id").expect("a session").to_owned()
}

fn in_session(server: &TestServer, token: &str, session: &str, method: &str, params: Value) -> Reply {
    let body = json!({"jsonrpc": "2.0", "id": 2, "method": method, "params": params});
    let headers =
        [JSON, ACCEPT, ("authorization", token), ("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")];
    server.send("POST", "/mcp", &headers, body.to_string())
}

#[test]
fn a_session_is_nobody_else_s() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, bob) = server.token("bob", |new| new.access = Access::Write);
    let (_, limited) = server.token("alice", |new| new.namespaces = vec!["open:*".to_owned()]);
    let session = begin(&server, &alice);
    let get = json!({"name": "get", "arguments": {"namespace": "hidden", "key": "k"}});
    let own = in_session(&server, &alice, &session, "tools/call", get.clone());
    assert!(String::from_utf8_lossy(&own.body).contains(MARK), "{own:?}");
    for other in [&bob, &limited] {
        in_session(&server, other, &session, "tools/call", get.clone()).fails(404, "no_such_session");
        for method in ["GET", "DELETE"] {
            let headers = [ACCEPT, ("authorization", &**other), ("mcp-session-id", &session)];
            server.send(method, "/mcp", &headers, "").fails(404, "no_such_session");
        }
    }
    let mine = begin(&server, &limited);
    for (method, params) in [
        ("tools/call", get.clone()),
        ("resources/read", json!({"uri": "ads://hidden/k"})),
        ("resources/subscribe", json!({"uri": "ads://hidden/k"})),
    ] {
        let denied = in_session(&server, &limited, &mine, method, params);
        let body = String::from_utf8_lossy(&denied.body);
        assert!(body.contains("permission_denied"), "{method}: {body}");
    }
    let ended = server.send("DELETE", "/mcp", &[("authorization", &alice), ("mcp-session-id", &session)], "");
    assert!(ended.status < 300, "{ended:?}");
    assert_eq!(in_session(&server, &alice, &session, "tools/call", get).status, 404);
    unchanged(&server, &alice);
}

#[test]
fn a_page_of_another_site_gets_in_only_where_it_is_named() {
    let server = TestServer::with(|options| options.cors_origins = vec!["https://app.example".to_owned()]);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let from = |origin: &str| server.send("POST", "/mcp", &[JSON, ACCEPT, ("origin", origin)], body.clone());
    from("https://evil.example").fails(403, "permission_denied");
    from("null").fails(403, "permission_denied");
    assert_ne!(from("https://app.example").status, 403);
    let host = server.send("POST", "/mcp", &[JSON, ACCEPT, ("host", "evil.example")], body.clone());
    host.fails(403, "permission_denied");
}

#[test]
fn limits_of_the_server_hold_for_its_messages() {
    let server = TestServer::with(|options| {
        options.body_bytes = 10_000;
        options.quota_records = Some(1);
        options.token_rate = std::num::NonZeroU32::new(1);
        options.token_burst = std::num::NonZeroU32::new(5);
    });
    let (_, token) = server.token("alice", |new| new.access = Access::Write);
    let too_large = json!({"name": "set", "arguments": {"key": "k", "value": "x".repeat(10_000)}});
    ask(&server, &token, "tools/call", too_large).fails(413, "too_large");
    assert_eq!(call(&server, &token, "set", json!({"key": "k", "value": 1}))["isError"], false);
    let over = call(&server, &token, "set", json!({"key": "other", "value": 1}));
    assert_eq!((&over["code"], &over["isError"]), (&json!("quota_exceeded"), &json!(true)), "{over}");
    let plain = server.send("POST", "/mcp", &[("content-type", "text/plain"), ("authorization", &token)], "{}");
    plain.fails(415, "unsupported_media_type");
    let mut refused = false;
    for _ in 0..5 {
        refused |= ask(&server, &token, "tools/list", json!({})).status == 429;
    }
    assert!(refused);
}

#[test]
fn an_agent_is_the_token_s_or_the_header_s_or_else_the_client_itself() {
    let server = TestServer::memory();
    let (_, free) = server.token("alice", |new| new.access = Access::Write);
    let (_, bound) = server.token("alice", |new| {
        new.access = Access::Write;
        new.agent = Some("bound".to_owned());
    });
    for (token, agent) in [(&free, "tester"), (&bound, "bound")] {
        call(&server, token, "set", json!({"key": agent, "value": 1}));
        let found = call(&server, token, "get", json!({"key": agent, "bookkeeping": true}));
        assert_eq!(found["record"]["createdByAgent"], agent);
    }
}

#[test]
fn values_of_any_form_reach_the_store_and_errors_name_what_is_wrong() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let arguments = |value: &str| {
        let marked = json!({"namespace": "open:1", "key": "k", "value": "THE VALUE"}).to_string();
        marked.replace("\"THE VALUE\"", value)
    };
    let call = |value: &str| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "set", "_meta": {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }, "arguments": "THE ARGUMENTS"}});
        let body = body.to_string().replace("\"THE ARGUMENTS\"", &arguments(value));
        let headers = [
            JSON,
            ACCEPT,
            ("authorization", &*alice),
            ("mcp-protocol-version", VERSION),
            ("mcp-method", "tools/call"),
            ("mcp-name", "set"),
        ];
        let result = server.send("POST", "/mcp", &headers, body).expect(200)["result"].clone();
        result["content"][0]["text"].as_str().expect("text").to_owned()
    };
    let digits = "7".repeat(5_000);
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for value in [&*digits, &nested(128), "1.0", r#"{"a":1,"a":2}"#, r#""\ud83d\ude00""#] {
        let answer = call(value);
        assert!(answer.contains("version"), "{answer}");
        let path = record("open:1", "k");
        let stored = server.send("GET", &format!("{path}?view=value"), &[("authorization", &alice)], "");
        assert_eq!(stored.body, value);
    }
    for (value, code) in [
        (&*nested(129), "too_large"),
        (&nested(1_000_000), "too_large"),
        ("1e999", "not_serializable"),
        (r#""\ud800""#, "not_serializable"),
    ] {
        let answer = call(value);
        assert!(answer.contains(code), "{answer}");
    }
}

#[test]
fn what_is_no_message_is_refused_in_the_form_of_all_errors() {
    let server = TestServer::memory();
    let long =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":[{}0]}}}}"#, "0,".repeat(1 << 20));
    let bodies: &[(&[u8], u16, &str)] = &[
        (b"", 400, "invalid_argument"),
        (b"{", 400, "invalid_argument"),
        (b"[]", 400, "invalid_argument"),
        (b"{}", 400, "invalid_argument"),
        (b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\"}", 400, "invalid_argument"),
        (&[b'['; 1_000_000], 400, "invalid_argument"),
        (long.as_bytes(), 413, "too_large"),
    ];
    for (body, status, code) in bodies {
        let headers = [JSON, ACCEPT, ("mcp-protocol-version", VERSION)];
        server.send("POST", "/mcp", &headers, body.to_vec()).fails(*status, code);
    }
}
