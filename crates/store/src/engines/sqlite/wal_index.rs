//! Has the database changed? Answered without a system call, from the header of SQLite's WAL index in shared memory.
//!
//! Every commit of every process writes that header (<https://www.sqlite.org/walformat.html>, "The WAL-Index Header"):
//! 48 bytes, twice, with a change counter, the length of the log, and salts and checksums of its content. As long as the
//! header is the same, so is what a reader would see.

use std::ffi::c_void;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rusqlite::{Connection, ffi};

use super::connection::{Role, connect};
use super::failure::Result;

const HEADER_WORDS: usize = 6;
const REGION_BYTES: i32 = 32_768;
const FORMAT_VERSION: u32 = 3_007_000;

/// One state of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header([u64; HEADER_WORDS]);

impl Header {
    /// Counts the commits of all processes.
    pub(super) fn change_counter(&self) -> u32 {
        self.half(2)
    }

    /// How many frames of the log are committed.
    pub(super) fn frames(&self) -> u32 {
        self.half(4)
    }

    /// Whether it is complete and can be told from others. A file that was just opened has no salt yet: there, two
    /// different states may show the same header.
    fn is_distinctive(&self) -> bool {
        let is_initialized = self.half(3).to_ne_bytes()[0] != 0;
        let has_salt = self.0[4] != 0;
        self.half(0) == FORMAT_VERSION
            && is_initialized
            && has_salt
            && self.checksum() == [self.half(10), self.half(11)]
    }

    fn checksum(&self) -> [u32; 2] {
        let [mut first, mut second] = [0u32; 2];
        for pair in 0..5 {
            first = first.wrapping_add(self.half(pair * 2)).wrapping_add(second);
            second = second.wrapping_add(self.half(pair * 2 + 1)).wrapping_add(first);
        }
        [first, second]
    }

    /// The `n`-th 32-bit word, as the processor that wrote it has it.
    fn half(&self, n: usize) -> u32 {
        let bytes = self.0[n / 2].to_ne_bytes();
        let at = n % 2 * 4;
        u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }
}

/// Where the header is. Must not outlive its [`Anchor`].
#[derive(Clone, Copy)]
pub(super) struct HeaderView(NonNull<AtomicU64>);

// SAFETY: it points to memory that is shared between processes and is only read, as atomics.
unsafe impl Send for HeaderView {}

impl HeaderView {
    /// The present header, if it can serve to tell states apart.
    pub(super) fn read(self) -> Option<Header> {
        let header = self.stable()?;
        header.is_distinctive().then_some(header)
    }

    /// Whether the database is still in the state `header`, which [`HeaderView::read`] gave.
    #[inline]
    pub(super) fn is(self, header: &Header) -> bool {
        self.stable().as_ref() == Some(header)
    }

    /// Writers write the second copy first: that the first read agrees with the second says that nobody was at it.
    #[inline]
    fn stable(self) -> Option<Header> {
        let first = self.copy(0);
        fence(Ordering::SeqCst);
        let second = self.copy(HEADER_WORDS);
        (first == second).then_some(Header(first))
    }

    #[inline]
    fn copy(self, start: usize) -> [u64; HEADER_WORDS] {
        std::array::from_fn(|word| {
            // SAFETY: the region is mapped while the anchor lives, is larger than both headers and is page aligned.
            unsafe { self.0.add(start + word).as_ref() }.load(Ordering::Relaxed)
        })
    }
}

/// An idle connection that keeps the WAL index mapped.
pub(super) struct Anchor {
    connection: Connection,
    view: HeaderView,
}

impl Anchor {
    /// `None` where the index cannot be had: reading then goes without what is built on it.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let connection = connect(path, Role::Reader)?;
        // The first read maps the index.
        connection.query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()))?;
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if mode != "wal" {
            return Ok(None);
        }
        let region = map_first_region(&connection);
        Ok(region.map(|region| Self { connection, view: HeaderView(region.cast()) }))
    }

    pub(super) fn view(&self) -> HeaderView {
        self.view
    }

    /// Gives the connection back, for closing; every copy of the view must be gone.
    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }
}

/// The first region of the shared memory, through SQLite's public interface for file systems.
fn map_first_region(connection: &Connection) -> Option<NonNull<c_void>> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    let mut region: *mut c_void = ptr::null_mut();
    // SAFETY: the handle is valid while `connection` is borrowed, and `file` has the type that this operation fills in.
    // The file's methods are asked whether they have `xShmMap` before it is called; without `extend` it maps only what
    // is there, and what it maps stays until the connection is closed.
    unsafe {
        let found = ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        );
        if found != ffi::SQLITE_OK || file.is_null() || (*file).pMethods.is_null() || (*(*file).pMethods).iVersion < 2 {
            return None;
        }
        let map = (*(*file).pMethods).xShmMap?;
        if map(file, 0, REGION_BYTES, 0, (&raw mut region).cast()) != ffi::SQLITE_OK {
            return None;
        }
    }
    NonNull::new(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_follows_every_commit_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let anchor = Anchor::open(&path).unwrap().expect("the index is there");
        let view = anchor.view();
        other.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let before = view.read().expect("distinctive");
        other.execute_batch("BEGIN; INSERT INTO t VALUES (2); ROLLBACK; SELECT * FROM t").unwrap();
        assert!(view.is(&before));
        other.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        let after = view.read().expect("distinctive");
        assert!(!view.is(&before));
        assert_eq!(after.change_counter(), before.change_counter() + 1);
        let frames: i32 = other.query_row("PRAGMA wal_checkpoint", (), |row| row.get(1)).unwrap();
        assert_eq!(i64::from(after.frames()), i64::from(frames));
    }
}
