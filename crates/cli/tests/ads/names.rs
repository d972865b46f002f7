//! Who and where: options, the environment, odd names.

use serde_json::json;

use crate::Ads;

#[test]
fn options_come_before_the_environment_and_that_before_defaults() {
    let ads = Ads::new();
    let call = |args: &[&str]| {
        let mut command = ads.command(args);
        command
            .env("AGENT_DATA_STORE_USER", "alice")
            .env("AGENT_DATA_STORE_NAMESPACE", "notes")
            .env("AGENT_DATA_STORE_AGENT", "scribe");
        assert!(command.status().expect("ads starts").success(), "{args:?}");
    };
    call(&["set", "env", "1"]);
    call(&["set", "opt", "1", "--user", "bob", "--namespace", "other", "--agent", "clerk"]);
    let record = ads.json(&["record", "env", "--user", "alice", "-n", "notes"]);
    assert_eq!(record["createdByAgent"], "scribe");
    let record = ads.json(&["record", "opt", "--user", "bob", "-n", "other"]);
    assert_eq!(record["createdByAgent"], "clerk");
    assert_eq!(ads.json(&["keys"]), json!([]));
}

#[test]
fn an_empty_variable_is_not_set_but_an_empty_option_is_refused() {
    let ads = Ads::new();
    let mut command = ads.command(&["set", "k", "1"]);
    command.env("AGENT_DATA_STORE_USER", "").env("AGENT_DATA_STORE_NAMESPACE", "").env("AGENT_DATA_STORE_AGENT", "");
    assert!(command.status().expect("ads starts").success());
    assert_eq!(ads.ok(&["get", "k", "--user", "default", "-n", "default"]), "1\n");
    assert_eq!(ads.json(&["record", "k"])["createdByAgent"], json!(null));
    for option in ["--user", "--namespace", "--agent"] {
        assert!(ads.ads(&["clear", "--yes", option, ""]).fails(2).contains("empty"), "{option}");
    }
    assert_eq!(ads.ok(&["keys"]), "k\n");
}

#[test]
fn without_a_url_the_store_is_a_file_in_the_data_folder() {
    let ads = Ads::new();
    for (args, out) in [(["set", "k", "1"].as_slice(), ""), (&["get", "k"], "1\n")] {
        let mut command = ads.command(args);
        command.env_remove("AGENT_DATA_STORE_URL").env("XDG_DATA_HOME", ads.path().join("data"));
        let done = command.output().expect("ads starts");
        assert_eq!(String::from_utf8_lossy(&done.stdout), out, "{done:?}");
    }
    assert!(!ads.path().join("store.db").exists());
    assert_eq!(ads.ads(&["get", "k"]).code, 1);
}

#[test]
fn odd_names_never_collide() {
    let ads = Ads::new();
    let names = [
        "a:b",
        "a",
        "a/b",
        "a%2Fb",
        " ",
        "a b",
        "🦀",
        "\"'`$(x)",
        "עברית",
        "\u{202e}rtl",
        "new\nline",
        "\u{1b}[2J",
        "-dash",
        "\\n",
        "default",
        "é",
        "e\u{301}",
    ];
    for (index, name) in names.iter().enumerate() {
        // Behind an equals sign, since a name may begin with a dash.
        let (user, namespace) = (format!("--user={name}"), format!("--namespace={name}"));
        ads.ok(&["set", &user, &namespace, "--", name, &index.to_string()]);
    }
    for (index, name) in names.iter().enumerate() {
        let (user, namespace) = (format!("--user={name}"), format!("--namespace={name}"));
        assert_eq!(ads.ok(&["get", &user, &namespace, "--", name]).trim_end(), index.to_string(), "{name:?}");
        assert_eq!(ads.json(&["keys", &user, &namespace]), json!([name]));
        assert_eq!(ads.json(&["namespaces", &user])[0]["namespace"], *name);
        let record = ads.json(&["record", &user, &namespace, "--", name]);
        assert_eq!((&record["userId"], &record["key"]), (&json!(name), &json!(name)));
    }
}

#[test]
fn no_name_leaves_its_line() {
    let ads = Ads::new();
    ads.ok(&["set", "new\nline", "1", "-n", "names\u{1b}[2J\u{202e}"]);
    assert_eq!(ads.ok(&["keys", "-n", "names\u{1b}[2J\u{202e}"]), "new\\nline\n");
    let table = ads.ok(&["namespaces"]);
    assert!(table.contains("names\\u001b[2J\\u202e ") && table.lines().count() == 2, "{table:?}");
    let record = ads.ok(&["record", "new\nline", "-n", "names\u{1b}[2J\u{202e}"]);
    assert!(!record.contains(['\u{1b}', '\u{202e}']), "{record:?}");
}
