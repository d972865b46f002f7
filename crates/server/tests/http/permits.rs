//! Who may do what: on every route that the server describes, so that none is forgotten.

use std::sync::Arc;
use std::time::Duration;

use agent_data_store::{ErrorKind, ManualClock, Options, Store, Timestamp, block_on};
use agent_data_store_server::{Access, Server, ServerOptions};
use serde_json::{Value, json};

use crate::support::{Reply, TestServer, record};

/// In every value and agent name that others must not see.
const MARK: &str = "hidden-mark";
/// Open to everyone who can connect.
const OPEN: [&str; 4] = ["/health", "/ready", "/openapi.json", "/docs"];
const JSON: (&str, &str) = ("content-type", "application/json");

/// Every route but the open ones, as (method, path as described).
fn routes(server: &TestServer) -> Vec<(String, String)> {
    let document = server.get("/openapi.json").expect(200);
    let paths = document["paths"].as_object().expect("paths");
    let routes: Vec<_> = paths
        .iter()
        .filter(|(path, _)| !OPEN.contains(&path.as_str()))
        .flat_map(|(path, verbs)| {
            let verbs = verbs.as_object().expect("verbs").keys();
            verbs.map(|verb| (verb.to_uppercase(), path.clone()))
        })
        .collect();
    assert!(routes.len() >= 24, "{routes:?}");
    routes
}

/// Calls every route on the namespace `hidden`.
fn on_every_route(server: &TestServer, headers: &[(&str, &str)], check: impl Fn(&str, &str, Reply)) {
    for (method, path) in routes(server) {
        let place = path.replace("{namespace}", "hidden").replace("{key}", "k");
        let reply = server.send(&method, &place, &[&[JSON], headers].concat(), "{}");
        check(&method, &path, reply);
    }
}

/// Alice's data, which nobody else may see or change.
fn fill(server: &TestServer) -> String {
    let (_, alice) = server.token("alice", |new| new.access = Access::Write);
    for (namespace, key) in [("hidden", "k"), ("hidden", "hidden-key"), ("open:1", "k")] {
        let body = json!({"value": if namespace == "hidden" { MARK } else { "shown" }}).to_string();
        let agent = if namespace == "hidden" { MARK } else { "agent" };
        let headers = [JSON, ("authorization", &alice), ("x-agent-name", agent)];
        server.send("PUT", &record(namespace, key), &headers, body).expect(200);
    }
    alice
}

fn unchanged(server: &TestServer, alice: &str) {
    let found = server.send("GET", &record("hidden", "k"), &[("authorization", alice)], "").expect(200);
    assert_eq!(found["value"], MARK);
    let all = server.send("GET", "/data-store/namespaces", &[("authorization", alice)], "").expect(200);
    assert_eq!(all["totalRecordCount"], 3);
}

#[test]
fn no_route_lets_in_whoever_shows_no_valid_token() {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-31T12:00:00Z").unwrap()));
    let server = TestServer::with_clock(clock.clone());
    let alice = fill(&server);
    let (_, expired) = server.token("alice", |new| {
        new.access = Access::Admin;
        new.expires_in = Some(Duration::from_secs(60));
    });
    let (revoked_id, revoked) = server.token("alice", |new| new.access = Access::Admin);
    assert_eq!(server.send("GET", "/data-store/whoami", &[("authorization", &revoked)], "").status, 200);
    assert!(block_on(server.tokens().revoke(&revoked_id)).unwrap());
    clock.advance(Duration::from_secs(60));
    let unknown = format!("Bearer ads_{}_{}", "0".repeat(16), "0".repeat(64));
    let wrong_secret = format!("{}{}", &alice[..alice.len() - 8], "00000000");
    let basic = alice.replace("Bearer", "Basic");
    let bare = alice.replace("Bearer ", "");
    let twice = [("authorization", &*alice), ("authorization", &*alice)];
    let shown: [(&str, &[(&str, &str)]); 9] = [
        ("none", &[]),
        ("expired", &[("authorization", &expired)]),
        ("revoked", &[("authorization", &revoked)]),
        ("unknown", &[("authorization", &unknown)]),
        ("wrong secret", &[("authorization", &wrong_secret)]),
        ("another scheme", &[("authorization", &basic)]),
        ("no scheme", &[("authorization", &bare)]),
        ("empty", &[("authorization", "Bearer ")]),
        ("twice", &twice),
    ];
    for (what, headers) in shown {
        on_every_route(&server, headers, |method, path, reply| {
            let error = reply.fails(401, "unauthenticated");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{what}: {method} {path}");
            assert!(!error.to_string().contains("ads_") && !error.to_string().contains(MARK), "{error}");
        });
        for path in OPEN {
            assert_eq!(server.send("GET", path, headers, "").status, 200, "{what}: {path}");
        }
    }
    unchanged(&server, &alice);
}

