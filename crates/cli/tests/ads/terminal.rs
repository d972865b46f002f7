//! A person at a terminal: colours, values laid out, a question before everything goes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::{Ads, Done};

/// A terminal: its keyboard, and what opens its screen.
pub(crate) fn open() -> (File, impl Fn() -> File) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&keyboard).expect("a terminal");
    unlockpt(&keyboard).expect("a terminal");
    let name = ptsname(&keyboard, Vec::new()).expect("its name");
    let name = std::path::PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let screen = move || OpenOptions::new().read(true).write(true).open(&name).expect("its other side");
    (File::from(keyboard), screen)
}

/// Runs `ads` with all three streams on a terminal, with `typed` waiting on its keyboard.
fn on_terminal(ads: &Ads, args: &[&str], typed: &str, variables: &[(&str, &str)]) -> Done {
    let (mut keyboard, screen) = open();
    let mut command = ads.command(args);
    command.env("TERM", "xterm").envs(variables.iter().copied());
    command.stdin(screen()).stdout(screen()).stderr(screen());
    keyboard.write_all(typed.as_bytes()).expect("typing");
    let mut child = command.spawn().expect("ads starts");
    // Our own copies of the screen would keep it open.
    drop(command);
    let mut seen = Vec::new();
    let mut buffer = [0; 4_096];
    // When the last one has closed its side, Linux reports an error and others the end.
    while let Ok(length @ 1..) = keyboard.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
    }
    let code = child.wait().expect("ads ends").code().expect("an exit code");
    Done { code, out: String::from_utf8(seen).expect("UTF-8").replace("\r\n", "\n"), err: String::new() }
}

#[test]
fn values_are_laid_out_for_reading() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "{\"b\":[1,{}],\"a\":\"\u{9b}2J\"}"]);
    assert_eq!(
        on_terminal(&ads, &["get", "k"], "", &[]).out,
        "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"\\u009b2J\"\n}\n"
    );
    assert_eq!(on_terminal(&ads, &["get", "k", "--json"], "", &[]).out, "{\"b\":[1,{}],\"a\":\"\u{9b}2J\"}\n");
    let all = on_terminal(&ads, &["all"], "", &[]).out;
    assert!(all.starts_with("{\n  \"k\": {\n    \"b\": [\n"), "{all}");
}

#[test]
fn colours_are_for_terminals_unless_refused() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1"]);
    let calls: [&[&str]; 5] = [&["namespaces"], &["stats"], &["record", "k"], &["get", "nobody"], &["--help"]];
    for args in calls {
        assert!(on_terminal(&ads, args, "", &[]).out.contains("\u{1b}["), "{args:?}");
        assert!(!on_terminal(&ads, args, "", &[("NO_COLOR", "1")]).out.contains('\u{1b}'), "{args:?}");
        assert!(!on_terminal(&ads, args, "", &[("TERM", "dumb")]).out.contains('\u{1b}'), "{args:?}");
    }
}

#[test]
fn clear_asks_and_takes_no_for_an_answer() {
    let ads = Ads::new();
    ads.ok(&["set", "k", "1", "-n", "scratch"]);
    for answer in ["n\n", "\n", "\u{4}"] {
        let done = on_terminal(&ads, &["clear", "-n", "scratch"], answer, &[]);
        assert!(done.out.contains("Delete 1 record in namespace \"scratch\" of user \"default\"? [y/N]"), "{done:?}");
        assert!(done.out.contains("nothing was deleted"), "{done:?}");
        assert_eq!(done.code, 1);
    }
    assert_eq!(ads.ok(&["keys", "-n", "scratch"]), "k\n");
    let done = on_terminal(&ads, &["clear", "-n", "scratch"], "y\n", &[]);
    assert!(done.code == 0 && done.out.contains("deleted 1 record in"), "{done:?}");
    assert_eq!(ads.ok(&["keys", "-n", "scratch"]), "");
}

#[test]
fn an_empty_place_says_where_it_is() {
    let ads = Ads::new();
    let done = on_terminal(&ads, &["keys", "-n", "typo"], "", &[]);
    assert_eq!((done.code, done.out.as_str()), (0, "no keys in namespace \"typo\" of user \"default\"\n"));
}
