//! Which store files this process has open: SQLite keeps locks for each process and file, not for each connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Shared;
use crate::error::Result;

static OPEN: Mutex<Vec<(PathBuf, Weak<Shared>)>> = Mutex::new(Vec::new());

/// Opens `shared` by calling `open`, which is told whether this process has the file open already.
pub(super) fn register(shared: &Arc<Shared>, open: impl FnOnce(bool) -> Result<()>) -> Result<()> {
    let mut entries = entries();
    entries.retain(|(_, shared)| shared.strong_count() > 0);
    let already_open = find(&entries, &shared.path).next().is_some();
    open(already_open)?;
    entries.push((canonical(&shared.path), Arc::downgrade(shared)));
    Ok(())
}

/// Closes all connections of this process to the file without touching it. All of them, because new ones would share the
/// broken state of any that is left.
pub(super) fn abandon_all(path: &Path) {
    let engines: Vec<Arc<Shared>> = find(&entries(), path).collect();
    for engine in engines {
        engine.abandon();
    }
}

fn entries() -> MutexGuard<'static, Vec<(PathBuf, Weak<Shared>)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find<'a>(entries: &'a [(PathBuf, Weak<Shared>)], path: &Path) -> impl Iterator<Item = Arc<Shared>> + 'a {
    let path = canonical(path);
    entries.iter().filter(move |(other, _)| *other == path).filter_map(|(_, shared)| shared.upgrade())
}

/// The same file under one name; a file that does not exist has no other name yet.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
