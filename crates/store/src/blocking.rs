//! Waiting for a future from ordinary code.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future of this crate on the calling thread. Needs no runtime; an inline engine's answer costs no allocation, and an
/// engine that talks to a database does so on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let _blocking = Blocking::begin();
    let mut future = pin!(future);
    // Embedded engines are done at the first poll: only others need something to wake.
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => pollster::block_on(future),
    }
}

thread_local! {
    static BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread has nothing to do but what it waits for in [`block_on`], so that an engine may work there.
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "the other engines have no use for it"))]
pub(crate) fn is_blocking() -> bool {
    BLOCKED.get()
}

/// Ends when it is dropped, for what there was before.
struct Blocking(bool);

impl Blocking {
    fn begin() -> Self {
        Self(BLOCKED.replace(true))
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        BLOCKED.set(self.0);
    }
}
