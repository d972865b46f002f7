//! A worker process: threads that call at random, and tell each call and each answer.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agent_data_store::model::{PageSize, Range};
use agent_data_store::{
    AppendOptions, Claim, ClaimOptions, DataStore, Error, ErrorKind, Identity, Json, Lease, LockOptions, Options,
    Result, SetOptions, Store, block_on,
};
use fastrand::Rng;

use crate::clock::JumpingClock;
use crate::event::{Answer, Call, Event, now};

const URL: &str = "ADS_TEST_URL";
const ROUND: &str = "ADS_TEST_ROUND";
const SEED: &str = "ADS_TEST_WORKER_SEED";
const CLOCK: &str = "ADS_TEST_CLOCK";

const THREADS: u64 = 3;

/// What a worker is to do.
pub(crate) struct Task {
    pub(crate) url: String,
    pub(crate) round: u64,
    pub(crate) seed: u64,
    /// The file of the clock by which it goes.
    pub(crate) clock: PathBuf,
}

impl Task {
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let clock = self.clock.display().to_string();
        [(URL, self.url.clone()), (ROUND, self.round.to_string()), (SEED, self.seed.to_string()), (CLOCK, clock)]
    }
}

/// What this process is to do, if it is a worker.
pub(crate) fn task() -> Option<Task> {
    let number = |variable| std::env::var(variable).ok().and_then(|number| number.parse().ok());
    let clock = std::env::var(CLOCK).ok()?.into();
    Some(Task { url: std::env::var(URL).ok()?, round: number(ROUND)?, seed: number(SEED)?, clock })
}

pub(crate) fn json(text: &str) -> Json {
    Json::from_trusted(text)
}

/// Opens a store that goes by the clock in a file.
pub(crate) fn open(url: &str, clock: &Path) -> Store {
    let mut options = Options::default();
    options.clock = Arc::new(JumpingClock::open(clock));
    block_on(Store::open(url, options)).expect("the store opens")
}

/// A namespace of the round.
pub(crate) fn view(store: &Store, namespace: &str, round: u64) -> DataStore {
    let identity = Identity::new("user", Some("tester")).unwrap();
    store.data_store(identity, &format!("{namespace}:{round}")).unwrap()
}

pub(crate) const ACCOUNTS: u64 = 4;
pub(crate) const REGISTERS: u64 = 6;
pub(crate) const TWINS: u64 = 4;
pub(crate) const NOTES: &str = "notes";
/// For how many milliseconds a task is claimed.
pub(crate) const CLAIMED: u64 = 300;

/// What a thread works with.
struct Hands<'a> {
    store: &'a Store,
    round: u64,
    random: Rng,
    /// The last read of a register, for one that replaces it.
    read: Option<(String, u64, u64)>,
    lease: Option<(String, Lease)>,
    claim: Option<Claim>,
}

/// Works until its standard input ends.
pub(crate) fn work(task: &Task) {
    let store = open(&task.url, &task.clock);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let random = Rng::with_seed(task.seed.wrapping_add(thread));
                let mut hands = Hands { store, round: task.round, random, read: None, lease: None, claim: None };
                while !stop.load(Ordering::Relaxed) {
                    let call = hands.choose();
                    hands.call(&call);
                }
                // Nobody gives one back without a word: who says nothing of it any more was killed.
                if let Some(call) = hands.unlock() {
                    hands.call(&call);
                }
            });
        }
        let mut input = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut input);
        stop.store(true, Ordering::Relaxed);
    });
}

/// A number that no other call of any process has: it serves as its name and as its value.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    (u64::from(std::process::id()) << 28) + NEXT.fetch_add(1, Ordering::Relaxed)
}

fn tell(event: &Event) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{event}\n").as_bytes()).and_then(|()| out.flush()).expect("the test listens");
}

fn said(error: &Error) -> Answer {
    match error.kind() {
        ErrorKind::Unavailable => Answer::Unknown,
        ErrorKind::Conflict | ErrorKind::LeaseHeld | ErrorKind::LeaseLost => Answer::Refused,
        _ => Answer::Failed(error.to_string()),
    }
}

fn whole(value: &Json) -> u64 {
    value.as_str().parse().expect("a whole number")
}

