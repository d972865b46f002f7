//! What a caller may do.

use std::sync::Arc;

use agent_data_store::{Error, ErrorKind, Identity, Result};

use super::glob::Namespaces;
use super::token::{Access, Token};

/// For whom one acts who names no user, where nobody needs a token.
const DEFAULT_USER: &str = "default";

/// What a caller may do.
#[derive(Clone, Debug)]
pub(crate) enum Permit {
    /// Everything: the store holds no token, and the server can only be reached from its own machine.
    Everything,
    /// What this token allows.
    Token(Arc<Token>),
    /// What whoever started this process has said.
    Given { namespaces: Namespaces, access: Access },
}

impl Permit {
    /// The id of the token, if there is one.
    pub(crate) fn token(&self) -> Option<&Arc<str>> {
        match self {
            Self::Everything | Self::Given { .. } => None,
            Self::Token(token) => Some(&token.id),
        }
    }

    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Everything => Access::Admin,
            Self::Token(token) => token.access,
            Self::Given { access, .. } => *access,
        }
    }

    fn namespaces(&self) -> &Namespaces {
        match self {
            Self::Everything => &Namespaces::ALL,
            Self::Token(token) => &token.namespaces,
            Self::Given { namespaces, .. } => namespaces,
        }
    }

    /// The patterns of the namespaces that it reaches; none for all.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.namespaces().patterns()
    }

    /// What a client should know of its limits, in words; nothing where there are none.
    pub(crate) fn told(&self) -> String {
        let mut told = String::new();
        if self.access() == Access::Read {
            told.push_str(" Here nothing can be written.");
        }
        if !self.sees_all() {
            let patterns: Vec<&str> = self.patterns().collect();
            told.push_str(&format!(" Only these namespaces are reached: {}.", patterns.join(", ")));
        }
        told
    }

    /// For whom the caller acts, having asked for this user and this agent.
    pub(crate) fn identity(&self, user: Option<&str>, agent: Option<&str>) -> Result<Identity> {
        let Self::Token(token) = self else { return Identity::new(user.unwrap_or(DEFAULT_USER), agent) };
        let own = &token.identity;
        if let Some(user) = user.filter(|user| *user != own.user())
            && token.access < Access::Admin
        {
            return Err(denied(format!("the token acts for its own user, not for {user:?}: leave X-User-Id out")));
        }
        match (own.agent(), agent) {
            (Some(own), Some(agent)) if own != agent => {
                Err(denied(format!("the token acts as agent {own:?}, not as {agent:?}: leave X-Agent-Name out")))
            }
            _ if user.is_none_or(|user| user == own.user()) && agent.is_none_or(|agent| own.agent() == Some(agent)) => {
                Ok(own.clone())
            }
            (own_agent, agent) => Identity::new(user.unwrap_or(own.user()), agent.or(own_agent)),
        }
    }

    /// Whether reads may be counted for this agent.
    pub(crate) fn check_agent(&self, agent: &str) -> Result<()> {
        match self {
            Self::Token(token) if token.identity.agent().is_some_and(|own| own != agent) => {
                Err(denied(format!("the token acts as its own agent, not as {agent:?}: leave agent out")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the namespace may be seen.
    pub(crate) fn sees(&self, namespace: &str) -> bool {
        self.namespaces().contain(namespace)
    }

    pub(crate) fn sees_all(&self) -> bool {
        self.namespaces().are_all()
    }

    pub(crate) fn check_read(&self, namespace: &str) -> Result<()> {
        match self.sees(namespace) {
            true => Ok(()),
            false => Err(denied(format!(
                "{} namespace {namespace:?}: ask for one that does",
                match self {
                    Self::Given { .. } => "this server does not reach",
                    Self::Everything | Self::Token(_) => "the token does not reach",
                }
            ))),
        }
    }

    pub(crate) fn check_write(&self, namespace: &str) -> Result<()> {
        self.check_writes()?;
        self.check_read(namespace)
    }

    /// Whether anything may be written at all.
    pub(crate) fn check_writes(&self) -> Result<()> {
        match self.access() {
            Access::Read => Err(denied(match self {
                Self::Given { .. } => "this server is read-only: ask for one that allows writing",
                Self::Everything | Self::Token(_) => "the token is read-only: ask for one that allows writing",
            })),
            Access::Write | Access::Admin => Ok(()),
        }
    }

    /// Whether the server itself may be looked at.
    pub(crate) fn check_admin(&self) -> Result<()> {
        match self.access() {
            Access::Admin => Ok(()),
            Access::Read | Access::Write => Err(denied("this needs an admin token: ask the operator")),
        }
    }
}

fn denied(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use agent_data_store::Timestamp;

    use super::*;

    fn permit(agent: Option<&str>, access: Access, patterns: &[&str]) -> Permit {
        Permit::Token(Arc::new(Token {
            id: "id".into(),
            hash: [0; 32],
            identity: Identity::new("alice", agent).expect("names"),
            namespaces: Namespaces::matching(patterns.iter().map(ToString::to_string)),
            access,
            created_at: Timestamp::parse("2026-01-31T12:00:00Z").expect("a time"),
            expires_at: None,
            revoked_at: None,
        }))
    }

    fn acts_as(permit: &Permit, user: Option<&str>, agent: Option<&str>) -> Option<(String, Option<String>)> {
        let identity = permit.identity(user, agent).ok()?;
        Some((identity.user().to_owned(), identity.agent().map(ToOwned::to_owned)))
    }

    #[test]
    fn only_an_admin_acts_for_another_user() {
        for access in [Access::Read, Access::Write] {
            let permit = permit(None, access, &[]);
            assert_eq!(acts_as(&permit, None, None), Some(("alice".into(), None)));
            assert_eq!(acts_as(&permit, Some("alice"), Some("a")), Some(("alice".into(), Some("a".into()))));
            for other in ["bob", "Alice", "alice ", "ads:tokens", ""] {
                assert_eq!(acts_as(&permit, Some(other), None), None, "{other:?}");
            }
        }
        let admin = permit(None, Access::Admin, &[]);
        assert_eq!(acts_as(&admin, Some("bob"), None), Some(("bob".into(), None)));
        assert_eq!(acts_as(&admin, None, None), Some(("alice".into(), None)));
        assert_eq!(acts_as(&admin, Some("ads:tokens"), None), None);
        assert_eq!(acts_as(&Permit::Everything, None, None), Some(("default".into(), None)));
        assert_eq!(acts_as(&Permit::Everything, Some("ads:tokens"), None), None);
    }

    #[test]
    fn a_bound_agent_is_the_only_one() {
        for access in [Access::Read, Access::Admin] {
            let permit = permit(Some("reader"), access, &[]);
            assert_eq!(acts_as(&permit, None, None), Some(("alice".into(), Some("reader".into()))));
            assert_eq!(acts_as(&permit, None, Some("reader")), Some(("alice".into(), Some("reader".into()))));
            assert_eq!(acts_as(&permit, None, Some("other")), None);
            assert!(permit.check_agent("reader").is_ok() && permit.check_agent("other").is_err());
        }
        let admin = permit(Some("reader"), Access::Admin, &[]);
        assert_eq!(acts_as(&admin, Some("bob"), None), Some(("bob".into(), Some("reader".into()))));
    }

    #[test]
    fn patterns_and_levels_limit_each_other() {
        let reader = permit(None, Access::Read, &["project:*"]);
        assert!(reader.check_read("project:a").is_ok() && reader.check_read("other").is_err());
        assert!(reader.check_write("project:a").is_err() && reader.check_writes().is_err());
        let writer = permit(None, Access::Write, &["project:*"]);
        assert!(writer.check_write("project:a").is_ok() && writer.check_write("other").is_err());
        assert!(writer.check_admin().is_err());
        let admin = permit(None, Access::Admin, &["project:*"]);
        assert!(admin.check_admin().is_ok() && admin.check_write("other").is_err());
        assert!(Permit::Everything.check_admin().is_ok() && Permit::Everything.check_write("other").is_ok());
    }
}
