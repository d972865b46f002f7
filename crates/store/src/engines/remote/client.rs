//! One call: sent, answered, and repeated where that can help and does no harm.

use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, LINK, RETRY_AFTER};
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::address::Address;
use super::connect::Connections;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Version;
use crate::token::Token;
use crate::wire;

/// For how long a call is repeated: about as long as a server takes to start again.
const REPEATED_FOR: Duration = Duration::from_secs(10);
/// The same for the first call of all: nobody knows yet whether there is a server.
const FIRST_REPEATED_FOR: Duration = Duration::from_secs(2);
/// The pause before the first repetition; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const USER: HeaderName = HeaderName::from_static("x-user-id");
const AGENT: HeaderName = HeaderName::from_static("x-agent-name");
const REQUEST: HeaderName = HeaderName::from_static("idempotency-key");
const EXPIRES_AT: HeaderName = HeaderName::from_static("x-expires-at");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The code of the answer that there is no such record.
const NO_RECORD: &str = "not_found";

/// The start of a name that is percent-encoded, as RFC 8187 writes those that a header cannot hold as they are.
const ENCODED: &str = "UTF-8''";

/// Calls one server.
pub(super) struct Client {
    address: Address,
    connections: Connections,
    authorization: Option<HeaderValue>,
    /// The connections; `None` once closed. Read for as long as a request is under way.
    pool: RwLock<Option<Agent>>,
}

/// What is asked of the server.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Path and query, below the base.
    pub(super) path: String,
    pub(super) user: Option<&'a str>,
    pub(super) agent: Option<&'a str>,
    /// The id under which it is applied once.
    pub(super) request: Option<&'a str>,
    /// JSON.
    pub(super) body: Option<String>,
    /// Whether it may come to the server twice.
    pub(super) repeatable: bool,
}

impl<'a> Call<'a> {
    pub(super) fn get(user: &'a str, path: String) -> Self {
        Self { method: Method::GET, path, user: Some(user), agent: None, request: None, body: None, repeatable: true }
    }

    pub(super) fn post(user: &'a str, path: &str, body: String) -> Self {
        let path = path.to_owned();
        Self { method: Method::POST, path, body: Some(body), ..Self::get(user, String::new()) }
    }
}

/// What the server answered, if it is not an error.
#[derive(Debug)]
pub(super) struct Reply {
    /// Whether there is such a record.
    pub(super) found: bool,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What a call came to that could be had again.
enum Failed {
    /// It would fail again.
    ForGood(Error),
    /// It may not, after the pause that the server asks for, if it does.
    ForNow { error: Error, pause: Option<Duration>, maybe_applied: bool },
}

/// Keeps everyone from calling; see [`Client::hold`].
pub(super) struct Held<'a>(#[allow(dead_code, reason = "held, not read")] RwLockWriteGuard<'a, Option<Agent>>);

impl Client {
    pub(super) fn new(address: Address, token: Option<&Token>) -> Result<Self> {
        let connections = Connections::to(&address)?;
        let authorization = token.map(|token| HeaderValue::from_str(&format!("Bearer {}", token.as_str())));
        let mut authorization = authorization
            .transpose()
            .map_err(|_| Error::invalid("token is not one: give it as the server showed it"))?;
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        let pool = RwLock::new(Some(connections.pool(Duration::ZERO)));
        Ok(Self { address, connections, authorization, pool })
    }

    /// Makes a call, again and again if need be.
    pub(super) fn call(&self, call: &Call<'_>) -> Result<Reply> {
        self.call_for(call, REPEATED_FOR)
    }

    /// Makes the first call.
    pub(super) fn first_call(&self, call: &Call<'_>) -> Result<Reply> {
        self.call_for(call, FIRST_REPEATED_FOR)
    }

