//! Changing one record, many at once, and how long records live.

use agent_data_store::model::Version;
use serde_json::{Value, json};

use crate::support::{Reply, TestServer, on_each_engine, record};

fn change(server: &TestServer, key: &str, write: &Value) -> Reply {
    server.post(&record("n", key), &write.to_string())
}

fn batch(server: &TestServer, writes: &Value) -> Reply {
    server.post("/data-store/batch", &json!({"writes": writes}).to_string())
}

fn value(server: &TestServer, namespace: &str, key: &str) -> Value {
    server.get(&format!("{}?view=value", record(namespace, key))).expect(200)
}

#[test]
fn a_record_is_changed_in_one_step() {
    on_each_engine(|server| {
        let counted = change(server, "count", &json!({"op": "increment"}));
        let version = counted.expect(200)["version"].as_u64().expect("a version");
        assert_eq!(counted.header("etag"), Some(&*format!("\"{version}\"")));
        assert_eq!(counted.json(), json!({"existed": false, "version": version, "result": 1}));
        let counted = change(server, "count", &json!({"op": "increment", "by": -3.5})).expect(200);
        assert_eq!((&counted["existed"], &counted["result"]), (&json!(true), &json!(-2.5)));
        let big = server.post(&record("n", "big"), r#"{"op": "increment", "by": 123456789012345678901234567890}"#);
        assert!(String::from_utf8_lossy(&big.body).contains("123456789012345678901234567890"));

        let append = json!({"op": "append", "items": [1, 2, 2], "unique": true});
        assert_eq!(change(server, "list", &append).expect(200)["result"], 2);
        let append = json!({"op": "append", "items": [3, 4], "maxLength": 3});
        assert_eq!(change(server, "list", &append).expect(200)["result"], 3);
        assert_eq!(value(server, "n", "list"), json!([2, 3, 4]));

        change(server, "doc", &json!({"op": "set", "value": {"a": 1, "b": 2}, "metadata": {"m": 1}})).expect(200);
        let merged = change(server, "doc", &json!({"op": "merge", "patch": {"a": null, "c": 3}})).expect(200);
        assert_eq!(merged["result"], json!({"b": 2, "c": 3}));

        let touched = change(server, "doc", &json!({"op": "touch", "metadata": {"seen": true}})).expect(200);
        assert_eq!(touched["existed"], true);
        let doc = server.get(&record("n", "doc")).expect(200);
        assert_eq!(doc["metadata"], json!({"m": 1, "seen": true}));
        let gone = change(server, "gone", &json!({"op": "touch", "ttlSeconds": 1}));
        assert_eq!((gone.expect(200), gone.header("etag")), (json!({"existed": false, "version": 0}), None));
        let deleted = change(server, "doc", &json!({"op": "delete"})).expect(200);
        assert_eq!(deleted["existed"], true);
        server.get(&record("n", "doc")).fails(404, "not_found");
    });
}

#[test]
fn a_change_may_ask_for_a_version() {
    on_each_engine(|server| {
        change(server, "k", &json!({"op": "set", "value": 1, "ifVersion": 0})).expect(200);
        let error = change(server, "k", &json!({"op": "set", "value": 2, "ifVersion": 0})).fails(412, "conflict");
        let version = error["actualVersion"].as_u64().expect("a version");
        change(server, "k", &json!({"op": "check", "ifVersion": version})).expect(200);
        change(server, "k", &json!({"op": "check", "ifVersion": version + 1})).fails(412, "conflict");
        let tag = format!("\"{version}\"");
        let headers = [("content-type", "application/json"), ("if-match", &*tag)];
        let body = json!({"op": "increment", "ifVersion": version}).to_string();
        server.send("POST", &record("n", "k"), &headers, body).fails(400, "invalid_argument");
        server.send("POST", &record("n", "k"), &headers, r#"{"op": "increment"}"#).expect(200);
        server.send("POST", &record("n", "k"), &headers, r#"{"op": "increment"}"#).fails(412, "conflict");
    });
}

#[test]
fn a_batch_is_applied_whole_in_order_over_any_namespaces() {
    on_each_engine(|server| {
        let agent = [("content-type", "application/json"), ("x-agent-name", "batcher")];
        let writes = json!({"writes": [
            {"namespace": "a", "key": "x/y", "op": "set", "value": {"n": null}, "metadata": {"m": 1}, "ifVersion": 0},
            {"namespace": "b", "key": "count", "op": "increment", "by": 5},
            {"namespace": "b", "key": "count", "op": "increment"},
            {"namespace": "b", "key": "never", "op": "delete"},
            {"namespace": "b", "key": "never", "op": "check", "ifVersion": 0},
            {"namespace": "c", "key": "list", "op": "append", "items": ["i"], "ttlSeconds": 3600},
        ]});
        let outcomes = server.send("POST", "/data-store/batch", &agent, writes.to_string()).expect(200);
        let version = |index: usize| outcomes[index]["version"].as_u64().expect("a version");
        let expected = json!([
            {"existed": false, "version": version(0)},
            {"existed": false, "version": version(1), "result": 5},
            {"existed": true, "version": version(2), "result": 6},
            {"existed": false, "version": 0},
            {"existed": false, "version": 0},
            {"existed": false, "version": version(5), "result": 1},
        ]);
        assert_eq!(outcomes, expected);
        assert!(version(0) > 0 && version(1) > version(0) && version(2) > version(1));
        let stored = server.get(&record("a", "x/y")).expect(200);
        assert_eq!((&stored["value"], &stored["metadata"]), (&json!({"n": null}), &json!({"m": 1})));
        assert_eq!(stored["createdByAgent"], "batcher");
        assert!(server.get(&record("c", "list")).expect(200)["expiresAt"].is_string());
    });
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    on_each_engine(|server| {
        let set = json!({"namespace": "n", "key": "a", "op": "set", "value": "text"});
        let failing = [
            (json!({"namespace": "n", "key": "b", "op": "check", "ifVersion": 7}), 412, "conflict"),
            (json!({"namespace": "n", "key": "a", "op": "increment"}), 400, "invalid_argument"),
            (json!({"namespace": "n", "key": "a", "op": "append", "items": 5}), 400, "invalid_argument"),
            (json!({"namespace": "n", "key": "", "op": "delete"}), 400, "invalid_argument"),
            (json!({"namespace": "", "key": "k", "op": "delete"}), 400, "invalid_argument"),
            (json!({"namespace": "n", "key": "k", "op": "set", "value": 1, "metadata": [1]}), 400, "invalid_argument"),
        ];
        for (write, status, code) in failing {
            batch(server, &json!([set, write])).fails(status, code);
            server.get(&record("n", "a")).fails(404, "not_found");
        }
        let error = batch(server, &json!([set, {"namespace": "n", "key": "b", "op": "check", "ifVersion": 7}]));
        assert_eq!(error.json()["key"], "b");
        assert_eq!(batch(server, &json!([])).expect(200), json!([]));
    });
}

#[test]
fn what_is_no_write_is_refused_by_name() {
    on_each_engine(|server| {
        let wrong = [
            (json!({"op": "set"}), "value"),
            (json!({"op": "append"}), "items"),
            (json!({"op": "merge"}), "patch"),
            (json!({"value": 1}), "op"),
            (json!({"op": "remove"}), "op"),
            (json!({"op": "set", "value": 1, "by": 1}), "by"),
            (json!({"op": "increment", "value": 1}), "value"),
            (json!({"op": "delete", "metadata": {}}), "metadata"),
            (json!({"op": "check", "ttlSeconds": 1}), "ttlSeconds"),
            (json!({"op": "set", "value": 1, "ttlSeconds": 0}), "ttlSeconds"),
            (json!({"op": "set", "value": 1, "ttlSeconds": -1}), "ttlSeconds"),
            (json!({"op": "set", "value": 1, "ttlSeconds": "60"}), "ttlSeconds"),
            (json!({"op": "set", "value": 1, "ttl": 60}), "ttl"),
            (json!({"op": "set", "value": 1, "ifVersion": -1}), "ifVersion"),
            (json!({"op": "set", "value": 1, "ifVersion": 1.5}), "ifVersion"),
            (json!({"op": "append", "items": [], "maxLength": "x"}), "maxLength"),
            (json!({"op": "set", "value": 1, "key": "other"}), "key"),
        ];
        for (write, name) in wrong {
            let error = change(server, "k", &write).fails(400, "invalid_argument");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(name)), "{write}: {error}");
        }
        for (write, name) in
            [(json!({"op": "delete", "key": "k"}), "namespace"), (json!({"op": "delete", "namespace": "n"}), "key")]
        {
            let error = batch(server, &json!([write])).fails(400, "invalid_argument");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(name)), "{write}: {error}");
        }
        let error =
            batch(server, &json!([{"namespace": "n", "key": "k", "op": "set", "value": 1, "ifVersion": "secret"}]));
        let error = error.fails(400, "invalid_argument");
        let detail = error["detail"].as_str().expect("a detail");
        assert!(detail.contains("writes[0].ifVersion") && !detail.contains("secret"), "{detail}");
    });
}

