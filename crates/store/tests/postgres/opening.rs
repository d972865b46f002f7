//! Opening stores: many at once, with few rights, and those that are not to be opened.

use agent_data_store::{ErrorKind, block_on};
use agent_data_store_testing::postgres::{Cluster, Database, run_sql};

use crate::support::{number, open, start_worker, try_open, view};

/// A replica that opens the store, counts itself and goes.
pub(crate) fn work(url: &str) {
    let store = open(url);
    block_on(view(&store).increment("replicas", crate::support::json("1"), None)).expect("a replica writes");
    block_on(store.close()).expect("a replica closes");
}

fn ten_open(parameters: &str) {
    let Some(database) = Database::find() else { return };
    let schema = database.schema(parameters);
    let replicas: Vec<_> = (0..10).map(|_| start_worker(&schema.url)).collect();
    for mut replica in replicas {
        assert!(replica.wait().expect("a replica").success(), "a replica failed; it has said why");
    }
    assert_eq!(number(&view(&open(&schema.url)), "replicas"), 10);
}

#[test]
fn ten_replicas_that_open_an_empty_database_at_once_make_one_store() {
    ten_open("pool_size=2");
}

#[test]
fn ten_replicas_make_one_store_with_counters_of_users_too() {
    ten_open("pool_size=2&ordering=serial");
}

#[test]
fn a_user_without_rights_is_told_so_and_needs_few() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let plain = cluster.url("");
    for sql in ["CREATE ROLE agent LOGIN", "CREATE DATABASE agents", "CREATE DATABASE others"] {
        run_sql(&plain, sql);
    }
    let url = format!("postgresql://agent@{}/agents", cluster.host());
    let error = try_open(&url).expect_err("no right to make a schema");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.message().contains("grant"), "{error}");
    // Nothing but this, and neither a superuser's rights nor those of an owner.
    run_sql(&plain, "GRANT CREATE ON DATABASE agents TO agent");
    let store = open(&url);
    assert_eq!(number(&view(&store), "nothing"), 0);
    // A schema that somebody else has made for it will do as well.
    let others = format!("postgresql://ads@{}/others", cluster.host());
    run_sql(&others, "CREATE SCHEMA prepared; GRANT CREATE, USAGE ON SCHEMA prepared TO agent");
    open(&format!("postgresql://agent@{}/others?schema=prepared", cluster.host()));
}

#[test]
fn two_stores_with_different_prefixes_share_a_schema_and_nothing_else() {
    let Some(database) = Database::find() else { return };
    let schema = database.schema("");
    let stores = ["a_", "b_"].map(|prefix| open(&format!("{}&table_prefix={prefix}", schema.url)));
    for (index, store) in stores.iter().enumerate() {
        crate::support::set(&view(store), "number", &(index + 1).to_string()).expect("set");
    }
    assert_eq!(stores.each_ref().map(|store| number(&view(store), "number")), [1, 2]);
}

#[test]
fn what_cannot_be_opened_is_said_and_left_alone() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    open(&cluster.url("schema=newer"));
    run_sql(&cluster.url(""), "UPDATE newer.meta SET value = '1000' WHERE name = 'version'");
    run_sql(&cluster.url(""), "CREATE SCHEMA strange; CREATE TABLE strange.meta (name text, value text)");
    for (url, kind, word) in [
        (cluster.url("schema=newer"), ErrorKind::CorruptStore, "newer program"),
        (cluster.url("schema=strange"), ErrorKind::CorruptStore, "another schema"),
        (cluster.url("schema=newer").replace("/postgres", "/missing"), ErrorKind::InvalidArgument, "create it"),
        (cluster.url("sslmode=require"), ErrorKind::Unavailable, "TLS"),
    ] {
        let error = try_open(&url).expect_err(&url);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(word), "{error}");
    }
    open(&cluster.url("ordering=serial"));
    open(&cluster.url(""));
    let error = try_open(&cluster.url("ordering=concurrent")).expect_err("the store has another ordering");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}
