//! What a worker does and what comes of it, as a line of text for each.

use std::fmt::{Display, Formatter, Result};

/// Nanoseconds by a clock that all processes of a machine share and nobody sets.
pub(crate) type Moment = u64;

pub(crate) fn now() -> Moment {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to the struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A value, for so many milliseconds or, with 0, for ever.
    Set {
        key: String,
        value: u64,
        ttl: u64,
    },
    /// The value alone.
    Get {
        key: String,
    },
    /// Value and version.
    Record {
        key: String,
    },
    /// A value in the place of that which was read with that version; 0 and 0 for none.
    Replace {
        key: String,
        read: u64,
        version: u64,
        value: u64,
    },
    Delete {
        key: String,
    },
    /// Of the registers.
    Clear,
    Increment {
        key: String,
    },
    Append {
        key: String,
        item: u64,
    },
    /// In one transaction, with a note of it.
    Transfer {
        from: String,
        to: String,
        amount: u64,
        id: u64,
    },
    /// All accounts in one walk.
    Audit,
    /// One value for all keys of a namespace, in one batch.
    SetAll {
        value: u64,
    },
    GetAll,
    /// How many of them there are.
    CountAll,
    /// Of that namespace.
    ClearAll,
    /// The numbers of all accounts, read in pages of so many.
    Walk {
        page: u64,
    },
    /// For so many milliseconds unless renewed.
    Lock {
        resource: String,
        ttl: u64,
    },
    Unlock {
        resource: String,
        token: u64,
    },
    Claim,
    Complete {
        task: String,
        attempt: u64,
    },
    /// Back to the others at once.
    Fail {
        task: String,
        attempt: u64,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; a number where there is one: a version, a count, a sum, a length, a token, an attempt.
    Done(u64),
    /// A value and its version, both 0 for none.
    Found(u64, u64),
    /// Several values.
    Values(Vec<u64>),
    /// A task, and which attempt at it this is.
    Task(String, u64),
    /// Refused, with nothing changed: another version, or somebody else's lease.
    Refused,
    /// It may have happened or not, now or later.
    Unknown,
    /// What must not be.
    Failed(String),
}

/// One line of a worker.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Calls { id: u64, at: Moment, call: Call },
    Returns { id: u64, at: Moment, answer: Answer },
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Call::Set { key, value, ttl } => write!(f, "set\t{key}\t{value}\t{ttl}"),
            Call::Get { key } => write!(f, "get\t{key}"),
            Call::Record { key } => write!(f, "record\t{key}"),
            Call::Replace { key, read, version, value } => write!(f, "replace\t{key}\t{read}\t{version}\t{value}"),
            Call::Delete { key } => write!(f, "delete\t{key}"),
            Call::Clear => write!(f, "clear"),
            Call::Increment { key } => write!(f, "increment\t{key}"),
            Call::Append { key, item } => write!(f, "append\t{key}\t{item}"),
            Call::Transfer { from, to, amount, id } => write!(f, "transfer\t{from}\t{to}\t{amount}\t{id}"),
            Call::Audit => write!(f, "audit"),
            Call::SetAll { value } => write!(f, "set-all\t{value}"),
            Call::GetAll => write!(f, "get-all"),
            Call::CountAll => write!(f, "count-all"),
            Call::ClearAll => write!(f, "clear-all"),
            Call::Walk { page } => write!(f, "walk\t{page}"),
            Call::Lock { resource, ttl } => write!(f, "lock\t{resource}\t{ttl}"),
            Call::Unlock { resource, token } => write!(f, "unlock\t{resource}\t{token}"),
            Call::Claim => write!(f, "claim"),
            Call::Complete { task, attempt } => write!(f, "complete\t{task}\t{attempt}"),
            Call::Fail { task, attempt } => write!(f, "fail\t{task}\t{attempt}"),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Answer::Done(number) => write!(f, "done\t{number}"),
            Answer::Found(value, version) => write!(f, "found\t{value}\t{version}"),
            Answer::Values(values) => {
                write!(f, "values")?;
                values.iter().try_for_each(|value| write!(f, "\t{value}"))
            }
            Answer::Task(task, attempt) => write!(f, "task\t{task}\t{attempt}"),
            Answer::Refused => write!(f, "refused"),
            Answer::Unknown => write!(f, "unknown"),
            Answer::Failed(message) => write!(f, "failed\t{}", message.replace(['\n', '\t'], " ")),
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Event::Calls { id, at, call } => write!(f, "calls\t{id}\t{at}\t{call}"),
            Event::Returns { id, at, answer } => write!(f, "returns\t{id}\t{at}\t{answer}"),
        }
    }
}

fn number(word: &str) -> Option<u64> {
    word.parse().ok()
}

impl Event {
    /// `None` for what is no event, as the last line of one who was killed while writing it.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split('\t').collect();
        let [kind, id, at, rest @ ..] = &words[..] else { return None };
        let (id, at) = (number(id)?, number(at)?);
        match *kind {
            "calls" => Some(Self::Calls { id, at, call: Call::parse(rest)? }),
            "returns" => Some(Self::Returns { id, at, answer: Answer::parse(rest)? }),
            _ => None,
        }
    }
}

impl Call {
    fn parse(words: &[&str]) -> Option<Self> {
        let text = |word: &&str| (*word).to_owned();
        Some(match words {
            ["set", key, value, ttl] => Self::Set { key: text(key), value: number(value)?, ttl: number(ttl)? },
            ["get", key] => Self::Get { key: text(key) },
            ["record", key] => Self::Record { key: text(key) },
            ["replace", key, read, version, value] => {
                Self::Replace { key: text(key), read: number(read)?, version: number(version)?, value: number(value)? }
            }
            ["delete", key] => Self::Delete { key: text(key) },
            ["clear"] => Self::Clear,
            ["increment", key] => Self::Increment { key: text(key) },
            ["append", key, item] => Self::Append { key: text(key), item: number(item)? },
            ["transfer", from, to, amount, id] => {
                Self::Transfer { from: text(from), to: text(to), amount: number(amount)?, id: number(id)? }
            }
            ["audit"] => Self::Audit,
            ["set-all", value] => Self::SetAll { value: number(value)? },
            ["get-all"] => Self::GetAll,
            ["count-all"] => Self::CountAll,
            ["clear-all"] => Self::ClearAll,
            ["walk", page] => Self::Walk { page: number(page)? },
            ["lock", resource, ttl] => Self::Lock { resource: text(resource), ttl: number(ttl)? },
            ["unlock", resource, token] => Self::Unlock { resource: text(resource), token: number(token)? },
            ["claim"] => Self::Claim,
            ["complete", task, attempt] => Self::Complete { task: text(task), attempt: number(attempt)? },
            ["fail", task, attempt] => Self::Fail { task: text(task), attempt: number(attempt)? },
            _ => return None,
        })
    }
}

impl Answer {
    fn parse(words: &[&str]) -> Option<Self> {
        Some(match words {
            ["done", count] => Self::Done(number(count)?),
            ["found", value, version] => Self::Found(number(value)?, number(version)?),
            ["values", values @ ..] => Self::Values(values.iter().map(|value| number(value)).collect::<Option<_>>()?),
            ["task", task, attempt] => Self::Task((*task).to_owned(), number(attempt)?),
            ["refused"] => Self::Refused,
            ["unknown"] => Self::Unknown,
            ["failed", message] => Self::Failed((*message).to_owned()),
            _ => return None,
        })
    }
}
