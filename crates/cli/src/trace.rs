//! Printing every operation as it happens.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use agent_data_store::observe::{Observer, Operation, PREVIEW_CHARS};
use anstyle::{AnsiColor, Effects, Style};
use unicode_width::UnicodeWidthStr;

use crate::escape::{escaped, is_unsafe, push_escaped};
use crate::output::colored;

const TIME: Style = Style::new().effects(Effects::DIMMED);
const VERB: Style = Style::new().effects(Effects::BOLD);
const FOUND: Style = AnsiColor::Green.on_default();
const MISSING: Style = AnsiColor::Yellow.on_default();
const FAILED: Style = AnsiColor::Red.on_default();
const PLAIN: Style = Style::new();

/// Longest verb, so that it never moves the columns.
const VERB_WIDTH: usize = 15;
/// Names longer than this move the columns of their own line only.
const NAMESPACE_WIDTH: usize = 24;
const KEY_WIDTH: usize = 40;

/// An [`Observer`] that prints one line for each operation: time of day (UTC), operation, namespace, key, whether it was
/// found or how many, microseconds, and at most 200 characters of the value, or why it failed.
///
/// A line is written at once, so lines of several threads do not mix. Control characters are escaped. What cannot be
/// written is dropped: a trace is no reason for an agent to fail.
pub struct TracePrinter {
    out: Mutex<Box<dyn Write + Send>>,
    colored: bool,
    namespace_width: Column,
    key_width: Column,
}

impl TracePrinter {
    /// Prints on stderr, with colours if it is a terminal and `NO_COLOR` is not set.
    pub fn stderr() -> Self {
        Self::new(io::stderr(), colored(&io::stderr()))
    }

    /// Prints elsewhere.
    pub fn new(out: impl Write + Send + 'static, colored: bool) -> Self {
        Self {
            out: Mutex::new(Box::new(out)),
            colored,
            namespace_width: Column::new("default".len(), NAMESPACE_WIDTH),
            key_width: Column::new(12, KEY_WIDTH),
        }
    }

    fn line(&self, operation: &Operation<'_>) -> String {
        let mut line = Line { text: String::with_capacity(256), colored: self.colored };
        // The date is left out: 2026-01-31T12:00:00.000001Z.
        let moment = operation.started_at.to_string();
        line.cell(TIME, moment.split_once('T').map_or(&*moment, |(_, time)| time), 0);
        line.cell(VERB, operation.verb, VERB_WIDTH);
        for (name, column) in [(operation.namespace, &self.namespace_width), (operation.key, &self.key_width)] {
            let name = if name.is_empty() { "-".into() } else { escaped(name) };
            line.cell(PLAIN, &name, column.fit(&name));
        }
        let (style, found) = match (operation.error, operation.found, operation.count) {
            (Some(_), _, _) => (FAILED, "failed".into()),
            (None, Some(true), _) => (FOUND, "found".into()),
            (None, Some(false), _) => (MISSING, "missing".into()),
            (None, None, Some(count)) => (PLAIN, count.to_string()),
            (None, None, None) => (PLAIN, "done".into()),
        };
        line.cell(style, &found, "missing".len());
        #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
        let microseconds = operation.duration.as_nanos() as f64 / 1_000.0;
        line.cell(PLAIN, &format!("{microseconds:>9.1} µs"), 0);
        match (operation.error, operation.preview) {
            (Some(error), _) => line.cell(FAILED, &escaped(error.message()), 0),
            (None, Some(preview)) => line.cell(PLAIN, &shortened(preview), 0),
            (None, None) => {}
        }
        line.end()
    }
}

impl Observer for TracePrinter {
    fn observe(&self, operation: &Operation<'_>) {
        let line = self.line(operation);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

impl std::fmt::Debug for TracePrinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracePrinter").field("colored", &self.colored).finish_non_exhaustive()
    }
}

/// A column as wide as the widest name so far, within bounds.
struct Column {
    width: AtomicUsize,
    widest: usize,
}

impl Column {
    fn new(width: usize, widest: usize) -> Self {
        Self { width: AtomicUsize::new(width), widest }
    }

    fn fit(&self, name: &str) -> usize {
        let wanted = name.width().min(self.widest);
        self.width.fetch_max(wanted, Ordering::Relaxed).max(wanted)
    }
}

