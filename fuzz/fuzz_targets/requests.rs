//! Bodies as they come: none makes the server fail, and each is answered with JSON.
#![no_main]

use agent_data_store_fuzz::ask;
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[derive(Arbitrary, Debug)]
enum Route {
    Batch,
    Read,
    Access,
    Change,
    Put,
    Lock,
    Claim,
    Mcp,
}

fuzz_target!(|input: (Route, &[u8])| {
    let (route, body) = input;
    let (method, path) = match route {
        Route::Batch => ("POST", "/data-store/batch"),
        Route::Read => ("POST", "/data-store/read"),
        Route::Access => ("POST", "/data-store/access"),
        Route::Change => ("POST", "/data-store/namespaces/n/records/k"),
        Route::Put => ("PUT", "/data-store/namespaces/n/records/k"),
        Route::Lock => ("POST", "/data-store/namespaces/n/locks/acquire"),
        Route::Claim => ("POST", "/data-store/namespaces/n/tasks/claim"),
        Route::Mcp => ("POST", "/mcp"),
    };
    let accept = "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n";
    let reply = ask(method, path.as_bytes(), accept, body);
    assert!(reply.status < 500, "{reply:?}");
    let text = std::str::from_utf8(&reply.body).expect("UTF-8");
    if !text.is_empty() && !matches!(route, Route::Mcp) {
        let answer: Value = serde_json::from_str(text).expect("JSON");
        assert!(reply.status < 400 || answer["detail"].is_string(), "{answer}");
    }
});
