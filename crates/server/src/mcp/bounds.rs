//! Answers that fit a model's context: each has so many characters at most, and says what it leaves out.

use agent_data_store::wire::{self, Object};
use agent_data_store::{Error, Json, Result};

use super::arguments::invalid;
use super::path::{Members, shape};

/// Characters of an answer, unless the operator says otherwise.
pub(crate) const USUAL: usize = 20_000;
/// What an answer says around what it shows takes less than this.
const FRAME: usize = 700;
/// Characters of a value that are shown where only a look at it is wanted.
const PREVIEW: usize = 200;
/// The share of an answer that the names of a long value's members may take.
const OUTLINE_SHARE: usize = 8;

/// How many characters a text has.
pub(super) fn characters(text: &str) -> usize {
    text.chars().count()
}

/// How many characters a text takes as a JSON string.
pub(super) fn in_json(text: &str) -> usize {
    text.chars().map(in_string).sum::<usize>() + 2
}

/// How many characters it takes within a JSON string.
fn in_string(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => 1,
    }
}

/// The beginning of a text that takes at most `room` characters within a JSON string.
pub(super) fn beginning(text: &str, room: usize) -> &str {
    let mut taken = 0;
    for (at, character) in text.char_indices() {
        taken += in_string(character);
        if taken > room {
            return &text[..at];
        }
    }
    text
}

/// A list that grows until there is no room.
#[derive(Debug)]
pub(super) struct Rows {
    text: String,
    count: usize,
    room: usize,
}

impl Rows {
    /// A list in an answer of at most `bound` characters, which also shows the text `beside`.
    pub(super) fn within(bound: usize, beside: &str) -> Self {
        let room = bound.saturating_sub(FRAME + in_json(beside));
        Self { text: "[".to_owned(), count: 0, room }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Adds a row, unless there is no room for it and a cursor that points to it. The first one is always shown: else
    /// nobody could go on after it.
    pub(super) fn push(&mut self, row: &str, cursor: &str) -> bool {
        let needed = characters(row) + 1;
        let with_cursor = needed + in_json(cursor);
        if with_cursor > self.room && self.count > 0 {
            return false;
        }
        if self.count > 0 {
            self.text.push(',');
        }
        self.text.push_str(row);
        self.count += 1;
        self.room = self.room.saturating_sub(needed);
        true
    }

    pub(super) fn end(mut self) -> Json {
        self.text.push(']');
        Json::from_trusted(self.text)
    }
}

/// The first characters of a value's JSON.
pub(super) fn preview(value: &Json) -> &str {
    beginning(value.as_str(), PREVIEW)
}

/// Adds a value to an answer, or where it is too long for that a look at it, and how to read it.
pub(super) fn with_value(object: Object, value: &Json, bound: usize, how: &str) -> Object {
    let all = characters(value.as_str());
    if all + FRAME <= bound {
        return object.json("value", value);
    }
    object
        .number("characters", all as u64)
        .text("preview", preview(value))
        .text("cut", format!("the value is too long for this answer: {how}").as_str())
}

/// Where reading a long value goes on: in this version of its record, after so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: u64,
    pub(super) from: usize,
}

impl Place {
    pub(super) fn parse(cursor: &str) -> Result<Self> {
        let parts = cursor.strip_prefix('v').and_then(|cursor| cursor.split_once(':'));
        let parsed = parts.and_then(|(version, from)| Some((version.parse().ok()?, from.parse().ok()?)));
        let (version, from) = parsed.ok_or_else(no_cursor)?;
        Ok(Self { version, from })
    }

    fn text(self) -> String {
        format!("v{}:{}", self.version, self.from)
    }
}

pub(super) fn no_cursor() -> Error {
    invalid("cursor is none that an answer here has given: leave it out to begin anew")
}

/// A part of a text, and where the next one is.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) next: Option<String>,
}

/// The part of a value's JSON at `place` for which there is room.
pub(super) fn piece(text: &str, place: Place, room: usize) -> Result<Piece<'_>> {
    let rest = text.get(place.from..).ok_or_else(no_cursor)?;
    // However narrow it is, the last piece is reached.
    let text = beginning(rest, room.max(16));
    let next = Place { from: place.from + text.len(), ..place };
    Ok(Piece { text, next: (text.len() < rest.len()).then(|| next.text()) })
}

