//! Answers the bench's worker as `floors` does: one JSON request a line on stdin, one JSON answer a line on stdout. The
//! time in an answer is taken here, around the calls of the crate alone.

mod ours;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ours::{Call, Ours, Way};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    const USAGE: &str = "usage: bench-native <folder> <cache bytes>";
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let cache_bytes = arguments.next().and_then(|bytes| bytes.to_str()?.parse().ok()).ok_or(USAGE)?;
    let ours = Ours::open(&folder.join("store.db"), cache_bytes)?;
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(Error::from)
            .and_then(|request| answer(&ours, &request))
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(ours.close()?)
}

fn answer(ours: &Ours, request: &Value) -> Result<Value, Error> {
    match request["verb"].as_str().unwrap_or_default() {
        "version" => Ok(json!({ "version": env!("CARGO_PKG_VERSION") })),
        "fill" => {
            ours.fill(number(request, "start")?, number(request, "count")?, &strings(&request["texts"])?)?;
            Ok(json!({}))
        }
        "get" | "set" | "mixed" => {
            let calls = request["calls"].as_array().ok_or("calls are missing")?;
            let calls = calls.iter().map(call).collect::<Result<Vec<_>, _>>()?;
            let way = match request["way"].as_str() {
                None => Way::Agent,
                Some("administrator") => Way::Administrator,
                Some("cache") => Way::Cache,
                Some(way) => return Err(format!("there is no way {way:?}").into()),
            };
            let spent = ours.time(calls, way)?;
            Ok(json!({
                "seconds": (spent.reading + spent.writing).as_secs_f64(),
                "reading": spent.reading.as_secs_f64(),
                "found": spent.found,
            }))
        }
        "read_on" => {
            let keys = request["keys"].as_array().ok_or("keys are missing")?;
            let keys = keys.iter().map(strings).collect::<Result<Vec<_>, _>>()?;
            let during = Duration::from_secs_f64(request["during"].as_f64().ok_or("a duration is missing")?);
            let reads = ours.read_on(&keys, during)?;
            Ok(json!({ "per_second": reads }))
        }
        "read_twice" => {
            ours.read_twice(number(request, "start")?, number(request, "count")?)?;
            Ok(json!({}))
        }
        "cache" => {
            let stats = ours.cache_stats();
            Ok(json!({ "hits": stats.hits, "misses": stats.misses, "bytes": stats.bytes }))
        }
        verb => Err(format!("there is no verb {verb:?}").into()),
    }
}

fn call(call: &Value) -> Result<Call<'_>, Error> {
    Ok(match call.get(1) {
        None => Call::Get(text(&call[0])?),
        Some(value) => Call::Set(text(&call[0])?, text(value)?),
    })
}

fn number(request: &Value, name: &str) -> Result<u64, Error> {
    request[name].as_u64().ok_or_else(|| format!("{name} is missing").into())
}

fn text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| "a string is missing".into())
}

fn strings(value: &Value) -> Result<Vec<&str>, Error> {
    value.as_array().ok_or("a list is missing")?.iter().map(text).collect()
}
