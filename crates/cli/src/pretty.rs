//! Lays out JSON text for reading. Works on the text, so that numbers, key order and repeated keys stay what they are.

use std::io::{self, Write};

use crate::escape::escaped;

const INDENT: &[u8] = b"  ";

/// Writes checked JSON text with two spaces for each level; its first line begins where `out` stands. Characters that
/// could steer a terminal are escaped, which leaves the value the same.
pub(crate) fn write_pretty(out: &mut dyn Write, text: &str, mut level: usize) -> io::Result<()> {
    let mut rest = text;
    let mut just_opened = false;
    while let Some(first) = rest.bytes().next() {
        let (token, after) = rest.split_at(token_length(rest));
        rest = after;
        match first {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'}' | b']' => {
                level = level.saturating_sub(1);
                if !just_opened {
                    new_line(out, level)?;
                }
            }
            _ if just_opened => new_line(out, level)?,
            _ => {}
        }
        just_opened = false;
        out.write_all(escaped(token).as_bytes())?;
        match first {
            b'{' | b'[' => {
                just_opened = true;
                level += 1;
            }
            b',' => new_line(out, level)?,
            b':' => out.write_all(b" ")?,
            _ => {}
        }
    }
    Ok(())
}

fn new_line(out: &mut dyn Write, level: usize) -> io::Result<()> {
    out.write_all(b"\n")?;
    (0..level).try_for_each(|_| out.write_all(INDENT))
}

/// How many bytes the token takes at the beginning of `text`: a string, a number or literal, or one other character.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'"') => {
            let mut at = 1;
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'"' => return at + 1,
                    b'\\' => at += 2,
                    _ => at += 1,
                }
            }
            bytes.len()
        }
        Some(b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r') => 1,
        _ => text.find(['{', '}', '[', ']', ',', ':', '"', ' ', '\t', '\n', '\r']).unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pretty(text: &str) -> String {
        let mut out = Vec::new();
        write_pretty(&mut out, text, 0).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn nesting_is_indented_and_empty_containers_stay_short() {
        assert_eq!(
            pretty(r#"{"a":[1, {"b" :{}} ,[ ]],"c":"x"}"#),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": {}\n    },\n    []\n  ],\n  \"c\": \"x\"\n}"
        );
        for text in ["null", "-1.50e+3", "\"\"", "{}", "[]"] {
            assert_eq!(pretty(text), text);
        }
    }

    #[test]
    fn nothing_but_space_and_escapes_changes() {
        let text = r#"{"z":123456789012345678901234567890,"a":1.10,"a":"{\"x\": [1,2]}\\","é":"🦀"}"#;
        let compact: String = pretty(text).replace("\n", "").replace("  ", "").replace("\": ", "\":");
        assert_eq!(compact, text.replace("\": ", "\":"));
        let string = r#""a\",  {b\\""#;
        assert_eq!(pretty(string), string);
        assert_eq!(pretty("\"a\u{9b}b\u{202e}c\u{7f}\""), r#""a\u009bb\u202ec\u007f""#);
    }
}
