//! Keeping a lease while something takes its time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use agent_data_store::{Error, ErrorKind};

use crate::failure::Result;
use crate::output::{Output, message};

/// Calls `renew` at every third of `ttl` while `work` runs. When the lease is lost, a person is told so at once; whoever
/// ends the lease afterwards learns it again.
pub(super) fn keeping<T>(
    ttl: Duration,
    mut renew: impl FnMut() -> agent_data_store::Result<()> + Send,
    out: &Output,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let tells = !out.is_json();
    // A third of next to nothing must not become a busy loop.
    let interval = (ttl / 3).max(Duration::from_millis(1));
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let renewing = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                match renew() {
                    Err(error) if error.kind() == ErrorKind::LeaseLost => {
                        if tells {
                            message(&format!("ads: warning: {}", error.message()));
                        }
                        return;
                    }
                    // A busy moment is no loss yet: it is tried again while the lease lasts.
                    Ok(()) | Err(_) => {}
                }
            }
        };
        thread::Builder::new().name("ads-lease".into()).spawn_scoped(scope, renewing).map_err(|source| {
            let message = "the system refuses a thread to renew the lease: raise its limit";
            Error::new(ErrorKind::Unavailable, message).caused_by(source)
        })?;
        let result = work();
        drop(stop);
        result
    })
}