impl Hands<'_> {
    fn view(&self, namespace: &str) -> DataStore {
        view(self.store, namespace, self.round)
    }

    fn one_of(&mut self, kind: &str, count: u64) -> String {
        format!("{kind}{}", self.random.u64(..count))
    }

    /// Calls, and tells of it.
    fn call(&mut self, call: &Call) {
        let id = next();
        tell(&Event::Calls { id, at: now(), call: call.clone() });
        let answer = self.carry_out(call).unwrap_or_else(|error| said(&error));
        tell(&Event::Returns { id, at: now(), answer });
    }

    fn unlock(&self) -> Option<Call> {
        let (resource, lease) = self.lease.as_ref()?;
        Some(Call::Unlock { resource: resource.clone(), token: lease.token() })
    }

    fn choose(&mut self) -> Call {
        if self.random.u8(..4) == 0
            && let Some(call) = self.unlock()
        {
            return call;
        }
        if let Some(claim) = &self.claim
            && self.random.u8(..4) == 0
        {
            let (task, attempt) = (claim.key().to_owned(), claim.attempt());
            return if self.random.u8(..4) == 0 {
                Call::Fail { task, attempt }
            } else {
                Call::Complete { task, attempt }
            };
        }
        match self.random.u8(..100) {
            0..12 => {
                let ttl = if self.random.u8(..4) == 0 { self.random.u64(1..60) } else { 0 };
                Call::Set { key: self.one_of("register", REGISTERS), value: next(), ttl }
            }
            12..32 => Call::Get { key: self.one_of("register", REGISTERS) },
            32..44 => Call::Record { key: self.one_of("register", REGISTERS) },
            44..56 => {
                let nothing = self.random.u8(..4) == 0;
                let read = if nothing { Some((self.one_of("register", REGISTERS), 0, 0)) } else { self.read.take() };
                let (key, read, version) = read.unwrap_or_else(|| (self.one_of("register", REGISTERS), 0, 0));
                Call::Replace { key, read, version, value: next() }
            }
            56..62 => Call::Delete { key: self.one_of("register", REGISTERS) },
            62..63 => Call::Clear,
            63..71 => Call::Increment { key: self.one_of("counter", 2) },
            71..75 => Call::Append { key: self.one_of("list", 2), item: next() },
            75..82 => {
                let (from, to) = (self.random.u64(..ACCOUNTS), self.random.u64(1..ACCOUNTS));
                let to = (from + to) % ACCOUNTS;
                let amount = self.random.u64(1..10);
                Call::Transfer { from: format!("account{from}"), to: format!("account{to}"), amount, id: next() }
            }
            82..85 => Call::Audit,
            85..87 => Call::Walk { page: self.random.u64(1..=ACCOUNTS) },
            87..90 => Call::SetAll { value: next() },
            90..92 => Call::GetAll,
            92 => Call::CountAll,
            93 => Call::ClearAll,
            94..96 if self.lease.is_none() => Call::Lock { resource: self.one_of("resource", 2), ttl: 1_000 },
            _ if self.claim.is_none() => Call::Claim,
            _ => Call::Get { key: self.one_of("register", REGISTERS) },
        }
    }

    fn carry_out(&mut self, call: &Call) -> Result<Answer> {
        let set = |version: u64| SetOptions { if_version: Some(version), ..SetOptions::default() };
        Ok(match call {
            Call::Set { key, value, ttl } => {
                let ttl = (*ttl > 0).then(|| Duration::from_millis(*ttl));
                let options = SetOptions { ttl, ..SetOptions::default() };
                Answer::Done(block_on(self.view("registers").set(key, json(&value.to_string()), options))?)
            }
            Call::Get { key } => {
                let value = block_on(self.view("registers").get(key))?;
                Answer::Found(value.as_ref().map_or(0, whole), 0)
            }
            Call::Record { key } => {
                let record = block_on(self.view("registers").get_record(key))?;
                let (value, version) = record.map_or((0, 0), |record| (whole(&record.value), record.version));
                self.read = Some((key.clone(), value, version));
                Answer::Found(value, version)
            }
            Call::Replace { key, version, value, .. } => {
                Answer::Done(block_on(self.view("registers").set(key, json(&value.to_string()), set(*version)))?)
            }
            Call::Delete { key } => Answer::Done(block_on(self.view("registers").delete(key))?.into()),
            Call::Clear => Answer::Done(block_on(self.view("registers").clear())?),
            Call::Increment { key } => {
                Answer::Done(whole(&block_on(self.view("sums").increment(key, json("1"), None))?))
            }
            Call::Append { key, item } => {
                let items = json(&format!("[{item}]"));
                Answer::Done(block_on(self.view("sums").extend(key, items, AppendOptions::default()))?)
            }
            Call::Transfer { from, to, amount, id } => self.transfer(from, to, *amount, *id)?,
            Call::Audit => Answer::Values(self.all("accounts")?),
            Call::SetAll { value } => {
                let value = json(&value.to_string());
                let items = (0..TWINS).map(|key| (format!("twin{key}"), value.clone())).collect();
                Answer::Done(block_on(self.view("twins").set_many(items, None, None))?)
            }
            Call::GetAll => Answer::Values(self.all("twins")?),
            Call::CountAll => Answer::Done(block_on(self.view("twins").count(""))?),
            Call::ClearAll => Answer::Done(block_on(self.view("twins").clear())?),
            Call::Walk { page } => Answer::Values(self.walk(*page)?),
            Call::Lock { resource, ttl } => {
                let wait = Duration::from_millis(if self.random.bool() { 100 } else { 0 });
                let options = LockOptions { ttl: Duration::from_millis(*ttl), wait, ..LockOptions::default() };
                let lease = block_on(self.view("locks").lock(resource, options))?;
                let token = lease.token();
                self.lease = Some((resource.clone(), lease));
                Answer::Done(token)
            }
            Call::Unlock { .. } => match self.lease.take() {
                Some((_, lease)) => block_on(lease.release()).map(|()| Answer::Done(0))?,
                None => Answer::Refused,
            },
            Call::Claim => {
                match block_on(self.view("tasks").claim("", ClaimOptions::new(Duration::from_millis(CLAIMED))))? {
                    Some(claim) => {
                        let answer = Answer::Task(claim.key().to_owned(), claim.attempt());
                        self.claim = Some(claim);
                        answer
                    }
                    None => Answer::Done(0),
                }
            }
            Call::Complete { .. } => match self.claim.take() {
                Some(claim) => block_on(claim.complete(None)).map(|()| Answer::Done(0))?,
                None => Answer::Refused,
            },
            Call::Fail { .. } => match self.claim.take() {
                Some(claim) => block_on(claim.fail("given back", Some(Duration::ZERO))).map(|()| Answer::Done(0))?,
                None => Answer::Refused,
            },
        })
    }

    fn all(&self, namespace: &str) -> Result<Vec<u64>> {
        Ok(block_on(self.view(namespace).get_all())?.iter().map(|(_, value)| whole(value)).collect())
    }

    fn walk(&self, page: u64) -> Result<Vec<u64>> {
        let view = self.view("accounts");
        let page = PageSize { rows: usize::try_from(page).unwrap_or(usize::MAX), ..PageSize::ALL };
        let (mut numbers, mut after) = (Vec::new(), None::<Box<str>>);
        loop {
            let found = block_on(view.records(Range { prefix: "", after: after.as_deref() }, page))?;
            let number = |key: &str| key.trim_start_matches("account").parse::<u64>().expect("a number");
            numbers.extend(found.rows.iter().map(|record| number(&record.key)));
            after = found.rows.last().map(|record| record.key.clone());
            if !found.more {
                return Ok(numbers);
            }
        }
    }

    /// Reads both accounts and writes both, and a note that it was done.
    fn transfer(&self, from: &str, to: &str, amount: u64, id: u64) -> Result<Answer> {
        let view = self.view("accounts");
        let work = async |tx: &agent_data_store::Transaction| -> Result<bool> {
            let balance = async |key: &str| -> Result<u64> { Ok(tx.get(key).await?.as_ref().map_or(0, whole)) };
            let (left, right) = (balance(from).await?, balance(to).await?);
            let Some(rest) = left.checked_sub(amount) else { return Ok(false) };
            tx.set(from, json(&rest.to_string()), SetOptions::default())?;
            tx.set(to, json(&(right + amount).to_string()), SetOptions::default())?;
            let note = json(&format!("[{id}]"));
            tx.use_namespace(&format!("sums:{}", self.round))?.extend(NOTES, note, AppendOptions::default()).await?;
            Ok(true)
        };
        let moved = block_on(view.transact(work, |error| error.kind() == ErrorKind::Conflict))?;
        Ok(if moved { Answer::Done(1) } else { Answer::Refused })
    }
}
