//! Checks JSON text in one pass, without building anything.
//!
//! Parsers at hand either limit the size of integers, accept what other clients cannot read (lone surrogates, numbers
//! that overflow to infinity), or recurse; tests compare this with `serde_json`.

/// What is wrong, and at which byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) kind: FlawKind,
    pub(crate) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlawKind {
    /// Something else than what is named was found.
    Expected(&'static str),
    ControlCharacter,
    Escape,
    LoneSurrogate,
    NumberRange,
    TooDeep,
}

type Checked<T = ()> = Result<T, Flaw>;

/// Checks that `text` is one JSON value with nothing before or after it, nested at most `depth_limit` deep.
pub(crate) fn check(text: &str, depth_limit: usize) -> Checked {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    // One entry for each open container: whether it is an object.
    let mut open: Vec<bool> = Vec::new();
    loop {
        // A value begins here.
        scanner.skip_space();
        let start = scanner.at;
        match scanner.peek() {
            Some(bracket @ (b'{' | b'[')) => {
                if open.len() == depth_limit {
                    return scanner.fail(FlawKind::TooDeep);
                }
                scanner.at += 1;
                scanner.skip_space();
                let is_object = bracket == b'{';
                if scanner.take(closing(is_object)) {
                    // Empty: as complete as a scalar.
                } else {
                    open.push(is_object);
                    if is_object {
                        scanner.name()?;
                    }
                    continue;
                }
            }
            Some(b'"') => scanner.string()?,
            Some(b't') => scanner.literal("true")?,
            Some(b'f') => scanner.literal("false")?,
            Some(b'n') => scanner.literal("null")?,
            Some(b'-' | b'0'..=b'9') => scanner.number(text, start)?,
            _ => return scanner.fail(FlawKind::Expected("a value")),
        }
        // A value has ended: close what ends with it, or go on to the next.
        loop {
            scanner.skip_space();
            let Some(&is_object) = open.last() else {
                return match scanner.peek() {
                    None => Ok(()),
                    Some(_) => scanner.fail(FlawKind::Expected("the end of the value")),
                };
            };
            if scanner.take(closing(is_object)) {
                open.pop();
            } else if scanner.take(b',') {
                scanner.skip_space();
                if is_object {
                    scanner.name()?;
                }
                break;
            } else {
                let expected = if is_object { "`,` or `}`" } else { "`,` or `]`" };
                return scanner.fail(FlawKind::Expected(expected));
            }
        }
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn fail<T>(&self, kind: FlawKind) -> Checked<T> {
        Err(Flaw { kind, at: self.at })
    }

    fn literal(&mut self, word: &'static str) -> Checked {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail(FlawKind::Expected(word));
        }
        self.at += word.len();
        Ok(())
    }

    /// A member's name and its colon.
    fn name(&mut self) -> Checked {
        if self.peek() != Some(b'"') {
            return self.fail(FlawKind::Expected("a name in double quotes"));
        }
        self.string()?;
        self.skip_space();
        if !self.take(b':') {
            return self.fail(FlawKind::Expected("`:`"));
        }
        Ok(())
    }

    /// A string; its bytes outside of escapes are UTF-8 because the text is.
    fn string(&mut self) -> Checked {
        self.at += 1;
        loop {
            match self.peek() {
                None => return self.fail(FlawKind::Expected("the end of a string")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(..0x20) => return self.fail(FlawKind::ControlCharacter),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Checked {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.code_unit(self.at)? {
                0xD800..=0xDBFF => match self.code_unit(self.at + 6) {
                    Ok(0xDC00..=0xDFFF) => {
                        self.at += 12;
                        Ok(())
                    }
                    _ => self.fail(FlawKind::LoneSurrogate),
                },
                0xDC00..=0xDFFF => self.fail(FlawKind::LoneSurrogate),
                _ => {
                    self.at += 6;
                    Ok(())
                }
            },
            _ => self.fail(FlawKind::Escape),
        }
    }

    /// The number in a `\uXXXX` that begins at `at`.
    fn code_unit(&self, at: usize) -> Checked<u32> {
        let hex = match self.bytes.get(at..at + 6) {
            Some([b'\\', b'u', hex @ ..]) if hex.iter().all(u8::is_ascii_hexdigit) => hex,
            _ => return self.fail(FlawKind::Escape),
        };
        Ok(hex.iter().fold(0, |unit, digit| unit * 16 + char::from(*digit).to_digit(16).unwrap_or(0)))
    }

    fn number(&mut self, text: &str, start: usize) -> Checked {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_float = false;
        if self.take(b'.') {
            is_float = true;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_float = true;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        let finite = || text[start..self.at].parse().is_ok_and(f64::is_finite);
        if is_float && !finite() {
            return Err(Flaw { kind: FlawKind::NumberRange, at: start });
        }
        Ok(())
    }

    fn digits(&mut self) -> Checked {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return self.fail(FlawKind::Expected("a digit"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// Near-JSON from a small alphabet: both must agree on what is JSON.
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},: ]|"a"|"\\u00e9"|"\\n|"|\\|-?[0-9]{1,2}|1\.5|1e3|true|null|\t){0,12}"#) {
            let ours = check(&text, 128).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn accepts_what_serde_json_writes(value in value()) {
            let text = value.to_string();
            prop_assert_eq!(check(&text, 128), Ok(()), "{}", text);
        }

        #[test]
        fn never_panics_on_damage(value in value(), cut in 0usize..64, byte in any::<char>()) {
            let mut text = value.to_string();
            let at = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.insert(at, byte);
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(check(&text, 128).is_ok(), theirs, "{}", text);
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
