//! How long a connection may do nothing: a client that is slow, or has gone without a word, ends by itself and keeps nobody
//! else waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection is doing, told by who answers on it. A request that is being answered may take its time: it has
/// limits of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<AtomicU64>);

/// A request that is being answered, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Answering(Activity);

impl Activity {
    pub(crate) fn answering(&self) -> Answering {
        self.0.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// Odd while a request is being answered; another number after each.
    fn turn(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long a head may still take once the server stops: one that was on its way is there by then.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// How long to be patient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// With a request's head, from its first byte.
    pub(crate) head: Duration,
    /// With a client that neither sends nor takes anything.
    pub(crate) idle: Duration,
}

/// A stream that fails with `TimedOut` when patience is at its end.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    activity: Activity,
    patience: Patience,
    /// Turns to `true` when the server stops. Who answers on the connection polls it then.
    stopping: watch::Receiver<bool>,
    /// The turn to which `head_until` and `idle_until` belong.
    turn: u64,
    /// When a head that has begun must be whole.
    head_until: Option<Instant>,
    idle_until: Instant,
    reading: Option<Pin<Box<Sleep>>>,
    /// While the client takes nothing.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, activity: Activity, patience: Patience, stopping: watch::Receiver<bool>) -> Self {
        let idle_until = Instant::now() + patience.idle;
        Self {
            stream,
            turn: activity.turn(),
            activity,
            patience,
            stopping,
            head_until: None,
            idle_until,
            reading: None,
            writing: None,
        }
    }

    /// Whether a request is being answered; after each answer the time begins anew.
    fn is_answering(&mut self) -> bool {
        let turn = self.activity.turn();
        if turn != self.turn {
            self.turn = turn;
            self.head_until = None;
            self.idle_until = Instant::now() + self.patience.idle;
        }
        turn % 2 == 1
    }

    /// Comes when nothing was sent for too long.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.head_until.unwrap_or(self.idle_until);
        let timer = self.reading.get_or_insert_with(|| Box::pin(sleep_until(until)));
        // One that is too early is set again when it comes, and not for each request.
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }

    /// The result of sending, unless nothing was taken for too long.
    fn poll_taken<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.writing = None;
            self.idle_until = Instant::now() + self.patience.idle;
            return sent;
        }
        let idle = self.patience.idle;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(timed_out()))
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client was silent for too long")
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let answering = this.is_answering();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if answering {
            return read;
        }
        if read.is_ready() {
            let until = Instant::now() + this.patience.head;
            this.head_until.get_or_insert(until);
            return read;
        }
        if *this.stopping.borrow() {
            let last = Instant::now() + LAST_HEAD;
            this.head_until = Some(this.head_until.map_or(last, |until| until.min(last)));
        }
        ready!(this.poll_silent(cx));
        Poll::Ready(Err(timed_out()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.poll_taken(cx, sent)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_flush(cx);
        // The end of an answer. Nobody may try to read before there is something, so the timer has to be set here.
        if sent.is_ready() && !this.is_answering() {
            let _ = this.poll_silent(cx);
        }
        this.poll_taken(cx, sent)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.poll_taken(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.poll_taken(cx, sent)
    }
}
