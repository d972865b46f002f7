//! No room left: the write fails with a clear error, what was there stays, and with room again it goes on.

use std::path::Path;

use agent_data_store::{DataStore, ErrorKind, block_on};

use crate::support::{check_file, open, set, start, view};

fn big(n: usize) -> String {
    format!("\"{n}{}\"", "x".repeat(64 << 10))
}

/// Fills the disk through `data_store` and returns how many records it took.
fn fill(data_store: &DataStore) -> usize {
    for n in 0..10_000 {
        if let Err(error) = set(data_store, &format!("k{n}"), &big(n)) {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.message().contains("disk"), "{error}");
            return n;
        }
    }
    panic!("the disk never filled up");
}

fn check_records(data_store: &DataStore, records: usize) {
    assert_eq!(block_on(data_store.count("")).unwrap(), records as u64);
    for n in 0..records {
        assert_eq!(block_on(data_store.get(&format!("k{n}"))).unwrap().expect("stored").as_str(), big(n));
    }
}

fn fill_then_make_room(path: &Path, make_room: impl FnOnce()) {
    let store = open(path);
    let data_store = view(&store, "default");
    let stored = fill(&data_store);
    assert!(stored > 0, "there was room for something");
    check_records(&data_store, stored);
    let again = set(&data_store, "still full", &big(0)).expect_err("still no room");
    assert_eq!(again.kind(), ErrorKind::Unavailable);
    make_room();
    set(&data_store, &format!("k{stored}"), &big(stored)).expect("there is room again");
    check_records(&data_store, stored + 1);
    drop((data_store, store));
    check_file(path);
    check_records(&view(&open(path), "default"), stored + 1);
    println!("\nstored={stored}");
}

fn set_file_size_limit(limit: Option<u64>) {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or write the struct that they are given.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut now), 0);
        now.rlim_cur = limit.unwrap_or(now.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &now), 0);
        // Without this the kernel kills the process instead of failing the write.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

pub(crate) fn work_under_file_size_limit(path: &Path) {
    drop(open(path));
    set_file_size_limit(Some(2 << 20));
    fill_then_make_room(path, || set_file_size_limit(None));
}

/// In a mount namespace of its own, so that nothing is left behind. Needs rights that not every machine gives.
pub(crate) fn work_on_small_disk(path: &Path) {
    let folder = path.parent().expect("a folder");
    let target = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()).unwrap();
    let mount = |size: &str, flags| {
        let data = std::ffi::CString::new(format!("size={size}")).unwrap();
        // SAFETY: all pointers are to NUL-terminated strings that live until the call returns.
        unsafe { libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), flags, data.as_ptr().cast()) }
    };
    // SAFETY: no memory is involved.
    let apart = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
    };
    if !apart || mount("2m", 0) != 0 {
        println!("\nno right to mount");
        return;
    }
    fill_then_make_room(path, || assert_eq!(mount("16m", libc::MS_REMOUNT), 0));
}

fn run(part: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let worker = start(part, &folder.path().join("store.db")).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&worker.stdout).into_owned();
    assert!(worker.status.success(), "{said}");
    said
}

#[test]
fn a_file_size_limit_loses_nothing() {
    assert!(run("file size limit").contains("stored="));
}

#[test]
fn a_full_disk_loses_nothing() {
    let said = run("small disk");
    assert!(said.contains("stored=") || said.contains("no right to mount"), "{said}");
    if said.contains("no right to mount") {
        println!("not run: this user may not mount a small disk");
    }
}
