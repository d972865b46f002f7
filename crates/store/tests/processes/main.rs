//! What several processes, crashes and full disks do to one store file.
//!
//! Worker processes are this test program again, told by an environment variable which part to play. With `ADS_TEST_LONG`
//! set, everything runs as long and with as much as the promises say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod claims;
mod computing;
mod crash;
mod crew;
mod disk;
mod fairness;
mod following;
mod locks;
mod migration;
mod opening;
mod support;
mod totals;

/// Not a test of its own: the entry of worker processes.
#[test]
fn worker() {
    let Ok(part) = std::env::var(support::PART) else { return };
    let path = std::path::PathBuf::from(std::env::var_os(support::STORE_PATH).expect("worker needs a store"));
    match part.as_str() {
        "fairness" => fairness::work(&path),
        "crash" => crash::work(&path),
        "requests" => crash::work_on_requests(&path),
        "migration" => migration::work(&path),
        "file size limit" => disk::work_under_file_size_limit(&path),
        "totals" => totals::work(&path),
        "locks" => locks::work(&path),
        "computing" => computing::work(&path),
        "claims" => claims::work(&path),
        "writing" => following::write(&path),
        "following" => following::follow(&path),
        "opening" => opening::work(&path),
        "small disk" => disk::work_on_small_disk(&path),
        part => panic!("unknown part {part}"),
    }
    // Without the test harness's closing lines the parent reads only what the worker has said.
    std::process::exit(0);
}
