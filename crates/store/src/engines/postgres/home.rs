//! Where the engine's work is done: on the thread that waits for it, or on threads of its own, which are there while there is
//! work and can be sent away for a `fork`.

use std::future::Future;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

use super::{Core, Shared};
use crate::blocking::is_blocking;
use crate::engine::Answer;
use crate::error::{Error, Result};

/// One keeps many connections busy, as its work is to wait. Each one more is also one more to be woken, which on few processors
/// costs more than it gives.
const MOST_THREADS: usize = 4;

/// There is always a time to come that is not further away, so that nobody who sets a later one has to wake the thread that
/// keeps the time.
const BEAT: Duration = Duration::from_secs(1);

/// How long closing waits for calls that are under way.
const CLOSING: Duration = Duration::from_secs(10);

pub(super) struct Home {
    shared: Arc<Shared>,
    state: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    /// Calls that are under way.
    running: usize,
    /// Whether someone keeps everything still.
    held: bool,
    closed: bool,
}

struct Live {
    runtime: Runtime,
    core: Arc<Core>,
}

/// A call that is under way.
pub(super) struct Ticket(Arc<Gate>);

/// Keeps everything still until it is dropped.
pub(super) struct Held<'a>(&'a Home);

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, state: Arc::default() }
    }

    /// Does `work`, whoever asks and whether or not they go on asking.
    pub(super) fn run<T, F>(&self, work: impl FnOnce(Arc<Core>) -> F) -> Answer<'static, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (handle, core, ticket) = match self.enter() {
            Ok(entered) => entered,
            Err(error) => return Answer::ready(Err(error)),
        };
        let work = work(core);
        let work = async move {
            let result = work.await;
            drop(ticket);
            result
        };
        if is_blocking() {
            return Answer::Pending(Box::pin(Here { handle, work: Some(Box::pin(work)) }));
        }
        let task = handle.spawn(work);
        Answer::pending(async move { task.await.unwrap_or_else(|_| Err(interrupted())) })
    }

    /// Begins a call. Waits while everything is kept still.
    pub(super) fn enter(&self) -> Result<(Handle, Arc<Core>, Ticket)> {
        let mut state = self.state.state();
        while state.held {
            state = self.state.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(Error::invalid("the store is closed: open it again"));
        }
        if state.live.is_none() {
            state.live = Some(Live::start(&self.shared)?);
        }
        let Some(live) = &state.live else { return Err(interrupted()) };
        let (handle, core) = (live.runtime.handle().clone(), Arc::clone(&live.core));
        state.running += 1;
        Ok((handle, core, Ticket(Arc::clone(&self.state))))
    }

    /// Waits until no call is under way, then lets go of all threads and connections.
    pub(super) fn hold(&self) -> Held<'_> {
        let mut state = self.state.state();
        while state.held {
            state = self.state.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.held = true;
        while state.running > 0 {
            state = self.state.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let live = state.live.take();
        drop(state);
        live.into_iter().for_each(Live::end);
        Held(self)
    }

    /// The same for good, even where a call does not end.
    pub(super) fn close(&self) {
        let mut state = self.state.state();
        state.closed = true;
        let until = Instant::now() + CLOSING;
        while state.running > 0 && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            (state, _) = self.state.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        let live = state.live.take();
        drop(state);
        live.into_iter().for_each(Live::end);
    }
}

impl Live {
    fn start(shared: &Arc<Shared>) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads())
            .thread_name("ads-postgres")
            .enable_all()
            .build()
            .map_err(|source| {
                Error::unavailable("the system refuses threads for the database: raise its limit").caused_by(source)
            })?;
        runtime.spawn(async {
            loop {
                tokio::time::sleep(BEAT).await;
            }
        });
        let core = {
            let _context = runtime.enter();
            Core::start(Arc::clone(shared))?
        };
        Ok(Self { runtime, core })
    }

    /// Waits until the threads are gone.
    fn end(self) {
        let Self { runtime, core } = self;
        drop(core);
        // On a thread of its own: whoever calls may be a thread of another runtime, which must not wait in this way.
        std::thread::scope(|scope| {
            scope.spawn(|| runtime.shutdown_timeout(CLOSING));
        });
    }
}

/// Leaves half of the processors to whoever calls.
fn threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    (processors / 2).clamp(1, MOST_THREADS)
}

impl Drop for Home {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.state.state().held = false;
        self.0.state.changed.notify_all();
    }
}

fn interrupted() -> Error {
    Error::unavailable("the call was interrupted: read the record to see what was stored")
}

/// Work that is done by the thread that waits for it, which saves waking another one and being woken by it. The threads here
/// only tell when there is something to go on with.
struct Here<T: Send + 'static> {
    handle: Handle,
    /// `None` when it is done.
    work: Option<Work<T>>,
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

impl<T: Send + 'static> Future for Here<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, work } = &mut *self;
        let Some(present) = work else { return Poll::Pending };
        let _context = handle.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| present.as_mut().poll(context)));
        let polled = polled.unwrap_or_else(|_| Poll::Ready(Err(interrupted())));
        if polled.is_ready() {
            *work = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Here<T> {
    fn drop(&mut self) {
        // Whoever has asked does not go on asking; the work goes on.
        if let Some(work) = self.work.take() {
            self.handle.spawn(work);
        }
    }
}
