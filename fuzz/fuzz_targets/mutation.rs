//! Increment, append and merge against the same on `serde_json` values.
#![no_main]

use std::sync::Arc;

use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};
use agent_data_store::mutation::{Effect, Present, apply};
use agent_data_store::{ErrorKind, Json, Limits, Timestamp};
use agent_data_store_fuzz::{Tree, same};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

#[derive(Arbitrary, Debug)]
struct Input {
    present: Option<Tree>,
    operation: Operation,
    metadata: Option<(Tree, Tree)>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Increment(Tree),
    /// Digits of two integers, however long.
    Sum {
        left: i128,
        right: i128,
        zeros: u8,
    },
    Append {
        items: Vec<Tree>,
        unique: bool,
        max_length: Option<u8>,
    },
    Merge(Tree),
}

fuzz_target!(|input: Input| {
    let Input { present, operation, metadata } = input;
    let mut present = present.map(|tree| tree.0);
    let (mutation, expected) = match operation {
        Operation::Increment(Tree(by)) => (Mutation::Increment(json(&by)), sum(present.as_ref(), &by)),
        Operation::Sum { left, right, zeros } => return long_sum(left, right, zeros),
        Operation::Append { items, unique, max_length } => {
            let items: Vec<Value> = items.into_iter().map(|tree| tree.0).collect();
            let expected = appended(present.as_ref(), &items, unique, max_length);
            let max_length = max_length.map(usize::from);
            (Mutation::Append { items: json(&Value::Array(items)), unique, max_length }, expected)
        }
        Operation::Merge(Tree(patch)) => {
            let mut merged = present.clone().unwrap_or(Value::Null);
            merge(&mut merged, &patch);
            (Mutation::Merge(json(&patch)), Some(merged))
        }
    };
    let (before, update) = match metadata {
        Some((Tree(Value::Object(before)), Tree(Value::Object(update)))) => (before, Some(update)),
        _ => (Map::new(), None),
    };
    let text = present.take().map(|value| value.to_string());
    let before_text = Value::Object(before.clone()).to_string();
    let record = text.as_deref().map(|value| Present {
        version: 1,
        value: Some(value),
        metadata: Some(&before_text),
        expires_at: None,
    });
    let update_json = update.clone().map(|update| json(&Value::Object(update)));
    let write = Write { metadata: update_json, ..write(mutation) };
    match (apply(&write, record, Timestamp::from_micros(0), &Limits::default()), expected) {
        (Ok(Effect::Put(put)), Some(expected)) => {
            let value = read(put.value.expect("a new value").as_str());
            assert!(same(&value, &expected), "{value} is not {expected}");
            if let Some(update) = update {
                let mut expected = if text.is_some() { before } else { Map::new() };
                expected.extend(update);
                assert!(same(&read(put.metadata.expect("metadata").as_str()), &Value::Object(expected)));
            }
        }
        (Err(error), None) => assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}"),
        (actual, expected) => panic!("{actual:?} is not {expected:?}"),
    }
});

fn write(mutation: Mutation) -> Write {
    Write {
        address: Address { namespace: Arc::from("n"), key: "k".into() },
        precondition: Precondition::None,
        mutation,
        metadata: None,
        expiry: Expiry::Default,
    }
}

/// As an opener would have it: checked.
fn json(value: &Value) -> Json {
    Json::parse(&value.to_string(), &Limits::default()).expect("what serde_json writes")
}

fn read(text: &str) -> Value {
    Json::parse(text, &Limits::default()).expect("what a mutation makes is JSON");
    serde_json::from_str(text).expect("JSON")
}

fn sum(present: Option<&Value>, by: &Value) -> Option<Value> {
    let (left, right) = (present.map_or(Some(0.0), Value::as_f64)?, by.as_f64()?);
    Some((left + right).into())
}

/// With as many zeros at the end of all three numbers.
fn long_sum(left: i128, right: i128, zeros: u8) {
    let (left, right) = (left >> 1, right >> 1);
    let long = |number: i128| match number {
        0 => "0".to_owned(),
        number => format!("{number}{}", "0".repeat(zeros.into())),
    };
    let present = long(left);
    let write = write(Mutation::Increment(Json::from_trusted(long(right))));
    let record = Present { version: 1, value: Some(&present), metadata: Some("{}"), expires_at: None };
    let effect = apply(&write, Some(record), Timestamp::from_micros(0), &Limits::default());
    let Ok(Effect::Put(put)) = effect else { panic!("{effect:?}") };
    assert_eq!(put.value.expect("a sum").as_str(), long(left + right));
}

fn appended(present: Option<&Value>, items: &[Value], unique: bool, max_length: Option<u8>) -> Option<Value> {
    let mut list = present.map_or(Some(&Vec::new()), Value::as_array)?.clone();
    for item in items {
        if !unique || !list.iter().any(|known| same(known, item)) {
            list.push(item.clone());
        }
    }
    let surplus = max_length.map_or(0, |most| list.len().saturating_sub(most.into()));
    Some(list.split_off(surplus).into())
}

/// The pseudocode of RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return target.clone_from(patch) };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, change) in patch {
        match change {
            Value::Null => drop(members.remove(name)),
            change => merge(members.entry(name).or_insert(Value::Null), change),
        }
    }
}
