//! The place of a byte in a JSON text, as a path that shows no credential itself.

use std::borrow::Cow;
use std::ops::Range;

use crate::secrets::holds_secret;

/// Longest place, in characters; the middle of a longer one is left out.
const PLACE_CHARS: usize = 240;
/// Longest name in a place or message, in characters.
const NAME_CHARS: usize = 60;

enum Step {
    /// In an array, at this element.
    Index(usize),
    /// In an object, at the member whose name is there; `None` before its first name is read.
    Member(Option<Range<usize>>),
}

/// The path of what is at byte `at`: `$.files[3].token`. Where that is the name of a member, or where a name on the way
/// looks like a credential, the name is shown as `…`.
pub(crate) fn place(text: &str, at: usize) -> String {
    let (steps, is_name) = steps_to(text.as_bytes(), at);
    let mut place = String::from("$");
    let last = steps.len().saturating_sub(1);
    for (depth, step) in steps.iter().enumerate() {
        match step {
            Step::Index(index) => place.push_str(&format!("[{index}]")),
            Step::Member(_) if is_name && depth == last => place.push_str("[…]"),
            Step::Member(None) => {}
            Step::Member(Some(name)) => push_name(&mut place, text.get(name.clone()).unwrap_or_default()),
        }
    }
    let chars = place.chars().count();
    if chars > PLACE_CHARS {
        let half = PLACE_CHARS / 2;
        let (head, tail) = (place.chars().take(half), place.chars().skip(chars - half));
        return head.chain(['…']).chain(tail).collect();
    }
    place
}

/// A key or namespace in quotes, shortened; `"…"` where it looks like a credential itself.
pub(crate) fn quoted(name: &str) -> String {
    if holds_secret(name) { "\"…\"".to_owned() } else { format!("{:?}", shortened(name)) }
}

/// The containers around byte `at`, from the outside, and whether it is in the name of a member.
fn steps_to(bytes: &[u8], at: usize) -> (Vec<Step>, bool) {
    let mut steps = Vec::new();
    let mut expects_name = false;
    let mut here = 0;
    while here < at {
        match bytes.get(here) {
            None => break,
            Some(b'{') => {
                steps.push(Step::Member(None));
                expects_name = true;
            }
            Some(b'[') => {
                steps.push(Step::Index(0));
                expects_name = false;
            }
            Some(b'}' | b']') => {
                steps.pop();
                expects_name = false;
            }
            Some(b',') => match steps.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                Some(Step::Member(_)) => expects_name = true,
                None => {}
            },
            Some(b'"') => {
                let end = end_of_string(bytes, here + 1);
                if end > at {
                    return (steps, expects_name);
                }
                if let (true, Some(Step::Member(name))) = (expects_name, steps.last_mut()) {
                    *name = Some(here + 1..end);
                    expects_name = false;
                }
                here = end;
            }
            Some(_) => {}
        }
        here += 1;
    }
    (steps, false)
}

/// Where the closing quote is.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match bytes.get(at) {
            None | Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// `name` as it stands in the JSON text, escapes included.
fn push_name(place: &mut String, name: &str) {
    if holds_secret(name) {
        place.push_str("[…]");
    } else if is_identifier(name) {
        place.push('.');
        place.push_str(name);
    } else {
        place.push_str("[\"");
        for character in shortened(name).chars() {
            match character.is_ascii_graphic() || character == ' ' {
                true => place.push(character),
                // What could steer a terminal is shown escaped, letters as they are.
                false => place.extend(character.escape_debug()),
            }
        }
        place.push_str("\"]");
    }
}

fn is_identifier(name: &str) -> bool {
    name.len() <= NAME_CHARS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(text: &str, what: &str) -> String {
        place(text, text.find(what).expect("in the text"))
    }

    #[test]
    fn a_path_leads_to_every_string() {
        let text = r#"{"a": [1, {"b,c": "x]", "d": ["one", [], "two"]}, "three"], "": {"e\"": "four"}, "f": "five"}"#;
        for (what, expected) in [
            ("one", "$.a[1].d[0]"),
            ("two", "$.a[1].d[2]"),
            ("three", "$.a[2]"),
            ("four", r#"$[""]["e\""]"#),
            ("five", "$.f"),
            ("b,c", "$.a[1][…]"),
        ] {
            assert_eq!(place_of(text, what), expected, "{what}");
        }
        assert_eq!(place_of("\"six\"", "six"), "$");
        assert_eq!(place_of("[\"six\"]", "six"), "$[0]");
    }

    #[test]
    fn a_long_place_keeps_its_ends() {
        let text = format!("{}\"here\"{}", "{\"some_name\":".repeat(100), "}".repeat(100));
        let place = place_of(&text, "here");
        assert_eq!(place.chars().count(), PLACE_CHARS + 1);
        assert!(place.starts_with("$.some_name.some_name") && place.ends_with(".some_name"), "{place}");
        let name = format!("{{\"{}\": \"here\"}}", "ö".repeat(1_000));
        assert!(place_of(&name, "here").chars().count() < 80);
    }

    #[test]
    fn a_place_cannot_steer_a_terminal() {
        assert_eq!(place_of("{\"é\u{9b}1m\u{202e}\u{7f}\": \"here\"}", "here"), r#"$["é\u{9b}1m\u{202e}\u{7f}"]"#);
    }

    #[test]
    fn text_that_is_not_json_leads_somewhere() {
        for text in ["]]]}here", "\"\\", "{{{,,,:here", "{\"a\" \"b\"", "[\"here"] {
            for at in 0..=text.len() + 2 {
                assert!(place(text, at).starts_with('$'));
            }
        }
    }
}
