//! What several processes, crashes and full disks do to one store file.
//!
//! Worker processes are this test program again, told by an environment variable which part to play. With `ADS_TEST_LONG`
//! set, everything runs as long and with as much as the promises say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crash;
mod disk;
mod fairness;
mod migration;
mod opening;
mod support;
mod together;

/// Not a test of its own: the entry of worker processes.
#[test]
fn worker() {
    agent_data_store_testing::together::work();
    let Ok(part) = std::env::var(support::PART) else { return };
    let path = std::path::PathBuf::from(std::env::var_os(support::STORE_PATH).expect("worker needs a store"));
    match part.as_str() {
        "fairness" => fairness::work(&path),
        "crash" => crash::work(&path),
        "requests" => crash::work_on_requests(&path),
        "migration" => migration::work(&path),
        "file size limit" => disk::work_under_file_size_limit(&path),
        "opening" => opening::work(&path),
        "small disk" => disk::work_on_small_disk(&path),
        part => panic!("unknown part {part}"),
    }
    // Without the test harness's closing lines the parent reads only what the worker has said.
    std::process::exit(0);
}
