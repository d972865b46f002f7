//! Commands that run under a lock.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::Child;

use agent_data_store::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Ads;
use crate::running::{Running, STAYS, heed_signals};

/// Holds the lock `r` until a line is typed, with `options` of lock.
fn holder(ads: &Ads, options: &[&str]) -> Running {
    Running::start(ads.command(&[&["lock", "r"], options, &["--", "python3", "-c", STAYS]].concat()))
}

fn is_locked(ads: &Ads) -> bool {
    ads.ads(&["get", "lock:r"]).code == 0
}

#[test]
fn the_command_has_our_streams_and_we_its_status() {
    let ads = Ads::new();
    for (script, code) in [("true", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(ads.ads(&["lock", "r", "--", "sh", "-c", script]).code, code, "{script}");
        assert!(!is_locked(&ads), "{script}");
    }
    let done = ads.ads_with_input(&["lock", "r", "--json", "--", "sh", "-c", "cat; echo message >&2"], "typed");
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "typed", "message\n"));
}

#[test]
fn the_command_gets_a_token_that_rises_with_every_holder() {
    let ads = Ads::new();
    let mut last = 0;
    for _ in 0..3 {
        let script = "echo \"$ADS_LEASE_TOKEN\"; \"$ADS\" record lock:r --json";
        let out = ads.ok(&["lock", "r", "--agent", "me", "--ttl", "1h", "--", "sh", "-c", script]);
        let (token, record) = out.split_once('\n').expect("two lines");
        let record: Value = serde_json::from_str(record).expect("JSON");
        assert_eq!(record["version"].to_string(), token);
        assert_eq!(record["value"]["agent"], "me");
        let micros =
            |name: &str| Timestamp::parse(record[name].as_str().expect("a time")).expect("RFC 3339").as_micros();
        assert_eq!(micros("expiresAt") - micros("updatedAt"), 3_600_000_000);
        let token: u64 = token.parse().expect("a number");
        assert!(token > last);
        last = token;
    }
}

#[test]
fn a_lock_that_someone_holds_is_exit_code_3_with_holder_and_expiry() {
    let ads = Ads::new();
    let mut first = holder(&ads, &["--agent", "first"]);
    first.line();
    let expires = ads.json(&["record", "lock:r"])["expiresAt"].as_str().expect("a time").to_owned();
    let message = ads.ads(&["lock", "r", "--", "echo", "not to be run"]).fails(3).to_owned();
    assert!(message.contains("\"r\" is held by agent \"first\"") && message.contains(&expires), "{message}");
    let done = ads.ads(&["lock", "r", "--json", "--", "echo", "not to be run"]);
    let error: Value = serde_json::from_str(&done.err).expect("JSON");
    assert_eq!((done.code, done.out.as_str(), error["code"].as_str()), (3, "", Some("lease_held")));
    assert!(error["message"].as_str().is_some_and(|message| message.contains(&expires)), "{error}");
    assert_eq!(ads.ok(&["lock", "other", "--", "echo", "free"]), "free\n");
    assert_eq!(ads.ok(&["lock", "r", "-n", "elsewhere", "--", "echo", "free"]), "free\n");
    first.type_line();
    assert_eq!(first.end().0, 7);
    assert_eq!(ads.ok(&["lock", "r", "--", "echo", "free"]), "free\n");
}

#[test]
fn one_can_wait_for_a_lock() {
    let ads = Ads::new();
    let mut first = holder(&ads, &[]);
    first.line();
    let second = Running::start(ads.command(&["lock", "r", "--wait", "forever", "--", "echo", "mine"]));
    ads.ads(&["lock", "r", "--wait", "0.01", "--", "true"]).fails(3);
    first.type_line();
    assert_eq!(first.end().0, 7);
    assert_eq!(second.end(), (0, vec!["mine".to_owned()], vec![]));
}

#[test]
fn the_lock_is_renewed_while_the_command_runs() {
    let ads = Ads::new();
    let changes = Running::start(ads.command(&["changes", "lock:", "--follow", "--since", "0", "--json"]));
    let mut first = holder(&ads, &["--ttl", "3s"]);
    let token = first.line();
    let versions = [changes.line(), changes.line(), changes.line()].map(|line| {
        let change: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(change["kind"], "set", "{change}");
        change["version"].as_u64().expect("a number")
    });
    assert_eq!(token, format!("ready {}", versions[0]));
    first.type_line();
    assert_eq!(first.end(), (7, vec![], vec![]));
}

#[test]
fn a_lost_lock_is_told_at_once_and_exit_code_3_at_the_end() {
    let ads = Ads::new();
    let mut first = holder(&ads, &["--ttl", "3s"]);
    first.line();
    ads.ok(&["delete", "lock:r"]);
    let mut second = holder(&ads, &["--agent", "second"]);
    second.line();
    let message = first.message();
    assert!(message.starts_with("ads: warning: the lease on \"r\" has ended"), "{message}");
    first.type_line();
    let (code, _, messages) = first.end();
    assert_eq!((code, messages.len()), (3, 1), "{messages:?}");
    assert!(messages[0].starts_with("ads: the lease on \"r\" has ended"), "{messages:?}");
    assert_eq!(ads.json(&["get", "lock:r"])["agent"], "second", "the lock of others is theirs");
    second.type_line();
    assert_eq!(second.end().0, 7);
}

