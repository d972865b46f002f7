//! Clients that take what they can get: the others are served all the same, and memory is bounded.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use crate::client::{Client, put_head, record};
use crate::served::{Served, allow_open_files};
use agent_data_store_testing::forms::short_or_long;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a server does without a client to speak of.
struct Place {
    server: Served,
    resident: u64,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn open(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Served::start(&folder.path().join("store.db"), settings);
        let place = Self { resident: 0, server, _folder: folder };
        place.serves_others().await;
        Self { resident: place.server.resident(), ..place }
    }

    async fn connect(&self) -> Client {
        Client::connect(self.server.address()).await.expect("the server listens")
    }

    /// A client that asks for little gets it.
    async fn serves_others(&self) {
        let asking = async {
            let mut client = self.connect().await;
            for count in 0..20 {
                let (status, _) = client.put(&record("other"), &json!({"value": count})).await.expect("an answer");
                assert_eq!(status, 200);
                assert_eq!(client.get(&record("other")).await.expect("an answer").0, 200);
            }
        };
        timeout(PATIENCE, asking).await.expect("others are served");
    }

    /// What the server has taken since.
    fn grown(&self) -> u64 {
        self.server.resident().saturating_sub(self.resident)
    }
}

#[tokio::test]
async fn clients_that_connect_and_do_nothing_cost_little_and_keep_nobody_out() {
    const OF_EACH: u64 = 16 << 10;
    let open = allow_open_files().saturating_sub(200);
    let count = short_or_long(500, 10_000).min(open);
    let place = Place::open(&[]).await;
    let mut idle = Vec::new();
    for number in 0..count {
        let mut client = place.connect().await;
        // Every second one has been served before: what that took is given back.
        if number % 2 == 0 {
            assert_eq!(client.get("/health").await.expect("an answer").0, 200);
        }
        idle.push(client);
    }
    place.serves_others().await;
    let grown = place.grown();
    assert!(grown < count * OF_EACH + (8 << 20), "{count} idle connections took {grown} bytes");
    for client in idle.iter_mut().rev().take(100) {
        assert_eq!(client.get("/health").await.expect("still open").0, 200);
    }
    println!("{count} idle connections: {grown} bytes");
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_before_it_is_there() {
    const GIGABYTE: usize = 1 << 30;
    let place = Place::open(&[]).await;
    let mut declared = place.connect().await;
    let head = put_head(&record("large"), &format!("Content-Length: {GIGABYTE}"));
    declared.send(head.as_bytes()).await.expect("the server reads");
    assert_eq!(declared.receive().await.expect("an answer before the body").0, 413);

    let mut undeclared = place.connect().await;
    let head = put_head(&record("large"), "Transfer-Encoding: chunked");
    undeclared.send(head.as_bytes()).await.expect("the server reads");
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    let mut sent = 0;
    let mut most = 0;
    // Until the server has heard enough.
    while sent < GIGABYTE && undeclared.send(chunk.as_bytes()).await.is_ok() {
        sent += chunk.len();
        most = most.max(place.grown());
        place.serves_others().await;
    }
    assert!(sent < GIGABYTE / 4, "{sent} bytes were taken");
    // As much as one body may have, and once more where it grows.
    assert!(most < 3 * (64 << 20), "{most} bytes for a body that is refused");
    println!("refused after {sent} bytes; {most} bytes of memory");
}

#[tokio::test]
async fn bodies_that_stop_half_way_take_no_more_than_their_share() {
    const SHARE: u64 = 64 << 20;
    let place = Place::open(&[("ADS_BODY_MEMORY", "64MiB"), ("ADS_REQUEST_TIMEOUT", "60s")]).await;
    let count = short_or_long(200, 2_000);
    let half = " ".repeat(1 << 20);
    let mut stopped = Vec::new();
    for _ in 0..count {
        let mut client = place.connect().await;
        let head = put_head(&record("half"), &format!("Content-Length: {}", 2 * half.len()));
        // Those for whom there is no memory are sent away while they send.
        let _ = client.send(head.as_bytes()).await;
        let _ = client.send(half.as_bytes()).await;
        stopped.push(client);
    }
    place.serves_others().await;
    let began = Instant::now();
    let mut refused = 0;
    for client in &mut stopped {
        if let Ok(Ok((status, _))) = timeout(Duration::from_millis(1), client.receive()).await {
            assert_eq!(status, 503);
            refused += 1;
        }
    }
    assert!(refused > 0, "somebody must have been sent away");
    let grown = place.grown();
    assert!(grown < 3 * SHARE, "{count} half bodies took {grown} bytes");
    println!("{count} half bodies: {grown} bytes, {refused} refused, looked at in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_of_many_small_things_takes_little_more_than_itself() {
    const BODY: usize = 48 << 20;
    let place = Place::open(&[]).await;
    let keys =
        |key: &str| format!(r#"{{"records":[{{"namespace":"n","keys":[{}"k"]}}]}}"#, key.repeat(BODY / key.len()));
    let call = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    let zeros = "0,".repeat(BODY / 2);
    let bodies = [
        ("/data-store/read", keys(r#""k","#)),
        ("/data-store/read", format!(r#"{{"records":[{}1]}}"#, r#"{"namespace":"n","keys":[]},"#.repeat(BODY / 28))),
        (
            "/data-store/batch",
            format!(r#"{{"writes":[{}1]}}"#, r#"{"op":"check","namespace":"n","key":"k"},"#.repeat(BODY / 42)),
        ),
        ("/mcp", call(&format!(r#"{{"name":"set","arguments":{{"key":"k","other":[{zeros}0]}}}}"#))),
        ("/mcp", call(&format!(r#"{{"name":"set","_meta":[{zeros}0]}}"#))),
    ];
    for (path, body) in bodies {
        let mut client = place.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Accept: application/json, text/event-stream\r\n\r\n",
            body.len()
        );
        client.send(head.as_bytes()).await.expect("the server reads");
        client.send(body.as_bytes()).await.expect("the server reads");
        let (status, _) = timeout(PATIENCE, client.receive()).await.expect("an answer in time").expect("an answer");
        assert!(status < 500, "{path}: {status}");
        place.serves_others().await;
    }
    let most = place.server.most_resident().saturating_sub(place.resident);
    // The body as it comes, twice while it grows, and what is read from it.
    assert!(most < 5 * BODY as u64, "{most} bytes for bodies of {BODY}");
    println!("bodies of {BODY} bytes: {most} bytes of memory");
}
