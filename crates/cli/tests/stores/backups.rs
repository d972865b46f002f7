//! `ads backup` and `ads restore`: what was acknowledged before is in the backup, and nothing sound is lost for it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use agent_data_store::model::{PageSize, Range};
use agent_data_store::{Json, block_on};
use agent_data_store_testing::postgres::Database;

use crate::support::{Ads, assert_same, close, everything, fill, json, open, set, view};

fn files_in(folder: &Path) -> Vec<String> {
    let entry = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(entry).collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_a_store_file_of_its_own_and_makes_the_same_store_again() {
    let ads = Ads::new();
    std::fs::create_dir(ads.path("backups")).unwrap();
    let (store, file) = (ads.url("store.db"), ads.path("backups/1.db"));
    fill(&store);
    ads.json(&["token", "create", "--user", "alice", "--store", &store]);
    let done = ads.json(&["backup", &store, file.to_str().unwrap()]);
    let before = everything(&store);
    assert_eq!((done["users"].as_u64(), &done["checked"]), (Some(before.len() as u64), &true.into()));
    assert_eq!(files_in(&ads.path("backups")), ["1.db"], "nothing lies beside it");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(done["fileBytes"], std::fs::metadata(&file).unwrap().len());

    let kept = std::fs::read(&file).unwrap();
    let back = ads.url("back.db");
    let restored = ads.json(&["restore", file.to_str().unwrap(), &back]);
    assert_eq!(restored["records"], done["records"]);
    assert!(std::fs::read(&file).unwrap() == kept, "restoring leaves the backup as it is");
    assert_same(&store, &back);
    assert_eq!(changes(&store), changes(&back), "with the whole change feed");
    // Where nothing can be written beside it, another tool reads it all the same.
    let reader = rusqlite::Connection::open_with_flags(&file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let records: u64 = reader.query_row("SELECT count(*) FROM records", (), |row| row.get(0)).unwrap();
    assert!(records >= restored["records"].as_u64().unwrap());
    assert_eq!(files_in(&ads.path("backups")), ["1.db"]);
    assert_same(&store, &agent_data_store::sqlite_url(&file));
}

fn changes(url: &str) -> Vec<agent_data_store::model::Change> {
    let store = open(url);
    let users = block_on(store.engine().users(Range::default(), PageSize::ALL)).unwrap().rows;
    let feed = |user: &str| block_on(store.engine().changes(user, 0, usize::MAX)).unwrap().changes;
    let changes = users.iter().flat_map(|user| feed(user)).collect();
    close(store);
    changes
}

#[test]
fn a_backup_of_a_database_makes_the_same_store_in_another() {
    let Some(database) = Database::find() else { return };
    let (one, other) = (database.schema("pool_size=3"), database.schema("pool_size=3"));
    let ads = Ads::new();
    fill(&one.url);
    let file = ads.path("backup.db");
    let file = file.to_str().unwrap();
    let done = ads.json(&["backup", &one.url, file]);
    let restored = ads.json(&["restore", file, &other.url]);
    assert_eq!(done["records"], restored["records"]);
    assert_same(&one.url, &other.url);
    let in_a_file = ads.url("store.db");
    ads.json(&["restore", file, &in_a_file]);
    assert_same(&one.url, &in_a_file);
    assert!(ads.fails(2, &["restore", file, &one.url]).contains("not empty"));
    assert!(ads.fails(2, &["restore", file, &other.url, "--overwrite"]).contains("only a store in a file is replaced"));
}

#[test]
fn nothing_that_is_there_is_replaced_unless_that_is_said() {
    let ads = Ads::new();
    let [store, other] = ["store.db", "other.db"].map(|name| ads.url(name));
    fill(&store);
    let file = ads.path("backup.db");
    let file = file.to_str().unwrap();
    ads.json(&["backup", &store, file]);
    let kept = std::fs::read(file).unwrap();
    assert!(ads.fails(2, &["backup", &store, file]).contains("this is there already"));
    assert!(std::fs::read(file).unwrap() == kept);
    set(&view(&open(&store), "plain", None, "new"), "a", "1");
    ads.json(&["backup", &store, file, "--overwrite"]);
    assert!(std::fs::read(file).unwrap() != kept);

    let used = open(&other);
    set(&view(&used, "user", None, "n"), "a", "1");
    close(used);
    let before = everything(&other);
    assert!(ads.fails(2, &["restore", file, &other]).contains("this is there already"));
    assert_eq!(everything(&other), before);
    assert!(
        ads.fails(2, &["backup", &store, &ads.path("store.db").display().to_string(), "--overwrite"])
            .contains("the store itself")
    );
    assert!(ads.fails(2, &["restore", file, file, "--overwrite"]).contains("the store itself"));

    // Somebody has it open, in another process.
    let mut server = serve(&ads, &other);
    assert!(ads.fails(6, &["restore", file, &other, "--overwrite"]).contains("the store is in use"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(everything(&other), before);
    ads.json(&["restore", file, &other, "--overwrite"]);
    assert_same(&store, &other);
    let names = files_in(ads.path("x").parent().unwrap());
    assert!(names.iter().all(|name| !name.contains("partial")), "{names:?}");
}

fn serve(ads: &Ads, url: &str) -> Child {
    let mut command = ads.command(&["serve", "--json", "--listen", "127.0.0.1:0", "--store", url]);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    server
}

#[test]
fn what_is_no_sound_store_takes_no_place() {
    let ads = Ads::new();
    let store = ads.url("store.db");
    fill(&store);
    let good = ads.path("good.db");
    let good = good.to_str().unwrap();
    ads.json(&["backup", &store, good]);
    let kept = std::fs::read(good).unwrap();

    let connection = rusqlite::Connection::open(ads.path("store.db")).unwrap();
    connection.execute("UPDATE records SET value = '{' WHERE key = 'plain'", ()).unwrap();
    connection.close().unwrap();
    let refused = ads.fails(7, &["backup", &store, good, "--overwrite"]);
    assert!(refused.contains("has problems, the first of") && refused.contains("nothing was written"), "{refused}");
    assert!(std::fs::read(good).unwrap() == kept, "the sound backup stays");
    let bad = ads.path("bad.db");
    ads.json(&["backup", &store, bad.to_str().unwrap(), "--unchecked"]);
    ads.fails(7, &["restore", bad.to_str().unwrap(), &ads.url("new.db")]);
    assert!(!ads.path("new.db").exists());

    // A damaged store is what backups are for.
    std::fs::write(ads.path("store.db"), "not even a database").unwrap();
    ads.json(&["restore", good, &store, "--overwrite"]);
    assert_same(&store, &agent_data_store::sqlite_url(Path::new(good)));

    for (name, content) in [("text", "not a store"), ("cut", &String::from_utf8_lossy(&kept[..64]))] {
        let file = ads.path(name);
        std::fs::write(&file, content).unwrap();
        ads.fails(7, &["restore", file.to_str().unwrap(), &ads.url("new.db")]);
    }
    ads.fails(2, &["restore", ads.path("missing.db").to_str().unwrap(), &ads.url("new.db")]);
    ads.fails(6, &["backup", &store, ads.path("no folder/x.db").to_str().unwrap()]);
    assert!(!ads.path("new.db").exists());

    // The log of a store that was there would be taken for one of the new store.
    std::fs::write(ads.path("new.db-wal"), "left over").unwrap();
    assert!(ads.fails(2, &["restore", good, &ads.url("new.db")]).contains("the log of a store that was here"));
    ads.json(&["restore", good, &ads.url("new.db"), "--overwrite"]);
    assert_same(&store, &ads.url("new.db"));
}

const WRITER: &str = "ADS_TEST_WRITER";

/// Run by [`a_backup_holds_all_that_was_acknowledged_before_it`] in processes of its own: writes pairs of records and prints
/// the number of each when it is acknowledged, until nobody listens.
#[test]
fn writer() {
    let Ok(told) = std::env::var(WRITER) else { return };
    let (name, url) = told.split_once(' ').unwrap();
    let store = open(url);
    let pairs = view(&store, name, Some("writer"), "pairs");
    for number in 0u64.. {
        let key = |side: &str| (format!("{side} {number:08}"), json(&number.to_string()));
        block_on(pairs.set_many(vec![key("left"), key("right")], None, None)).expect("set_many");
        if writeln!(std::io::stdout(), "{number}").and_then(|()| std::io::stdout().flush()).is_err() {
            break;
        }
    }
}

struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writer {
    fn start(name: &str, url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "backups::writer", "--nocapture"]).env(WRITER, format!("{name} {url}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on to the next number that was acknowledged.
    fn next(&mut self) -> u64 {
        self.lines.by_ref().find_map(|line| line.unwrap().trim().parse().ok()).expect("a number")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_backup_holds_all_that_was_acknowledged_before_it() {
    let ads = Ads::new();
    let store = ads.url("store.db");
    fill(&store);
    let names = ["one", "two"];
    let mut writers = names.map(|name| Writer::start(name, &store));
    for round in 0..4 {
        let acknowledged = writers.each_mut().map(|writer| (0..20).map(|_| writer.next()).last().unwrap());
        let file = ads.path(&format!("{round}.db"));
        ads.json(&["backup", &store, file.to_str().unwrap()]);
        let back = ads.url(&format!("back {round}.db"));
        ads.json(&["restore", file.to_str().unwrap(), &back]);
        let restored = open(&back);
        let now = open(&store);
        for (name, acknowledged) in names.iter().zip(acknowledged) {
            let pairs = block_on(view(&restored, name, None, "pairs").get_all()).unwrap();
            let written: u64 = pairs.len() as u64 / 2;
            assert!(written > acknowledged, "{written} pairs of {name}, {acknowledged} were acknowledged");
            for number in 0..written {
                for side in ["left", "right"] {
                    let key = format!("{side} {number:08}");
                    let found =
                        pairs.iter().find(|(found, _)| **found == *key).map(|(_, value): &(_, Json)| value.as_str());
                    assert_eq!(found, Some(number.to_string().as_str()), "{key} of {name}");
                }
            }
            assert_eq!(pairs.len() as u64, 2 * written, "whole pairs, and none without those before it");
            assert!(block_on(view(&now, name, None, "pairs").count("")).unwrap() >= pairs.len() as u64);
        }
        close(restored);
        close(now);
    }
}

#[test]
fn a_backup_that_is_killed_leaves_no_file_under_its_name() {
    let ads = Ads::new();
    let store = ads.url("store.db");
    fill(&store);
    let before = everything(&store);
    let file = ads.path("backup.db");
    let mut whole = 0;
    for _ in 0..8 {
        let mut child = ads
            .command(&["backup", &store, file.to_str().unwrap()])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // As soon as it has begun to write.
        while child.try_wait().unwrap().is_none() {
            if files_in(file.parent().unwrap()).iter().any(|name| name.contains("partial")) {
                child.kill().unwrap();
            }
        }
        if file.exists() {
            whole += 1;
            assert_same(&store, &agent_data_store::sqlite_url(&file));
            std::fs::remove_file(&file).unwrap();
        }
    }
    assert!(whole < 8, "some were killed");
    assert_eq!(everything(&store), before);
    ads.json(&["backup", &store, file.to_str().unwrap()]);
    assert_same(&store, &agent_data_store::sqlite_url(&file));
}
