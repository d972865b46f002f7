//! What a write does, once for all engines: a pure function from the present record to the next.

use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};

use indexmap::IndexMap;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::error::{Error, Result, VersionMismatch};
use crate::json::Json;
use crate::limits::Limits;
use crate::model::{Expiry, Mutation, Precondition, Version, Write};
use crate::number::Number;

/// The live record that a write meets.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Its version.
    pub version: Version,
    /// Its value; may be left out unless [`Mutation::reads_value`].
    pub value: Option<&'a str>,
    /// Its metadata, `{}` if none; may be left out unless the write brings metadata.
    pub metadata: Option<&'a str>,
    /// Its expiry.
    pub expires_at: Option<Timestamp>,
}

/// What the engine has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: there is no new version.
    Nothing,
    /// Remove the live record.
    Remove,
    /// Store this under a new version.
    Put(Put),
}

/// The next state of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The new value; `None` keeps the present one.
    pub value: Option<Json>,
    /// The new metadata; `None` keeps the present one (`{}` for a new record).
    pub metadata: Option<Json>,
    /// The new expiry.
    pub expires_at: Option<Timestamp>,
    /// What the write returns to its caller.
    pub result: Option<Json>,
}

impl Mutation {
    /// Whether applying it needs the present value.
    pub fn reads_value(&self) -> bool {
        matches!(self, Mutation::Increment(_) | Mutation::Append { .. } | Mutation::Merge(_))
    }

    /// Whether what it returns is the new value itself.
    pub fn returns_value(&self) -> bool {
        matches!(self, Mutation::Increment(_) | Mutation::Merge(_))
    }
}

/// Applies `write` to the live record `present` at the moment `now`.
///
/// # Errors
/// `Conflict` if the precondition does not hold; `InvalidArgument` if the value is of the wrong kind for the mutation;
/// `TooLarge` if the result is above a limit.
pub fn apply(write: &Write, present: Option<Present<'_>>, now: Timestamp, limits: &Limits) -> Result<Effect> {
    let Write { address, precondition, mutation, metadata, expiry } = write;
    if let Precondition::Version(expected) = *precondition {
        let actual = present.map_or(0, |present| present.version);
        if expected != actual {
            return Err(Error::conflict(&address.namespace, &address.key, VersionMismatch { expected, actual }));
        }
    }
    let refuse = |error: Error| error.at(&address.namespace, &address.key);
    let present_value = present.and_then(|present| present.value);
    let (value, result) = match mutation {
        Mutation::Check => return Ok(Effect::Nothing),
        Mutation::Delete | Mutation::Touch if present.is_none() => return Ok(Effect::Nothing),
        Mutation::Delete => return Ok(Effect::Remove),
        Mutation::Touch => (None, None),
        Mutation::Set(value) => (Some(value.clone()), None),
        Mutation::Increment(by) => {
            let sum = increment(present_value, by.as_str()).map_err(refuse)?;
            (Some(sum.clone()), Some(sum))
        }
        Mutation::Append { items, unique, max_length } => {
            let (list, length) = append(present_value, items.as_str(), *unique, *max_length).map_err(refuse)?;
            (Some(list), Some(Json::from_trusted(length.to_string())))
        }
        Mutation::Merge(patch) => {
            let merged = merge_patch(present_value, patch.as_str()).map_err(refuse)?;
            (Some(merged.clone()), Some(merged))
        }
    };
    if let Some(value) = &value {
        limits.check_value_size(value.len()).map_err(refuse)?;
    }
    let metadata = metadata
        .as_ref()
        .map(|update| merge_metadata(present.and_then(|present| present.metadata), update, limits))
        .transpose()
        .map_err(refuse)?;
    let expires_at = match (expiry, mutation) {
        (Expiry::After(ttl), _) => Some(now.saturating_add(*ttl)),
        (Expiry::Never, _) | (Expiry::Default, Mutation::Set(_)) => None,
        (Expiry::Default, _) => present.and_then(|present| present.expires_at),
    };
    Ok(Effect::Put(Put { value, metadata, expires_at, result }))
}

