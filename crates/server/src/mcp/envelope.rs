//! What the protocol's library is given of a message: all but the arguments of a call.
//!
//! It makes a tree of what it reads, a hundred times as large as the text, and cannot hold every number. Arguments are read
//! from the text of the message itself, see `arguments.rs`; what is left of a message is small.

use std::borrow::Cow;
use std::fmt;

use agent_data_store::{Error, ErrorKind, Result};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// Longest message in bytes, arguments apart: many times what the protocol needs.
const LONGEST: usize = 256 << 10;
const TOO_LONG: &str = "the message is longer than 262144 bytes without its arguments";

/// The message with no arguments in place of those that it has.
///
/// # Errors
/// `InvalidArgument` where it is not JSON, or not an object; `TooLarge` where what is left is too long.
pub(super) fn without_arguments(message: &[u8]) -> Result<Vec<u8>> {
    let mut rest = String::new();
    let mut deserializer = serde_json::Deserializer::from_slice(message);
    let read = Object { rest: &mut rest, level: Level::Message }.deserialize(&mut deserializer);
    match read.and_then(|()| deserializer.end()) {
        Ok(()) => Ok(rest.into_bytes()),
        Err(error) if error.to_string().starts_with(TOO_LONG) => {
            Err(Error::new(ErrorKind::TooLarge, format!("{TOO_LONG}: send less at once")))
        }
        Err(error) if error.classify() == Category::Data => Err(no_message()),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let message = format!("the message is not JSON: line {line} column {column}: correct it and send it again");
            Err(Error::new(ErrorKind::InvalidArgument, message))
        }
    }
}

/// What is wrong with JSON that is nothing of the protocol.
pub(super) fn no_message() -> Error {
    let message = "this is no message of the protocol: send one JSON-RPC 2.0 request or notification as an object";
    Error::new(ErrorKind::InvalidArgument, message)
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Message,
    Params,
}

/// Copies an object member by member, as its own text.
struct Object<'r> {
    rest: &'r mut String,
    level: Level,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> std::result::Result<(), A::Error> {
        let Self { rest, level } = self;
        rest.push('{');
        let mut separator = "";
        while let Some(Name(name)) = members.next_key()? {
            let value: &RawValue = members.next_value()?;
            rest.push_str(separator);
            separator = ",";
            rest.push_str(&serde_json::to_string(&name).map_err(A::Error::custom)?);
            rest.push(':');
            let is_object = value.get().starts_with('{');
            match (level, &*name) {
                (Level::Params, "arguments") if is_object => rest.push_str("{}"),
                (Level::Message, "params") if is_object => {
                    let mut params = serde_json::Deserializer::from_str(value.get());
                    let object = Object { rest: &mut *rest, level: Level::Params };
                    object.deserialize(&mut params).map_err(A::Error::custom)?;
                }
                _ if rest.len() + value.get().len() > LONGEST => return Err(A::Error::custom(TOO_LONG)),
                _ => rest.push_str(value.get()),
            }
            if rest.len() > LONGEST {
                return Err(A::Error::custom(TOO_LONG));
            }
        }
        rest.push('}');
        Ok(())
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(message: &str) -> String {
        String::from_utf8(without_arguments(message.as_bytes()).expect(message)).expect("UTF-8")
    }

    fn kind(message: impl AsRef<[u8]>) -> ErrorKind {
        without_arguments(message.as_ref()).expect_err("must be refused").kind()
    }

    #[test]
    fn all_but_the_arguments_of_a_call_stays_as_it_is() {
        let call = r#"{"jsonrpc":"2.0","id":1e2,"params":{"arguments":{"value":[1,2]},"name":"s\u0065t"},"x":[ 1 ]}"#;
        assert_eq!(rest(call), r#"{"jsonrpc":"2.0","id":1e2,"params":{"arguments":{},"name":"s\u0065t"},"x":[ 1 ]}"#);
        for message in [r#"{"arguments":{"a":1}}"#, r#"{"params":[{"a":1}]}"#, r#"{"params":{"arguments":[1]}}"#, "{}"]
        {
            assert_eq!(rest(message), message);
        }
        assert_eq!(rest(r#"{"params":{"arguments":{"a":1},"argum\u0065nts":{"b":2}}}"#).matches("{}").count(), 2);
    }

    #[test]
    fn arguments_are_of_any_size_and_all_else_is_bounded() {
        let large = "0,".repeat(LONGEST);
        rest(&format!(r#"{{"params":{{"arguments":{{"value":[{large}0]}}}}}}"#));
        for message in [
            format!(r#"{{"params":{{"_meta":[{large}0]}}}}"#),
            format!(r#"{{"id":[{large}0]}}"#),
            format!(r#"{{"params":[{large}0]}}"#),
            format!(r#"{{"{large}":0}}"#),
            format!(r#"{{"params":{{{}"a":0}}}}"#, r#""a":0,"#.repeat(LONGEST)),
        ] {
            assert_eq!(kind(&message), ErrorKind::TooLarge, "{}", &message[..40]);
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for message in ["", "{", "[]", "1", "{} {}", "{\"a\":}", &"[".repeat(1_000_000)] {
            assert_eq!(kind(message), ErrorKind::InvalidArgument, "{}", &message[..message.len().min(20)]);
        }
        assert_eq!(kind(b"{\"a\":\"\xff\"}"), ErrorKind::InvalidArgument);
    }
}