#[test]
fn a_read_only_token_changes_nothing_on_any_route() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, reader) = server.token("alice", |_| {});
    let reads = [("POST", "/data-store/read"), ("POST", "/data-store/access")];
    on_every_route(&server, &[("authorization", &reader)], |method, path, reply| {
        // Each of its tools decides: those are all called in `mcp.rs`.
        if path == "/mcp" {
            return;
        }
        let is_read = method == "GET" || reads.contains(&(method, path));
        match is_read && path != "/metrics" {
            true => assert!(reply.status == 200 || reply.status == 400, "{method} {path}: {reply:?}"),
            false => drop(reply.fails(403, "permission_denied")),
        }
    });
    unchanged(&server, &alice);
}

#[test]
fn a_token_of_another_user_sees_and_changes_nothing_on_any_route() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, bob) = server.token("bob", |new| new.access = Access::Write);
    on_every_route(&server, &[("authorization", &bob)], |method, path, reply| {
        let body = String::from_utf8_lossy(&reply.body);
        assert!(!body.contains(MARK) && !body.contains("hidden-key"), "{method} {path}: {body}");
    });
    on_every_route(&server, &[("authorization", &bob), ("x-user-id", "alice")], |_, _, reply| {
        reply.fails(403, "permission_denied");
    });
    unchanged(&server, &alice);
    let own = server.send("GET", "/data-store/whoami", &[("authorization", &bob), ("x-user-id", "bob")], "");
    assert_eq!(own.expect(200)["user"], "bob");
}

#[test]
fn a_token_limited_to_namespaces_learns_nothing_of_others_on_any_route() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, limited) = server.token("alice", |new| {
        new.access = Access::Write;
        new.namespaces = vec!["open:*".to_owned()];
    });
    let shown = [("authorization", &*limited)];
    on_every_route(&server, &shown, |method, path, reply| {
        let body = String::from_utf8_lossy(&reply.body);
        assert!(!body.contains(MARK) && !body.contains("hidden-key"), "{method} {path}: {body}");
        if path.contains("{namespace}") || path == "/metrics" {
            reply.fails(403, "permission_denied");
        }
    });
    let send = |method, path: &str, body: Value| {
        server.send(method, path, &[JSON, ("authorization", &limited), ("x-agent-name", "a")], body.to_string())
    };
    for (path, body) in [
        (
            "/data-store/read",
            json!({"records": [{"namespace": "open:1", "keys": ["k"]}, {"namespace": "hidden", "keys": ["k"]}]}),
        ),
        (
            "/data-store/batch",
            json!({"writes": [{"op": "set", "namespace": "open:1", "key": "new", "value": 1}, {"op": "check", "namespace": "hidden", "key": "k"}]}),
        ),
        (
            "/data-store/access",
            json!({"reads": [{"namespace": "hidden", "key": "k", "count": 1, "lastAt": "2026-01-31T12:00:00Z"}]}),
        ),
    ] {
        send("POST", path, body).fails(403, "permission_denied");
    }
    let list = send("GET", "/data-store/namespaces", json!({})).expect(200);
    assert_eq!(list["totalRecordCount"], 1);
    assert_eq!(list["namespaces"].as_array().map(Vec::len), Some(1));
    assert_eq!(send("GET", "/data-store/namespaces?namesOnly=true", json!({})).expect(200), json!(["open:1"]));
    let page = send("GET", "/data-store/namespaces?limit=1", json!({}));
    assert_eq!(page.header("link"), None, "{page:?}");
    let changes = send("GET", "/data-store/changes?since=0", json!({})).expect(200);
    let namespaces: Vec<_> = changes["changes"].as_array().unwrap().iter().map(|it| it["namespace"].clone()).collect();
    assert_eq!(namespaces, [json!("open:1")]);
    // One change at a time, of which the first ones are hidden.
    let changes = send("GET", "/data-store/changes?since=0&limit=1", json!({})).expect(200);
    assert_eq!(changes["changes"][0]["namespace"], "open:1");
    unchanged(&server, &alice);
}