fn increment(present: Option<&str>, by: &str) -> Result<Json> {
    let present = present.unwrap_or("0");
    let parse = |text, what: &str| {
        Number::parse(text).ok_or_else(|| {
            Error::invalid(format!("{what} is {}, not a number: increment needs a number", kind_of(text)))
        })
    };
    let sum = parse(present, "the stored value")?.add(&parse(by, "the amount")?).ok_or_else(|| {
        Error::invalid("the sum is outside the range of a 64-bit float: use integers or smaller numbers")
    })?;
    Ok(sum.to_json())
}

fn append(present: Option<&str>, items: &str, unique: bool, max_length: Option<usize>) -> Result<(Json, usize)> {
    let array = |text, what: &str| {
        serde_json::from_str::<Vec<&RawValue>>(text)
            .map_err(|_| Error::invalid(format!("{what} is {}, not a list: append needs a list", kind_of(text))))
    };
    let mut list = array(present.unwrap_or("[]"), "the stored value")?;
    let added = array(items, "the items to append")?;
    if unique {
        let mut seen: HashSet<Canonical> = list.iter().map(|item| Canonical::of(item.get())).collect();
        list.extend(added.into_iter().filter(|item| seen.insert(Canonical::of(item.get()))));
    } else {
        list.extend(added);
    }
    let surplus = max_length.map_or(0, |max_length| list.len().saturating_sub(max_length));
    let kept = &list[surplus..];
    let mut text = String::with_capacity(present.map_or(0, str::len) + items.len());
    text.push('[');
    for (index, item) in kept.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(item.get());
    }
    text.push(']');
    Ok((Json::from_trusted(text), kept.len()))
}

/// An object whose members stay text, in order; of duplicate names the last one counts.
type Members<'a> = IndexMap<String, &'a RawValue>;

fn members(text: &str) -> Option<Members<'_>> {
    text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// RFC 7396: objects are merged member by member, `null` removes, anything else replaces.
fn merge_patch(target: Option<&str>, patch: &str) -> Result<Json> {
    let mut text = String::with_capacity(target.map_or(0, str::len) + patch.len());
    write_merged(target, patch, &mut text).map_err(damaged)?;
    Ok(Json::from_trusted(text))
}

fn damaged(error: serde_json::Error) -> Error {
    Error::corrupt("the stored value is not JSON: restore the store from a backup").caused_by(error)
}

fn write_merged(target: Option<&str>, patch: &str, into: &mut String) -> serde_json::Result<()> {
    let Some(patch) = members(patch) else {
        into.push_str(patch);
        return Ok(());
    };
    let target = target.and_then(members).unwrap_or_default();
    let mut writer = ObjectWriter::new(into);
    for (name, value) in &target {
        match patch.get(name) {
            None => writer.member(name, |into| {
                into.push_str(value.get());
                Ok(())
            })?,
            Some(change) if change.get() == "null" => {}
            Some(change) => writer.member(name, |into| write_merged(Some(value.get()), change.get(), into))?,
        }
    }
    for (name, change) in &patch {
        if change.get() != "null" && !target.contains_key(name) {
            writer.member(name, |into| write_merged(None, change.get(), into))?;
        }
    }
    writer.end();
    Ok(())
}

fn merge_metadata(present: Option<&str>, update: &Json, limits: &Limits) -> Result<Json> {
    let mut merged = present.and_then(members).unwrap_or_default();
    let update = members(update.as_str())
        .ok_or_else(|| Error::invalid("metadata is not an object: give a dict with string keys"))?;
    merged.extend(update);
    let mut text = String::new();
    let mut writer = ObjectWriter::new(&mut text);
    for (name, value) in &merged {
        writer
            .member(name, |into| {
                into.push_str(value.get());
                Ok(())
            })
            .map_err(damaged)?;
    }
    writer.end();
    limits.check_metadata_size(text.len())?;
    Ok(Json::from_trusted(text))
}

