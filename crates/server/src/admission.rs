//! How much one user and one token may ask for at a time.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use agent_data_store::{Error, ErrorKind};
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::ServerOptions;
use crate::error::Failure;
use crate::memory::{Memory, SMALL, Share};

/// Why others have to wait is told with this time, where nobody knows how long it will be.
const A_WHILE: Duration = Duration::from_secs(1);

/// Who has asked for how much.
#[derive(Debug)]
pub(crate) struct Admission {
    user_requests: Option<u64>,
    in_flight: Arc<Mutex<HashMap<Box<str>, u64>>>,
    rate: Option<DefaultKeyedRateLimiter<Arc<str>>>,
    clock: DefaultClock,
}

/// A request that was let in, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Admitted {
    in_flight: Arc<Mutex<HashMap<Box<str>, u64>>>,
    user: Box<str>,
}

impl Admission {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        let rate = options.token_rate.map(|rate| {
            let burst = options.token_burst.unwrap_or(rate.saturating_mul(TWO));
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        Self { user_requests: options.user_requests, in_flight: Arc::default(), rate, clock: DefaultClock::default() }
    }

    /// Lets a request in.
    pub(crate) fn admit(&self, user: &str, token: Option<&Arc<str>>) -> Result<Option<Admitted>, Failure> {
        if let (Some(rate), Some(token)) = (&self.rate, token)
            && let Err(not_yet) = rate.check_key(token)
        {
            let wait = not_yet.wait_time_from(self.clock.now());
            return Err(Failure::too_many("the token has made too many requests in a short time", wait));
        }
        let Some(most) = self.user_requests else { return Ok(None) };
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        match in_flight.get_mut(user) {
            Some(count) if *count >= most => {
                return Err(Failure::too_many("the user has too many requests in flight", A_WHILE));
            }
            Some(count) => *count += 1,
            None if most == 0 => return Err(Failure::too_many("no request is let in", A_WHILE)),
            None => drop(in_flight.insert(user.into(), 1)),
        }
        Ok(Some(Admitted { in_flight: Arc::clone(&self.in_flight), user: user.into() }))
    }
}

const TWO: std::num::NonZeroU32 = std::num::NonZeroU32::MIN.saturating_add(1);

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        match in_flight.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(in_flight.remove(&self.user)),
        }
    }
}

/// What belongs to a request until its answer has been sent, where that may take its time: an answer that is made piece by
/// piece, and one that is large.
pub(crate) async fn hold_until_sent(admitted: Option<Admitted>, memory: &Memory, response: Response) -> Response {
    let Some(size) = response.body().size_hint().exact() else {
        return response.map(|body| Body::new(Held { body, _admitted: admitted }));
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size <= SMALL {
        return response;
    }
    let share = match memory.take(size) {
        Ok(share) => share,
        Err(error) => return Failure::Store(error).into_response(),
    };
    let (head, body) = response.into_parts();
    match to_bytes(body, usize::MAX).await {
        // Whoever sends it lets go of the body when it has its bytes, and of the bytes when they are sent.
        Ok(bytes) => {
            let held = HeldBytes { bytes, _admitted: admitted, _share: share };
            Response::from_parts(head, Body::from(Bytes::from_owner(held)))
        }
        Err(error) => Failure::Store(Error::new(ErrorKind::Unavailable, "no answer").caused_by(error)).into_response(),
    }
}

struct HeldBytes {
    bytes: Bytes,
    _admitted: Option<Admitted>,
    _share: Share,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct Held {
    body: Body,
    _admitted: Option<Admitted>,
}

impl HttpBody for Held {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_user_has_so_many_requests_at_a_time_and_keeps_no_one_else_out() {
        let options = ServerOptions { user_requests: Some(2), ..ServerOptions::default() };
        let admission = Admission::new(&options);
        let first = admission.admit("a:b", None).expect("the first");
        let _second = admission.admit("a:b", None).expect("the second");
        assert!(admission.admit("a:b", None).is_err());
        assert!(admission.admit("a", None).is_ok());
        drop(first);
        assert!(admission.admit("a:b", None).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_a_user_without_requests() {
        let admission = Admission::new(&ServerOptions::default());
        drop(admission.admit("a", None).expect("let in"));
        assert!(admission.in_flight.lock().expect("a map").is_empty());
    }

    #[test]
    fn a_token_has_so_many_requests_in_a_time_and_keeps_no_other_out() {
        let one = NonZeroU32::MIN;
        let options = ServerOptions { token_rate: Some(one), token_burst: Some(TWO), ..ServerOptions::default() };
        let admission = Admission::new(&options);
        let (token, other) = (Arc::from("1"), Arc::from("2"));
        assert!(admission.admit("a", Some(&token)).is_ok());
        assert!(admission.admit("a", Some(&token)).is_ok());
        assert!(admission.admit("a", Some(&token)).is_err());
        assert!(admission.admit("a", Some(&other)).is_ok());
        assert!(admission.admit("a", None).is_ok());
    }
}
