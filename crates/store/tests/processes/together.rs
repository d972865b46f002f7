//! What holds among many processes, here on one store file.

use std::path::Path;

use agent_data_store_testing::together::{self, Place};

use crate::support::check_file;

fn on_a_file(test: impl FnOnce(&Place)) {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("store.db");
    test(&Place::of_file(path));
    check_file(path);
}

#[test]
fn changes_of_many_processes_add_up_and_transfers_are_never_seen_half_done() {
    on_a_file(together::changes_of_many_processes_add_up_and_transfers_are_never_seen_half_done);
}

#[test]
fn a_lock_has_one_holder_at_a_time_though_holders_are_killed() {
    on_a_file(together::a_lock_has_one_holder_at_a_time_though_holders_are_killed);
}

#[test]
fn a_cold_key_is_computed_once_by_many_processes_and_once_more_if_that_one_dies() {
    on_a_file(together::a_cold_key_is_computed_once_by_many_processes_and_once_more_if_that_one_dies);
}

#[test]
fn every_task_is_completed_once_though_workers_are_killed() {
    on_a_file(together::every_task_is_completed_once_though_workers_are_killed);
}

#[test]
fn readers_that_stop_and_resume_meet_every_change_once_in_order() {
    on_a_file(together::readers_that_stop_and_resume_meet_every_change_once_in_order);
}
