//! What each command does.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_data_store::model::{
    Address, Expiry, Mutation, NamespaceStats, PageSize, Precondition, Range, Record, Write,
};
use agent_data_store::wire::{self, Object};
use agent_data_store::{DataStore, Limits, Options, SetOptions, Store, block_on};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Cli, Command, GetArgs, SetArgs};
use crate::failure::{Failure, Result};
use crate::input::{self, Source};
use crate::output::{Align, Entry, Output, message, number, size, time};
use crate::runner::{AgentCall, AgentRunner};
use crate::settings::Settings;

/// How much of a namespace `all` holds at a time.
const PAGE: PageSize = PageSize { rows: 1_000, bytes: 4 << 20 };

pub(crate) fn dispatch(cli: Cli, args: &[OsString], runner: &AgentRunner<'_>) -> Result<u8> {
    let mut out = Output::new(cli.global.json);
    if let Command::Completions { shell } = cli.command {
        return completions(shell, &mut out).map(|()| 0);
    }
    let settings = Settings::new(&cli.global)?;
    if let Command::Run(run) = &cli.command {
        return Ok(runner(&AgentCall::new(args, run, settings))?);
    }
    let session = Session { settings, limits: Limits::default() };
    match &cli.command {
        Command::Get(args) => session.get(args, &mut out),
        Command::Set(args) => session.set(args, &mut out),
        Command::Delete { keys } => session.delete(keys, &mut out),
        Command::Keys { prefix } => session.keys(prefix, &mut out),
        Command::Namespaces { prefix } => session.namespaces(prefix, &mut out),
        Command::All { prefix } => session.all(prefix, &mut out),
        Command::Clear { yes } => session.clear(*yes, &mut out),
        Command::Record { key } => session.record(key, &mut out),
        Command::Stats => session.stats(&mut out),
        Command::Run(_) | Command::Completions { .. } => Ok(()),
    }?;
    Ok(0)
}

fn completions(shell: Shell, out: &mut Output) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ads", &mut script);
    out.text(&String::from_utf8_lossy(&script))?;
    out.flush()
}

/// What a command leaves to be swept.
#[derive(Clone, Copy)]
enum Sweep {
    Nothing,
    /// A share, so that a store that only this program uses stays tidy.
    Step,
    All,
}

struct Session {
    settings: Settings,
    limits: Limits,
}

impl Session {
    /// Opens the store for one command, which flushes its output, and closes it.
    fn with<T>(&self, sweep: Sweep, command: impl FnOnce(&Store, &DataStore) -> Result<T>) -> Result<T> {
        let mut options = Options::default();
        options.limits = self.limits.clone();
        // One command is over before a background thread would have a turn.
        options.housekeeping = false;
        let store = block_on(Store::open(&self.settings.store_url()?, options))?;
        let view = store.data_store(self.settings.identity()?, &self.settings.namespace)?;
        let result = command(&store, &view);
        if result.is_ok() {
            // What cannot be swept now is swept by whoever opens the store next.
            match sweep {
                Sweep::Nothing => {}
                Sweep::Step => drop(block_on(store.maintain())),
                Sweep::All => while matches!(block_on(store.maintain()), Ok(true)) {},
            }
        }
        drop(view);
        if let Err(error) = block_on(store.close()) {
            // The command itself is done: only counts of reads can be lost here.
            message(&format!("ads: warning: {}", error.message()));
        }
        result
    }

    fn get(&self, args: &GetArgs, out: &mut Output) -> Result {
        let default = args.default.as_deref().map(|text| input::option("--default", text, &self.limits)).transpose()?;
        self.with(Sweep::Nothing, |_, view| {
            let value = block_on(view.get(&args.key))?.or(default);
            let value = value.ok_or_else(|| self.no_keys(&[&args.key]))?;
            out.value(&value)?;
            out.flush()
        })
    }

    fn set(&self, args: &SetArgs, out: &mut Output) -> Result {
        let source = match (&args.value, &args.file) {
            (Some(value), _) => Source::argument(value),
            (None, Some(path)) => Source::path(path),
            (None, None) => return Err(Failure::invalid("no value: give one, or --file")),
        };
        let metadata = args.metadata.as_deref();
        let options = SetOptions {
            metadata: metadata.map(|text| input::option("--metadata", text, &self.limits)).transpose()?,
            ttl: args.ttl,
            if_version: args.if_version,
        };
        let value = input::value(source, args.string, &self.limits)?;
        self.with(Sweep::Step, |_, view| {
            let version = block_on(view.set(&args.key, value, options))?;
            if out.is_json() {
                out.value(&Object::with_capacity(32).number("version", version).end())?;
            }
            out.flush()
        })
    }

