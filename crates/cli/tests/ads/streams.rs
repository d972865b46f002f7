//! Pipes: nothing but the result on stdout, no colours, no complaint about a reader who has gone.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::Ads;

const ESCAPE: char = '\u{1b}';

#[test]
fn there_are_no_colours_in_a_pipe() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "{\"a\":1}", "--agent", "a"]);
    let calls: [&[&str]; 13] = [
        &["namespaces"],
        &["tasks"],
        &["changes"],
        &["merge", "k", "{}"],
        &["wait", "k"],
        &["stats"],
        &["record", "k"],
        &["get", "k"],
        &["all"],
        &["--help"],
        &["help", "set"],
        &["get", "nobody"],
        &["set", "k"],
    ];
    for args in calls {
        let done = ads.ads(args);
        assert!(!done.out.contains(ESCAPE) && !done.err.contains(ESCAPE), "{args:?}: {done:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_who_has_seen_enough_is_no_error() {
    let ads = Ads::new();
    let text = ads.file("text", "x".repeat(1 << 20));
    for key in ["a", "b", "c"] {
        ads.ok(&["set", key, "--string", "--file", &text]);
    }
    let mut child = ads.command(&["all"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ads starts");
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "{\n");
    let mut messages = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut messages).expect("stderr");
    assert_eq!(messages, "");
    assert_eq!(child.wait().expect("ads ends").code(), Some(0));
}

#[test]
#[cfg(unix)]
fn following_ends_when_nobody_reads_any_more() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1"]);
    let mut command = ads.command(&["changes", "--follow", "--since", "0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ads starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.ends_with("  k\n"), "{line}");
    ads.ok(&["set", "k", "2"]);
    let mut messages = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut messages).expect("stderr");
    assert_eq!(messages, "");
    assert_eq!(child.wait().expect("ads ends").code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_stdout_is_an_error() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1"]);
    let calls: [&[&str]; 7] = [
        &["get", "k"],
        &["keys"],
        &["tasks"],
        &["changes"],
        &["increment", "n"],
        &["--help"],
        &["completions", "bash"],
    ];
    for args in calls {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let done = ads.command(args).stdout(full).stderr(Stdio::piped()).output().expect("ads starts");
        let message = String::from_utf8_lossy(&done.stderr);
        assert!(message.starts_with("ads: cannot write the output: "), "{args:?}: {message}");
        assert_eq!(done.status.code(), Some(6), "{args:?}");
    }
}
