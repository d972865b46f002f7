//! A small disk for a server, which nobody else sees.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

/// A file system in memory that is to be mounted over a folder.
#[derive(Clone, Debug)]
pub(super) struct SmallDisk {
    folder: PathBuf,
    options: String,
}

impl SmallDisk {
    /// One that belongs to a user and a group.
    pub(super) fn new(folder: PathBuf, bytes: u64, owner: Option<(u32, u32)>) -> Self {
        let owner = owner.map_or_else(String::new, |(user, group)| format!(",uid={user},gid={group}"));
        Self { folder, options: format!("size={bytes},mode=700{owner}") }
    }

    /// Whether this user has the right to.
    pub(super) fn may_be_mounted() -> bool {
        std::thread::spawn(|| Self::new(std::env::temp_dir(), 1 << 20, None).mount().is_ok()).join().unwrap_or(false)
    }

    /// Mounts it for this thread and what it starts, and for nobody else: nothing is left behind.
    #[cfg(target_os = "linux")]
    pub(super) fn mount(&self) -> io::Result<()> {
        let target = CString::new(self.folder.as_os_str().as_encoded_bytes())?;
        let options = CString::new(self.options.as_str())?;
        let checked = |result| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        // SAFETY: all pointers are null or to NUL-terminated strings that live until the calls return.
        unsafe {
            checked(libc::unshare(libc::CLONE_NEWNS))?;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            checked(libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()))?;
            checked(libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()))
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn mount(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
