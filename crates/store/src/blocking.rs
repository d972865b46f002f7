//! Waiting for a future from ordinary code.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future of this crate on the calling thread. Needs no runtime; an inline engine's answer costs no allocation.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // Embedded engines are done at the first poll: only others need something to wake.
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => pollster::block_on(future),
    }
}