    fn call_for(&self, call: &Call<'_>, repeated_for: Duration) -> Result<Reply> {
        let mut retry = Retry::new(repeated_for.min(self.address.timeout));
        loop {
            let (error, pause) = match self.attempt(call) {
                Ok(reply) => return Ok(reply),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow { error, maybe_applied: true, .. }) if !call.repeatable => return Err(error),
                Err(Failed::ForNow { error, pause, .. }) => (error, pause),
            };
            match retry.pause(pause) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(error),
            }
        }
    }

    fn attempt(&self, call: &Call<'_>) -> Result<Reply, Failed> {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        let pool = pool.as_ref().ok_or_else(|| Failed::ForGood(closed()))?;
        self.send(pool, call)
    }

    /// Connections of their own for calls that wait for something, and that may have to be cut off.
    pub(super) fn waiting_pool(&self, waiting: Duration) -> Agent {
        self.connections.pool(waiting)
    }

    /// Makes a call once, on those connections; the error says whether another time can help.
    pub(super) fn call_once(&self, pool: &Agent, call: &Call<'_>) -> Result<Reply, (Error, bool)> {
        self.send(pool, call).map_err(|failed| match failed {
            Failed::ForGood(error) => (error, false),
            Failed::ForNow { error, .. } => (error, true),
        })
    }

    fn send(&self, pool: &Agent, call: &Call<'_>) -> Result<Reply, Failed> {
        let mut request =
            http::Request::builder().method(call.method.clone()).uri(format!("{}{}", self.address.base, call.path));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (header, name) in [(USER, call.user), (AGENT, call.agent), (REQUEST, call.request)] {
            if let Some(name) = name {
                request = request.header(header, header_text(name));
            }
        }
        let unsendable = |source: http::Error| {
            Failed::ForGood(Error::invalid("a name or prefix is too long for a server: shorten it").caused_by(source))
        };
        let response = match &call.body {
            None => pool.run(request.body(()).map_err(unsendable)?),
            Some(body) => pool.run(request.header(CONTENT_TYPE, JSON).body(body.as_str()).map_err(unsendable)?),
        };
        let response = response.map_err(|error| self.unanswered(error))?;
        let (head, mut body) = response.into_parts();
        // What the server may send is bounded by what it stores.
        let body = body.with_config().limit(u64::MAX).read_to_vec().map_err(|error| self.unanswered(error))?;
        self.judge(head.status, head.headers, body)
    }

    fn judge(&self, status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Result<Reply, Failed> {
        let is_ours = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
        if status.is_success() && (is_ours || status == StatusCode::NO_CONTENT) {
            return Ok(Reply { found: true, headers, body });
        }
        if is_ours && status == StatusCode::NOT_FOUND && member(&body, "code").is_some_and(|code| code == NO_RECORD) {
            return Ok(Reply { found: false, headers, body });
        }
        let pause = headers.get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let for_now =
            |error, maybe_applied| Failed::ForNow { error, pause: pause.map(Duration::from_secs), maybe_applied };
        let place = &self.address.place;
        if is_ours && let Some(error) = wire::read_error("detail", &body) {
            return Err(match error.kind() {
                ErrorKind::Unavailable => for_now(error, true),
                _ => Failed::ForGood(error),
            });
        }
        let detail =
            is_ours.then(|| member(&body, "detail")).flatten().map_or_else(String::new, |detail| format!(": {detail}"));
        let error = Error::unavailable(format!(
            "the server at {place} answered {}, and not as an agent data store of this version does{detail}: check the \
             URL, and what stands between",
            status.as_u16()
        ));
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS => for_now(
                Error::unavailable(format!("the server at {place} is asked too often{detail}: try later")),
                false,
            ),
            status if status.is_server_error() => for_now(error, true),
            _ => Failed::ForGood(error),
        })
    }

    fn unanswered(&self, error: ureq::Error) -> Failed {
        let Address { base, place, timeout, .. } = &self.address;
        let for_now = |message: String, maybe_applied, source: ureq::Error| Failed::ForNow {
            error: Error::unavailable(message).caused_by(source),
            pause: None,
            maybe_applied,
        };
        let unreachable =
            |why: &str| format!("cannot reach the server at {place}: {why}: check that it runs, and the URL");
        match error {
            ureq::Error::Io(ref source)
                if base.starts_with("https:") && source.kind() == std::io::ErrorKind::InvalidData =>
            {
                let message =
                    format!("the server at {place} cannot be trusted: {source}: check its certificate, or ca_file");
                Failed::ForGood(Error::unavailable(message).caused_by(error))
            }
            ureq::Error::Io(ref source) => {
                let before = source.kind() == std::io::ErrorKind::ConnectionRefused;
                for_now(unreachable(&source.to_string()), !before, error)
            }
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                for_now(unreachable("host not found"), false, error)
            }
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                for_now(unreachable("no connection in time"), false, error)
            }
            ureq::Error::Timeout(_) => {
                let message =
                    format!("the server at {place} did not answer within {timeout:?}: try again, or raise timeout");
                for_now(message, true, error)
            }
            _ => for_now(unreachable("what it sends is not HTTP"), true, error),
        }
    }

    /// The error for an answer that is in order as such, but not what was asked for.
    pub(super) fn not_understood(&self) -> Error {
        Error::unavailable(format!(
            "the answer of the server at {} is not that of an agent data store of this version: check the URL",
            self.address.place
        ))
    }

    /// The server's URL without parameters.
    pub(super) fn base(&self) -> &str {
        &self.address.base
    }

    pub(super) fn check_open(&self) -> Result<()> {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        pool.as_ref().map(drop).ok_or_else(closed)
    }

    /// Waits for the requests under way, lets go of all connections, and keeps everyone from making others.
    pub(super) fn hold(&self) -> Held<'_> {
        let mut pool = self.pool.write().unwrap_or_else(PoisonError::into_inner);
        // Without a connection yet.
        *pool = pool.is_some().then(|| self.connections.pool(Duration::ZERO));
        Held(pool)
    }

    /// Waits for the requests under way, and lets go of everything for good.
    pub(super) fn close(&self) {
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// For how long to try again, and after which pauses.
pub(super) struct Retry {
    until: Instant,
    next: Duration,
}

impl Retry {
    pub(super) fn new(time: Duration) -> Self {
        Self { until: Instant::now() + time, next: FIRST_PAUSE }
    }

    pub(super) fn for_a_call() -> Self {
        Self::new(REPEATED_FOR)
    }

    /// How long to wait before the next attempt: as long as the server asks for, else twice as long as the last time and
    /// never in step with others. `None`: it is too late for one.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let pause = asked.unwrap_or_else(|| self.next.mul_f64(0.5 + fastrand::f64()));
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        (Instant::now() + pause < self.until).then_some(pause)
    }
}

impl Reply {
    /// The version in the entity tag.
    pub(super) fn version(&self) -> Option<Version> {
        let tag = self.headers.get(ETAG)?.to_str().ok()?;
        tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    }

    /// When the record expires, if it does; `None` for what is no time.
    pub(super) fn expires_at(&self) -> Option<Option<Timestamp>> {
        let Some(at) = self.headers.get(EXPIRES_AT) else { return Some(None) };
        Timestamp::parse_shown(at.to_str().ok()?).map(Some)
    }

    /// Whether there is another page.
    pub(super) fn has_next(&self) -> bool {
        self.headers.contains_key(LINK)
    }
}

/// A text in a body, for errors that have no kind.
fn member(body: &[u8], name: &str) -> Option<String> {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    Some(members.get(name)?.as_str()?.to_owned())
}

fn closed() -> Error {
    Error::invalid("the store is closed: open it again")
}

/// A name as a header holds it.
fn header_text(name: &str) -> String {
    match name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.starts_with(ENCODED) {
        true => name.to_owned(),
        false => format!("{ENCODED}{}", utf8_percent_encode(name, NON_ALPHANUMERIC)),
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("place", &self.address.place).finish_non_exhaustive()
    }
}
