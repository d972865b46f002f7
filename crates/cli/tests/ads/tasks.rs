//! Commands that do tasks.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::running::Running;
use crate::{Ads, Done};

/// An [`Ads`] with `count` tasks: `job:1` with the value `[1]`, and so on.
fn with_tasks(count: usize) -> Ads {
    let ads = Ads::new();
    for n in 1..=count {
        ads.ok(&["set", &format!("job:{n}"), &format!("[{n}]")]);
    }
    ads
}

fn claim(ads: &Ads, options: &[&str], script: &str) -> Done {
    ads.ads(&[&["claim", "job:", "--ttl", "1m"], options, &["--", "sh", "-c", script]].concat())
}

/// Works on a task until the key `go` is set.
fn worker(ads: &Ads, options: &[&str]) -> Running {
    let script = "echo started >&2; \"$ADS\" wait go --timeout 5m; exit";
    let worker = Running::start(ads.command(&[&["claim", "job:"], options, &["--", "sh", "-c", script]].concat()));
    assert_eq!(worker.message(), "started");
    worker
}

fn done(ads: &Ads) -> Value {
    ads.json(&["all", "-n", "tasks-done:default"])
}

#[test]
fn the_command_gets_the_first_task_that_nobody_has() {
    let ads = with_tasks(3);
    ads.ok(&["set", "other", "0"]);
    let script = "read value; echo \"$value $ADS_TASK_KEY $ADS_TASK_ATTEMPT\"";
    let first = claim(&ads, &[], script);
    assert_eq!((first.code, first.out.as_str()), (0, ""));
    assert_eq!(first.err, "task \"job:1\", attempt 1: done\n");
    let second = claim(&ads, &["--json"], script);
    assert_eq!((second.code, second.err.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&second.out).expect("JSON");
    assert_eq!(document, json!({"key": "job:2", "attempt": 1, "state": "done"}));
    assert_eq!(done(&ads), json!({"job:1": "[1] job:1 1", "job:2": "[2] job:2 1"}));
    assert_eq!(ads.ok(&["keys"]), "job:3\nother\n");
    claim(&ads, &[], "true");
    assert!(claim(&ads, &[], "echo not to be run").fails(1).contains("no task under \"job:\""));
    let none = claim(&ads, &["--json"], "true");
    assert_eq!(serde_json::from_str::<Value>(&none.err).expect("JSON")["code"], "no_task");
}

#[test]
fn what_the_command_prints_is_the_result() {
    let results = [
        ("echo '{\"a\":  1}'", "{\"a\":  1}"),
        ("echo 123456789012345678901234567890", "123456789012345678901234567890"),
        ("echo plain text", "\"plain text\""),
        ("printf 'two\\nlines\\n'", "\"two\\nlines\""),
        ("echo '{'", "\"{\""),
        ("echo", "\"\""),
        ("true", "null"),
    ];
    for (script, result) in results {
        let ads = with_tasks(1);
        assert_eq!(claim(&ads, &[], script).code, 0, "{script}");
        assert_eq!(ads.ok(&["get", "job:1", "-n", "tasks-done:default"]).trim_end(), result, "{script}");
    }
}

#[test]
fn what_cannot_be_a_result_fails_the_task() {
    for (script, reason) in [
        ("printf '\\377'", "not UTF-8"),
        ("head -c 17000000 /dev/zero | tr '\\0' x", "over the limit"),
        ("head -c 16777216 /dev/zero | tr '\\0' x", "over the limit"),
    ] {
        let ads = with_tasks(1);
        let message = claim(&ads, &[], script).fails(8).to_owned();
        assert!(message.contains("stdout") && message.contains(reason), "{script}: {message}");
        let failed = &ads.json(&["tasks"])["failed"][0];
        assert!(failed["error"].as_str().is_some_and(|error| error.contains(reason)), "{script}: {failed}");
    }
}

#[test]
fn what_the_store_refuses_to_keep_fails_the_task_all_the_same() {
    let ads = with_tasks(2);
    let url = format!("{}?secrets=refuse", ads.url());
    let token = format!("{}_{}", "ghp", "4Kz".repeat(12));
    for (script, key, reason) in [
        (format!("echo {token}"), "job:1", "a GitHub token"),
        (format!("echo {token} >&2; exit 3"), "job:2", "exit status 3"),
    ] {
        let done = claim(&ads, &["--store", &url], &script);
        let message = done.err.lines().next_back().expect("a message");
        assert!(done.code == 8 && message.contains(reason) && !message.contains(&token), "{done:?}");
        let failed = ads.ok(&["record", key, "-n", "tasks-failed:default", "--json"]);
        assert!(failed.contains(reason) && !failed.contains(&token), "{failed}");
    }
    assert_eq!(done(&ads), json!({}));
}

#[test]
fn a_command_that_fails_sets_the_task_aside_with_the_end_of_stderr() {
    let ads = with_tasks(2);
    let script = "yes é | head -n 100000 | tr -d '\\n' >&2; echo >&2; echo 'no such page' >&2; exit 3";
    let first = claim(&ads, &[], script);
    assert_eq!((first.code, first.out.as_str()), (8, ""));
    assert!(first.err.len() > 200_000, "stderr is passed on");
    let message = first.err.lines().next_back().expect("a message");
    assert_eq!(message, "ads: task \"job:1\", attempt 1: failed: exit status 3");
    let second = claim(&ads, &["--json"], "kill -9 $$");
    assert_eq!(second.code, 8);
    assert_eq!(serde_json::from_str::<Value>(&second.err).expect("JSON")["code"], "task_failed");
    assert_eq!(serde_json::from_str::<Value>(&second.out).expect("JSON")["state"], "failed");
    let tasks = ads.json(&["tasks", "job:"]);
    let error = tasks["failed"][0]["error"].as_str().expect("an error");
    assert!(error.ends_with("\nno such page") && (1_000..=4_096).contains(&error.len()), "{}", error.len());
    assert!(!error.contains('\u{fffd}'));
    assert_eq!(tasks["failed"][1], json!({"key": "job:2", "attempts": 1, "error": "ended by signal 9"}));
    assert_eq!((&tasks["waiting"], &tasks["done"]), (&json!(0), &json!(0)));
    assert_eq!(ads.ok(&["get", "job:1", "-n", "tasks-failed:default"]), "[1]\n");
    let table = ads.ok(&["tasks"]);
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[..4], [["waiting", "0"], ["claimed", "0"], ["done", "0"], ["failed", "2"]]);
    assert_eq!(words[5..7], [vec!["FAILED", "ATTEMPTS", "ERROR"], vec!["job:1", "1", "no", "such", "page"]], "{table}");
}

