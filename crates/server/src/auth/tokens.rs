//! The tokens of a store: making, listing, revoking and recognising them.
//!
//! Each is a record under a user of the store's own, which nobody can act for. It is read again for every request that
//! shows it, so whatever happens to it on one server is in force on all of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use agent_data_store::model::{Address, Expiry, Mutation, PageSize, Precondition, Range, Version, View, Write};
use agent_data_store::{DataStore, Error, ErrorKind, Identity, Json, Result, SecretsPolicy, Store, Timestamp};

use super::glob::{Namespaces, check_patterns};
use super::token::{self, Access, Token};

/// Who owns the records: `ads:tokens`.
const OWNER: &str = "tokens";
/// Where the tokens are, by id.
const TOKENS: &str = "tokens";
/// Where it is kept that there has been a token. This stays when all tokens have ended: the store must not open itself
/// to everyone when the last one is revoked.
const STATE: &str = "state";
const GUARDED: &str = "guarded";

/// How long a token text can be: longer ones are not looked at.
const TEXT_BYTES: usize = 128;

/// Tokens by their id, each as its record had it in this version.
type Parsed = HashMap<Box<str>, (Version, Arc<Token>)>;

/// The tokens of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    tokens: DataStore,
    state: DataStore,
    parsed: Arc<RwLock<Parsed>>,
}

/// What a token is to be.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NewToken {
    /// For whom it acts.
    pub user: String,
    /// The one agent that it acts as; else the caller names one.
    pub agent: Option<String>,
    /// Patterns of the namespaces that it reaches, in which `*` stands for any characters; none for all.
    pub namespaces: Vec<String>,
    /// What it allows.
    pub access: Access,
    /// When it ends by itself.
    pub expires_in: Option<Duration>,
}

/// A token that was made just now.
#[derive(Clone)]
pub struct IssuedToken {
    /// What is kept of it.
    pub token: Token,
    /// What its bearer shows. Nobody can find it out again.
    pub secret: String,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Those of this store.
    ///
    /// # Errors
    /// None so far.
    pub fn of(store: &Store) -> Result<Self> {
        let view = |namespace| {
            let view = store.data_store(Identity::reserved(OWNER), namespace)?;
            // A hash looks like a secret and is none.
            Ok::<_, Error>(view.with_secrets_policy(SecretsPolicy::Allow))
        };
        Ok(Self { tokens: view(TOKENS)?, state: view(STATE)?, parsed: Arc::default() })
    }

    /// Makes a token, in force from now on.
    ///
    /// # Errors
    /// `InvalidArgument` for names and patterns that cannot be; `Unavailable`.
    pub async fn create(&self, new: NewToken) -> Result<IssuedToken> {
        check_patterns(&new.namespaces)?;
        let now = self.now();
        if new.expires_in.is_some_and(|time| time.as_micros() == 0) {
            return Err(Error::new(ErrorKind::InvalidArgument, "the token would end at once: give it some time"));
        }
        let (id, secret) = token::random()?;
        let token = Token {
            id: id.into(),
            hash: token::hash(&secret),
            identity: Identity::new(&new.user, new.agent.as_deref())?,
            namespaces: Namespaces::matching(new.namespaces),
            access: new.access,
            created_at: now,
            expires_at: new.expires_in.map(|time| now.saturating_add(time)),
            revoked_at: None,
        };
        let token_write = write(TOKENS, &token.id, token.to_record(), Precondition::Version(0));
        let state_write = write(STATE, GUARDED, Json::from_trusted("true"), Precondition::None);
        self.tokens.write(vec![token_write, state_write]).await?;
        Ok(IssuedToken { token, secret })
    }