/// Adds a part of a long value, what it is a part of, and what is in it.
pub(super) fn with_piece(object: Object, value: &str, place: Place, bound: usize) -> Result<Object> {
    let room = bound.saturating_sub(FRAME);
    let mut outlined = Object::with_capacity(256);
    let mut outline_room = 0;
    if place.from == 0 {
        outline_room = room / OUTLINE_SHARE;
        let outline = shape(value, |members: Members<'_>| {
            let mut names = Rows { text: "[".to_owned(), count: 0, room: outline_room };
            let all = members.0.len();
            members.0.iter().all(|(name, _)| names.push(wire::string(name).as_str(), ""));
            (names.count, all, names.end())
        });
        outlined = outlined.text("type", outline.kind);
        if let Some(items) = outline.items {
            outlined = outlined.number("items", items as u64);
        }
        if let Some((shown, all, names)) = outline.members {
            outlined = outlined.number("members", all as u64).json("memberNames", &names);
            if shown < all {
                outlined = outlined.text("memberNamesCut", format!("{shown} of {all} shown").as_str());
            }
        }
    }
    let all = characters(value);
    let begins = characters(value.get(..place.from).unwrap_or_default());
    let Piece { text, next } = piece(value, place, room - outline_room)?;
    let ends = begins + characters(text);
    let cut = match &next {
        Some(_) => format!(
            "characters {begins} to {ends} of {all} of the value's JSON: call get again with cursor for more, or with \
             path for one part of the value"
        ),
        None => format!("characters {begins} to {ends} of {all} of the value's JSON: this is the last part"),
    };
    let object = object.number("characters", all as u64).json("outline", &outlined.end()).text("text", text);
    Ok(object.text("cut", &*cut).text("cursor", next.as_deref()))
}

/// Whether a value can be shown as it is.
pub(super) fn fits(value: &str, bound: usize) -> bool {
    // Most are short enough without counting.
    value.len() + FRAME <= bound || characters(value) + FRAME <= bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_counts_what_escapes_take() {
        assert_eq!(beginning("abc", 2), "ab");
        assert_eq!(beginning("a\"b", 3), "a\"");
        assert_eq!(beginning("a\u{1}b", 6), "a");
        assert_eq!(beginning("日本", 1), "日");
        for text in ["\"\\\n\t\u{0}\u{1f}x", "plain", "日本\"語"] {
            let whole = characters(wire::string(text).as_str()) - 2;
            assert_eq!(in_json(text), whole + 2);
            assert_eq!(beginning(text, whole), text);
            assert_ne!(beginning(text, whole - 1), text);
        }
    }

    #[test]
    fn pieces_make_up_the_whole_however_narrow_they_are() {
        let text = "日本\"語\\ and so on, \u{1}\u{2}".repeat(50);
        for room in [0, 1, 17, 300] {
            let (mut place, mut read) = (Place { version: 7, from: 0 }, String::new());
            loop {
                let piece = piece(&text, place, room).expect("a piece");
                assert!(!piece.text.is_empty());
                read.push_str(piece.text);
                let Some(next) = piece.next else { break };
                place = Place::parse(&next).expect("a cursor");
                assert_eq!(place.version, 7);
            }
            assert_eq!(read, text);
        }
    }

    #[test]
    fn a_cursor_of_somewhere_else_is_refused() {
        for cursor in ["", "v1", "1:2", "v1:x", "v-1:2", "\"a\""] {
            assert!(Place::parse(cursor).is_err(), "{cursor}");
        }
        assert!(piece("日本", Place { version: 1, from: 1 }, 100).is_err());
        assert!(piece("ab", Place { version: 1, from: 3 }, 100).is_err());
    }

    #[test]
    fn rows_end_before_the_bound_with_room_for_a_cursor() {
        let mut rows = Rows::within(1_000, "");
        let row = "\"0123456789\"";
        while rows.push(row, "0123456789") {}
        let text = rows.end();
        assert!(text.as_str().len() + FRAME <= 1_000 && text.as_str().len() + FRAME > 960);
    }

    #[test]
    fn the_first_row_is_shown_whatever_it_takes() {
        let mut rows = Rows::within(0, "");
        assert!(rows.push("\"long\"", "long"));
        assert!(!rows.push("\"long\"", "long"));
        assert_eq!(rows.end().as_str(), "[\"long\"]");
    }
}