#[test]
fn a_signal_reaches_the_command_and_the_lock_is_given_back_when_that_has_ended() {
    let ads = Ads::new();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let mut first = holder(&ads, &[]);
        first.line();
        first.signal(signal);
        assert_eq!(first.line(), format!("caught {}", signal.as_raw()));
        ads.ads(&["lock", "r", "--", "true"]).fails(3);
        first.type_line();
        assert_eq!(first.end(), (7, vec![], vec![]));
        assert!(!is_locked(&ads));

        let first = Running::start(ads.command(&["lock", "r", "--", "sh", "-c", "echo ready; exec cat"]));
        first.line();
        first.signal(signal);
        assert_eq!(first.end().0, 128 + signal.as_raw());
        assert!(!is_locked(&ads));
    }
}

/// Holds the lock `r` with the Python program `script`, at a terminal: its keyboard, and what is on its screen.
fn holder_at_terminal(ads: &Ads, script: &str) -> (Child, File, BufReader<File>) {
    let (keyboard, screen) = crate::terminal::open();
    let mut command = ads.command(&["lock", "r", "--", "python3", "-c", script]);
    command.stdin(screen()).stdout(screen()).stderr(screen());
    heed_signals(&mut command);
    // SAFETY: only makes system calls, on a descriptor that the command has been given.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(BorrowedFd::borrow_raw(0))?;
            Ok(())
        });
    }
    let child = command.spawn().expect("ads starts");
    let screen = BufReader::new(keyboard.try_clone().expect("a clone"));
    (child, keyboard, screen)
}

#[test]
fn ctrl_c_reaches_the_command() {
    let ads = Ads::new();
    let (mut child, mut keyboard, screen) = holder_at_terminal(&ads, STAYS);
    // When the last one has closed its side, Linux reports an error and others the end.
    let mut lines = screen.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("ready")));
    keyboard.write_all(b"\x03").expect("typing");
    assert!(lines.any(|line| line.contains("caught 2")));
    ads.ads(&["lock", "r", "--", "true"]).fails(3);
    keyboard.write_all(b"go\n").expect("typing");
    assert_eq!(lines.filter(|line| line.contains("caught")).count(), 0);
    assert_eq!(child.wait().expect("an end").code(), Some(7));
    assert!(!is_locked(&ads));
}

#[test]
fn ctrl_c_is_not_passed_on_a_second_time() {
    let ads = Ads::new();
    // One that the terminal's signals do not reach tells what was passed on.
    let script = "import os, signal\n\
                  os.setpgid(0, 0)\n\
                  caught = []\n\
                  for number in (signal.SIGINT, signal.SIGTERM):\n    \
                      signal.signal(number, lambda number, _: caught.append(int(number)))\n\
                  print('ready', flush=True)\n\
                  while signal.SIGTERM not in caught:\n    \
                      signal.pause()\n\
                  print('caught', caught, flush=True)\n";
    let (mut child, mut keyboard, mut screen) = holder_at_terminal(&ads, script);
    assert!(screen.by_ref().lines().map_while(Result::ok).any(|line| line.contains("ready")));
    keyboard.write_all(b"\x03").expect("typing");
    screen.read_until(b'C', &mut Vec::new()).expect("an echo, once the signal is sent");
    // Those that come together are looked at in the order of their numbers, so this one is the later.
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let caught = screen.lines().map_while(Result::ok).find(|line| line.contains("caught"));
    assert_eq!(caught.as_deref(), Some("caught [15]"));
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_signal_that_was_ignored_stays_so() {
    let ads = Ads::new();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$ADS\" lock r -- python3 -c \"$STAYS\""]);
    command.env("STAYS", STAYS).env("ADS", env!("CARGO_BIN_EXE_ads")).env("AGENT_DATA_STORE_URL", ads.url());
    let mut first = Running::start(command);
    first.line();
    first.signal(Signal::HUP);
    first.signal(Signal::TERM);
    assert_eq!(first.line(), "caught 15");
    first.type_line();
    assert_eq!(first.end().0, 7);

    // For the command as well.
    let script = "trap '' HUP; exec \"$ADS\" lock r -- sh -c 'kill -HUP $$; echo unharmed'";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).env("ADS", env!("CARGO_BIN_EXE_ads")).env("AGENT_DATA_STORE_URL", ads.url());
    assert_eq!(Running::start(command).end(), (0, vec!["unharmed".to_owned()], vec![]));
}

#[test]
fn the_lock_of_one_that_was_killed_ends_with_its_time() {
    let ads = Ads::new();
    let mut first = holder(&ads, &["--ttl", "1s"]);
    first.line();
    first.signal(Signal::KILL);
    first.type_line();
    assert_eq!(first.end().0, 137);
    assert_eq!(ads.ok(&["lock", "r", "--wait", "forever", "--", "echo", "mine"]), "mine\n");
}

#[test]
fn a_command_that_cannot_be_started_leaves_no_lock() {
    let ads = Ads::new();
    let file = ads.file("no-program", "text");
    for (program, code) in [("no-such-program", 127), (file.as_str(), 126)] {
        assert!(ads.ads(&["lock", "r", "--", program]).fails(code).contains("cannot start"), "{program}");
        assert!(!is_locked(&ads), "{program}");
    }
    let done = ads.ads(&["lock", "r", "--json", "--", "no-such-program"]);
    assert_eq!(serde_json::from_str::<Value>(&done.err).expect("JSON")["code"], "not_started");
}
