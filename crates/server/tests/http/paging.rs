//! Lists: pages, views, streams and snapshots.

use serde_json::{Value, json};

use crate::support::{TestServer, on_each_engine, record};

const RECORDS: &str = "/data-store/namespaces/n/records";

fn fill(server: &TestServer, count: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count).map(|n| format!("k{n:05}")).collect();
    let writes: Vec<Value> =
        keys.iter().map(|key| json!({"namespace": "n", "key": key, "op": "set", "value": {"of": key}})).collect();
    server.post("/data-store/batch", &json!({"writes": writes}).to_string()).expect(200);
    keys
}

/// Follows `Link` to the end.
fn walk(server: &TestServer, first: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let reply = server.get(&path);
        pages.push(reply.expect(200).as_array().expect("an array").clone());
        next = reply.header("link").map(|link| {
            let (path, relation) = link.split_once('>').expect("a link");
            assert_eq!(relation, "; rel=\"next\"");
            path.trim_start_matches('<').to_owned()
        });
        assert!(pages.len() < 1_000, "the walk ends");
    }
    pages
}

#[test]
fn pages_lead_from_one_to_the_next_without_gap() {
    on_each_engine(|server| {
        let keys = fill(server, 25);
        let pages = walk(server, &format!("{RECORDS}?limit=10&keysOnly=true"));
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(json!(pages.concat()), json!(keys));
        let pages = walk(server, &format!("{RECORDS}?prefix=k0001&limit=3&view=version&count=false"));
        assert_eq!(pages.concat().len(), 10);
        let after = server.get(&format!("{RECORDS}?after=k00022&view=key")).expect(200);
        assert_eq!(after, json!(["k00023", "k00024"]));
        assert_eq!(server.get(&format!("{RECORDS}?after=z")).expect(200), json!([]));
        let whole = server.get(&format!("{RECORDS}?limit=25"));
        assert_eq!((whole.json().as_array().map(Vec::len), whole.header("link")), (Some(25), None));
    });
}

