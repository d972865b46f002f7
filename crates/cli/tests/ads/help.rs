//! Help that teaches, and completions.

use crate::Ads;

const COMMANDS: [&str; 27] = [
    "run",
    "get",
    "set",
    "increment",
    "append",
    "merge",
    "expire",
    "delete",
    "keys",
    "namespaces",
    "all",
    "clear",
    "record",
    "stats",
    "lock",
    "tasks",
    "claim",
    "changes",
    "wait",
    "serve",
    "mcp",
    "copy",
    "verify",
    "backup",
    "restore",
    "token",
    "completions",
];

#[test]
fn every_command_explains_itself_with_examples() {
    let ads = Ads::new();
    let top = ads.ok(&["--help"]);
    assert!(top.contains("Examples:\n  ads ") && top.contains("Exit codes:"), "{top}");
    for command in COMMANDS {
        assert!(top.contains(&format!("\n  {command} ")), "{command} in {top}");
        let help = ads.ok(&[command, "--help"]);

        assert!(help.contains("Examples:\n  ads ") && help.contains("AGENT_DATA_STORE_URL"), "{help}");
        assert_eq!(ads.ok(&["help", command]), help);
    }
    assert_eq!(ads.ok(&["--version"]), format!("ads {}\n", env!("CARGO_PKG_VERSION")));
    assert!(!ads.path().join("store.db").exists(), "help opens nothing");
}

#[test]
fn completions_know_every_command() {
    let ads = Ads::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ads.ok(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{command} in {shell}");
        }
        assert!(script.contains("if-version"), "{shell}");
    }
    assert!(ads.ads(&["completions", "tcsh"]).fails(2).contains("bash"));
    assert!(!ads.path().join("store.db").exists(), "completions open nothing");
}

#[test]
#[cfg(unix)]
fn bash_takes_the_script() {
    let ads = Ads::new();
    let script = ads.file("ads.bash", ads.ok(&["completions", "bash"]));
    let check = format!(
        "source '{script}' && COMP_WORDS=(ads na) COMP_CWORD=1 && _ads ads na ads && echo \"${{COMPREPLY[@]}}\""
    );
    match std::process::Command::new("bash").args(["--norc", "-c", &check]).output() {
        Ok(done) => assert_eq!(String::from_utf8_lossy(&done.stdout), "namespaces\n", "{done:?}"),
        Err(_) => println!("skipped: no bash"),
    }
}