    /// All tokens, also those that have ended, oldest first.
    ///
    /// # Errors
    /// `Unavailable`; `CorruptStore` where one is not kept as it should be.
    pub async fn list(&self) -> Result<Vec<Token>> {
        let page = self.tokens.scan(Range { prefix: "", after: None }, View::Value, PageSize::ALL).await?;
        let mut tokens = page
            .rows
            .iter()
            .map(|row| Token::of_record(&row.key, row.value.as_ref().map_or("", Json::as_str)))
            .collect::<Result<Vec<_>>>()?;
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    /// Ends a token, at once and on every server; it stays in the list. `false` where there is no such token.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn revoke(&self, id: &str) -> Result<bool> {
        loop {
            let Some(row) = self.tokens.read_row(id, View::Value).await? else { return Ok(false) };
            let write = match Token::of_record(id, row.value.as_ref().map_or("", Json::as_str)) {
                Ok(Token { revoked_at: Some(_), .. }) => return Ok(true),
                Ok(token) => {
                    let revoked = Token { revoked_at: Some(self.now()), ..token };
                    write(TOKENS, id, revoked.to_record(), Precondition::Version(row.version))
                }
                // What nobody can read is better gone.
                Err(_) => Write {
                    mutation: Mutation::Delete,
                    ..write(TOKENS, id, Json::from_trusted("null"), Precondition::None)
                },
            };
            match self.tokens.write(vec![write]).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcomes => return outcomes.map(|_| true),
            }
        }
    }

    /// Whether nobody gets in without one: the store has held a token, be it valid or not.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn are_required(&self) -> Result<bool> {
        Ok(self.state.read_row(GUARDED, View::Value).await?.is_some())
    }

    /// The time by which tokens end.
    pub fn now(&self) -> Timestamp {
        self.tokens.now()
    }

    /// The token that a caller shows, if it is valid now.
    pub(crate) async fn recognise(&self, text: &str) -> Result<Arc<Token>> {
        let unknown = || unauthenticated("the token is unknown to this store: ask its operator for one");
        let id = Some(text).filter(|text| text.len() <= TEXT_BYTES).and_then(token::id_of).ok_or_else(unknown)?;
        let token = self.read(id).await?.filter(|token| token.is(text)).ok_or_else(unknown)?;
        match token.state(self.now()) {
            "valid" => Ok(token),
            state => {
                Err(unauthenticated(&format!("the token {:?} is {state}: ask the operator for another one", token.id)))
            }
        }
    }

    /// Whether a token that was recognised before would be now.
    pub(crate) async fn check_still_valid(&self, token: &Token) -> Result<()> {
        let present = self.read(&token.id).await?;
        match present.as_deref().map(|present| present.state(self.now())) {
            Some("valid") => Ok(()),
            _ => Err(unauthenticated(&format!("the token {:?} has ended: ask the operator for another one", token.id))),
        }
    }

    async fn read(&self, id: &str) -> Result<Option<Arc<Token>>> {
        let Some(row) = self.tokens.read_row(id, View::Value).await? else {
            self.parsed.write().unwrap_or_else(PoisonError::into_inner).remove(id);
            return Ok(None);
        };
        if let Some((version, token)) = self.parsed.read().unwrap_or_else(PoisonError::into_inner).get(id)
            && *version == row.version
        {
            return Ok(Some(Arc::clone(token)));
        }
        let token = Arc::new(Token::of_record(id, row.value.as_ref().map_or("", Json::as_str))?);
        let mut parsed = self.parsed.write().unwrap_or_else(PoisonError::into_inner);
        parsed.insert(id.into(), (row.version, Arc::clone(&token)));
        Ok(Some(token))
    }
}

pub(crate) fn unauthenticated(message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message)
}

fn write(namespace: &str, key: &str, value: Json, precondition: Precondition) -> Write {
    Write {
        address: Address { namespace: namespace.into(), key: key.into() },
        precondition,
        mutation: Mutation::Set(value),
        metadata: None,
        expiry: Expiry::Default,
    }
}

#[cfg(test)]
mod tests {
    use agent_data_store::{ManualClock, Options, block_on};

    use super::*;

    fn store() -> (Store, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-31T12:00:00Z").expect("a time")));
        let mut options = Options::default();
        options.clock = Arc::clone(&clock) as _;
        options.housekeeping = false;
        (block_on(Store::open("memory:", options)).expect("a store"), clock)
    }

