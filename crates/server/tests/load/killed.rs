//! Many clients, and `kill -9` in the middle.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Client, record};
use crate::served::Served;
use agent_data_store_testing::forms::short_or_long;

const CLIENTS: u64 = 256;
const KEYS_OF_EACH: u64 = 4;
/// One request of so many is a write.
const READS_AND_A_WRITE: u64 = 10;

/// By how much the server's memory may differ between two moments under the same load. What is stored is the same.
const LEVEL: u64 = 32 << 20;

/// What a client knows of one of its records, which nobody else writes.
#[derive(Default)]
struct Known {
    tried: u64,
    acknowledged: u64,
}

/// What all clients are told.
struct Course {
    /// Where the server is; `None` ends the test.
    server: watch::Receiver<Option<SocketAddr>>,
    /// Whether it is being killed: before and after that nothing may fail.
    killed: AtomicBool,
    /// How many have connected, to whichever server.
    connected: watch::Sender<u64>,
}

fn key(client: u64, number: u64) -> String {
    format!("client-{client}-{number}")
}

/// What a read of a record may find, which is at least what was acknowledged.
fn check(key: &str, known: &Known, (status, body): (u16, Vec<u8>)) {
    let found = match status {
        404 => 0,
        200 => serde_json::from_slice::<Value>(&body).expect("JSON")["value"]["count"].as_u64().expect("a number"),
        status => panic!("{status} for {key}: {}", String::from_utf8_lossy(&body)),
    };
    let Known { tried, acknowledged } = *known;
    assert!(
        (acknowledged..=tried).contains(&found),
        "{key}: found {found}, acknowledged {acknowledged}, tried {tried}"
    );
}

/// One client, from its start to the end of the test: what it has done.
async fn work(number: u64, course: Arc<Course>) -> u64 {
    let mut own: HashMap<String, Known> = (0..KEYS_OF_EACH).map(|it| (key(number, it), Known::default())).collect();
    let mut server = course.server.clone();
    let mut done = 0;
    loop {
        let address = *server.borrow_and_update();
        let Some(address) = address else { return done };
        if let Err(error) = converse(number, address, &mut own, &mut done, &course, &server).await {
            assert!(course.killed.load(Ordering::SeqCst), "client {number}, request {done}: {error}");
            server.changed().await.expect("the server is started again");
        }
    }
}

/// One connection, until the server changes or the connection ends.
async fn converse(
    number: u64,
    address: SocketAddr,
    own: &mut HashMap<String, Known>,
    done: &mut u64,
    course: &Course,
    server: &watch::Receiver<Option<SocketAddr>>,
) -> std::io::Result<()> {
    let mut client = Client::connect(address).await?;
    course.connected.send_modify(|connected| *connected += 1);
    for (key, known) in &*own {
        check(key, known, client.get(&record(key)).await?);
    }
    while !server.has_changed().unwrap_or(true) {
        *done += 1;
        match done.is_multiple_of(READS_AND_A_WRITE) {
            true => {
                let key = key(number, (*done / READS_AND_A_WRITE) % KEYS_OF_EACH);
                let known = own.get_mut(&key).expect("its own");
                known.tried += 1;
                let value = json!({"value": {"count": known.tried, "text": "x".repeat(200)}});
                let (status, body) = client.put(&record(&key), &value).await?;
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
                known.acknowledged = known.tried;
            }
            false => {
                let of = (number + *done) % CLIENTS;
                let (status, body) = client.get(&record(&key(of, *done % KEYS_OF_EACH))).await?;
                assert!(matches!(status, 200 | 404), "{status}: {}", String::from_utf8_lossy(&body));
            }
        }
    }
    for (key, known) in &*own {
        check(key, known, client.get(&record(key)).await?);
    }
    Ok(())
}

/// Waits until so many have connected.
async fn all(count: u64, connected: &mut watch::Receiver<u64>, clients: &mut JoinSet<u64>) {
    tokio::select! {
        all = connected.wait_for(|connected| *connected == count) => drop(all.expect("clients")),
        ended = clients.join_next() => panic!("a client ended: {ended:?}"),
    }
}

/// Lets the clients work; one that fails ends the test at once.
async fn work_for(time: Duration, clients: &mut JoinSet<u64>) {
    if let Ok(ended) = timeout(time, clients.join_next()).await {
        panic!("a client ended: {ended:?}");
    }
}

#[tokio::test]
async fn under_load_nothing_fails_and_no_acknowledged_write_is_lost_in_a_kill() {
    let half = short_or_long(Duration::from_secs(2), Duration::from_secs(30));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let first = Served::start(&path, &[]);
    let (tell, server) = watch::channel(Some(first.address()));
    let (connect, mut connected) = watch::channel(0);
    let course = Arc::new(Course { server, killed: AtomicBool::new(false), connected: connect });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(work(number, Arc::clone(&course)));
    }
    all(CLIENTS, &mut connected, &mut clients).await;
    work_for(half, &mut clients).await;
    course.killed.store(true, Ordering::SeqCst);
    drop(first);
    let second = Served::start(&path, &[]);
    tell.send(Some(second.address())).expect("clients listen");
    all(2 * CLIENTS, &mut connected, &mut clients).await;
    course.killed.store(false, Ordering::SeqCst);
    work_for(half / 3, &mut clients).await;
    let warm = second.resident();
    work_for(half * 2 / 3, &mut clients).await;
    let end = second.resident();
    tell.send(None).expect("clients listen");
    let done: u64 = clients.join_all().await.into_iter().sum();
    assert!(done > 10 * CLIENTS, "each client has done something: {done}");
    assert!(end < warm + LEVEL, "{warm} bytes after a while, {end} at the end");
    println!("{done} requests; {warm} bytes after a while, {end} at the end");
}
