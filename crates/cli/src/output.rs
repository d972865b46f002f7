//! Writing results: JSON for programs, tables for people, colours on a terminal.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use agent_data_store::{Json, Timestamp, wire};
use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::escape::escaped;
use crate::failure::Result;
use crate::log::Log;
use crate::pretty::write_pretty;

const HEADER: Style = Style::new().bold();
/// Narrower than this, wrapping makes a table harder to read than letting the terminal break its lines.
const NARROWEST_TABLE: u16 = 40;

/// Whether a stream gets colours: on a terminal, unless `NO_COLOR` and its relatives say otherwise.
pub(crate) fn colored(stream: &impl RawStream) -> bool {
    !matches!(AutoStream::choice(stream), ColorChoice::Never)
}

/// Tells a person something, on stderr. A closed stderr is no reason to fail.
pub(crate) fn message(text: &str) {
    match Log::started() {
        Some(log) => log.add(format!("{text}\n").as_bytes()),
        None => {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// The result of a command, on stdout.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    json: bool,
    terminal: bool,
    colored: bool,
}

/// How a column of a table stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let stdout = io::stdout();
        Self { json, terminal: stdout.is_terminal(), colored: colored(&stdout), out: BufWriter::new(stdout) }
    }

    /// Whether one JSON document is wanted.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person reads, and no program.
    pub(crate) fn is_for_reading(&self) -> bool {
        self.terminal && !self.json
    }

    /// Tells a person what a program would read from the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            message(text);
        }
    }

    pub(crate) fn line(&mut self, text: &str) -> Result {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// A name on a line of its own, which no name can leave.
    pub(crate) fn name(&mut self, name: &str) -> Result {
        self.line(&escaped(name))
    }

    /// A value: laid out where a person reads, else the exact text.
    pub(crate) fn value(&mut self, value: &Json) -> Result {
        match self.is_for_reading() {
            true => write_pretty(&mut self.out, value.as_str(), 0)?,
            false => self.out.write_all(value.as_str().as_bytes())?,
        }
        self.text("\n")
    }

    /// A member of an object on a line of its own, without the end of line.
    pub(crate) fn member(&mut self, name: &str, value: &Json) -> Result {
        let name = wire::string(name);
        match self.is_for_reading() {
            true => {
                write!(self.out, "  {}: ", escaped(name.as_str()))?;
                write_pretty(&mut self.out, value.as_str(), 1)?;
            }
            false => write!(self.out, "{name}: {value}")?,
        }
        Ok(())
    }

    pub(crate) fn text(&mut self, text: &str) -> Result {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// A table with a header. Cells are escaped here.
    pub(crate) fn table<const N: usize>(
        &mut self,
        header: [(&str, Align); N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Result {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(header.map(|(name, _)| name.to_owned()));
        table.add_rows(rows.into_iter().map(|row| row.map(|cell| escaped(&cell).into_owned())));
        for (column, (_, align)) in table.column_iter_mut().zip(header) {
            column.set_padding((0, 2));
            if align == Align::Right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let width = self.terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0);
        if let Some(width) = width.filter(|width| *width >= NARROWEST_TABLE) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let rendered = table.trim_fmt();
        let (first, rest) = rendered.split_once('\n').unwrap_or((&rendered, ""));
        self.heading(first)?;
        self.text("\n")?;
        match rest {
            "" => Ok(()),
            rest => self.line(rest),
        }
    }

    /// Names and what belongs to them, one in each line. Values may run over several lines.
    pub(crate) fn listing(&mut self, entries: &[(&str, Entry)]) -> Result {
        let width = entries.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, entry) in entries {
            self.heading(name)?;
            self.text(&" ".repeat(width - name.len() + 2))?;
            match entry {
                Entry::Text(text) => self.line(&escaped(text))?,
                Entry::Json(value) => self.value(value)?,
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result {
        Ok(self.out.flush()?)
    }

    fn heading(&mut self, text: &str) -> Result {
        match self.colored {
            true => write!(self.out, "{HEADER}{text}{HEADER:#}")?,
            false => self.out.write_all(text.as_bytes())?,
        }
        Ok(())
    }
}

/// What stands behind a name in a listing.
pub(crate) enum Entry {
    Text(String),
    Json(Json),
}

/// To the second, as people read it.
pub(crate) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{}Z", seconds.replace('T', " ")),
        None => text,
    }
}

/// A whole number with its thousands set apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in the largest binary unit of which there is at least one.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let amount = bytes as f64 / (1_u64 << (10 * power)) as f64;
    format!("{amount:.1} {}", UNITS[power - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_readable() {
        let numbers = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (given, expected) in numbers {
            assert_eq!(number(given), expected);
        }
        let sizes = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (16 << 20, "16.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (given, expected) in sizes {
            assert_eq!(size(given), expected);
        }
        let at = Timestamp::parse("2026-01-31T12:00:00.123456Z").expect("RFC 3339");
        assert_eq!(time(at), "2026-01-31 12:00:00Z");
    }
}
