//! Waiting for a change on the server: one request for each user, which the server answers when there is one, however
//! many wait. There is none while nobody waits.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ureq::Agent;

use super::client::{Call, Client, Retry};
use super::{decode, encode};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Version;
use crate::waiters::Waiters;

/// How long one request waits on the server: less than what proxies take for a connection that has died.
const WAIT: Duration = Duration::from_secs(25);

/// An answer without news that comes sooner than this was not waited for: the server is about to stop.
const TOO_SOON: Duration = Duration::from_millis(100);

/// Everyone who waits on one store.
#[derive(Debug)]
pub(super) struct Waiting {
    client: Arc<Client>,
    waiters: Arc<Waiters>,
    clock: Arc<dyn Clock>,
    polls: Mutex<Polls>,
}

#[derive(Debug, Default)]
struct Polls {
    of_users: HashMap<Box<str>, Arc<Poll>>,
    closed: bool,
}

/// Asks the server for the changes of one user, as long as anybody waits for one.
#[derive(Debug)]
struct Poll {
    user: Box<str>,
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    /// The newest position that is known.
    newest: Version,
    waiting: usize,
    stop: bool,
    /// What the thread fails with, for those who wait.
    failure: Option<(ErrorKind, String)>,
    running: Option<Running>,
}

struct Running {
    thread: JoinHandle<()>,
    /// Its connection, to be cut.
    pool: Agent,
}

/// Somebody who waits.
struct Waiter(Arc<Poll>);

/// Keeps everyone from waiting; see [`Waiting::hold`].
pub(super) struct Still<'a>(#[allow(dead_code, reason = "held, not read")] MutexGuard<'a, Polls>);

impl Waiting {
    pub(super) fn new(client: Arc<Client>, clock: Arc<dyn Clock>) -> Self {
        let waiters = Arc::new(Waiters::new(Arc::clone(&clock)));
        Self { client, waiters, clock, polls: Mutex::default() }
    }

    /// Waits until the user's changes go beyond `since`, at the latest until `until`.
    pub(super) async fn beyond(&self, user: &str, since: Version, until: Timestamp) -> Result<Version> {
        let mut newest = position(&self.client, user)?;
        loop {
            if newest > since || self.clock.now() >= until {
                return Ok(newest);
            }
            // Before the poll is asked, so that nothing it learns afterwards goes unnoticed.
            let watch = self.waiters.watch(|| Ok(Box::new(|| false)))?;
            let waiter = self.join(user, newest)?;
            newest = newest.max(waiter.newest()?);
            if newest <= since {
                watch.changed(until).await;
                newest = newest.max(waiter.newest()?);
            }
        }
    }

    fn polls(&self) -> MutexGuard<'_, Polls> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part in the user's poll, which may be new; `newest` is a position that the server has told.
    fn join(&self, user: &str, newest: Version) -> Result<Waiter> {
        let mut polls = self.polls();
        if polls.closed {
            return Err(Error::invalid("the store is closed: open it again"));
        }
        if !polls.of_users.contains_key(user) {
            polls.of_users.retain(|_, poll| poll.state().running.is_some());
        }
        let poll = Arc::clone(polls.of_users.entry(user.into()).or_insert_with(|| Poll::of(user)));
        let mut state = poll.state();
        state.newest = state.newest.max(newest);
        if state.running.is_none() {
            state.failure = None;
            state.stop = false;
            let pool = self.client.waiting_pool(WAIT);
            let thread = {
                let (poll, pool) = (Arc::clone(&poll), pool.clone());
                let (client, waiters) = (Arc::clone(&self.client), Arc::clone(&self.waiters));
                let thread = std::thread::Builder::new().name("ads-poll".into());
                thread.spawn(move || poll.run(&client, &pool, &waiters)).map_err(|source| {
                    Error::unavailable("the system refuses a thread for waiting: raise its limit").caused_by(source)
                })?
            };
            state.running = Some(Running { thread, pool });
        }
        state.waiting += 1;
        drop(state);
        Ok(Waiter(poll))
    }

    /// Ends all threads, cuts their connections, wakes everyone, and keeps them from beginning anew.
    pub(super) fn hold(&self) -> Still<'_> {
        let mut polls = self.polls();
        for (_, poll) in polls.of_users.drain() {
            poll.stop();
        }
        self.waiters.stop();
        Still(polls)
    }

    /// The same for good.
    pub(super) fn close(&self) {
        self.hold().0.closed = true;
    }
}

/// The newest position of the user's changes.
fn position(client: &Client, user: &str) -> Result<Version> {
    let reply = client.call(&Call::get(user, encode::changes_path(crate::feed::NEVER, 0, 0)))?;
    decode::changes(&reply.body).map(|changes| changes.last).ok_or_else(|| client.not_understood())
}

impl Poll {
    fn of(user: &str) -> Arc<Self> {
        Arc::new(Self { user: user.into(), state: Mutex::default(), stopped: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: asks again and again until nobody waits any more.
    fn run(&self, client: &Client, pool: &Agent, waiters: &Waiters) {
        let ended = Ended { poll: self, waiters };
        let mut retry = None;
        while let Some(since) = self.position_to_ask_from() {
            let began = Instant::now();
            let asked = Call::get(&self.user, encode::changes_path(since, 0, WAIT.as_secs()));
            let answer = client.call_once(pool, &asked).and_then(|reply| {
                decode::changes(&reply.body).map(|changes| changes.last).ok_or_else(|| (client.not_understood(), false))
            });
            match answer {
                Ok(newest) if newest > since => {
                    retry = None;
                    self.state().newest = newest;
                    waiters.notify();
                }
                Ok(_) if began.elapsed() >= TOO_SOON => retry = None,
                Ok(_) => {
                    let retry = retry.get_or_insert_with(Retry::for_a_call);
                    self.pause(retry.pause(None).unwrap_or(TOO_SOON));
                }
                Err((error, may_pass)) => {
                    let pause = retry.get_or_insert_with(Retry::for_a_call).pause(None);
                    match pause.filter(|_| may_pass) {
                        Some(pause) => self.pause(pause),
                        None => {
                            self.state().failure = Some((error.kind(), error.message().to_owned()));
                            break;
                        }
                    }
                }
            }
        }
        drop(ended);
    }

    /// Ends the thread if nobody waits.
    fn position_to_ask_from(&self) -> Option<Version> {
        let mut state = self.state();
        if state.stop || state.waiting == 0 {
            // Under the lock: whoever comes after this starts a new thread.
            state.running = None;
            return None;
        }
        Some(state.newest)
    }

    /// Waits, unless it is stopped.
    fn pause(&self, pause: Duration) {
        let state = self.state();
        drop(self.stopped.wait_timeout_while(state, pause, |state| !state.stop));
    }

    /// Cuts the connection and waits for the end of the thread.
    fn stop(&self) {
        let running = {
            let mut state = self.state();
            state.stop = true;
            state.running.take()
        };
        self.stopped.notify_all();
        if let Some(Running { thread, pool }) = running {
            pool.shutdown();
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// However the thread ends, nobody may go on waiting for it.
struct Ended<'a> {
    poll: &'a Poll,
    waiters: &'a Waiters,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.poll.state();
        // It may have been ended long ago, and another one begun.
        let this = std::thread::current().id();
        if state.running.as_ref().is_some_and(|running| running.thread.thread().id() == this) {
            state.running = None;
        }
        drop(state);
        self.waiters.notify();
    }
}

impl Waiter {
    fn newest(&self) -> Result<Version> {
        let state = self.0.state();
        match &state.failure {
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
            None => Ok(state.newest),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("newest", &self.newest).field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
