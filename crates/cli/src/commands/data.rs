//! Single records: reading, writing, deleting.

use std::sync::Arc;

use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Record, Write};
use agent_data_store::wire::{self, Object};
use agent_data_store::{SetOptions, block_on};

use super::{Session, Sweep, no_keys};
use crate::args::{GetArgs, SetArgs};
use crate::failure::{Failure, Result};
use crate::input::{self, Source};
use crate::output::{Entry, Output, number};

impl Session {
    pub(super) fn get(&self, args: &GetArgs, out: &mut Output) -> Result {
        let default = args.default.as_deref().map(|text| input::option("--default", text, &self.limits)).transpose()?;
        self.with(Sweep::Nothing, |_, view| {
            let value = block_on(view.get(&args.key))?.or(default);
            let value = value.ok_or_else(|| no_keys(view, &[&args.key]))?;
            out.value(&value)?;
            out.flush()
        })
    }

    pub(super) fn set(&self, args: &SetArgs, out: &mut Output) -> Result {
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

    pub(super) fn delete(&self, keys: &[String], out: &mut Output) -> Result {
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
                false => Err(no_keys(view, &missing)),
            }
        })
    }

    pub(super) fn record(&self, key: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |_, view| {
            let record = block_on(view.get_record(key))?.ok_or_else(|| no_keys(view, &[key]))?;
            match out.is_json() {
                true => out.value(&wire::record(&record))?,
                false => out.listing(&record_entries(&record))?,
            }
            out.flush()
        })
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
