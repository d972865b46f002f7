//! A VFS for the connection that writes: what a transaction adds to the log goes there in one system call.
//!
//! SQLite itself makes two for each page, which is a tenth of the time of a small commit and a third of that of a large
//! batch. Frames are gathered until the one that commits, and that write returns when all of them are written; so
//! everything that follows it - the sync, and telling others of the new frames - finds the log as SQLite left it. The
//! layout of frames is that of <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.
//!
//! All else is the work of the system's own VFS.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use rusqlite::Connection;
use rusqlite::ffi::{
    self, SQLITE_ERROR, SQLITE_NOMEM, SQLITE_OK, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_io_methods, sqlite3_vfs,
};

const NAME: &CStr = c"agent-data-store";

/// The VFS that ours was made from, whatever the default is by now: files have the room that this one needs.
static SYSTEM: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());

const FRAME_HEADER_BYTES: usize = 24;
/// Where a frame's header has the size of the database after the commit; zero in all but the last of a transaction.
const COMMIT_MARK: std::ops::Range<usize> = 4..8;

/// More than this of one transaction is written in several calls. The system's VFS writes at most 128 KiB at once.
const GATHERED_BYTES: usize = 64 << 10;

/// The name to open a connection with; `None` where SQLite does not take the VFS, and its own does as well.
pub(super) fn name() -> Option<&'static CStr> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    REGISTERED.get_or_init(register).then_some(NAME)
}

fn register() -> bool {
    // SAFETY: asks for the default VFS, which lives as long as the process.
    let system = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    if system.is_null() {
        return false;
    }
    // SAFETY: a VFS is plain data. Its functions get ours, in which they find what is theirs.
    let mut vfs = unsafe { ptr::read(system) };
    vfs.zName = NAME.as_ptr();
    vfs.szOsFile += size_of::<LogFile>() as c_int;
    vfs.pNext = ptr::null_mut();
    vfs.xOpen = Some(open);
    SYSTEM.store(system, Ordering::Release);
    // SAFETY: SQLite keeps the pointer for ever, so it is given away for ever.
    unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) == SQLITE_OK }
}

/// The log as SQLite holds it. The file of the system's VFS comes right after it in memory.
#[repr(C)]
struct LogFile {
    base: sqlite3_file,
    gathered: Box<Gathered>,
}

/// What is still to be written.
#[derive(Default)]
struct Gathered {
    /// Where in the file it starts.
    start: i64,
    bytes: Vec<u8>,
    /// Whether the next write is the page of a frame that commits.
    commits: bool,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Opens any file; only the log becomes one of ours.
unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with what its interface promises: `file` has the room that `register` asked for.
    unsafe {
        let system = SYSTEM.load(Ordering::Acquire);
        let Some(system_open) = system.as_ref().and_then(|system| system.xOpen) else { return SQLITE_ERROR };
        if flags & SQLITE_OPEN_WAL == 0 {
            return system_open(system, path, file, flags, out_flags);
        }
        let log = file.cast::<LogFile>();
        let inner = inner(log);
        (*inner).pMethods = ptr::null();
        // Without methods SQLite does not close it.
        (*file).pMethods = ptr::null();
        let code = system_open(system, path, inner, flags, out_flags);
        if code == SQLITE_OK {
            log.write(LogFile { base: sqlite3_file { pMethods: &raw const METHODS }, gathered: Box::default() });
        } else if let Some(close) = (*inner).pMethods.as_ref().and_then(|methods| methods.xClose) {
            close(inner);
        }
        code
    }
}

/// Lets go of what is gathered; to be called after each transaction that was not committed. From then on others may write to
/// that place of the log: what were written there late would take the place of what they have committed.
pub(super) fn forget_gathered(connection: &Connection) {
    let mut file: *mut sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is valid while `connection` is borrowed, and `file` has the type that this operation fills in. What
    // has our methods was made by `open`.
    unsafe {
        let found = ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_JOURNAL_POINTER,
            (&raw mut file).cast(),
        );
        if found == SQLITE_OK && !file.is_null() && ptr::eq((*file).pMethods, &raw const METHODS) {
            let gathered = &mut *(*file.cast::<LogFile>()).gathered;
            gathered.bytes.clear();
            gathered.commits = false;
        }
    }
}

fn inner(log: *mut LogFile) -> *mut sqlite3_file {
    log.wrapping_add(1).cast()
}

/// Calls a method of the system's file.
macro_rules! call {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let inner = inner($file.cast());
        match (*inner).pMethods.as_ref().and_then(|methods| methods.$method) {
            Some(method) => method(inner $(, $argument)*),
            None => SQLITE_ERROR,
        }
    }};
}

/// Writes what was gathered. What cannot be written stays, so that it is not taken for written.
unsafe fn flush(file: *mut sqlite3_file) -> c_int {
    // SAFETY: only called with files that `open` has made.
    unsafe {
        let gathered = &mut *(*file.cast::<LogFile>()).gathered;
        let mut offset = gathered.start;
        for bytes in gathered.bytes.chunks(GATHERED_BYTES) {
            let code = call!(file, xWrite, bytes.as_ptr().cast(), bytes.len() as c_int, offset);
            if code != SQLITE_OK {
                return code;
            }
            offset += bytes.len() as i64;
        }
        gathered.bytes.clear();
        SQLITE_OK
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, bytes: *const c_void, length: c_int, offset: i64) -> c_int {
    // SAFETY: as in `open`; `bytes` are `length` readable bytes.
    unsafe {
        let gathered = &mut *(*file.cast::<LogFile>()).gathered;
        if offset != gathered.start + gathered.bytes.len() as i64 || gathered.bytes.len() >= GATHERED_BYTES {
            let code = flush(file);
            if code != SQLITE_OK {
                return code;
            }
            gathered.start = offset;
        }
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(length).unwrap_or_default());
        if gathered.bytes.try_reserve(bytes.len()).is_err() {
            return SQLITE_NOMEM;
        }
        gathered.bytes.extend_from_slice(bytes);
        let is_header = bytes.len() == FRAME_HEADER_BYTES;
        let commits = is_header && bytes[COMMIT_MARK].iter().any(|byte| *byte != 0);
        // The header of the log itself, at its beginning, is no part of a transaction.
        if std::mem::replace(&mut gathered.commits, commits) || offset == 0 { flush(file) } else { SQLITE_OK }
    }
}

