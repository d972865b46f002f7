//! A VFS between SQLite and the system's: a [`Disk`] decides what comes of each access to the files of its folder.
//!
//! It is SQLite's default in this process, so that the engine's own VFS is made from it and lies above it.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Once};

use rusqlite::ffi::{
    self, SQLITE_ERROR, SQLITE_IOERR_WRITE, SQLITE_OK, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file,
    sqlite3_io_methods, sqlite3_vfs,
};

use crate::disk::{Access, Disk, Verdict};

/// The system's own.
static SYSTEM: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());

/// Makes this the default. Must come before the first store is opened.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the default VFS lives as long as the process, and a VFS is plain data. SQLite keeps the new one for ever,
        // so it is given away for ever.
        unsafe {
            let system = ffi::sqlite3_vfs_find(ptr::null());
            assert!(!system.is_null(), "SQLite has a VFS");
            SYSTEM.store(system, Ordering::Release);
            let mut vfs = ptr::read(system);
            vfs.zName = c"test-disk".as_ptr();
            vfs.szOsFile += size_of::<File>() as c_int;
            vfs.pNext = ptr::null_mut();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 1), SQLITE_OK);
        }
    });
}

/// A file as SQLite holds it. That of the system's VFS comes right after it in memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    own: Box<Own>,
}

struct Own {
    /// `None` for a file of no disk, which is the system's alone.
    disk: Option<Arc<Disk>>,
    name: String,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
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
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The disk that a path is on, and the file's name there.
unsafe fn place(path: *const c_char) -> (Option<Arc<Disk>>, String) {
    if path.is_null() {
        return (None, String::new());
    }
    // SAFETY: SQLite gives paths that end with NUL.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (path.parent().and_then(Disk::of), name)
}

fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    file.cast::<File>().wrapping_add(1).cast()
}

/// Calls a method of the system's file.
macro_rules! call {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let inner = inner($file);
        match (*inner).pMethods.as_ref().and_then(|methods| methods.$method) {
            Some(method) => method(inner $(, $argument)*),
            None => SQLITE_ERROR,
        }
    }};
}

/// Does what the disk allows.
fn under(own: &Own, access: &Access<'_>, whole: impl FnOnce() -> c_int, part: impl FnOnce(usize) -> c_int) -> c_int {
    let Some(disk) = &own.disk else { return whole() };
    match disk.ask(&own.name, access) {
        Verdict::Done => {
            let code = whole();
            if code == SQLITE_OK {
                disk.note(&own.name, access);
            }
            code
        }
        Verdict::Refused(code) => code,
        Verdict::Partly(length, code) => {
            if let Access::Write { offset, bytes, size } = *access
                && part(length) == SQLITE_OK
            {
                disk.note(&own.name, &Access::Write { offset, bytes: &bytes[..length], size });
            }
            code
        }
    }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with what its interface promises: `file` has the room that `install` asked for.
    unsafe {
        let system = SYSTEM.load(Ordering::Acquire);
        let Some(system_open) = system.as_ref().and_then(|system| system.xOpen) else { return SQLITE_ERROR };
        let (disk, name) = place(path);
        let own = Box::new(Own { disk, name });
        let inner = inner(file);
        (*inner).pMethods = ptr::null();
        // Without methods SQLite does not close it.
        (*file).pMethods = ptr::null();
        let is_log = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL) != 0;
        let code = under(&own, &Access::Open, || system_open(system, path, inner, flags, out_flags), |_| SQLITE_ERROR);
        if code == SQLITE_OK {
            if let Some(disk) = &own.disk {
                disk.opened(&own.name, is_log);
            }
            file.cast::<File>().write(File { base: sqlite3_file { pMethods: &raw const METHODS }, own });
        } else if let Some(close) = (*inner).pMethods.as_ref().and_then(|methods| methods.xClose) {
            close(inner);
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, path: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let system = SYSTEM.load(Ordering::Acquire);
        let Some(system_delete) = system.as_ref().and_then(|system| system.xDelete) else { return SQLITE_ERROR };
        let (disk, name) = place(path);
        let access = Access::Delete { sync_folder: sync_folder != 0 };
        under(&Own { disk, name }, &access, || system_delete(system, path, 0), |_| SQLITE_ERROR)
    }
}

unsafe fn own<'a>(file: *mut sqlite3_file) -> &'a Own {
    // SAFETY: only called with files that `open` has made.
    unsafe { &(*file.cast::<File>()).own }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, bytes: *const c_void, length: c_int, offset: i64) -> c_int {
    // SAFETY: as in `open`; `bytes` are `length` readable bytes.
    unsafe {
        let mut size = 0;
        if call!(file, xFileSize, &raw mut size) != SQLITE_OK {
            return SQLITE_IOERR_WRITE;
        }
        let written = std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(length).expect("a length"));
        let access = Access::Write { offset, bytes: written, size };
        let whole = || call!(file, xWrite, bytes, length, offset);
        under(own(file), &access, whole, |part| call!(file, xWrite, bytes, part as c_int, offset))
    }
}

/// A method of which nothing can be done in part.
macro_rules! asked {
    ($name:ident, $method:ident, $access:expr $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: as in `open`.
            unsafe { under(own(file), &$access, || call!(file, $method $(, $argument)*), |_| SQLITE_ERROR) }
        }
    };
}

asked!(read, xRead, Access::Read, bytes: *mut c_void, length: c_int, offset: i64);
asked!(truncate, xTruncate, Access::Truncate(size), size: i64);

/// Takes no time: what a sync is good for is known to the [`Disk`].
unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let own = own(file);
        under(own, &Access::Sync, || SQLITE_OK, |_| SQLITE_ERROR)
    }
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let whole = || call!(file, xShmMap, region, size, extend, out);
        under(own(file), &Access::Map { extend: extend != 0 }, whole, |_| SQLITE_ERROR)
    }
}

/// A method that has nothing to do with what files hold.
macro_rules! pass_on {
    ($name:ident, $method:ident $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: as in `open`.
            unsafe { call!(file, $method $(, $argument)*) }
        }
    };
}

pass_on!(file_size, xFileSize, size: *mut i64);
pass_on!(lock, xLock, level: c_int);
pass_on!(unlock, xUnlock, level: c_int);
pass_on!(check_reserved_lock, xCheckReservedLock, result: *mut c_int);
pass_on!(file_control, xFileControl, operation: c_int, argument: *mut c_void);
pass_on!(sector_size, xSectorSize);
pass_on!(device_characteristics, xDeviceCharacteristics);
pass_on!(shm_lock, xShmLock, offset: c_int, count: c_int, flags: c_int);
pass_on!(shm_unmap, xShmUnmap, delete: c_int);

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: as in `open`.
    unsafe {
        let inner = inner(file);
        if let Some(barrier) = (*inner).pMethods.as_ref().and_then(|methods| methods.xShmBarrier) {
            barrier(inner);
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as in `open`; SQLite closes once and uses the file no more.
    unsafe {
        let code = call!(file, xClose);
        ptr::drop_in_place(&raw mut (*file.cast::<File>()).own);
        code
    }
}