struct Line {
    text: String,
    colored: bool,
}

impl Line {
    /// Adds a cell of at least `width` columns, set apart from the one before.
    fn cell(&mut self, style: Style, text: &str, width: usize) {
        if !self.text.is_empty() {
            self.text.push_str("  ");
        }
        // Writing to a string cannot fail.
        let _ = match self.colored {
            true => write!(self.text, "{style}{text}{style:#}"),
            false => self.text.write_str(text),
        };
        let missing = width.saturating_sub(text.width());
        self.text.extend(std::iter::repeat_n(' ', missing));
    }

    fn end(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text.push('\n');
        self.text
    }
}

/// A preview that escaping has not made longer than promised.
fn shortened(preview: &str) -> String {
    let mut short = String::with_capacity(preview.len());
    let mut room = PREVIEW_CHARS;
    for character in preview.chars() {
        let before = short.len();
        match is_unsafe(character) {
            true => push_escaped(&mut short, character),
            false => short.push(character),
        }
        let Some(left) = room.checked_sub(short[before..].chars().count()) else {
            short.truncate(before);
            break;
        };
        room = left;
    }
    short
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use agent_data_store::{DataStore, Identity, Json, Options, SetOptions, Store, block_on};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("test").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn traced(colored: bool, run: impl FnOnce(&DataStore)) -> Vec<String> {
        let shared = Shared::default();
        let store = block_on(Store::open("memory:", Options::default())).expect("memory");
        let view = store.data_store(Identity::new("u", Some("a")).expect("names"), "notes").expect("name");
        run(&view.with_observer(Arc::new(TracePrinter::new(shared.clone(), colored))));
        let bytes = shared.0.lock().expect("test").clone();
        String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    fn set(view: &DataStore, key: &str, json: &str) {
        let json = Json::parse(json, view.limits()).expect("JSON");
        block_on(view.set(key, json, SetOptions::default())).expect("set");
    }

    #[test]
    fn one_aligned_line_for_each_operation() {
        let lines = traced(false, |view| {
            block_on(view.get("k")).expect("get");
            set(view, "k", r#"{"a": "é"}"#);
            block_on(view.get("k")).expect("get");
            block_on(view.list_namespaces("")).expect("list");
            block_on(view.get("")).expect_err("an empty key");
        });
        assert_eq!(lines.len(), 5, "{lines:#?}");
        let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0][1..5], ["get", "notes", "k", "missing"]);
        assert_eq!(words[1][1..5], ["set", "notes", "k", "done"]);
        assert_eq!(words[2][1..5], ["get", "notes", "k", "found"]);
        assert_eq!(words[3][1..5], ["list_namespaces", "-", "-", "1"]);
        assert_eq!(words[4][1..5], ["get", "notes", "-", "failed"]);
        assert!(lines[2].ends_with(r#"{"a": "é"}"#), "{}", lines[2]);
        assert!(lines[4].contains("key is empty"), "{}", lines[4]);
        let columns: Vec<usize> = lines.iter().map(|line| line.find("µs").expect("microseconds")).collect();
        assert!(columns.iter().all(|column| *column == columns[0]), "{lines:#?}");
        for line in &lines {
            let time = line.split(' ').next().expect("time");
            assert!(time.len() == 16 && time.ends_with('Z') && time.as_bytes()[2] == b':', "{time}");
            assert!(!line.contains('\u{1b}') && !line.ends_with(' '), "{line:?}");
        }
    }

    #[test]
    fn previews_and_names_stay_on_their_line() {
        let lines = traced(false, |view| {
            set(view, "a\n\u{1b}[2Jb", "[1,\n\t2]");
            set(view, "long", &format!("\"{}\"", "x\u{9b}".repeat(300)));
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("a\\n\\u001b[2Jb") && lines[0].ends_with("[1,\\n\\t2]"), "{}", lines[0]);
        let (_, preview) = lines[1].split_once("µs  ").expect("microseconds");
        assert!((190..=PREVIEW_CHARS).contains(&preview.chars().count()), "{preview}");
    }

    #[test]
    fn colours_only_where_asked_for() {
        let lines = traced(true, |view| drop(block_on(view.get("k")).expect("get")));
        assert!(lines[0].contains("\u{1b}["), "{:?}", lines[0]);
    }
}