struct ObjectWriter<'a> {
    into: &'a mut String,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    fn new(into: &'a mut String) -> Self {
        into.push('{');
        Self { into, empty: true }
    }

    fn member(
        &mut self,
        name: &str,
        value: impl FnOnce(&mut String) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        if !std::mem::take(&mut self.empty) {
            self.into.push(',');
        }
        self.into.push_str(&serde_json::to_string(name)?);
        self.into.push(':');
        value(self.into)
    }

    fn end(self) {
        self.into.push('}');
    }
}

/// What kind of JSON value a text is, in the words of error messages.
fn kind_of(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A value reduced to what equality looks at: member order, spelling of strings and 1 against 1.0 do not count.
#[derive(PartialEq, Eq)]
enum Canonical {
    Plain(String),
    Number(ByValue),
    List(Vec<Canonical>),
    /// Sorted, so that it can be hashed with the secret keys of the set: nobody can make up objects that collide.
    Object(BTreeMap<String, Canonical>),
}

struct ByValue(Number);

impl PartialEq for ByValue {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&other.0)
    }
}

impl Eq for ByValue {}

impl Canonical {
    fn of(text: &str) -> Self {
        if let Some(number) = Number::parse(text) {
            return Canonical::Number(ByValue(number));
        }
        let nested = match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).ok().map(|string: String| Canonical::Plain(format!("\"{string}"))),
            Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text)
                .ok()
                .map(|items| Canonical::List(items.iter().map(|item| Canonical::of(item.get())).collect())),
            _ => members(text).map(|members| {
                Canonical::Object(members.into_iter().map(|(name, value)| (name, Canonical::of(value.get()))).collect())
            }),
        };
        nested.unwrap_or_else(|| Canonical::Plain(text.to_owned()))
    }
}

impl Hash for Canonical {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Canonical::Plain(text) => text.hash(state),
            Canonical::Number(ByValue(number)) => number.hash_into(state),
            Canonical::List(items) => items.hash(state),
            Canonical::Object(members) => members.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patch_follows_the_examples_of_rfc_7396() {
        // Appendix A of the RFC.
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge_patch(Some(target), patch).expect(patch).as_str(), expected, "{target} + {patch}");
        }
    }

    #[test]
    fn unique_compares_by_value() {
        let unique = |present, items| append(Some(present), items, true, None).expect("lists").0.as_str().to_owned();
        assert_eq!(unique(r#"[1,"a"]"#, r#"[1.0,"\u0061",2]"#), r#"[1,"a",2]"#);
        assert_eq!(unique(r#"[{"x":1,"y":[2]}]"#, r#"[{"y":[2.0],"x":1},{"x":1}]"#), r#"[{"x":1,"y":[2]},{"x":1}]"#);
        assert_eq!(unique("[true,null]", r#"[1,"true","null",true]"#), r#"[true,null,1,"true","null"]"#);
        assert_eq!(unique("[0]", "[-0.0,0.0]"), "[0]");
        assert_eq!(
            unique("[1e22,0.5]", "[10000000000000000000000,0.50,10000000000000000000001]"),
            "[1e22,0.5,10000000000000000000001]"
        );
    }

    #[test]
    fn append_keeps_the_newest_within_the_length() {
        let (list, length) = append(Some("[1, 2,3]"), "[4,5]", false, Some(3)).expect("lists");
        assert_eq!((list.as_str(), length), ("[3,4,5]", 3));
        assert_eq!(append(None, "[]", false, None).expect("lists").0.as_str(), "[]");
        assert!(append(Some("{}"), "[1]", false, None).expect_err("not a list").message().contains("an object"));
    }
}
