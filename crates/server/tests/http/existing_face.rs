//! The face of the system that the recipes come from: a front end written for that one works unchanged.

use serde_json::json;

use crate::support::{on_each_engine, record};

#[test]
fn namespaces_are_listed_with_their_sums() {
    on_each_engine(|server| {
        let nothing = json!({"namespaces": [], "totalRecordCount": 0, "totalSizeBytes": 0});
        assert_eq!(server.get("/data-store/namespaces").expect(200), nothing);
        let agent = [("content-type", "application/json"), ("x-agent-name", "writer")];
        for (namespace, key, body) in [("b", "k", r#"{"value": [1]}"#), ("a", "x", r#"{"value": "v"}"#)] {
            server.send("PUT", &record(namespace, key), &agent, body).expect(200);
        }
        let listed = server.get("/data-store/namespaces").expect(200);
        assert_eq!(listed["totalRecordCount"], 2);
        let names: Vec<&str> =
            listed["namespaces"].as_array().expect("a list").iter().filter_map(|it| it["namespace"].as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let first = &listed["namespaces"][0];
        assert_eq!((&first["recordCount"], &first["agents"]), (&json!(1), &json!(["writer"])));
        assert!(first["sizeBytes"].as_u64() > Some(0) && first["updatedAt"].is_string(), "{first}");
        assert_eq!(server.get("/data-store/namespaces/a").expect(200), *first);
    });
}

#[test]
fn an_unknown_namespace_has_zeros() {
    on_each_engine(|server| {
        server.put(&record("nobody-else", "k"), r#"{"value": 1}"#).expect(200);
        let zeros = json!({"namespace": "nobody", "recordCount": 0, "sizeBytes": 0, "agents": [], "updatedAt": null});
        assert_eq!(server.get("/data-store/namespaces/nobody").expect(200), zeros);
    });
}

#[test]
fn a_record_is_stored_read_and_deleted() {
    on_each_engine(|server| {
        let path = record("notes", "k");
        let error = server.get(&path).fails(404, "not_found");
        assert_eq!(error["detail"], "Record 'k' not found in 'notes'");
        let agent = [("content-type", "application/json"), ("x-agent-name", "writer")];
        let body = r#"{"value": {"big": 123456789012345678901234567890}, "metadata": {"a": 1}}"#;
        let stored = server.send("PUT", &path, &agent, body);
        assert!(stored.body.windows(30).any(|digits| digits == b"123456789012345678901234567890"));
        let stored = stored.expect(200);
        let names = [
            "_id",
            "userId",
            "namespace",
            "key",
            "value",
            "metadata",
            "createdByAgent",
            "lastAccessedByAgent",
            "accessCount",
            "createdAt",
            "updatedAt",
            "lastAccessedAt",
            "version",
            "updatedByAgent",
            "expiresAt",
        ];
        let members = stored.as_object().expect("an object");
        assert_eq!(members.len(), names.len());
        names.iter().for_each(|name| assert!(members.contains_key(*name), "{name}"));
        assert_eq!(stored["userId"], "default");
        assert_eq!(stored["createdByAgent"], "writer");
        assert_eq!(stored["metadata"], json!({"a": 1}));
        assert_eq!(server.get(&path).expect(200), stored);
        assert_eq!(server.get("/data-store/namespaces/notes/records").expect(200), json!([stored]));
        let gone = server.delete(&path);
        assert_eq!((gone.status, gone.body.len()), (204, 0));
        let error = server.delete(&path).fails(404, "not_found");
        assert_eq!(error["detail"], "Record 'k' not found in 'notes'");
    });
}

#[test]
fn a_namespace_is_cleared() {
    on_each_engine(|server| {
        for key in ["a", "b", "c"] {
            server.put(&record("notes", key), r#"{"value": 1}"#).expect(200);
        }
        let cleared = server.delete("/data-store/namespaces/notes").expect(200);
        assert_eq!(cleared, json!({"namespace": "notes", "deletedCount": 3}));
        assert_eq!(server.get("/data-store/namespaces/notes/records").expect(200), json!([]));
        let cleared = server.delete("/data-store/namespaces/notes").expect(200);
        assert_eq!(cleared, json!({"namespace": "notes", "deletedCount": 0}));
    });
}

#[test]
fn users_are_apart_and_reads_by_agents_are_counted() {
    on_each_engine(|server| {
        let path = record("notes", "k");
        let alice = [("content-type", "application/json"), ("x-user-id", "alice"), ("x-agent-name", "reader")];
        server.send("PUT", &path, &alice, r#"{"value": 1}"#).expect(200);
        server.get(&path).fails(404, "not_found");
        server.send("GET", &path, &alice[1..2], "").expect(200);
        server.send("GET", &path, &alice[1..], "").expect(200);
    });
}