#[test]
fn records_live_as_long_as_is_asked() {
    on_each_engine(|server| {
        let path = record("n", "k");
        let stored = server.put(&path, r#"{"value": 1, "ttlSeconds": 3600.5}"#).expect(200);
        assert!(stored["expiresAt"].is_string());
        assert_eq!(server.put(&path, r#"{"value": 1}"#).expect(200)["expiresAt"], Value::Null);
        change(server, "k", &json!({"op": "touch", "ttlSeconds": 60})).expect(200);
        change(server, "k", &json!({"op": "increment"})).expect(200);
        assert!(server.get(&path).expect(200)["expiresAt"].is_string(), "a change leaves the expiry");
        change(server, "k", &json!({"op": "touch", "ttlSeconds": null})).expect(200);
        assert_eq!(server.get(&path).expect(200)["expiresAt"], Value::Null);
        // Over by the time that it is read back: the answer is still about this write.
        let stored = server.put(&path, r#"{"value": 7, "ttlSeconds": 0.000001, "metadata": {"m": 1}}"#).expect(200);
        assert_eq!(stored["value"], 7);
        assert!(stored["version"].as_u64() > Some(0) && stored["createdAt"].is_string());
        server.get(&path).fails(404, "not_found");
    });
}

#[test]
fn many_records_are_read_at_once_over_any_namespaces() {
    on_each_engine(|server| {
        for (namespace, key) in [("a", "x"), ("a", "y/z"), ("b", "x")] {
            server.put(&record(namespace, key), &json!({"value": [namespace, key]}).to_string()).expect(200);
        }
        let ask = |view: &str| {
            let records = json!([
                {"namespace": "a", "keys": ["y/z", "gone", "x"]},
                {"namespace": "b", "keys": ["x", "x"]},
                {"namespace": "c", "keys": []},
            ]);
            server.post("/data-store/read", &json!({"records": records, "view": view}).to_string()).expect(200)
        };
        assert_eq!(ask("key"), json!(["y/z", null, "x", "x", "x"]));
        let values = ask("value");
        assert_eq!(values[0]["value"], json!(["a", "y/z"]));
        assert_eq!(values[3], values[4]);
        let whole = ask("record");
        assert_eq!((&whole[2]["namespace"], &whole[3]["namespace"]), (&json!("a"), &json!("b")));
        let versions = ask("version");
        assert!(versions[0]["version"].as_u64() > Some(0 as Version) && versions[0].get("value").is_none());
        assert_eq!(server.post("/data-store/read", r#"{"records": []}"#).expect(200), json!([]));
        server
            .post("/data-store/read", r#"{"records": [{"namespace": "", "keys": []}]}"#)
            .fails(400, "invalid_argument");
        server
            .post("/data-store/read", r#"{"records": [{"namespace": "n", "keys": [""]}]}"#)
            .fails(400, "invalid_argument");
    });
}

#[test]
fn reads_made_elsewhere_are_counted() {
    on_each_engine(|server| {
        server.put(&record("n", "k"), r#"{"value": 1}"#).expect(200);
        let reads = json!({"reads": [
            {"namespace": "n", "key": "k", "agent": "far", "count": 3, "lastAt": "2099-01-31T12:00:00.000001Z"},
            {"namespace": "n", "key": "gone", "agent": "far", "count": 1, "lastAt": "2099-01-31T12:00:00Z"},
        ]});
        assert_eq!(server.post("/data-store/access", &reads.to_string()).status, 204);
        let stored = server.get(&record("n", "k")).expect(200);
        assert_eq!((&stored["accessCount"], &stored["lastAccessedByAgent"]), (&json!(3), &json!("far")));
        assert_eq!(stored["lastAccessedAt"], "2099-01-31T12:00:00.000001Z");
        for read in [
            json!({"namespace": "n", "key": "k", "count": 3, "lastAt": "2099-01-31T12:00:00Z"}),
            json!({"namespace": "n", "key": "k", "agent": "far", "count": 3, "lastAt": "yesterday"}),
            json!({"namespace": "n", "key": "k", "agent": "", "count": 3, "lastAt": "2099-01-31T12:00:00Z"}),
            json!({"namespace": "n", "key": "k", "agent": "far", "count": -3, "lastAt": "2099-01-31T12:00:00Z"}),
        ] {
            server.post("/data-store/access", &json!({"reads": [read]}).to_string()).fails(400, "invalid_argument");
        }
    });
}