    fn delete(&self, keys: &[String], out: &mut Output) -> Result {
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        // A key named twice is no key that was not there.
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(*key));
        self.with(Sweep::Step, |_, view| {
            let namespace: Arc<str> = view.namespace().into();
            let writes = keys.iter().map(|key| Write {
                address: Address { namespace: Arc::clone(&namespace), key: (*key).into() },
                precondition: Precondition::None,
                mutation: Mutation::Delete,
                metadata: None,
                expiry: Expiry::Default,
            });
            let outcomes = block_on(view.write(writes.collect()))?;
            let missing: Vec<&str> =
                keys.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.existed).map(|(key, _)| *key).collect();
            if out.is_json() {
                let deleted = (keys.len() - missing.len()) as u64;
                let missing = wire::array(missing.iter().map(|key| wire::string(key)));
                out.value(&Object::with_capacity(64).number("deleted", deleted).json("missing", &missing).end())?;
            }
            out.flush()?;
            match missing.is_empty() {
                true => Ok(()),
                false => Err(self.no_keys(&missing)),
            }
        })
    }

    fn keys(&self, prefix: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let keys = block_on(view.list_keys(prefix))?;
            if out.is_json() {
                out.value(&wire::array(keys.iter().map(|key| wire::string(key))))?;
            } else {
                keys.iter().try_for_each(|key| out.name(key))?;
                self.explain_nothing(keys.is_empty(), "no keys", out);
            }
            out.flush()
        })
    }

    fn namespaces(&self, prefix: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let mut namespaces = block_on(view.namespaces())?;
            namespaces.retain(|stats| stats.namespace.starts_with(prefix));
            if out.is_json() {
                out.value(&wire::array(namespaces.iter().map(wire::namespace_stats)))?;
            } else if namespaces.is_empty() {
                out.note(&format!("no namespaces of user {:?}", self.settings.user));
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

    fn all(&self, prefix: &str, out: &mut Output) -> Result {
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

    fn clear(&self, yes: bool, out: &mut Output) -> Result {
        let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !yes && !asks {
            return Err(Failure::invalid("clear deletes a whole namespace: add --yes to do so without being asked"));
        }
        let place = self.place();
        self.with(Sweep::All, |_, view| {
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

    fn record(&self, key: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let record = block_on(view.get_record(key))?.ok_or_else(|| self.no_keys(&[key]))?;
            match out.is_json() {
                true => out.value(&wire::record(&record))?,
                false => out.listing(&record_entries(&record))?,
            }
            out.flush()
        })
    }

    fn stats(&self, out: &mut Output) -> Result {
        let file = sqlite_file(&self.settings.store_url()?);
        self.with(Sweep::Nothing, |store, view| {
            let namespaces = block_on(view.namespaces())?;
            let records = namespaces.iter().map(|stats| stats.records).sum();
            let bytes = namespaces.iter().map(|stats| stats.bytes).sum();
            let file = file.map(|path| (path.display().to_string(), file_size(&path)));
            if out.is_json() {
                let (path, file_bytes) = file.as_ref().map(|(path, size)| (path.as_str(), *size)).unzip();
                let stats = Object::with_capacity(256)
                    .text("user", self.settings.user.as_str())
                    .text("engine", store.engine().name())
                    .text("file", path)
                    .number("fileBytes", file_bytes)
                    .number("namespaces", namespaces.len() as u64)
                    .number("records", records)
                    .number("bytes", bytes);
                out.value(&stats.end())?;
            } else {
                let mut entries = vec![
                    ("user", Entry::Text(self.settings.user.clone())),
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

    fn place(&self) -> String {
        format!("namespace {:?} of user {:?}", self.settings.namespace, self.settings.user)
    }

    fn no_keys(&self, keys: &[&str]) -> Failure {
        /// More keys than this are not named: the rest is in the output of --json.
        const NAMED: usize = 5;
        let named: Vec<String> = keys.iter().take(NAMED).map(|key| format!("{key:?}")).collect();
        let word = if keys.len() == 1 { "key" } else { "keys" };
        let more = match keys.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Failure::missing(format!("no {word} {}{more} in {}", named.join(", "), self.place()))
    }

    /// An empty screen leaves a person wondering whether this is the right place.
    fn explain_nothing(&self, nothing: bool, what: &str, out: &Output) {
        if nothing && out.is_for_reading() {
            out.note(&format!("{what} in {}", self.place()));
        }
    }
}

fn record_entries(record: &Record) -> Vec<(&'static str, Entry)> {
    let name = |agent: &Option<Box<str>>| Entry::Text(agent.as_deref().unwrap_or("-").to_owned());
    let moment = |at: Option<agent_data_store::Timestamp>| Entry::Text(at.map_or("-".to_owned(), |at| at.to_string()));
    vec![
        ("user", Entry::Text(record.user_id.to_string())),
        ("namespace", Entry::Text(record.namespace.to_string())),
        ("key", Entry::Text(record.key.to_string())),
        ("version", Entry::Text(record.version.to_string())),
        ("created at", moment(Some(record.created_at))),
        ("created by", name(&record.created_by_agent)),
        ("updated at", moment(Some(record.updated_at))),
        ("updated by", name(&record.updated_by_agent)),
        ("accessed at", moment(record.last_accessed_at)),
        ("accessed by", name(&record.last_accessed_by_agent)),
        ("access count", Entry::Text(number(record.access_count))),
        ("expires at", record.expires_at.map_or(Entry::Text("never".to_owned()), |at| Entry::Text(at.to_string()))),
        ("metadata", Entry::Json(record.metadata.clone())),
        ("value", Entry::Json(record.value.clone())),
    ]
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

/// The file behind a `sqlite:` URL.
fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://")?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some(PathBuf::from(percent_encoding::percent_decode_str(path).decode_utf8().ok()?.as_ref()))
}

/// What the database takes on disk, the part that is not yet merged into its file included.
fn file_size(path: &Path) -> u64 {
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
