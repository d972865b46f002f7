//! Requests that come twice, because nobody knows whether the first one arrived.

use agent_data_store_server::Access;
use serde_json::{Value, json};

use crate::support::{Reply, TestServer, on_each_engine, record};

const JSON: (&str, &str) = ("content-type", "application/json");

fn named(server: &TestServer, method: &str, path: &str, name: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, path, &[JSON, ("idempotency-key", name)], body)
}

#[test]
fn a_repeated_write_is_applied_once_and_answers_the_same() {
    on_each_engine(|server| {
        let path = record("n", "k");
        let put = || named(server, "PUT", &path, "put-1", &json!({"value": 1})).expect(200);
        let stored = put();
        let add = || named(server, "POST", &path, "add-1", &json!({"op": "increment", "by": 5})).expect(200);
        let added = add();
        assert_eq!(added["result"], 6);
        assert_eq!(add(), added);
        let repeated = put();
        assert_eq!((&repeated["version"], &repeated["value"]), (&stored["version"], &json!(1)));
        assert_eq!(server.get(&path).expect(200)["value"], 6, "what came since is left alone");

        let batch = json!({"writes": [
            {"namespace": "n", "key": "list", "op": "append", "items": [1]},
            {"namespace": "n", "key": "k", "op": "increment", "ifVersion": added["version"]},
        ]});
        let write = || named(server, "POST", "/data-store/batch", "batch-1", &batch).expect(200);
        assert_eq!(write(), write());
        assert_eq!(server.get(&record("n", "list")).expect(200)["value"], json!([1]));

        let delete = || named(server, "DELETE", &path, "delete-1", &Value::Null).status;
        assert_eq!((delete(), delete()), (204, 204));
        named(server, "DELETE", &path, "delete-2", &Value::Null).fails(404, "not_found");

        let clear = || named(server, "DELETE", "/data-store/namespaces/n", "clear-1", &Value::Null).expect(200);
        let cleared = clear();
        assert_eq!(cleared["deletedCount"], 1);
        server.put(&path, r#"{"value": "later"}"#).expect(200);
        assert_eq!(clear(), cleared);
        server.get(&path).expect(200);
    });
}

#[test]
fn a_name_belongs_to_one_request_of_one_user() {
    on_each_engine(|server| {
        let path = record("n", "k");
        named(server, "PUT", &path, "once", &json!({"value": 1})).expect(200);
        named(server, "PUT", &path, "once", &json!({"value": 2})).fails(400, "invalid_argument");
        named(server, "DELETE", &path, "once", &Value::Null).fails(400, "invalid_argument");
        assert_eq!(server.get(&path).expect(200)["value"], 1);
        let other = [JSON, ("idempotency-key", "once"), ("x-user-id", "other")];
        server.send("PUT", &path, &other, r#"{"value": 2}"#).expect(200);
        // What failed has not been applied: the same request may come again.
        let create = json!({"op": "set", "value": 3, "ifVersion": 0});
        named(server, "POST", &path, "create", &create).fails(412, "conflict");
        server.delete(&path);
        named(server, "POST", &path, "create", &create).expect(200);
        named(server, "POST", &path, "create", &create).expect(200);
        for name in ["", &"x".repeat(257)] {
            named(server, "PUT", &path, name, &json!({"value": 1})).fails(400, "invalid_argument");
        }
    });
}

#[test]
fn a_name_is_the_users_whichever_token_shows_it() {
    on_each_engine(|server| {
        let token = |user: &str, agent: Option<&str>, namespaces: &[&str]| {
            let issued = server.token(user, |new| {
                new.access = Access::Write;
                new.agent = agent.map(ToOwned::to_owned);
                new.namespaces = namespaces.iter().map(ToString::to_string).collect();
            });
            issued.1
        };
        let path = record("n", "k");
        let add = |token: &str, by: u64| {
            let headers = [JSON, ("idempotency-key", "once"), ("authorization", token)];
            server.send("POST", &path, &headers, json!({"op": "increment", "by": by}).to_string())
        };
        let (old, new) = (token("alice", None, &[]), token("alice", None, &["n"]));
        let added = add(&old, 1).expect(200);
        assert_eq!(add(&new, 1).expect(200), added, "a token was replaced between the first time and the second");
        add(&new, 2).fails(400, "invalid_argument");
        add(&token("alice", Some("other"), &[]), 1).fails(400, "invalid_argument");
        add(&token("alice", None, &["elsewhere"]), 1).fails(403, "permission_denied");
        assert_eq!(add(&token("bob", None, &[]), 5).expect(200)["result"], 5);
        let found = server.send("GET", &path, &[("authorization", &old)], "").expect(200);
        assert_eq!(found["value"], 1);
    });
}

#[test]
fn a_condition_is_repeated_as_well_where_that_can_be() {
    on_each_engine(|server| {
        let path = record("n", "k");
        let put = |condition: (&str, &str), name: &str| {
            server.send("PUT", &path, &[JSON, condition, ("idempotency-key", name)], r#"{"value": 1}"#)
        };
        let version = put(("if-none-match", "*"), "a").expect(200)["version"].clone();
        assert_eq!(put(("if-none-match", "*"), "a").expect(200)["version"], version);
        let tag = format!("\"{version}\"");
        let next = put(("if-match", &tag), "b").expect(200)["version"].clone();
        assert_eq!(put(("if-match", &tag), "b").expect(200)["version"], next);
        put(("if-match", "*"), "c").fails(400, "invalid_argument");
        put(("if-match", "\"1\", \"2\""), "c").fails(400, "invalid_argument");
    });
}

#[test]
fn what_takes_several_steps_has_no_name() {
    on_each_engine(|server| {
        for (path, body) in [
            ("/data-store/namespaces/n/locks/acquire", json!({"resource": "r"})),
            ("/data-store/namespaces/n/tasks/claim", json!({"ttlSeconds": 1})),
            ("/data-store/access", json!({"reads": []})),
        ] {
            named(server, "POST", path, "once", &body).fails(400, "invalid_argument");
        }
    });
}
