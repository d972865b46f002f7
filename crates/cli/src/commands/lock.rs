//! Running a command while holding a lock.

use agent_data_store::{LockOptions, block_on};

use super::keeping::keeping;
use super::{Session, Sweep};
use crate::args::LockArgs;
use crate::failure::Result;
use crate::output::Output;
use crate::process::{self, Streams};

impl Session {
    pub(super) fn lock(&self, args: &LockArgs, out: &Output) -> Result<u8> {
        // Renewed here, where a loss can be told at once.
        let options = LockOptions { ttl: args.ttl, wait: args.wait, keep_alive: false, owner: None };
        self.with(Sweep::Meanwhile, |_, view| {
            let lease = block_on(view.lock(&args.resource, options))?;
            let variables = [("ADS_LEASE_TOKEN", lease.token().to_string())];
            let renew = || block_on(lease.renew());
            let ended = keeping(args.ttl, renew, out, || process::run(&args.command, &variables, Streams::Inherited));
            let released = block_on(lease.release());
            // A command that did not start needed no lock.
            let ended = ended?;
            released?;
            Ok(ended.code())
        })
    }
}
