//! Serving the store over HTTP, from the start to the signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Ads, Done};

/// A server on a port of its own; killed if the test fails.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(ads: &Ads) -> Self {
        let mut command = ads.command(&["serve", "--listen", "127.0.0.1:0", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ads starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let address = said["url"].as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL").to_owned();
        Self { child, address }
    }

    /// The status line and the body.
    fn ask(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nx-agent-name: reader\r\nconnection: close", self.address);
        let length = body.len();
        let rest = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        write!(stream, "{head}\r\n{rest}").expect("a request");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("an answer");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    fn stop(mut self, signal: Signal) -> Done {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
        let status = self.child.wait().expect("an end");
        let mut err = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut err).expect("UTF-8");
        Done { code: status.code().expect("an exit code, not a signal"), out: String::new(), err }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_store_is_served_until_a_signal_comes() {
    for signal in [Signal::TERM, Signal::INT] {
        let ads = Ads::new();
        let serving = Serving::start(&ads);
        let path = "/data-store/namespaces/default/records/k";
        assert_eq!(serving.ask("PUT", path, r#"{"value": [1, 2]}"#).0, "HTTP/1.1 200 OK");
        assert_eq!(serving.ask("GET", &format!("{path}?view=value"), "").1, "[1, 2]");
        let address = serving.address.clone();
        let done = serving.stop(signal);
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.err.lines().all(|line| line.contains(" INFO request ")), "{}", done.err);
        assert!(TcpStream::connect(address).is_err());
        assert_eq!(ads.json(&["record", "k"])["accessCount"], 1, "what was gathered is written");
    }
}

#[test]
fn a_log_that_nobody_reads_keeps_no_client_waiting() {
    /// Many times what a pipe holds.
    const LINES: usize = 20_000;
    let ads = Ads::new();
    let mut serving = Serving::start(&ads);
    let mut stream = TcpStream::connect(&serving.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let mut answers = BufReader::new(stream.try_clone().expect("the same connection"));
    for _ in 0..LINES {
        write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request");
        let mut body = String::new();
        while !body.starts_with('{') {
            body.clear();
            answers.read_line(&mut body).expect("an answer in time");
            if body == "\r\n" {
                let mut rest = [0; r#"{"status":"ok"}"#.len()];
                answers.read_exact(&mut rest).expect("the whole answer");
                body = String::from_utf8_lossy(&rest).into_owned();
            }
        }
    }
    // Read again, it says what is missing.
    let mut log = BufReader::new(serving.child.stderr.take().expect("piped")).lines();
    let missing = log.find(|line| line.as_ref().is_ok_and(|line| line.contains(" WARN ")));
    let missing = missing.expect("a line that says so").expect("UTF-8");
    assert!(missing.contains("lines are missing before this one lines="), "{missing}");
    assert_eq!(serving.ask("GET", "/health", "").0, "HTTP/1.1 200 OK");
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_server_from_stopping() {
    let ads = Ads::new();
    let mut serving = Serving::start(&ads);
    let mut stream = TcpStream::connect(&serving.address).expect("a connection");
    // More lines than a pipe holds.
    for _ in 0..1_000 {
        write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request");
    }
    write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("a request");
    stream.read_to_end(&mut Vec::new()).expect("all answers");
    kill_process(Pid::from_child(&serving.child), Signal::TERM).expect("a signal");
    let deadline = Instant::now() + Duration::from_secs(30);
    while serving.child.try_wait().expect("a child").is_none() {
        assert!(Instant::now() < deadline, "it waits for somebody to read its log");
    }
}

#[test]
fn where_it_cannot_listen_it_says_so() {
    let ads = Ads::new();
    let serving = Serving::start(&ads);
    let message = ads.ads(&["serve", "--listen", &serving.address]).fails(6).to_owned();
    assert!(message.contains(&serving.address), "{message}");
    for listen in ["localhost", "127.0.0.1", "8080", ""] {
        ads.ads(&["serve", "--listen", listen]).fails(2);
    }
    assert_eq!(serving.stop(Signal::TERM).code, 0);
}

#[test]
fn what_is_on_a_server_is_not_served_once_more() {
    let ads = Ads::new();
    let serving = Serving::start(&ads);
    let store = format!("http://{}", serving.address);
    let message = ads.ads(&["serve", "--store", &store, "--listen", "127.0.0.1:0"]).fails(2).to_owned();
    assert!(message.contains("on a server already") && message.contains("reverse proxy"), "{message}");
    assert_eq!(serving.stop(Signal::TERM).code, 0);
}
