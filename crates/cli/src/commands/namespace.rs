//! A whole namespace, and all of them.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use agent_data_store::model::{NamespaceStats, PageSize, Range};
use agent_data_store::wire::{self, Object};
use agent_data_store::{block_on, sqlite_path};

use super::{Session, Sweep, explain_nothing, place_of};
use crate::failure::{Failure, Result};
use crate::output::{Align, Entry, Output, number, size, time};

/// How much of a namespace `all` holds at a time.
const PAGE: PageSize = PageSize { rows: 1_000, bytes: 4 << 20 };

impl Session {
    pub(super) fn keys(&self, prefix: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let keys = block_on(view.list_keys(prefix))?;
            if out.is_json() {
                out.value(&wire::array(keys.iter().map(|key| wire::string(key))))?;
            } else {
                keys.iter().try_for_each(|key| out.name(key))?;
                explain_nothing(view, keys.is_empty(), "no keys", out);
            }
            out.flush()
        })
    }

    pub(super) fn namespaces(&self, prefix: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let mut namespaces = block_on(view.namespaces())?;
            namespaces.retain(|stats| stats.namespace.starts_with(prefix));
            if out.is_json() {
                out.value(&wire::array(namespaces.iter().map(wire::namespace_stats)))?;
            } else if namespaces.is_empty() {
                out.note(&format!("no namespaces of user {:?}", view.identity().user()));
            } else {
                let header = [
                    ("NAMESPACE", Align::Left),
                    ("RECORDS", Align::Right),
                    ("SIZE", Align::Right),
                    ("UPDATED", Align::Left),
                    ("AGENTS", Align::Left),
                ];
                let row = |stats: &NamespaceStats| {
                    [
                        stats.namespace.to_string(),
                        number(stats.records),
                        size(stats.bytes),
                        time(stats.updated_at),
                        stats.agents.join(", "),
                    ]
                };
                out.table(header, namespaces.iter().map(row))?;
            }
            out.flush()
        })
    }

    pub(super) fn all(&self, prefix: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let mut after: Option<Box<str>> = None;
            out.text("{")?;
            loop {
                let range = Range { prefix, after: after.as_deref() };
                let page = block_on(view.page(range, PAGE))?;
                for (index, (key, value)) in page.rows.iter().enumerate() {
                    let first = index == 0 && after.is_none();
                    out.text(if first { "\n" } else { ",\n" })?;
                    out.member(key, value)?;
                }
                match page.rows.into_iter().last() {
                    Some((key, _)) => after = Some(key),
                    None => break,
                }
                if !page.more {
                    break;
                }
            }
            out.text(if after.is_some() { "\n}\n" } else { "}\n" })?;
            out.flush()
        })
    }

    pub(super) fn clear(&self, yes: bool, out: &mut Output) -> Result {
        let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !yes && !asks {
            return Err(Failure::invalid("clear deletes a whole namespace: add --yes to do so without being asked"));
        }
        self.with(Sweep::All, |_, view| {
            let place = place_of(view);
            if !yes {
                let question = format!("Delete {} in {place}?", records(block_on(view.count(""))?));
                if !confirm(&question, io::stdin().lock(), io::stderr())? {
                    let message = "nothing was deleted".to_owned();
                    return Err(Failure::Negative { code: "not_confirmed", message });
                }
            }
            let cleared = block_on(view.clear())?;
            if out.is_json() {
                out.value(&Object::with_capacity(32).number("deleted", cleared).end())?;
            }
            out.note(&format!("deleted {} in {place}", records(cleared)));
            out.flush()
        })
    }

    pub(super) fn stats(&self, out: &mut Output) -> Result {
        let file = sqlite_path(&self.settings.store_url()?);
        self.with(Sweep::Nothing, |store, view| {
            let namespaces = block_on(view.namespaces())?;
            let records = namespaces.iter().map(|stats| stats.records).sum();
            let bytes = namespaces.iter().map(|stats| stats.bytes).sum();
            let file = file.map(|path| (path.display().to_string(), file_size(&path)));
            if out.is_json() {
                let (path, file_bytes) = file.as_ref().map(|(path, size)| (path.as_str(), *size)).unzip();
                let stats = Object::with_capacity(256)
                    .text("user", view.identity().user())
                    .text("engine", store.engine().name())
                    .text("file", path)
                    .number("fileBytes", file_bytes)
                    .number("namespaces", namespaces.len() as u64)
                    .number("records", records)
                    .number("bytes", bytes);
                out.value(&stats.end())?;
            } else {
                let mut entries = vec![
                    ("user", Entry::Text(view.identity().user().to_owned())),
                    ("engine", Entry::Text(store.engine().name().to_owned())),
                ];
                if let Some((path, bytes)) = file {
                    entries.push(("file", Entry::Text(path)));
                    entries.push(("file size", Entry::Text(size(bytes))));
                }
                entries.push(("namespaces", Entry::Text(number(namespaces.len() as u64))));
                entries.push(("records", Entry::Text(number(records))));
                entries.push(("size", Entry::Text(size(bytes))));
                out.listing(&entries)?;
            }
            out.flush()
        })
    }
}

fn records(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "record" } else { "records" })
}

/// Asks, and takes nothing but a clear yes for one.
fn confirm(question: &str, mut answers: impl BufRead, mut asks: impl io::Write) -> io::Result<bool> {
    write!(asks, "{question} [y/N] ")?;
    asks.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// What the database takes on disk, the part that is not yet merged into its file included.
pub(super) fn file_size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    length(path) + length(Path::new(&log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_confirms() {
        for (answer, expected) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("n\n", false), ("yellow\n", false)]
        {
            let mut asked = Vec::new();
            assert_eq!(confirm("Sure?", answer.as_bytes(), &mut asked).expect("memory"), expected, "{answer:?}");
            assert_eq!(asked, b"Sure? [y/N] ");
        }
    }
}
