//! Sessions of clients of the protocol before 2026-07-28, which know a session instead of naming themselves with each
//! request. A session belongs to who has begun it: nobody else learns that there is one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::{SessionId, SessionManager};

use crate::caller::Caller;

/// Most sessions of one user at a time: the oldest ends when there is one more.
const MOST: usize = 1_000;

/// Whose a session is: the user, the token, and the agent, each as the first request showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    user: Box<str>,
    token: Option<Box<str>>,
    agent: Option<Box<str>>,
}

impl Owner {
    fn of(caller: &Caller) -> Self {
        Self {
            user: caller.identity().user().into(),
            token: caller.permit().token().map(|token| (**token).into()),
            agent: caller.identity().agent().map(Into::into),
        }
    }
}

/// Who owns which session.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<Owned>);

#[derive(Debug, Default)]
struct Owned {
    owners: HashMap<SessionId, Owner>,
    /// Of each user, the oldest first.
    by_user: HashMap<Box<str>, VecDeque<SessionId>>,
}

impl Owners {
    /// Whether this is a session of the caller's own.
    pub(super) fn are(&self, session: &str, caller: &Caller) -> bool {
        let owned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owned.owners.get(session).is_some_and(|owner| *owner == Owner::of(caller))
    }

    /// Notes whose a new session is, and ends the user's oldest one where there are too many.
    pub(super) async fn add(&self, session: &str, caller: &Caller, sessions: &LocalSessionManager) {
        let live: Vec<SessionId> = sessions.sessions.read().await.keys().cloned().collect();
        let oldest = {
            let mut owned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            owned.forget_ended(&live);
            owned.add(session.into(), Owner::of(caller))
        };
        if let Some(oldest) = oldest {
            // One that has ended meanwhile needs no end.
            let _ = sessions.close_session(&oldest).await;
        }
    }
}

impl Owned {
    fn add(&mut self, session: SessionId, owner: Owner) -> Option<SessionId> {
        let of_user = self.by_user.entry(owner.user.clone()).or_default();
        of_user.push_back(session.clone());
        let oldest = if of_user.len() > MOST { of_user.pop_front() } else { None };
        self.owners.insert(session, owner);
        if let Some(oldest) = &oldest {
            self.owners.remove(oldest);
        }
        oldest
    }

    /// Sessions end by themselves. They are forgotten now and then, so that this costs little for each of many.
    fn forget_ended(&mut self, live: &[SessionId]) {
        if self.owners.len() <= 2 * live.len() + 16 {
            return;
        }
        let live: std::collections::HashSet<&SessionId> = live.iter().collect();
        self.owners.retain(|session, _| live.contains(session));
        for sessions in self.by_user.values_mut() {
            sessions.retain(|session| live.contains(session));
        }
        self.by_user.retain(|_, sessions| !sessions.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(user: &str) -> Owner {
        Owner { user: user.into(), token: None, agent: None }
    }

    #[test]
    fn a_user_has_so_many_sessions_and_ends_no_other_user_s() {
        let mut owned = Owned::default();
        assert_eq!(owned.add("other".into(), owner("bob")), None);
        for n in 0..MOST {
            assert_eq!(owned.add(n.to_string().into(), owner("alice")), None);
        }
        assert_eq!(owned.add("one more".into(), owner("alice")).as_deref(), Some("0"));
        assert!(!owned.owners.contains_key("0") && owned.owners.contains_key("other"));
    }

    #[test]
    fn ended_sessions_are_forgotten() {
        let mut owned = Owned::default();
        for n in 0..100 {
            owned.add(n.to_string().into(), owner("alice"));
        }
        owned.forget_ended(&["7".into()]);
        assert_eq!((owned.owners.len(), owned.by_user["alice"].len()), (1, 1));
        owned.forget_ended(&[]);
        assert_eq!(owned.owners.len(), 1, "few are not looked at");
    }
}
