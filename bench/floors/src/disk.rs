use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const BLOCK_BYTES: usize = 4096;
/// The file that is written over: as long as a write-ahead log of 1,000 pages.
const BLOCKS: u64 = 1000;

/// `count` times 4 KB written and made durable.
pub(crate) fn fdatasync(folder: &Path, append: bool, count: u64) -> io::Result<Duration> {
    let block = [0x5a_u8; BLOCK_BYTES];
    let path = folder.join(if append { "append" } else { "overwrite" });
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let mut at = 0;
    if append {
        file.set_len(0)?;
    } else if file.metadata()?.len() == 0 {
        for number in 0..BLOCKS {
            file.write_all_at(&block, number * BLOCK_BYTES as u64)?;
        }
    }
    file.sync_all()?;
    let started = Instant::now();
    for _ in 0..count {
        file.write_all_at(&block, at * BLOCK_BYTES as u64)?;
        sync_data(&file)?;
        at += 1;
        if !append {
            at %= BLOCKS;
        }
    }
    Ok(started.elapsed())
}

// Not File::sync_data: on macOS that asks for more than fdatasync.
#[cfg(target_os = "linux")]
fn sync_data(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` lives.
    if unsafe { libc::fdatasync(file.as_raw_fd()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn sync_data(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` lives.
    if unsafe { libc::fsync(file.as_raw_fd()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