#[test]
fn a_limited_token_follows_only_what_it_may_see() {
    let server = TestServer::memory();
    let alice = fill(&server);
    let (_, limited) = server.token("alice", |new| new.namespaces = vec!["open:*".to_owned()]);
    let mut events = server.events("/data-store/changes?since=0", &[("authorization", &limited)]);
    assert_eq!(events.next().expect("an event").data["namespace"], "open:1");
    let headers = [JSON, ("authorization", &*alice)];
    server.send("PUT", &record("hidden", "k"), &headers, r#"{"value": 2}"#).expect(200);
    server.send("PUT", &record("open:2", "k"), &headers, r#"{"value": 2}"#).expect(200);
    assert_eq!(events.next().expect("an event").data["namespace"], "open:2");
}

#[test]
fn an_admin_acts_for_every_user_but_the_store_s_own() {
    let server = TestServer::memory();
    fill(&server);
    let (_, admin) = server.token("platform", |new| new.access = Access::Admin);
    let act_as =
        |user| server.send("GET", &record("hidden", "k"), &[("authorization", &admin), ("x-user-id", user)], "");
    assert_eq!(act_as("alice").expect(200)["value"], MARK);
    act_as("bob").fails(404, "not_found");
    act_as("ads:tokens").fails(400, "invalid_argument");
    assert_eq!(server.send("GET", "/metrics", &[("authorization", &admin)], "").status, 200);
    let me = server.send("GET", "/data-store/whoami", &[("authorization", &admin)], "").expect(200);
    assert_eq!((&me["user"], &me["access"]), (&json!("platform"), &json!("admin")));
}

#[test]
fn a_token_bound_to_an_agent_is_that_agent() {
    let server = TestServer::memory();
    let (_, bound) = server.token("alice", |new| {
        new.access = Access::Write;
        new.agent = Some("writer".to_owned());
    });
    let shown = ("authorization", &*bound);
    let stored = server.send("PUT", &record("n", "k"), &[JSON, shown], r#"{"value": 1}"#).expect(200);
    assert_eq!(stored["createdByAgent"], "writer");
    server.send("GET", &record("n", "k"), &[shown, ("x-agent-name", "writer")], "").expect(200);
    server.send("GET", &record("n", "k"), &[shown, ("x-agent-name", "other")], "").fails(403, "permission_denied");
    let reads = json!({"reads": [{"namespace": "n", "key": "k", "agent": "other", "count": 1, "lastAt": "2026-01-31T12:00:00Z"}]});
    server.send("POST", "/data-store/access", &[JSON, shown], reads.to_string()).fails(403, "permission_denied");
}

#[test]
fn tokens_of_users_whose_names_could_be_read_two_ways_never_meet() {
    let server = TestServer::sqlite();
    let places = [("a:b", "c"), ("a", "b:c"), ("a:b:c", "d"), ("a", "b")];
    let tokens = places.map(|(user, _)| server.token(user, |new| new.access = Access::Write).1);
    for ((user, namespace), token) in places.iter().zip(&tokens) {
        let value = json!({"value": [user, namespace]}).to_string();
        server.send("PUT", &record(namespace, "k"), &[JSON, ("authorization", token)], value).expect(200);
    }
    for ((user, namespace), token) in places.iter().zip(&tokens) {
        let found = server.send("GET", &record(namespace, "k"), &[("authorization", token)], "").expect(200);
        assert_eq!(found["value"], json!([user, namespace]));
        let all =
            server.send("GET", "/data-store/namespaces?namesOnly=true", &[("authorization", token)], "").expect(200);
        let own: Vec<_> = places.iter().filter(|place| place.0 == *user).map(|place| place.1).collect();
        assert_eq!(all.as_array().map(Vec::len), Some(own.len()), "{all}");
    }
}

#[test]
fn the_first_token_closes_the_store_at_once() {
    let server = TestServer::sqlite();
    server.get("/data-store/whoami").expect(200);
    server
        .send("GET", "/data-store/whoami", &[("authorization", "Bearer something")], "")
        .fails(401, "unauthenticated");
    let (id, _) = server.token("alice", |_| {});
    server.get("/data-store/whoami").fails(401, "unauthenticated");
    assert!(block_on(server.tokens().revoke(&id)).unwrap());
    server.get("/data-store/whoami").fails(401, "unauthenticated");
}

#[test]
fn without_tokens_only_this_machine_may_connect_and_only_by_its_own_names() {
    let store = block_on(Store::open("memory:", Options::default())).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut options = ServerOptions::default();
    options.listen = "0.0.0.0:0".parse().unwrap();
    let error = runtime.block_on(Server::bind(&store, options)).map(drop).expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("ads token create"), "{error}");

    let server = TestServer::memory();
    let from = |host: &str| server.send("GET", "/data-store/whoami", &[("host", host)], "");
    from("localhost:8787").expect(200);
    from("evil.example").fails(403, "permission_denied");
    let (_, token) = server.token("alice", |_| {});
    server.send("GET", "/data-store/whoami", &[("host", "ads.example"), ("authorization", &token)], "").expect(200);
}

#[test]
fn who_follows_changes_hears_nothing_more_when_its_token_has_ended() {
    let server = TestServer::memory();
    let (_, writer) = server.token("alice", |new| new.access = Access::Write);
    let (id, reader) = server.token("alice", |_| {});
    let shows = [("authorization", &*reader)];
    let mut events = server.events("/data-store/changes?since=0", &shows);
    let put = |key: &str| server.send("PUT", &record("n", key), &[JSON, ("authorization", &writer)], r#"{"value": 1}"#);
    put("before").expect(200);
    let change = events.next().expect("an event").data;
    assert_eq!(change["key"], "before");
    let waiting = server.begin_with(&format!("/data-store/changes?since={}&wait=60", change["version"]), &shows);
    server.await_in_flight_by(1, &[("authorization", &server.token("operator", |new| new.access = Access::Admin).1)]);
    assert!(block_on(server.tokens().revoke(&id)).expect("it is there"));
    put("after").expect(200);
    assert_eq!(events.next(), None);
    waiting.end().fails(401, "unauthenticated");
}

#[test]
fn who_follows_changes_without_a_token_hears_nothing_more_when_one_is_needed() {
    let server = TestServer::memory();
    let mut events = server.events("/data-store/changes?since=0", &[]);
    server.put(&record("n", "before"), r#"{"value": 1}"#).expect(200);
    assert_eq!(events.next().expect("an event").data["key"], "before");
    let (_, writer) = server.token("default", |new| new.access = Access::Write);
    server.send("PUT", &record("n", "after"), &[JSON, ("authorization", &writer)], r#"{"value": 1}"#).expect(200);
    assert_eq!(events.next(), None);
}
