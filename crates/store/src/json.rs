//! JSON text that is known to be good: what crosses the waist instead of parsed trees.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::json_check::{Flaw, FlawKind, check};
use crate::limits::Limits;

/// One JSON value as checked text (RFC 8259). Cheap to clone.
///
/// Besides the grammar it holds that no string has a lone surrogate and that every number which is not an integer fits a
/// 64-bit float, so that any client can read back what another one stored. Integers are of any size.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks `text` against the grammar and the limits on size and nesting.
    ///
    /// # Errors
    /// `InvalidArgument` where it is not JSON, `NotSerializable` where a number or string is outside of what every client
    /// can hold, `TooLarge` above a limit. The message gives line and column, never the text.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        limits.check_value_size(text.len())?;
        check(text, limits.depth).map_err(|flaw| flaw.into_error(text, limits.depth))?;
        Ok(Self(text.into()))
    }

    /// Takes text that an encoder has just written or an engine has kept: it is not checked again.
    pub fn from_trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never true: no JSON value is empty text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is an object or an array.
    pub fn is_container(&self) -> bool {
        self.0.starts_with(['{', '['])
    }

    /// Whether somebody else holds the same text in memory, such as a cache.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether both are one text in memory: if so they are equal, for as long as either lives.
    pub fn is_same_text(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }
}

impl AsRef<[u8]> for Json {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Json {
    /// Shows the size only: values do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Flaw {
    fn into_error(self, text: &str, depth_limit: usize) -> Error {
        let before = &text.as_bytes()[..self.at];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let here = format!("line {line} column {column}");
        match self.kind {
            FlawKind::Expected(what) => Error::invalid(format!("value is not JSON: expected {what} at {here}")),
            FlawKind::ControlCharacter => {
                Error::invalid(format!("value is not JSON: control character in a string at {here}: escape it"))
            }
            FlawKind::Escape => Error::invalid(format!("value is not JSON: unknown escape in a string at {here}")),
            FlawKind::LoneSurrogate => Error::new(
                ErrorKind::NotSerializable,
                format!("string at {here} holds a lone surrogate, which is not Unicode text: remove it"),
            ),
            FlawKind::NumberRange => Error::new(
                ErrorKind::NotSerializable,
                format!("number at {here} is outside the range of a 64-bit float: store it as a string"),
            ),
            FlawKind::TooDeep => {
                Error::too_large(format!("value is nested more than {depth_limit} levels deep at {here}: flatten it"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ErrorKind {
        Json::parse(text, &Limits::default()).expect_err("must be refused").kind()
    }

    #[test]
    fn accepts_every_form_and_keeps_the_text() {
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        let big = "9".repeat(5_000);
        for text in
            ["null", "true", "-0", "1e5", "\"\"", "\"\\ud83d\\ude00\"", "{\"\":[]}", "[1, {\"a\":2}]", &deep, &big]
        {
            assert_eq!(Json::parse(&format!(" {text}\n"), &Limits::default()).expect(text).as_str(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_json_or_not_readable_everywhere() {
        for text in ["", "{", "[1,]", "{a:1}", "'a'", "NaN", "Infinity", "-Infinity", "1 2", "01", "\"\t\"", "nul"] {
            assert_eq!(kind(text), ErrorKind::InvalidArgument, "{text}");
        }
        for text in ["1e999", "[-1.5e400]", "\"\\ud800\"", "\"\\udc00 \"", "{\"\\ud800\":1}"] {
            assert_eq!(kind(text), ErrorKind::NotSerializable, "{text}");
        }
        assert_eq!(kind(&"[".repeat(129)), ErrorKind::TooLarge);
        assert_eq!(kind(&format!("\"{}\"", "x".repeat(16 << 20))), ErrorKind::TooLarge);
    }
}
