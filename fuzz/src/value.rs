//! JSON values of every form, small enough that many of them are equal.

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::{Map, Value};

/// A value that is made from the fuzzer's bytes.
#[derive(Clone, Debug)]
pub struct Tree(pub Value);

impl<'a> Arbitrary<'a> for Tree {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        tree(bytes, 3).map(Self)
    }
}

fn tree(bytes: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    Ok(match bytes.int_in_range(0..=if depth == 0 { 4 } else { 6 })? {
        0 => Value::Null,
        1 => bytes.arbitrary::<bool>()?.into(),
        2 => i64::from(bytes.arbitrary::<i8>()?).into(),
        // Halves are exact, and half of them are whole numbers.
        3 => Value::from(f64::from(bytes.arbitrary::<i8>()?) / 2.0),
        4 => bytes.choose(&["", "a", "b", "\"", "é", "\u{0}", "a/b"])?.to_string().into(),
        5 => (0..bytes.int_in_range(0..=3)?).map(|_| tree(bytes, depth - 1)).collect::<Result<Vec<_>>>()?.into(),
        _ => {
            let mut members = Map::new();
            for _ in 0..bytes.int_in_range(0..=3)? {
                let name = *bytes.choose(&["", "a", "b", "\"", "é"])?;
                members.insert(name.to_owned(), tree(bytes, depth - 1)?);
            }
            Value::Object(members)
        }
    })
}

/// Whether two values are equal, 1 and 1.0 included.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}
