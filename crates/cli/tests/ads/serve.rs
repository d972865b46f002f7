//! Serving: its settings, its messages, its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::Ads;

/// Starts a server, and returns it with its URL.
fn start(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ads starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    (child, told["url"].as_str().expect("a URL").to_owned())
}

fn get(url: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[cfg(unix)]
fn end(mut child: Child) -> String {
    use rustix::process::{Pid, Signal, kill_process};
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let mut log = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut log).expect("UTF-8");
    assert!(child.wait().expect("it ends").success(), "{log}");
    log
}

#[test]
fn settings_come_from_flags_then_variables_then_the_file() {
    let ads = Ads::new();
    let text =
        "listen = \"127.0.0.1:1\"\nbody_bytes = \"1MiB\"\nheartbeat = \"5s\"\n[users.alice]\nquota_records = 7\n";
    let file = ads.file("ads.toml", text);
    let mut command = ads.command(&["serve", "--config", &file, "--print-config", "--body-bytes", "3MiB"]);
    let done = command.env("ADS_BODY_BYTES", "2MiB").env("ADS_HEARTBEAT", "6s").output().unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    for line in [
        "listen = \"127.0.0.1:1\"",
        "body_bytes = \"3MiB\"",
        "heartbeat = \"6s\"",
        "[users.alice]",
        "quota_records = 7",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    assert!(out.contains(&ads.url()), "{out}");
    assert!(!ads.path().join("store.db").exists(), "printing opens nothing");
    // What is printed can be read again.
    let printed = ads.file("printed.toml", &out);
    let mut command = ads.command(&["serve", "--print-config", "--config", &printed]);
    assert_eq!(String::from_utf8(command.env_remove("AGENT_DATA_STORE_URL").output().unwrap().stdout).unwrap(), out);
    assert_eq!(ads.json(&["serve", "--print-config"])["listen"], "127.0.0.1:8787");
}

#[test]
fn a_mistake_in_the_settings_is_told_by_its_name() {
    let ads = Ads::new();
    let file = ads.file("ads.toml", "listn = \"127.0.0.1:1\"\n");
    assert!(ads.ads(&["serve", "--config", &file]).fails(2).contains("`listn`"));
    assert!(ads.ads(&["serve", "--config", "missing.toml"]).fails(2).contains("missing.toml"));
    assert!(ads.ads(&["serve", "--idle-timeout", "soon"]).fails(2).contains("idle_timeout"));
    assert!(ads.ads(&["serve", "--tls-key", "key.pem"]).fails(2).contains("tls_certificate"));
}

#[test]
fn without_tokens_it_listens_on_this_machine_alone_and_says_so() {
    let ads = Ads::new();
    let refusal = ads.ads(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(refusal.fails(2).contains("ads token create"), "{refusal:?}");
}

#[test]
#[cfg(unix)]
fn each_request_is_a_line_of_the_log_without_secrets() {
    let ads = Ads::new();
    let issued = ads.json(&["token", "create", "--user", "alice", "--write"]);
    let secret = issued["secret"].as_str().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--json", "--log-format", "json"];
    let (child, url) = start(&mut ads.command(&args));
    let path = "/data-store/namespaces/secret-ns/records/secret-key?view=value";
    let headers =
        format!("Authorization: Bearer {secret}\r\nX-Agent-Name: UTF-8''line%0Abreak\r\nX-Request-Id: abc\r\n");
    assert!(get(&url, path, &headers).starts_with("HTTP/1.1 404 "));
    assert!(get(&url, path, "Authorization: Bearer ads_wrong\r\n").starts_with("HTTP/1.1 401 "));
    let log = end(child);
    assert!(!log.contains("secret-") && !log.contains(&secret[21..]) && !log.contains("ads_wrong"), "{log}");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let line = lines.iter().find(|line| line["id"] == "abc").expect("a line for the request");
    assert_eq!((&line["user"], &line["agent"]), (&"alice".into(), &"line\nbreak".into()));
    assert_eq!(line["route"], "/data-store/namespaces/{namespace}/records/{*key}");
    assert_eq!((&line["status"], &line["method"]), (&404.into(), &"GET".into()));
    assert!(line["micros"].is_u64(), "{line}");
    assert!(lines.iter().any(|line| line["status"] == 401), "{log}");
}

#[test]
#[cfg(unix)]
fn a_name_cannot_leave_its_line_of_the_log() {
    let ads = Ads::new();
    let (child, url) = start(&mut ads.command(&["serve", "--listen", "127.0.0.1:0", "--json"]));
    get(&url, "/data-store/whoami", "X-User-Id: UTF-8''a%0Ab%1B%5B31m\r\n");
    let log = end(child);
    assert!(log.contains(r#"user="a\nb\u{1b}[31m""#), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}
