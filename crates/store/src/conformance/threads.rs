//! What a case needs that has several things happen at once.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How many do the same thing at once.
pub(super) const THREADS: usize = 4;

/// Longer than any engine may need: what has not happened by then never does.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs `work` in each of several threads and returns what they return.
pub(super) fn in_threads<R: Send>(work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("the thread")).collect()
    })
}

/// Work in a thread of its own, which work without end must not keep from failing.
pub(super) struct Elsewhere<T>(Receiver<T>);

impl<T: Send + 'static> Elsewhere<T> {
    pub(super) fn begin(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            // Nobody listens once the case has failed.
            let _ = sender.send(work());
        });
        Self(receiver)
    }

    /// What it came to, when it has ended.
    #[track_caller]
    pub(super) fn end(self) -> T {
        match self.0.recv_timeout(DEADLINE) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            Err(RecvTimeoutError::Disconnected) => panic!("it panicked"),
        }
    }

    /// The same, with `meanwhile` done again and again until then.
    #[track_caller]
    pub(super) fn end_while(self, meanwhile: impl Fn()) -> T {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            match self.0.try_recv() {
                Ok(result) => return result,
                Err(TryRecvError::Disconnected) => panic!("it panicked"),
                Err(TryRecvError::Empty) if Instant::now() >= give_up_at => panic!("it does not end"),
                Err(TryRecvError::Empty) => meanwhile(),
            }
            thread::yield_now();
        }
    }
}

/// Looks again and again until `condition` holds.
#[track_caller]
pub(super) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let give_up_at = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < give_up_at, "it does not come about that {what}");
        thread::yield_now();
    }
}

/// Does something at the end of a scope, also when a promise is broken in it: for those who wait for it.
pub(super) struct AtEnd<F: Fn()>(pub(super) F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
