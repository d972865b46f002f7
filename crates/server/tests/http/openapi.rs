//! The description of the API.

use serde_json::Value;

use crate::support::TestServer;

const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[test]
fn the_description_changes_only_where_that_is_meant() {
    let described =
        serde_json::to_string_pretty(&TestServer::memory().get("/openapi.json").expect(200)).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(STORED, &described).expect("a file");
    }
    let stored = std::fs::read_to_string(STORED).unwrap_or_default();
    assert!(stored == described, "openapi.json is not what the server says: run this test with UPDATE_OPENAPI=1");
}

#[test]
fn each_path_has_the_methods_that_are_described_and_no_others() {
    let server = TestServer::memory();
    let document = server.get("/openapi.json").expect(200);
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let place = path.replace("{namespace}", "n").replace("{key}", "k");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let status = server.send(method, &place, &[], "").status;
            let is_described = operations.get(method.to_lowercase()).is_some();
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
        }
    }
}

#[test]
fn every_operation_says_how_it_may_fail() {
    let document = TestServer::memory().get("/openapi.json").expect(200);
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method} {path}");
            let responses = operation["responses"].as_object().expect("responses");
            let needed: &[&str] = match (path.starts_with("/data-store/"), operation.get("requestBody")) {
                (true, Some(_)) => &["400", "401", "413", "415", "500", "503"],
                (true, None) => &["400", "401", "500", "503"],
                (false, _) => &["200"],
            };
            let shows_a_token =
                operation["security"].as_array().is_some_and(|schemes| schemes[0].get("token").is_some());
            assert_eq!(shows_a_token, responses.contains_key("401"), "{method} {path}");
            needed.iter().for_each(|status| assert!(responses.contains_key(*status), "{method} {path} {status}"));
        }
    }
    let dangling: Vec<String> = references(&document).into_iter().filter(|at| document.pointer(at).is_none()).collect();
    assert!(dangling.is_empty(), "{dangling:?}");
}

/// Where the document refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(target) if name == "$ref" => vec![target.trim_start_matches('#').to_owned()],
                other => references(other),
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let server = TestServer::memory();
    let page = server.get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
    let text = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    assert!(text.contains("/openapi.json") && !text.contains("//"), "an address elsewhere, or a comment");
}
