//! The check of JSON text against `serde_json`: the same grammar, and what differs on purpose.
#![no_main]

use agent_data_store::{ErrorKind, Json, Limits};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let ours = Json::parse(text, &Limits::default());
    let theirs = serde_json::from_str::<Value>(text);
    match (&ours, &theirs) {
        (Ok(json), Ok(value)) => {
            // The text is kept, and read back it is the same value.
            assert_eq!(json.as_str(), text.trim_matches([' ', '\t', '\n', '\r']));
            assert_eq!(serde_json::from_str::<Value>(json.as_str()).expect("read before"), *value);
            // What an encoder makes of it is as good.
            let again = Json::parse(&value.to_string(), &Limits::default()).expect("what serde_json writes");
            assert_eq!(serde_json::from_str::<Value>(again.as_str()).expect("its own"), *value);
        }
        // Integers may be longer than a float can be, and nesting one level deeper.
        (Ok(json), Err(error)) => {
            let error = error.to_string();
            assert!(error.contains("number out of range") || error.contains("recursion limit"), "{error}");
            let raw: &RawValue = serde_json::from_str(text).expect("the same grammar");
            assert_eq!(raw.get(), json.as_str());
        }
        (Err(error), Ok(_)) => assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}"),
        (Err(error), Err(_)) => assert!(!error.message().is_empty()),
    }
});
