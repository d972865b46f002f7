//! Serving an assistant: the command by itself. What its clients see is tested with them, in `python/tests/test_mcp.py`.

use serde_json::{Value, json};

use crate::Ads;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"1"}}}"#;

fn call(id: u64, tool: &str, arguments: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}

/// The answers to `messages`, by their id.
fn answers(ads: &Ads, args: &[&str], messages: &[String]) -> Vec<Value> {
    let input: String = messages.iter().map(|message| format!("{message}\n")).collect();
    let done = ads.ads_with_input(&[&["mcp"], args].concat(), input);
    assert_eq!((done.code, &*done.err), (0, ""), "{done:?}");
    let mut answers: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    answers.sort_by_key(|answer| answer["id"].as_u64());
    answers
}

#[test]
fn a_client_s_messages_are_answered_and_it_is_known_who_wrote() {
    let ads = Ads::new();
    // As text: the order of members must stay, too.
    let set = call(1, "set", json!({"key": "k", "value": 0})).replace(":0", r#":{"b":1,"a":[2]}"#);
    let answers = answers(&ads, &[], &[INITIALIZE.to_owned(), set]);
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!(answers[1]["result"]["isError"], false);
    assert_eq!(ads.ok(&["get", "k"]), "{\"b\":1,\"a\":[2]}\n");
    assert_eq!(ads.json(&["record", "k"])["createdByAgent"], "tester");
}

#[test]
fn its_options_limit_it() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1"]);
    let messages = [INITIALIZE.to_owned(), call(1, "get", json!({"key": "k"})), call(2, "delete", json!({"key": "k"}))];
    let answers = answers(&ads, &["--read-only", "--namespace", "default"], &messages);
    assert_eq!(answers[1]["result"]["isError"], false);
    assert!(answers[2].to_string().contains("permission_denied"), "{answers:?}");
    assert_eq!(ads.ok(&["get", "k"]), "1\n");
    assert!(ads.ads(&["mcp", "--max-characters", "9"]).fails(2).contains("2000"));
}
