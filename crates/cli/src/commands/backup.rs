//! Backups, and stores that are made of them.

use agent_data_store::backup::{BackedUp, BackupOptions, Step, backup, restore};
use agent_data_store::wire::Object;
use agent_data_store::{block_on, sqlite_path};

use super::Session;
use super::namespace::file_size;
use super::stores::{close, of_all, refuse_memory};
use crate::args::{BackupArgs, Global, HowArgs, RestoreArgs};
use crate::failure::Result;
use crate::output::{Entry, Output, number, size};
use crate::progress::Progress;

impl Session {
    pub(super) fn backup(&self, args: &BackupArgs, global: &Global, out: &mut Output) -> Result {
        of_all(global, "backup", &["STORE"])?;
        let store = self.open_whole(&args.store, false)?;
        let mut progress = Progress::new(out.is_json());
        let done = block_on(backup(&store, &args.file, how(&args.how), &mut |step, done, of| {
            progress.show(stage(step), done, of);
        }));
        progress.end();
        close(&store);
        show(&done?, Some(file_size(&args.file)), out)
    }

    pub(super) fn restore(&self, args: &RestoreArgs, global: &Global, out: &mut Output) -> Result {
        of_all(global, "restore", &["STORE"])?;
        refuse_memory(&args.store)?;
        let mut progress = Progress::new(out.is_json());
        let done = block_on(restore(&args.file, &args.store.0, how(&args.how), &mut |step, done, of| {
            progress.show(stage(step), done, of);
        }));
        progress.end();
        show(&done?, sqlite_path(&args.store.0).map(|path| file_size(&path)), out)
    }
}

fn how(args: &HowArgs) -> BackupOptions {
    let mut options = BackupOptions::default();
    options.overwrite = args.overwrite;
    options.unchecked = args.unchecked;
    options
}

fn stage(step: Step) -> &'static str {
    if step == Step::Checking { "checking" } else { "writing" }
}

fn show(done: &BackedUp, file_bytes: Option<u64>, out: &mut Output) -> Result {
    let verified = done.verified.as_ref();
    if out.is_json() {
        let document = Object::with_capacity(256)
            .bool("checked", verified.is_some())
            .number("users", verified.map(|verified| verified.users))
            .number("namespaces", verified.map(|verified| verified.namespaces))
            .number("records", verified.map(|verified| verified.records))
            .number("bytes", verified.map(|verified| verified.bytes))
            .number("fileBytes", file_bytes)
            .number("usersWrittenMeanwhile", done.written_meanwhile);
        out.value(&document.end())?;
        return out.flush();
    }
    let mut entries = Vec::new();
    if let Some(verified) = verified {
        entries.push(("users", Entry::Text(number(verified.users))));
        entries.push(("namespaces", Entry::Text(number(verified.namespaces))));
        entries.push(("records", Entry::Text(number(verified.records))));
        entries.push(("size", Entry::Text(size(verified.bytes))));
    }
    if let Some(bytes) = file_bytes {
        entries.push(("file size", Entry::Text(size(bytes))));
    }
    out.listing(&entries)?;
    out.flush()?;
    if done.written_meanwhile > 0 {
        let users = number(done.written_meanwhile);
        out.note(&format!("{users} users were written to meanwhile: their records may be of different moments"));
    }
    out.note(if verified.is_some() { "written, and found sound" } else { "written, and not checked" });
    Ok(())
}
