//! Asks a server over connections that stay open, and says how fast it answers: the same for every server and protocol, so
//! that what it costs itself is the same for all. One JSON request on stdin, one JSON answer on stdout.
//!
//! One thread: client and server share the processors. Each connection has one request under way at a time, sends it with
//! one write, and takes its answer in before the next.

mod answer;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Answer, Protocol};

/// How long it asks before what counts.
const WARM_UP: f64 = 0.2;
/// An answer of the usual size comes with one read.
const ANSWER_BYTES: usize = 64 << 10;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is asked, and how.
#[derive(Deserialize)]
struct Plan {
    address: String,
    protocol: Protocol,
    connections: usize,
    seconds: f64,
    /// Whole requests as they are sent, taken in turn by all connections together.
    requests: Vec<String>,
}

/// What all connections share.
struct Run {
    plan: Plan,
    next: Cell<usize>,
    counted_from: Instant,
    until: Instant,
    nanos: RefCell<Vec<u64>>,
    sample: RefCell<Option<String>>,
}

fn main() -> Result<()> {
    let plan: Plan = serde_json::from_reader(std::io::stdin().lock())?;
    if plan.requests.is_empty() {
        return Err("there are no requests".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let run = tokio::task::LocalSet::new().block_on(&runtime, ask(plan))?;
    let mut nanos = run.nanos.take();
    nanos.sort_unstable();
    let percentile = |percent: usize| nanos.get(nanos.len() * percent / 100).map(|nanos| *nanos as f64 / 1e9);
    let answer = json!({
        "answers": nanos.len(),
        "per_second": nanos.len() as f64 / run.plan.seconds,
        "p50": percentile(50),
        "p99": percentile(99),
        "sample": run.sample.take(),
    });
    println!("{answer}");
    Ok(())
}

async fn ask(plan: Plan) -> Result<Rc<Run>> {
    let mut streams = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(&plan.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let counted_from = Instant::now() + Duration::try_from_secs_f64(WARM_UP)?;
    let until = counted_from + Duration::try_from_secs_f64(plan.seconds)?;
    let (next, nanos, sample) = Default::default();
    let run = Rc::new(Run { plan, next, counted_from, until, nanos, sample });
    let asking: Vec<_> =
        streams.into_iter().map(|stream| tokio::task::spawn_local(converse(stream, Rc::clone(&run)))).collect();
    for connection in asking {
        connection.await??;
    }
    Ok(run)
}

/// One connection, until the time is up.
async fn converse(mut stream: TcpStream, run: Rc<Run>) -> Result<()> {
    let mut buffer = vec![0; ANSWER_BYTES];
    loop {
        let turn = run.next.replace(run.next.get() + 1) % run.plan.requests.len();
        let asked = Instant::now();
        stream.write_all(run.plan.requests[turn].as_bytes()).await?;
        let answer = receive(&mut stream, &mut buffer, run.plan.protocol).await?;
        let answered = Instant::now();
        if !answer.is_good {
            return Err(format!("answered with {}", String::from_utf8_lossy(&buffer[..answer.length])).into());
        }
        if turn == 0 && run.sample.borrow().is_none() {
            *run.sample.borrow_mut() = Some(String::from_utf8_lossy(&buffer[answer.body..answer.length]).into_owned());
        }
        if answered >= run.until {
            return Ok(());
        }
        if answered >= run.counted_from {
            run.nanos.borrow_mut().push(u64::try_from((answered - asked).as_nanos())?);
        }
    }
}

/// Takes in one answer, from the start of the buffer on.
async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>, protocol: Protocol) -> Result<Answer> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Err("the server has closed the connection".into());
        }
        filled += count;
        match protocol.answer(&buffer[..filled])? {
            Some(answer) if answer.length == filled => return Ok(answer),
            Some(_) => return Err("more was answered than asked".into()),
            None => {}
        }
    }
}