    fn new(user: &str) -> NewToken {
        NewToken { user: user.to_owned(), ..NewToken::default() }
    }

    fn refusal(tokens: &Tokens, text: &str) -> String {
        let error = block_on(tokens.recognise(text)).expect_err("no way in");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(!error.message().contains(text) || text.is_empty(), "{error}");
        error.message().to_owned()
    }

    #[test]
    fn only_the_whole_secret_of_a_token_is_recognised() {
        let (store, _) = store();
        let tokens = Tokens::of(&store).expect("tokens");
        let one = block_on(tokens.create(new("alice"))).expect("a token");
        let two = block_on(tokens.create(new("bob"))).expect("a token");
        let found = block_on(tokens.recognise(&one.secret)).expect("a valid token");
        assert_eq!((found.id(), found.identity().user()), (one.token.id(), "alice"));
        assert_eq!(found.access(), Access::Read);
        let last = if one.secret.ends_with('0') { '1' } else { '0' };
        let forged = format!("{}{last}", &one.secret[..one.secret.len() - 1]);
        let mixed = format!("ads_{}_{}", one.token.id(), two.secret.rsplit('_').next().expect("a secret"));
        for wrong in ["", "ads_", &forged, &mixed, &one.secret.to_uppercase(), &"a".repeat(1 << 20)] {
            assert!(refusal(&tokens, wrong).contains("unknown"));
        }
    }

    #[test]
    fn a_revoked_token_is_refused_at_once_by_everyone_who_knew_it() {
        let (store, _) = store();
        let (here, there) = (Tokens::of(&store).expect("tokens"), Tokens::of(&store).expect("tokens"));
        let issued = block_on(here.create(new("alice"))).expect("a token");
        assert!(block_on(there.recognise(&issued.secret)).is_ok());
        assert!(block_on(here.revoke(issued.token.id())).expect("it is there"));
        assert!(refusal(&there, &issued.secret).contains("revoked"));
        assert!(refusal(&here, &issued.secret).contains("revoked"));
        assert!(block_on(here.revoke(issued.token.id())).expect("it is still listed"));
        assert!(!block_on(here.revoke("0000000000000000")).expect("it is not there"));
        assert_eq!(block_on(here.list()).expect("a list")[0].state(here.now()), "revoked");
    }

    #[test]
    fn a_token_ends_at_its_time() {
        let (store, clock) = store();
        let tokens = Tokens::of(&store).expect("tokens");
        let expires_in = Some(Duration::from_secs(60));
        let issued = block_on(tokens.create(NewToken { expires_in, ..new("alice") })).expect("a token");
        clock.advance(Duration::from_micros(59_999_999));
        assert!(block_on(tokens.recognise(&issued.secret)).is_ok());
        clock.advance(Duration::from_micros(1));
        assert!(refusal(&tokens, &issued.secret).contains("expired"));
    }

    #[test]
    fn a_store_stays_guarded_when_its_last_token_has_ended() {
        let (store, _) = store();
        let tokens = Tokens::of(&store).expect("tokens");
        assert!(!block_on(tokens.are_required()).expect("an answer"));
        let issued = block_on(tokens.create(new("alice"))).expect("a token");
        assert!(block_on(tokens.are_required()).expect("an answer"));
        assert!(block_on(tokens.revoke(issued.token.id())).expect("it is there"));
        assert!(block_on(tokens.are_required()).expect("an answer"));
    }

    #[test]
    fn what_cannot_be_makes_no_token() {
        let (store, _) = store();
        let tokens = Tokens::of(&store).expect("tokens");
        let wrong = [
            new(""),
            new("ads:tokens"),
            NewToken { agent: Some(String::new()), ..new("alice") },
            NewToken { namespaces: vec![String::new()], ..new("alice") },
            NewToken { expires_in: Some(Duration::ZERO), ..new("alice") },
        ];
        for new in wrong {
            let error = block_on(tokens.create(new)).expect_err("no token");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        assert!(!block_on(tokens.are_required()).expect("an answer"));
        assert!(block_on(tokens.list()).expect("a list").is_empty());
    }
}
