//! Changes that depend on what is there, each in one step.

use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};
use agent_data_store::wire::{self, Object};
use agent_data_store::{AppendOptions, block_on};

use super::{Session, Sweep, no_keys};
use crate::args::{AppendArgs, ExpireArgs, IncrementArgs, MergeArgs};
use crate::failure::{Failure, Result};
use crate::input::{self, Source};
use crate::output::Output;

impl Session {
    pub(super) fn increment(&self, args: &IncrementArgs, out: &mut Output) -> Result {
        let by = input::option("BY", &args.by, &self.limits)?;
        self.with(Sweep::Step, |_, view| {
            out.value(&block_on(view.increment(&args.key, by, args.ttl))?)?;
            out.flush()
        })
    }

    pub(super) fn append(&self, args: &AppendArgs, out: &mut Output) -> Result {
        let sources: Vec<Source<'_>> = args.values.iter().map(|value| Source::argument(value)).collect();
        if sources.iter().filter(|source| matches!(source, Source::Stdin)).count() > 1 {
            return Err(Failure::invalid("stdin can be read only once: give - for one item"));
        }
        let items = sources.into_iter().map(|source| input::value(source, args.string, &self.limits));
        let items = wire::array(items.collect::<agent_data_store::Result<Vec<_>>>()?);
        let options = AppendOptions { unique: args.unique, max_length: args.max_length, ttl: args.ttl };
        self.with(Sweep::Step, |_, view| {
            let length = block_on(view.extend(&args.key, items, options))?;
            out.line(&length.to_string())?;
            out.flush()
        })
    }

    pub(super) fn merge(&self, args: &MergeArgs, out: &mut Output) -> Result {
        let patch = input::value(Source::argument(&args.patch), false, &self.limits)?;
        self.with(Sweep::Step, |_, view| {
            out.value(&block_on(view.merge(&args.key, patch, args.ttl))?)?;
            out.flush()
        })
    }

    pub(super) fn expire(&self, args: &ExpireArgs, out: &mut Output) -> Result {
        let expiry = match (args.ttl, args.never) {
            (Some(ttl), _) => Expiry::After(ttl),
            (None, true) => Expiry::Never,
            (None, false) => return Err(Failure::invalid("no time: give one, or --never")),
        };
        self.with(Sweep::Step, |_, view| {
            let write = Write {
                address: Address { namespace: view.namespace().into(), key: args.key.as_str().into() },
                precondition: Precondition::None,
                mutation: Mutation::Touch,
                metadata: None,
                expiry,
            };
            let outcome = block_on(view.write(vec![write]))?.into_iter().next().filter(|outcome| outcome.existed);
            let outcome = outcome.ok_or_else(|| no_keys(view, &[&args.key]))?;
            if out.is_json() {
                out.value(&Object::with_capacity(32).number("version", outcome.version).end())?;
            }
            out.flush()
        })
    }
}
