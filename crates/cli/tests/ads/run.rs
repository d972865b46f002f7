//! Handing an agent to whoever can run it.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::PathBuf;

use agent_data_store::{Error, ErrorKind};
use agent_data_store_cli::{AgentRequest, run};
use serde_json::Value;

use crate::Ads;

/// Calls the library with a runner that keeps what it is asked for, or why it cannot be, and answers with 42.
fn asked(args: &[&str]) -> (u8, Option<Result<AgentRequest, String>>) {
    let asked = RefCell::new(None);
    let args = ["ads", "run"].iter().chain(args).map(OsString::from);
    let code = run(args, &|call| {
        let request = call.request();
        asked.replace(Some(request.as_ref().map(Clone::clone).map_err(|error| error.message().to_owned())));
        request.map(|_| 42)
    });
    (code, asked.into_inner())
}

fn agent(ads: &Ads) -> String {
    ads.file("my-agent.py", "def run(input_dict, tools):\n    return input_dict\n")
}

#[test]
fn a_runner_gets_everything_with_defaults_filled_in() {
    let ads = Ads::new();
    let file = agent(&ads);
    let (code, request) = asked(&[&file, "--store", &ads.url(), "--user", "alice", "-n", "notes"]);
    assert_eq!(code, 42);
    let expected = AgentRequest {
        file: PathBuf::from(&file),
        input: "{}".into(),
        tools: "{}".into(),
        globals: None,
        store_url: ads.url(),
        token: None,
        user: Some("alice".into()),
        agent: "my-agent".into(),
        namespace: "notes".into(),
        trace: false,
    };
    assert_eq!(request, Some(Ok(expected)));

    let globals = ads.file("provide.py", "x = 1\n");
    let input = ads.file("input.json", "\n{\"n\": 12345678901234567890}\n");
    let (code, request) = asked(&[
        &file,
        "--store",
        "memory:",
        "--user",
        "u",
        "-n",
        "n",
        "--agent",
        "other",
        "--trace",
        "--globals",
        &globals,
        "--input",
        &format!("@{input}"),
        "--tools",
        "{\"a\": []}",
    ]);
    let request = request.expect("a runner was called").expect("a request");
    assert_eq!(code, 42);
    assert_eq!(request.input, "{\"n\": 12345678901234567890}");
    assert_eq!(request.tools, "{\"a\": []}");
    assert_eq!(request.globals, Some(PathBuf::from(globals)));
    assert_eq!((request.agent.as_str(), request.trace, request.store_url.as_str()), ("other", true, "memory:"));
    assert!(!ads.path().join("store.db").exists(), "the runner opens the store");
}

#[test]
fn a_call_that_cannot_be_never_starts_an_agent() {
    let ads = Ads::new();
    let file = agent(&ads);
    let folder = ads.path().to_str().expect("UTF-8");
    let calls: &[(&[&str], &str)] = &[
        (&["no-such-agent.py"], "no-such-agent.py"),
        (&[folder], "is a folder"),
        (&[&file, "--globals", "no-such-file.py"], "no-such-file.py"),
        (&[&file, "--input", "[1]"], "--input is not a JSON object"),
        (&[&file, "--input", "{"], "--input: value is not JSON"),
        (&[&file, "--input", "@no-such-file.json"], "no-such-file.json"),
        (&[&file, "--tools", "3"], "--tools is not a JSON object"),
        (&[&file, "--input", "-", "--tools", "-"], "both"),
    ];
    for (args, names) in calls {
        let (code, request) = asked(args);
        let message = request.expect("a runner was called").expect_err("no request");
        assert!(code == 2 && message.contains(names), "{args:?}: {code}, {message}");
    }
    let calls: &[&[&str]] = &[&[], &[&file, "--agent", ""], &[&file, "--user", ""], &[&file, "--frobnicate"]];
    for args in calls {
        assert_eq!(asked(args), (2, None), "{args:?}");
    }
}

#[test]
fn a_runner_s_error_has_the_exit_code_of_its_kind() {
    let ads = Ads::new();
    let args = ["ads", "run", &agent(&ads)].map(OsString::from);
    let code = run(args, &|_| Err(Error::new(ErrorKind::CorruptStore, "damaged")));
    assert_eq!(code, 7);
}

/// A package in place of the real one that shows how it was called.
fn package(ads: &Ads) -> PathBuf {
    let folder = ads.path().join("packages/agent_data_store");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("__init__.py"), "").expect("a file");
    let main = "import json, os, sys\n\
                url = os.environ['AGENT_DATA_STORE_URL']\n\
                print(json.dumps({'args': sys.argv[1:], 'stdin': sys.stdin.read(), 'url': url}))\n\
                print('a message', file=sys.stderr)\n\
                sys.exit(9)\n";
    std::fs::write(folder.join("__main__.py"), main).expect("a file");
    ads.path().join("packages")
}

#[test]
#[cfg(unix)]
fn the_binary_hands_the_whole_call_to_python() {
    use std::io::Write;
    use std::process::Stdio;

    let ads = Ads::new();
    let args = ["--user", "al ice", "run", "agent.py", "--input", "-", "--agent=x", "--tools", "{\"a\": \"$b\"}"];
    let mut child = ads
        .command(&args)
        .env("PYTHONPATH", package(&ads))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ads starts");
    child.stdin.take().expect("piped").write_all(b"{\"typed\": true}").expect("stdin");
    let done = child.wait_with_output().expect("ads ends");
    let seen: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!(seen["args"], serde_json::json!(args));
    assert_eq!(seen["stdin"], "{\"typed\": true}");
    assert_eq!(seen["url"], ads.url());
    assert_eq!(String::from_utf8_lossy(&done.stderr), "a message\n");
    assert_eq!(done.status.code(), Some(9));
}

#[test]
fn what_python_lacks_is_named() {
    let ads = Ads::new();
    let file = agent(&ads);
    let call = |variable: &str, folder: &str| {
        let folder = ads.path().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        // Python reads this file at its start; the package is then as good as not installed.
        std::fs::write(folder.join("sitecustomize.py"), "import sys\nsys.modules['agent_data_store'] = None\n")
            .expect("a file");
        let done = ads.command(&["run", &file]).env(variable, &folder).output().expect("ads starts");
        assert_eq!(done.status.code(), Some(6), "{done:?}");
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let message = call("PATH", "no-python");
    assert!(message.starts_with("ads: cannot start python3") && message.contains("install Python"), "{message}");
    let message = call("PYTHONPATH", "no-package");
    assert!(message.starts_with("ads: the python3 on the path has no package agent_data_store"), "{message}");
}
