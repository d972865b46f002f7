//! A folder whose files fail as they are told, and of which it is known what a loss of power would leave.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use fastrand::Rng;
use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR_DELETE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ, SQLITE_IOERR_SHMMAP,
    SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE,
};

use crate::unsynced::Unsynced;
use crate::vfs;

/// What SQLite asks of a file.
pub(crate) enum Access<'a> {
    Open,
    Read,
    Write { offset: i64, bytes: &'a [u8], size: i64 },
    Truncate(i64),
    Sync,
    Delete { sync_folder: bool },
    Map { extend: bool },
}

pub(crate) enum Verdict {
    Done,
    Refused(c_int),
    /// So many bytes of a write are written, then it fails.
    Partly(usize, c_int),
}

/// Which accesses fail. They are counted from 0, those that only read apart from the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// One, of which nothing happens.
    Once(u64),
    /// One, of which a part happens if it is a write.
    Torn(u64),
    /// From this one on no file grows, until [`Disk::mend`]; what fits of a write is written.
    Full(u64),
    /// From this one on all, until [`Disk::mend`]: as on a disk that the system has made read-only.
    ReadOnly(u64),
    /// One that reads.
    Read(u64),
}

impl Fault {
    pub(crate) fn is_over_at_once(self) -> bool {
        matches!(self, Fault::Once(_) | Fault::Torn(_) | Fault::Read(_))
    }
}

/// One folder.
pub(crate) struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    changing: u64,
    reading: u64,
    hits: u64,
    unsynced: Option<Unsynced>,
}

static DISKS: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());

impl Disk {
    /// The files in `folder`, which live there as always, but for this.
    pub(crate) fn new(folder: &Path, fault: Option<Fault>) -> Arc<Self> {
        Self::with(folder, State { fault, ..State::default() })
    }

    /// The same without a fault, and with loss of power.
    pub(crate) fn powered(folder: &Path, random: Rng) -> Arc<Self> {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
        let files = entries.map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("a file"))
        });
        Self::with(folder, State { unsynced: Some(Unsynced::new(random, files.collect())), ..State::default() })
    }

    fn with(folder: &Path, state: State) -> Arc<Self> {
        vfs::install();
        let disk = Arc::new(Self { folder: folder.canonicalize().expect("a folder"), state: Mutex::new(state) });
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.retain(|disk| disk.strong_count() > 0);
        disks.push(Arc::downgrade(&disk));
        disk
    }

    /// That of a folder, if it is on one.
    pub(crate) fn of(folder: &Path) -> Option<Arc<Self>> {
        let disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.iter().filter_map(Weak::upgrade).find(|disk| disk.folder == folder)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing fails.
    pub(crate) fn mend(&self) {
        self.state().fault = None;
    }

    /// How many accesses have failed.
    pub(crate) fn hits(&self) -> u64 {
        self.state().hits
    }

    /// How many accesses there were that change something, and how many that read.
    pub(crate) fn accesses(&self) -> (u64, u64) {
        let state = self.state();
        (state.changing, state.reading)
    }

    /// What loss of power at random moments since the last call would have left: the files, by their names.
    pub(crate) fn take_cuts(&self) -> Vec<BTreeMap<String, Vec<u8>>> {
        self.state().unsynced.as_mut().map(Unsynced::take_cuts).unwrap_or_default()
    }

    /// What loss of power would leave now.
    pub(crate) fn cut(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().unsynced.as_mut().map(Unsynced::cut).unwrap_or_default()
    }

    pub(crate) fn ask(&self, name: &str, access: &Access<'_>) -> Verdict {
        let mut state = self.state();
        let reads = matches!(access, Access::Read | Access::Map { extend: false });
        let counter = if reads { &mut state.reading } else { &mut state.changing };
        let number = *counter;
        *counter += 1;
        if let (Some(unsynced), false) = (&mut state.unsynced, reads) {
            unsynced.may_cut();
        }
        let verdict = state.fault.map_or(Verdict::Done, |fault| verdict(fault, number, reads, name, access));
        state.hits += u64::from(!matches!(verdict, Verdict::Done));
        verdict
    }

    pub(crate) fn opened(&self, name: &str, is_log: bool) {
        if let Some(unsynced) = &mut self.state().unsynced {
            unsynced.open(name, is_log);
        }
    }

    /// Told of what was done.
    pub(crate) fn note(&self, name: &str, access: &Access<'_>) {
        if let Some(unsynced) = &mut self.state().unsynced {
            match *access {
                Access::Write { offset, bytes, .. } => unsynced.write(name, offset, bytes),
                Access::Truncate(size) => unsynced.truncate(name, size),
                Access::Sync => unsynced.sync(name),
                Access::Delete { sync_folder } => unsynced.delete(name, sync_folder),
                Access::Open | Access::Read | Access::Map { .. } => {}
            }
        }
    }
}

fn verdict(fault: Fault, number: u64, reads: bool, name: &str, access: &Access<'_>) -> Verdict {
    let is_hit = match fault {
        Fault::Once(at) | Fault::Torn(at) => !reads && number == at,
        Fault::Full(at) | Fault::ReadOnly(at) => !reads && number >= at,
        Fault::Read(at) => reads && number == at,
    };
    if !is_hit {
        return Verdict::Done;
    }
    // The same for the same access, whatever else has happened.
    let mut random = Rng::with_seed(number);
    match (fault, access) {
        (Fault::Torn(_), Access::Write { bytes, .. }) => {
            Verdict::Partly(random.usize(..bytes.len()), SQLITE_IOERR_WRITE)
        }
        (Fault::Full(_), Access::Write { offset, bytes, size }) => {
            let room = usize::try_from(size - offset).unwrap_or_default();
            if bytes.len() <= room { Verdict::Done } else { Verdict::Partly(room, SQLITE_FULL) }
        }
        (Fault::Full(_), Access::Map { extend: true }) => Verdict::Refused(SQLITE_IOERR_SHMSIZE),
        (Fault::Full(_), Access::Open) if name.ends_with("-wal") || name.ends_with("-journal") => {
            Verdict::Refused(SQLITE_CANTOPEN)
        }
        (Fault::Full(_), _) => Verdict::Done,
        (_, Access::Open) => Verdict::Refused(SQLITE_CANTOPEN),
        (_, Access::Read) => Verdict::Refused(SQLITE_IOERR_READ),
        (_, Access::Write { .. }) => Verdict::Refused(SQLITE_IOERR_WRITE),
        (_, Access::Truncate(_)) => Verdict::Refused(SQLITE_IOERR_TRUNCATE),
        (_, Access::Sync) => Verdict::Refused(SQLITE_IOERR_FSYNC),
        (_, Access::Delete { .. }) => Verdict::Refused(SQLITE_IOERR_DELETE),
        (_, Access::Map { .. }) => Verdict::Refused(SQLITE_IOERR_SHMMAP),
    }
}
