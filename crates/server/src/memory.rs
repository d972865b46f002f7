//! What is held of bodies at a time, of those received as of those that are sent: bounded, so that who sends much, or takes
//! much slowly, cannot fill the memory.

use std::sync::Arc;

use agent_data_store::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is not counted: a connection takes about as much by itself.
pub(crate) const SMALL: usize = 8 << 10;

/// Room for the bodies of all requests together.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: usize,
    /// What is left of it, in KiB.
    left: Arc<Semaphore>,
}

/// A part of the room, for as long as this is kept.
pub(crate) type Share = OwnedSemaphorePermit;

impl Memory {
    pub(crate) fn of(bytes: usize) -> Self {
        Self { bytes, left: Arc::new(Semaphore::new((bytes >> 10).min(Semaphore::MAX_PERMITS))) }
    }

    /// All the room there is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Room for so many bytes more, if there is any: who waited for it would keep what it has from all others.
    ///
    /// # Errors
    /// `TooLarge` where there can never be so much room; `Unavailable` where there is none now.
    pub(crate) fn take(&self, bytes: usize) -> Result<Share> {
        if bytes > self.bytes {
            return Err(self.too_large());
        }
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        Arc::clone(&self.left).try_acquire_many_owned(kib).map_err(|_| {
            let message = "the server holds as much of requests and answers as it may: try again";
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    pub(crate) fn too_large(&self) -> Error {
        let message =
            format!("the answer would be over {} bytes, all that the server may hold: ask for less", self.bytes);
        Error::new(ErrorKind::TooLarge, message)
    }
}
