//! Group commit: writers that arrive together share one transaction and one fsync.
//!
//! The first to arrive leads: it takes everything that is queued, commits it, and hands the lead to one of those who
//! queued up meanwhile. A writer that is alone leads at once and waits for nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use crate::error::{Error, Result};

pub(super) struct CommitQueue<J, R> {
    state: Mutex<State<J, R>>,
}

struct State<J, R> {
    waiting: Vec<Arc<Ticket<J, R>>>,
    has_leader: bool,
}

struct Ticket<J, R> {
    phase: Mutex<Phase<J, R>>,
    thread: Thread,
}

enum Phase<J, R> {
    /// Waiting, not taken by a leader yet.
    Queued(J),
    /// A leader is at it.
    Running,
    /// Not taken, and chosen to lead the next group.
    Leading(J),
    Done(Result<R>),
    Over,
}

impl<J, R> Default for CommitQueue<J, R> {
    fn default() -> Self {
        Self { state: Mutex::new(State { waiting: Vec::new(), has_leader: false }) }
    }
}

impl<J, R> CommitQueue<J, R> {
    /// Has `job` done by `commit`, maybe together with others', maybe by another thread's `commit`, and returns its
    /// result. `commit` gets the jobs of a group in order of arrival and returns a result for each.
    pub(super) fn submit(&self, job: J, commit: impl FnOnce(Vec<J>) -> Vec<Result<R>>) -> Result<R> {
        let job = {
            let mut state = self.state();
            if state.has_leader {
                let ticket = Arc::new(Ticket { phase: Mutex::new(Phase::Queued(job)), thread: std::thread::current() });
                state.waiting.push(Arc::clone(&ticket));
                drop(state);
                match ticket.wait() {
                    Waited::Done(result) => return result,
                    Waited::Lead(job) => job,
                }
            } else {
                state.has_leader = true;
                job
            }
        };
        self.lead(job, commit)
    }

    fn lead(&self, job: J, commit: impl FnOnce(Vec<J>) -> Vec<Result<R>>) -> Result<R> {
        let mut jobs = vec![job];
        let followers = std::mem::take(&mut self.state().waiting);
        jobs.extend(followers.iter().filter_map(|ticket| ticket.take()));
        // Were `commit` to panic, this still hands over the lead and lets nobody wait for ever.
        let led = Led { queue: self, followers };
        let mut results = commit(jobs).into_iter();
        let own = results.next().unwrap_or_else(|| Err(lost()));
        led.deliver(results);
        own
    }

    fn hand_over(&self) {
        let mut state = self.state();
        while !state.waiting.is_empty() {
            if state.waiting.remove(0).lead() {
                return;
            }
        }
        state.has_leader = false;
    }

    fn state(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Led<'a, J, R> {
    queue: &'a CommitQueue<J, R>,
    followers: Vec<Arc<Ticket<J, R>>>,
}

impl<J, R> Led<'_, J, R> {
    /// The next leader starts before the followers are woken: its fsync is what the others wait for.
    fn deliver(mut self, results: impl Iterator<Item = Result<R>>) {
        self.queue.hand_over();
        for (ticket, result) in std::mem::take(&mut self.followers).into_iter().zip(results) {
            ticket.finish(result);
        }
        std::mem::forget(self);
    }
}

impl<J, R> Drop for Led<'_, J, R> {
    fn drop(&mut self) {
        self.queue.hand_over();
        for ticket in self.followers.drain(..) {
            ticket.finish(Err(lost()));
        }
    }
}

fn lost() -> Error {
    Error::unavailable("the thread that was writing for this call failed: read the record to see what was stored")
}

enum Waited<J, R> {
    Done(Result<R>),
    Lead(J),
}

impl<J, R> Ticket<J, R> {
    fn wait(&self) -> Waited<J, R> {
        loop {
            let mut phase = self.phase();
            match std::mem::replace(&mut *phase, Phase::Over) {
                Phase::Done(result) => return Waited::Done(result),
                Phase::Leading(job) => return Waited::Lead(job),
                waiting => *phase = waiting,
            }
            drop(phase);
            std::thread::park();
        }
    }

    fn take(&self) -> Option<J> {
        let mut phase = self.phase();
        match std::mem::replace(&mut *phase, Phase::Running) {
            Phase::Queued(job) => Some(job),
            other => {
                *phase = other;
                None
            }
        }
    }

    fn lead(&self) -> bool {
        let Some(job) = self.take() else { return false };
        *self.phase() = Phase::Leading(job);
        self.thread.unpark();
        true
    }

    fn finish(&self, result: Result<R>) {
        *self.phase() = Phase::Done(result);
        self.thread.unpark();
    }

    fn phase(&self) -> MutexGuard<'_, Phase<J, R>> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