#[test]
fn odd_keys_do_not_break_the_walk() {
    on_each_engine(|server| {
        let mut keys =
            ["a&after=b", "a/b", "%2F", "ü", "#", "?limit=1", " ", "<>;rel=\"next\"", "🦀", "a+b"].map(String::from);
        for key in &keys {
            server.put(&record("n", key), r#"{"value": 1}"#).expect(200);
        }
        keys.sort_unstable();
        let pages = walk(server, &format!("{RECORDS}?limit=1&keysOnly=true"));
        assert_eq!(json!(pages.concat()), json!(keys));
    });
}

#[test]
fn a_page_may_be_bounded_by_bytes() {
    on_each_engine(|server| {
        for key in ["a", "b", "c"] {
            server.put(&record("n", key), &json!({"value": "x".repeat(1_000)}).to_string()).expect(200);
        }
        let pages = walk(server, &format!("{RECORDS}?maxBytes=1500&view=value"));
        assert_eq!(pages.concat().len(), 3);
        assert!(pages.len() > 1, "{pages:?}");
        assert_eq!(walk(server, &format!("{RECORDS}?maxBytes=1")).len(), 3);
    });
}

#[test]
fn each_view_shows_what_it_is_asked_for() {
    on_each_engine(|server| {
        server.put(&record("n", "a"), r#"{"value": {"b": 1}, "metadata": {"m": 1}}"#).expect(200);
        server.put(&record("n", "e"), r#"{"value": null, "ttlSeconds": 60}"#).expect(200);
        let whole = server.get(RECORDS).expect(200);
        assert_eq!(whole[0]["metadata"], json!({"m": 1}));
        let (version, expires_at) = (&whole[0]["version"], &whole[1]["expiresAt"]);
        assert!(expires_at.is_string());
        assert_eq!(server.get(&format!("{RECORDS}?view=key")).expect(200), json!(["a", "e"]));
        let versions = json!([
            {"key": "a", "version": version},
            {"key": "e", "version": whole[1]["version"], "expiresAt": expires_at},
        ]);
        assert_eq!(server.get(&format!("{RECORDS}?view=version")).expect(200), versions);
        let mut values = versions;
        values[0]["value"] = json!({"b": 1});
        values[1]["value"] = Value::Null;
        assert_eq!(server.get(&format!("{RECORDS}?view=value")).expect(200), values);
        assert_eq!(server.get(&format!("{RECORDS}?view=record")).expect(200), whole);

        let one = server.get(&format!("{}?view=value", record("n", "e")));
        assert_eq!((&*one.body, one.header("x-expires-at")), (&b"null"[..], expires_at.as_str()));
        let one = server.get(&format!("{}?view=value", record("n", "a")));
        assert_eq!((&*one.body, one.header("x-expires-at")), (&br#"{"b": 1}"#[..], None));
        assert_eq!(one.header("etag"), Some(&*format!("\"{version}\"")));
        assert_eq!(server.get(&format!("{}?view=version", record("n", "a"))).expect(200)["version"], *version);
        assert_eq!(server.get(&format!("{}?view=key", record("n", "a"))).expect(200), "a");
    });
}

#[test]
fn a_list_larger_than_what_is_held_at_once_arrives_whole() {
    on_each_engine(|server| {
        let keys = fill(server, 5_000);
        let streamed = server.get(RECORDS);
        assert_eq!(streamed.header("content-length"), None);
        let listed = streamed.expect(200);
        let listed: Vec<&str> =
            listed.as_array().expect("an array").iter().filter_map(|it| it["key"].as_str()).collect();
        assert_eq!(listed, keys);
        let snapshot = server.get(&format!("{RECORDS}?snapshot=true&view=value")).expect(200);
        assert_eq!(snapshot.as_array().map(Vec::len), Some(5_000));
        let page = server.get(&format!("{RECORDS}?limit=4000&keysOnly=true"));
        assert_eq!(page.json().as_array().map(Vec::len), Some(4_000));
        assert!(page.header("link").is_some());
        let count = server.get("/data-store/namespaces/n/count?prefix=k01").expect(200);
        assert_eq!(count, json!({"count": 1_000}));
    });
}

#[test]
fn namespaces_have_pages_and_names_alone() {
    on_each_engine(|server| {
        for namespace in ["a", "b/c", "b", "c"] {
            server.put(&record(namespace, "k"), r#"{"value": 1}"#).expect(200);
        }
        let names = server.get("/data-store/namespaces?namesOnly=true").expect(200);
        assert_eq!(names, json!(["a", "b", "b/c", "c"]));
        assert_eq!(server.get("/data-store/namespaces?namesOnly=true&prefix=b").expect(200), json!(["b", "b/c"]));
        let first = server.get("/data-store/namespaces?limit=2");
        assert_eq!(first.json()["namespaces"][1]["namespace"], "b");
        let link = first.header("link").expect("a link");
        let second = server.get(link.split_once('>').expect("a link").0.trim_start_matches('<'));
        assert_eq!((second.json()["namespaces"][0]["namespace"].as_str(), second.header("link")), (Some("b/c"), None));
        assert_eq!(server.get("/data-store/namespaces?prefix=b").expect(200)["totalRecordCount"], 2);
    });
}

#[test]
fn options_that_cannot_be_are_refused() {
    on_each_engine(|server| {
        for query in [
            "limit=0",
            "limit=-1",
            "limit=x",
            "limit=1&limit=2",
            "keysOnly=yes",
            "view=all",
            "prefx=a",
            "keysOnly=true&view=value",
        ] {
            let error = server.get(&format!("{RECORDS}?{query}")).fails(400, "invalid_argument");
            assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(": ")), "{error}");
        }
        server.get("/data-store/namespaces?namesOnly=true&limit=1").fails(400, "invalid_argument");
        server.get("/data-store/namespaces/n?x=1");
    });
}

#[test]
fn a_read_counts_unless_it_is_said_not_to() {
    on_each_engine(|server| {
        let agent = [("content-type", "application/json"), ("x-agent-name", "reader")];
        for key in ["a", "b"] {
            server.put(&record("n", key), r#"{"value": 1}"#).expect(200);
        }
        let ask = |path: &str| server.send("GET", path, &agent[1..], "").expect(200);
        ask(&record("n", "a"));
        ask(&format!("{}?view=value", record("n", "a")));
        ask(RECORDS);
        ask(&format!("{RECORDS}?view=value&limit=1"));
        let body = r#"{"records": [{"namespace": "n", "keys": ["a", "gone"]}], "view": "value"}"#;
        server.send("POST", "/data-store/read", &agent, body).expect(200);
        // None of these is a read by an agent.
        ask(&format!("{}?count=false", record("n", "a")));
        ask(&format!("{}?view=version", record("n", "a")));
        ask(&format!("{RECORDS}?count=false"));
        ask(&format!("{RECORDS}?keysOnly=true"));
        assert_eq!(server.send("HEAD", &record("n", "a"), &agent[1..], "").status, 200);
        let body = r#"{"records": [{"namespace": "n", "keys": ["a"]}], "count": false}"#;
        server.send("POST", "/data-store/read", &agent, body).expect(200);
        server.get(RECORDS).expect(200);

        server.flush();
        let records = server.get(RECORDS).expect(200);
        assert_eq!((&records[0]["accessCount"], &records[1]["accessCount"]), (&json!(5), &json!(1)));
        assert_eq!(records[0]["lastAccessedByAgent"], "reader");
    });
}

#[test]
fn a_link_leads_on_however_the_query_was_written() {
    let server = TestServer::memory();
    for key in ["ü1", "ü2"] {
        server.put(&record("ü", key), r#"{"value": 1}"#).expect(200);
    }
    // As it is, which a client library would encode.
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        crate::slow::exchange(server.address(), request.as_bytes())
    };
    let first = ask("/data-store/namespaces/ü/records?limit=1&keysOnly=true&prefix=ü&%61fter=a");
    let link = first.lines().find_map(|line| line.strip_prefix("link: ")).unwrap_or_else(|| panic!("{first}"));
    let next = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link").0;
    assert!(next.is_ascii(), "{link}");
    assert_eq!(server.get(next).expect(200), json!(["ü2"]));
}
