//! Names and values come from agents: what could steer a terminal or reorder a line is shown escaped.

use std::borrow::Cow;
use std::fmt::Write;

/// Control characters, line separators and the overrides of writing direction. Letters of every script stay as they are.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Adds `character` as JSON would escape it.
pub(crate) fn push_escaped(into: &mut String, character: char) {
    match character {
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        // Every unsafe character is in the basic plane, so four digits do; writing to a string cannot fail.
        other => drop(write!(into, "\\u{:04x}", u32::from(other))),
    }
}

pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_unsafe(character) {
            true => push_escaped(&mut safe, character),
            false => safe.push(character),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_steers_a_terminal_is_escaped() {
        for text in ["plain", "a:b/c%d e", "naïve 🦀 👨‍👩‍👧", "עברית العربية", r#"quo"te\"#, ""]
        {
            assert_eq!(escaped(text), text);
        }
        assert_eq!(escaped("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(escaped("\u{1b}[2J\u{9b}1m\u{7f}"), "\\u001b[2J\\u009b1m\\u007f");
        assert_eq!(escaped("\u{202e}txt.exe\u{2028}"), "\\u202etxt.exe\\u2028");
    }
}
