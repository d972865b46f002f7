//! The few calls of SQLite's C API that the floor needs, with no layer between.

use std::ffi::{CStr, CString, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use libsqlite3_sys as ffi;

use crate::Error;

pub(crate) struct Db(*mut ffi::sqlite3);

/// A prepared statement, held for as long as the program runs.
pub(crate) struct Statement(*mut ffi::sqlite3_stmt);

pub(crate) fn version() -> String {
    // SAFETY: SQLite returns a static string.
    unsafe { CStr::from_ptr(ffi::sqlite3_libversion()) }.to_string_lossy().into_owned()
}

/// As the product waits: SQLite's own back-off, up to 100 ms, starves one of two processes.
extern "C" fn wait_a_little(_context: *mut c_void, _tries: c_int) -> c_int {
    std::thread::sleep(Duration::from_micros(fastrand::u64(25..75)));
    1
}

impl Db {
    pub(crate) fn open(path: &Path) -> Result<Db, Error> {
        let path = CString::new(path.to_str().ok_or("the path is not UTF-8")?)?;
        let flags = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE | ffi::SQLITE_OPEN_NOMUTEX;
        let mut db = ptr::null_mut();
        // SAFETY: the path is a C string and `db` outlives the call.
        let code = unsafe { ffi::sqlite3_open_v2(path.as_ptr(), &mut db, flags, ptr::null()) };
        let db = Db(db);
        db.check(code)?;
        // SAFETY: the connection is open, and the handler needs no context.
        db.check(unsafe { ffi::sqlite3_busy_handler(db.0, Some(wait_a_little), ptr::null_mut()) })?;
        Ok(db)
    }

    pub(crate) fn execute(&self, sql: &str) -> Result<(), Error> {
        let sql = CString::new(sql)?;
        // SAFETY: the connection is open, the text is a C string, and no callback is given.
        self.check(unsafe { ffi::sqlite3_exec(self.0, sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) })
    }

    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        let mut statement = ptr::null_mut();
        // SAFETY: the text is given with its length.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.0,
                sql.as_ptr().cast(),
                sql.len() as c_int,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &mut statement,
                ptr::null_mut(),
            )
        };
        self.check(code)?;
        Ok(Statement(statement))
    }

    fn check(&self, code: c_int) -> Result<(), Error> {
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: SQLite returns a string that lives until the next call on this connection.
        let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.0)) };
        Err(message.to_string_lossy().into_owned().into())
    }
}

impl Statement {
    // The text is not copied: the caller keeps it until the statement is run.
    #[inline]
    pub(crate) fn text(&self, at: c_int, text: &str) -> &Statement {
        // SAFETY: see above; the length is given.
        unsafe { ffi::sqlite3_bind_text(self.0, at, text.as_ptr().cast(), text.len() as c_int, None) };
        self
    }

    #[inline]
    pub(crate) fn int(&self, at: c_int, number: i64) -> &Statement {
        // SAFETY: the statement is valid.
        unsafe { ffi::sqlite3_bind_int64(self.0, at, number) };
        self
    }

    pub(crate) fn null(&self, at: c_int) -> &Statement {
        // SAFETY: the statement is valid.
        unsafe { ffi::sqlite3_bind_null(self.0, at) };
        self
    }

    /// Runs it, handing each row to `row`, and makes it ready to be run again.
    #[inline]
    pub(crate) fn each(&self, mut row: impl FnMut(&Statement)) -> Result<(), Error> {
        loop {
            // SAFETY: the statement is valid.
            match unsafe { ffi::sqlite3_step(self.0) } {
                ffi::SQLITE_ROW => row(self),
                ffi::SQLITE_DONE => break,
                code => {
                    // SAFETY: as above.
                    unsafe { ffi::sqlite3_reset(self.0) };
                    return Err(format!("SQLite answered {code}").into());
                }
            }
        }
        // SAFETY: as above.
        unsafe { ffi::sqlite3_reset(self.0) };
        Ok(())
    }

    #[inline]
    pub(crate) fn run(&self) -> Result<(), Error> {
        self.each(|_| ())
    }

    /// A column of the present row, valid until the next step.
    #[inline]
    pub(crate) fn bytes(&self, column: c_int) -> &[u8] {
        // SAFETY: SQLite's pointer is valid for the length it states until the next step or reset, and `each` hands
        // the statement out only between two steps.
        unsafe {
            let start = ffi::sqlite3_column_blob(self.0, column).cast::<u8>();
            let length = ffi::sqlite3_column_bytes(self.0, column) as usize;
            if start.is_null() { &[] } else { std::slice::from_raw_parts(start, length) }
        }
    }

    /// How many rows the last statement has changed.
    pub(crate) fn changed(&self) -> i64 {
        // SAFETY: the statement is valid, and so is its connection.
        unsafe { ffi::sqlite3_changes64(ffi::sqlite3_db_handle(self.0)) }
    }

    #[inline]
    pub(crate) fn number(&self, column: c_int) -> i64 {
        // SAFETY: as for `bytes`.
        unsafe { ffi::sqlite3_column_int64(self.0, column) }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: finalized once, before its connection.
        unsafe { ffi::sqlite3_finalize(self.0) };
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // SAFETY: the statements are gone: `Store` names them before the connection.
        unsafe { ffi::sqlite3_close(self.0) };
    }
}
