//! Names hold any character, and never lead elsewhere.

use serde_json::json;

use crate::support::{on_each_engine, record, segment};

const ODD: &[&str] = &[
    "a/records/b",
    "records",
    "tasks/claim",
    "/",
    "//",
    "/leading",
    "trailing/",
    "a//b",
    ".",
    "..",
    "../..",
    "a/../b",
    "%2F",
    "%",
    "%zz",
    "a%41",
    "?",
    "a?b=c",
    "#",
    "a#b",
    " ",
    " leading and trailing ",
    "a+b",
    "a&b=c",
    "key with spaces",
    "\"quoted\"",
    "back\\slash",
    "semi;colon",
    "{namespace}",
    "{*key}",
    "*",
    "~",
    "line\nbreak",
    "\t",
    "\u{7f}",
    "é",
    "日本語",
    "🦀",
    "👨‍👩‍👧",
    "\u{202e}right to left",
    "\u{feff}",
];

#[test]
fn a_record_under_any_names_is_its_own() {
    on_each_engine(|server| {
        for namespace in ODD {
            for key in ODD {
                let value = json!({"value": format!("{namespace} and {key}")});
                let stored = server.put(&record(namespace, key), &value.to_string()).expect(200);
                assert_eq!((&stored["namespace"], &stored["key"]), (&json!(namespace), &json!(key)));
            }
        }
        for namespace in ODD {
            for key in ODD {
                let found = server.get(&record(namespace, key)).expect(200);
                assert_eq!(found["value"], format!("{namespace} and {key}"));
            }
            let path = format!("/data-store/namespaces/{}", segment(namespace));
            assert_eq!(server.get(&path).expect(200)["recordCount"], ODD.len());
            let keys = server.get(&format!("{path}/records?keysOnly=true")).expect(200);
            let mut expected = ODD.to_vec();
            expected.sort_unstable();
            assert_eq!(keys, json!(expected));
        }
        let listed = server.get("/data-store/namespaces").expect(200);
        assert_eq!(listed["namespaces"].as_array().map(Vec::len), Some(ODD.len()));
        assert_eq!(server.delete(&record("a/records/b", "a/records/b")).status, 204);
        server.get(&record("a/records/b", "a/records/b")).fails(404, "not_found");
        server.get(&record("a", "b/records/a/records/b")).fails(404, "not_found");
    });
}

#[test]
fn the_slashes_of_a_key_may_be_bare() {
    on_each_engine(|server| {
        let bare = "/data-store/namespaces/n/records";
        for key in ["a/b", "a/records/b", "/a", "a/", "a//b", "//", "..", "a/../b", "./a", "records/a"] {
            let stored = server.put(&format!("{bare}/{key}"), r#"{"value": 1}"#).expect(200);
            assert_eq!(stored["key"], key);
            assert_eq!(server.get(&record("n", key)).expect(200)["key"], key);
        }
    });
}

#[test]
fn names_that_cannot_be_are_refused() {
    on_each_engine(|server| {
        let long_key = segment(&"k".repeat(1_025));
        let long_namespace = segment(&"n".repeat(513));
        for path in [
            "/data-store/namespaces/n/records/%FF".to_owned(),
            "/data-store/namespaces/%C3/records/k".to_owned(),
            "/data-store/namespaces/n/records/a%00b".to_owned(),
            "/data-store/namespaces/a%00b/records/k".to_owned(),
            "/data-store/namespaces/n/records/".to_owned(),
            "/data-store/namespaces//records/k".to_owned(),
            format!("/data-store/namespaces/n/records/{long_key}"),
            format!("/data-store/namespaces/{long_namespace}/records/k"),
        ] {
            server.get(&path).fails(400, "invalid_argument");
            server.put(&path, r#"{"value": 1}"#).fails(400, "invalid_argument");
            server.delete(&path).fails(400, "invalid_argument");
        }
        for path in ["/data-store/namespaces/%FF", "/data-store/namespaces/a%00b", "/data-store/namespaces//records"] {
            server.get(path).fails(400, "invalid_argument");
        }
        for query in ["prefix=%FF", "after=%C3%28", "prefix=a%C3"] {
            let path = format!("/data-store/namespaces/n/records?{query}");
            server.get(&path).fails(400, "invalid_argument");
        }
        assert_eq!(server.get("/data-store/namespaces").expect(200)["totalRecordCount"], 0);
    });
}

#[test]
fn users_and_agents_may_have_any_name_too() {
    on_each_engine(|server| {
        let users = ["alice", "a:b", "al ice", "é", "UTF-8''x", "100%", "line\nbreak", " edge ", "🦀", "\u{1}"];
        let encoded = |name: &str| format!("UTF-8''{}", segment(name));
        for user in users {
            let headers = [
                ("content-type", "application/json"),
                ("x-user-id", &*encoded(user)),
                ("x-agent-name", &*encoded(user)),
            ];
            let stored = server.send("PUT", &record("n", "k"), &headers, r#"{"value": 1}"#).expect(200);
            assert_eq!((&stored["userId"], &stored["createdByAgent"]), (&json!(user), &json!(user)));
            assert_eq!(stored["version"], stored["version"]);
            let me = server.send("GET", "/data-store/whoami", &headers[1..], "").expect(200);
            assert_eq!((&me["user"], &me["agent"]), (&json!(user), &json!(user)));
        }
        // As they are, where a header can hold them.
        for user in ["alice", "a:b", "al ice", "é", "100%", "a%41"] {
            let me = server.send("GET", "/data-store/whoami", &[("x-user-id", user)], "").expect(200);
            assert_eq!((&me["user"], &me["agent"]), (&json!(user), &json!(null)));
        }
        let me = server.get("/data-store/whoami").expect(200);
        assert_eq!((&me["user"], &me["agent"], &me["access"]), (&json!("default"), &json!(null), &json!("admin")));
        let long = "u".repeat(257);
        for user in ["", "UTF-8''", "UTF-8''%FF", "UTF-8''a%00", &long] {
            server.send("GET", "/data-store/whoami", &[("x-user-id", user)], "").fails(400, "invalid_argument");
            server.send("GET", "/data-store/whoami", &[("x-agent-name", user)], "").fails(400, "invalid_argument");
        }
        let twice = [("x-user-id", "alice"), ("x-user-id", "bob")];
        server.send("GET", "/data-store/whoami", &twice, "").fails(400, "invalid_argument");
    });
}

#[test]
fn users_whose_names_could_be_read_two_ways_never_meet() {
    on_each_engine(|server| {
        for (user, namespace) in [("a:b", "c"), ("a", "b:c"), ("a", "b"), ("a:b:c", "d"), ("a/b", "c"), ("a", "b/c")] {
            let headers = [("content-type", "application/json"), ("x-user-id", user)];
            let value = json!({"value": [user, namespace]}).to_string();
            server.send("PUT", &record(namespace, "k"), &headers, value).expect(200);
        }
        for (user, namespace) in [("a:b", "c"), ("a", "b:c"), ("a", "b"), ("a:b:c", "d"), ("a/b", "c"), ("a", "b/c")] {
            let found = server.send("GET", &record(namespace, "k"), &[("x-user-id", user)], "").expect(200);
            assert_eq!(found["value"], json!([user, namespace]));
        }
        server.get(&record("c", "k")).fails(404, "not_found");
    });
}