#[test]
fn a_task_that_failed_can_be_tried_again_but_not_for_ever() {
    let ads = with_tasks(1);
    let options = ["--retry-in", "0", "--max-attempts", "2"];
    let first = claim(&ads, &[&options[..], &["--json"]].concat(), "echo first >&2; exit 1");
    assert_eq!(serde_json::from_str::<Value>(&first.out).expect("JSON")["state"], "waiting");
    assert_eq!(ads.json(&["tasks"])["waiting"], 1);
    assert!(claim(&ads, &options, "echo $ADS_TASK_ATTEMPT >&2; exit 1").err.starts_with("2\n"));
    claim(&ads, &options, "echo not to be run").fails(1);
    assert_eq!(ads.json(&["tasks"])["failed"], json!([{"key": "job:1", "attempts": 2, "error": "2"}]));

    let ads = with_tasks(1);
    let message = claim(&ads, &["--retry-in", "1h"], "exit 1").fails(8).to_owned();
    assert!(message.contains("in 1h"), "{message}");
    claim(&ads, &[], "echo not to be run").fails(1);
    assert_eq!(ads.json(&["tasks"])["waiting"], 1);
}

#[test]
fn a_task_that_is_worked_on_is_nobody_else_s() {
    let ads = with_tasks(1);
    let first = worker(&ads, &["--ttl", "1h", "--agent", "first"]);
    let tasks = ads.json(&["tasks"]);
    assert_eq!((&tasks["waiting"], &tasks["claimed"][0]["key"]), (&json!(0), &json!("job:1")));
    assert_eq!((&tasks["claimed"][0]["agent"], &tasks["claimed"][0]["attempt"]), (&json!("first"), &json!(1)));
    assert!(tasks["claimed"][0]["until"].is_string(), "{tasks}");
    let table = ads.ok(&["tasks"]);
    assert!(table.contains("CLAIMED") && table.trim_end().ends_with("first"), "{table}");
    claim(&ads, &[], "echo not to be run").fails(1);
    ads.ok(&["set", "go", "1"]);
    assert_eq!(first.end().0, 0);
    assert_eq!(done(&ads), json!({"job:1": 1}));
}

#[test]
fn the_claim_is_renewed_while_the_command_runs() {
    let ads = with_tasks(1);
    let changes = Running::start(ads.command(&["changes", "job:", "--follow", "--since", "0"]));
    let first = worker(&ads, &["--ttl", "3s"]);
    // The task itself, its claim, and two renewals.
    for _ in 0..4 {
        assert!(changes.line().contains("  set "));
    }
    ads.ok(&["set", "go", "1"]);
    assert_eq!(first.end().0, 0);
}

#[test]
fn a_claim_that_was_lost_stores_nothing() {
    let ads = with_tasks(1);
    let first = worker(&ads, &["--ttl", "3s"]);
    ads.ok(&["delete", "job:1"]);
    ads.ok(&["set", "job:1", "\"somebody else's\""]);
    let message = first.message();
    assert!(message.starts_with("ads: warning: the claim on task \"job:1\" has ended"), "{message}");
    ads.ok(&["set", "go", "1"]);
    let (code, out, messages) = first.end();
    assert_eq!((code, out.len(), messages.len()), (3, 0, 1), "{messages:?}");
    assert_eq!(done(&ads), json!({}));
    assert_eq!(ads.json(&["get", "job:1"]), "somebody else's");
}

