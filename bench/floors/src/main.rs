//! Answers the bench's worker: one JSON request a line on stdin, one JSON answer a line on stdout. The time in an
//! answer is taken here, around the native calls alone; reading the request is not part of it.

mod disk;
mod sqlite;
mod store;

use std::io::{BufRead, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: floors <folder>")?);
    let mut store = store::Store::open(&folder.join("store.db"))?;
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(Error::from)
            .and_then(|request| answer(&mut store, &folder, &request))
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn answer(store: &mut store::Store, folder: &std::path::Path, request: &Value) -> Result<Value, Error> {
    let verb = request["verb"].as_str().unwrap_or_default();
    match verb {
        "version" => Ok(json!({ "version": sqlite::version() })),
        "fdatasync" => {
            let append = request["mode"] == "append";
            let count = request["count"].as_u64().unwrap_or(0);
            Ok(json!({ "seconds": disk::fdatasync(folder, append, count)?.as_secs_f64() }))
        }
        "fill" => {
            let texts = strings(&request["texts"])?;
            let number = |name: &str| request[name].as_u64().ok_or("a number is missing");
            store.use_namespace(text(&request["namespace"])?);
            store.fill(number("start")?, number("count")?, &texts)?;
            Ok(json!({}))
        }
        "count" => {
            let moment = |name: &str| request[name].as_f64().ok_or("a moment is missing");
            store.use_namespace(text(&request["namespace"])?);
            let is_kept = request["kept"] == true;
            let found = store.count(text(&request["key"])?, moment("start")?, moment("end")?, is_kept)?;
            store.checkpoint()?;
            Ok(json!({ "found": found }))
        }
        _ => {
            store.use_namespace(text(&request["namespace"])?);
            let calls = request["calls"].as_array().ok_or("calls are missing")?;
            let checkpoints = request["checkpoints"] == true;
            store.checkpoint_in_commits(checkpoints)?;
            let (seconds, found) = store.time(verb, calls)?;
            if !checkpoints {
                // Others do this in the background; here it is simply not timed.
                store.checkpoint()?;
            }
            Ok(json!({ "seconds": seconds.as_secs_f64(), "found": found }))
        }
    }
}

pub(crate) fn text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| "a string is missing".into())
}

pub(crate) fn strings(value: &Value) -> Result<Vec<&str>, Error> {
    value.as_array().ok_or("a list is missing")?.iter().map(text).collect()
}
