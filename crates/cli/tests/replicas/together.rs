//! What holds among many processes, here on one database: some reach it through two servers, the others by themselves.

use std::sync::{Mutex, PoisonError};

use agent_data_store_testing::postgres::{Database, query};
use agent_data_store_testing::together::{self, Place};

use crate::Server;

/// Each of these keeps a machine busy by itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn on_replicas(test: impl FnOnce(&Place)) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(database) = Database::find() else { return };
    let schema = database.schema("pool_size=4");
    let servers = [Server::start(&schema.url), Server::start(&schema.url)];
    let folder = tempfile::tempdir().unwrap();
    test(&Place::new(&[&schema.url, &servers[0].url, &servers[1].url, &schema.url], folder.path()));
    drop(servers);
    check(&database.url(""), &schema.name);
}

/// What must hold of the tables at any time: the counts are those of the rows, and no row belongs to nothing.
fn check(url: &str, schema: &str) {
    let wrong = format!(
        "SELECT n.name FROM {schema}.namespaces n
         CROSS JOIN LATERAL (SELECT coalesce(sum(records), 0) AS records, coalesce(sum(bytes), 0) AS bytes
             FROM {schema}.counts WHERE user_id = n.user_id AND namespace_id = n.id) counted
         CROSS JOIN LATERAL (SELECT count(*) AS records,
                 coalesce(sum(octet_length(key) + octet_length(value) + coalesce(octet_length(metadata), 0)), 0) AS bytes
             FROM {schema}.records WHERE user_id = n.user_id AND namespace_id = n.id) there
         WHERE (counted.records, counted.bytes) <> (there.records, there.bytes)"
    );
    assert_eq!(query(url, &wrong), Vec::<Vec<String>>::new(), "namespaces whose counts are not those of their rows");
    let orphans = format!(
        "SELECT r.key FROM {schema}.records r WHERE (r.user_id, r.namespace_id) NOT IN
             (SELECT user_id, id FROM {schema}.namespaces UNION ALL SELECT user_id, namespace_id FROM {schema}.dropped)"
    );
    assert_eq!(query(url, &orphans), Vec::<Vec<String>>::new(), "rows that belong to nothing");
}

#[test]
fn changes_of_many_processes_add_up_and_transfers_are_never_seen_half_done() {
    on_replicas(together::changes_of_many_processes_add_up_and_transfers_are_never_seen_half_done);
}

#[test]
fn a_lock_has_one_holder_at_a_time_though_holders_are_killed() {
    on_replicas(together::a_lock_has_one_holder_at_a_time_though_holders_are_killed);
}

#[test]
fn a_cold_key_is_computed_once_by_many_processes_and_once_more_if_that_one_dies() {
    on_replicas(together::a_cold_key_is_computed_once_by_many_processes_and_once_more_if_that_one_dies);
}

#[test]
fn every_task_is_completed_once_though_workers_are_killed() {
    on_replicas(together::every_task_is_completed_once_though_workers_are_killed);
}

#[test]
fn readers_that_stop_and_resume_meet_every_change_once_in_order() {
    on_replicas(together::readers_that_stop_and_resume_meet_every_change_once_in_order);
}