/// A method before which the file must be as SQLite believes that it is.
macro_rules! after_flush {
    ($name:ident, $method:ident $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: as in `open`.
            unsafe {
                match flush(file) {
                    SQLITE_OK => call!(file, $method $(, $argument)*),
                    code => code,
                }
            }
        }
    };
}

after_flush!(read, xRead, bytes: *mut c_void, length: c_int, offset: i64);
after_flush!(truncate, xTruncate, size: i64);
after_flush!(sync, xSync, flags: c_int);
after_flush!(file_size, xFileSize, size: *mut i64);

/// A method that has nothing to do with what the file holds.
macro_rules! pass_on {
    ($name:ident, $method:ident $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: as in `open`.
            unsafe { call!(file, $method $(, $argument)*) }
        }
    };
}

pass_on!(lock, xLock, level: c_int);
pass_on!(unlock, xUnlock, level: c_int);
pass_on!(check_reserved_lock, xCheckReservedLock, result: *mut c_int);
pass_on!(file_control, xFileControl, operation: c_int, argument: *mut c_void);
pass_on!(sector_size, xSectorSize);
pass_on!(device_characteristics, xDeviceCharacteristics);

/// What is gathered now was never committed.
unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as in `open`; SQLite closes once and uses the file no more.
    unsafe {
        let code = call!(file, xClose);
        ptr::drop_in_place(&raw mut (*file.cast::<LogFile>()).gathered);
        code
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Durability;
    use super::super::connection::{Role, connect};
    use super::*;

    const ROWS: i64 = 3_000;

    fn writer(path: &Path, durability: Durability) -> Connection {
        let writer = connect(path, Role::Writer(durability)).unwrap();
        // So little that pages go to the log before the commit, and are read back from there.
        writer.execute_batch("PRAGMA cache_size = 10").unwrap();
        writer
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t WHERE length(x) = 3000", (), |row| row.get(0)).unwrap()
    }

    fn check(connection: &Connection) -> String {
        connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap()
    }

    fn fill(connection: &Connection, rows: i64) {
        let mut insert = connection.prepare("INSERT INTO t (x) VALUES (zeroblob(3000))").unwrap();
        (0..rows).for_each(|_| _ = insert.execute(()).unwrap());
    }

    #[test]
    fn others_see_each_transaction_whole_as_soon_as_it_is_committed() {
        for durability in [Durability::Full, Durability::Relaxed] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            let reader = Connection::open(&path).unwrap();
            reader.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
            let writer = writer(&path, durability);
            // More than is gathered at once.
            writer.execute_batch("BEGIN IMMEDIATE").unwrap();
            fill(&writer, ROWS);
            assert_eq!(rows(&writer), ROWS);
            assert_eq!(rows(&reader), 0);
            writer.execute_batch("COMMIT").unwrap();
            assert_eq!(rows(&reader), ROWS);
            // What is rolled back leaves no trace, neither in what follows.
            writer.execute_batch("BEGIN IMMEDIATE").unwrap();
            fill(&writer, ROWS);
            writer.execute_batch("ROLLBACK").unwrap();
            for number in 1..=50 {
                writer.execute_batch("INSERT INTO t (x) VALUES (zeroblob(3000))").unwrap();
                assert_eq!(rows(&reader), ROWS + number);
                if number % 10 == 0 {
                    reader.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(())).unwrap();
                }
            }
            assert_eq!(check(&reader), "ok");
            drop((reader, writer));
            assert_eq!(rows(&Connection::open(&path).unwrap()), ROWS + 50);
        }
    }

    #[test]
    fn a_log_that_was_left_behind_holds_all_that_was_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let copy = folder.path().join("copy.db");
        let first = Connection::open(&path).unwrap();
        first.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let writer = writer(&path, Durability::Relaxed);
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        fill(&writer, 100);
        writer.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
        fill(&writer, 100);
        // As after the death of the process, in the middle of the second transaction.
        for end in ["", "-wal"] {
            std::fs::copy(format!("{}{end}", path.display()), format!("{}{end}", copy.display())).unwrap();
        }
        assert_eq!(rows(&Connection::open(&copy).unwrap()), 100);
    }

    #[test]
    fn what_is_rolled_back_does_not_come_in_the_way_of_what_others_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let [first, second] = [(), ()].map(|()| writer(&path, Durability::Full));
        // The log begins anew, so that going back reads nothing of it.
        reader.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(())).unwrap();
        first.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..300 {
            first.execute_batch("INSERT INTO t (x) VALUES ('rolled back' || zeroblob(2900))").unwrap();
        }
        first.execute_batch("ROLLBACK").unwrap();
        forget_gathered(&first);
        fill(&second, 300);
        fill(&first, 1);
        assert_eq!(rows(&reader), 301);
        assert_eq!(check(&reader), "ok");
        drop((first, second, reader));
        assert_eq!(rows(&Connection::open(&path).unwrap()), 301);
    }
}