#[test]
fn an_interrupted_task_goes_back_as_if_it_had_not_been_claimed() {
    let ads = with_tasks(1);
    for signal in [Signal::HUP, Signal::TERM] {
        // What the command leaves behind holds its streams, and is not waited for.
        let first = worker(&ads, &["--ttl", "1h", "--json"]);
        first.signal(signal);
        let line: Value = serde_json::from_str(&first.line()).expect("JSON");
        assert_eq!(line, json!({"key": "job:1", "attempt": 1, "state": "waiting"}));
        assert!(first.message().contains("\"interrupted\""));
        assert_eq!(first.end().0, 128 + signal.as_raw());
        assert_eq!(ads.json(&["tasks"])["waiting"], 1);
    }
    ads.ok(&["set", "go", "1"]);
    let again = claim(&ads, &[], "echo $ADS_TASK_ATTEMPT");
    assert_eq!(again.code, 0);
    assert_eq!(done(&ads), json!({"job:1": 1}));
}

#[test]
fn a_command_may_finish_its_task_when_it_is_interrupted() {
    let ads = with_tasks(1);
    let script = "import os, signal, sys\n\
                  read, write = os.pipe()\n\
                  signal.signal(signal.SIGTERM, lambda *_: os.write(write, b'.'))\n\
                  print('started', file=sys.stderr, flush=True)\n\
                  os.read(read, 1)\n\
                  print('\"finished\"')\n";
    let first = Running::start(ads.command(&["claim", "job:", "--ttl", "1h", "--", "python3", "-c", script]));
    assert_eq!(first.message(), "started");
    first.signal(Signal::TERM);
    assert_eq!(first.end().0, 0);
    assert_eq!(done(&ads), json!({"job:1": "finished"}));
}

#[test]
fn the_task_of_one_that_was_killed_is_tried_again() {
    let ads = with_tasks(1);
    let first = worker(&ads, &["--ttl", "1s"]);
    first.signal(Signal::KILL);
    let second = claim(&ads, &["--wait", "forever"], "echo $ADS_TASK_ATTEMPT");
    assert_eq!((second.code, second.err.as_str()), (0, "task \"job:1\", attempt 2: done\n"));
    ads.ok(&["set", "go", "1"]);
    assert_eq!(first.end().0, 137);
    assert_eq!(done(&ads), json!({"job:1": 2}));
}

#[test]
fn one_can_wait_for_a_task() {
    let ads = Ads::new();
    let waiting = Running::start(ads.command(&["claim", "job:", "--ttl", "1m", "--wait", "forever", "--", "cat"]));
    claim(&ads, &["--wait", "0.01"], "true").fails(1);
    ads.ok(&["set", "job:1", "[1]"]);
    assert_eq!(waiting.end().0, 0);
    assert_eq!(done(&ads), json!({"job:1": [1]}));
}

#[test]
fn a_command_need_not_read_its_task() {
    let ads = Ads::new();
    let text = ads.file("text", "x".repeat(1 << 20));
    ads.ok(&["set", "job:1", "--string", "--file", &text]);
    assert_eq!(claim(&ads, &[], "true").code, 0);
    ads.ok(&["set", "job:2", "--string", "--file", &text]);
    assert_eq!(claim(&ads, &[], "wc -c").code, 0);
    assert_eq!(done(&ads), json!({"job:1": null, "job:2": (1 << 20) + 3}));
}

#[test]
fn a_command_that_cannot_be_started_gives_the_task_back() {
    let ads = with_tasks(1);
    ads.ads(&["claim", "job:", "--ttl", "1m", "--", "no-such-program"]).fails(127);
    assert_eq!(ads.json(&["tasks"]), json!({"waiting": 1, "claimed": [], "done": 0, "failed": []}));
    assert!(claim(&ads, &[], "true").err.contains("attempt 1"));
}

#[test]
fn a_loop_in_the_shell_does_all_tasks() {
    let ads = with_tasks(5);
    let script =
        "while \"$ADS\" claim job: --ttl 5m -- sh -c 'test $ADS_TASK_KEY != job:3' || [ $? -eq 8 ]; do :; done";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).env("ADS", env!("CARGO_BIN_EXE_ads")).env("AGENT_DATA_STORE_URL", ads.url());
    assert_eq!(Running::start(command).end().0, 0);
    let tasks = ads.json(&["tasks"]);
    assert_eq!(
        (&tasks["waiting"], &tasks["done"], &tasks["failed"][0]["key"]),
        (&json!(0), &json!(4), &json!("job:3"))
    );
}
