//! Parts of a value: JSON Pointer (RFC 6901) on JSON text, so that what is shown of it is the text that was stored.

use std::fmt;

use agent_data_store::Result;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::arguments::invalid;

/// The members of an object, in its order.
#[derive(Debug)]
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// What a value is, and how much is in it.
#[derive(Debug)]
pub(super) struct Shape<T> {
    pub(super) kind: &'static str,
    pub(super) items: Option<usize>,
    pub(super) members: Option<T>,
}

/// The shape of a value, with what is made of its members if it is an object.
pub(super) fn shape<T>(value: &str, of_members: impl FnOnce(Members<'_>) -> T) -> Shape<T> {
    let kind = kind(value);
    let items = match kind {
        "array" => serde_json::from_str::<Vec<&RawValue>>(value).ok().map(|items| items.len()),
        _ => None,
    };
    let members = match kind {
        "object" => serde_json::from_str::<Members<'_>>(value).ok().map(of_members),
        _ => None,
    };
    Shape { kind, items, members }
}

fn kind(value: &str) -> &'static str {
    match value.bytes().next() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// The part of a value to which a pointer leads; the empty pointer leads to all of it.
pub(super) fn part<'a>(value: &'a str, pointer: &str) -> Result<&'a str> {
    let Some(steps) = pointer.strip_prefix('/') else {
        return match pointer {
            "" => Ok(value),
            _ => Err(invalid("path does not begin with /: write for instance /files/0/name")),
        };
    };
    let mut here = value;
    let mut way = String::new();
    for step in steps.split('/') {
        let name = step.replace("~1", "/").replace("~0", "~");
        let next = match kind(here) {
            "object" => {
                let members = serde_json::from_str::<Members<'a>>(here).map_or_else(|_| Vec::new(), |all| all.0);
                // As every reader of JSON takes it: of members with one name the last.
                members.into_iter().rfind(|(member, _)| *member == name).map(|(_, value)| value.get())
            }
            "array" => {
                let index = name.parse::<usize>().ok().filter(|index| index.to_string() == name);
                let items = serde_json::from_str::<Vec<&'a RawValue>>(here).unwrap_or_default();
                index.and_then(|index| items.get(index).map(|item| item.get()))
            }
            _ => None,
        };
        here = next.ok_or_else(|| {
            let kind = kind(here);
            invalid(format!(
                "path leads nowhere at {:?}: {way:?} is {} {kind} without that; get with path {way:?} shows what is there",
                format!("{way}/{step}"),
                if kind.starts_with(['a', 'o']) { "an" } else { "a" },
            ))
        })?;
        way.push('/');
        way.push_str(step);
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str =
        r#"{"b":[1.50,{"x/y":12345678901234567890123}],"a~":{"":null},"b ":"text","twice":1,"twice":2}"#;

    #[test]
    fn a_pointer_leads_to_the_text_that_was_stored() {
        for (pointer, found) in [
            ("", VALUE),
            ("/b", r#"[1.50,{"x/y":12345678901234567890123}]"#),
            ("/b/0", "1.50"),
            ("/b/1/x~1y", "12345678901234567890123"),
            ("/a~0/", "null"),
            ("/twice", "2"),
        ] {
            assert_eq!(part(VALUE, pointer).expect(pointer), found, "{pointer}");
        }
    }

    #[test]
    fn a_pointer_that_leads_nowhere_says_where_it_ends_and_shows_nothing() {
        for (pointer, way) in [("/c", "\"\""), ("/b/2", "\"/b\""), ("/b/01", "\"/b\""), ("/b /x", "\"/b \"")] {
            let error = part(VALUE, pointer).expect_err(pointer);
            assert!(error.message().contains(way) && !error.message().contains("text"), "{error}");
        }
        assert!(part(VALUE, "b").expect_err("no pointer").message().contains("begin with /"));
    }

    #[test]
    fn members_keep_their_order() {
        let shape = shape(VALUE, |members| members.0.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert_eq!(shape.members.expect("an object"), ["b", "a~", "b ", "twice", "twice"]);
        assert_eq!(super::shape("[1,2]", |_| ()).items, Some(2));
        assert_eq!(super::shape("-1", |_| ()).kind, "number");
    }
}
