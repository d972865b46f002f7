//! What a token is, and how it is kept.

use std::sync::Arc;

use agent_data_store::wire::Object;
use agent_data_store::{Error, ErrorKind, Identity, Json, Result, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::glob::Namespaces;

/// How every token begins, so that those who look for secrets in texts find it.
const PREFIX: &str = "ads_";
/// Random bytes of the part that is known to all.
const ID_BYTES: usize = 8;
/// Random bytes of the part that is known to its bearer alone: so many that a fast hash keeps them.
const SECRET_BYTES: usize = 32;

/// What a token allows, each level with all that the one before does.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Reading.
    #[default]
    Read,
    /// Writing, which locks and tasks are too.
    Write,
    /// Acting for any user.
    Admin,
}

impl Access {
    /// `read`, `write` or `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// A token as the store knows it: all but the secret.
#[derive(Clone, Debug)]
pub struct Token {
    pub(super) id: Arc<str>,
    pub(super) hash: [u8; 32],
    pub(super) identity: Identity,
    pub(super) namespaces: Namespaces,
    pub(super) access: Access,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) revoked_at: Option<Timestamp>,
}

impl Token {
    /// What names it, and is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// For whom it acts, unless an admin names another user, and as which agent if it is bound to one.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The patterns of the namespaces that it reaches; none for all.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.patterns()
    }

    /// What it allows.
    pub fn access(&self) -> Access {
        self.access
    }

    /// When it was made.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it ends by itself.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// When somebody has ended it.
    pub fn revoked_at(&self) -> Option<Timestamp> {
        self.revoked_at
    }

    /// `valid`, `expired` or `revoked`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(expires_at)) if expires_at <= now => "expired",
            _ => "valid",
        }
    }

    /// Whether this is the secret's token, in a time that tells nothing of how much of it was right.
    pub(super) fn is(&self, text: &str) -> bool {
        self.hash.ct_eq(&hash(text)).into()
    }

    /// For people and programs, without the hash.
    pub fn to_json(&self, now: Timestamp) -> Json {
        self.shown(Object::with_capacity(256).text("id", &*self.id).text("state", self.state(now))).end()
    }

    /// For the store.
    pub(super) fn to_record(&self) -> Json {
        self.shown(Object::with_capacity(320).text("hash", &*hex(&self.hash))).end()
    }

    fn shown(&self, object: Object) -> Object {
        object
            .text("user", self.identity.user())
            .text("agent", self.identity.agent())
            .texts("namespaces", self.namespaces())
            .text("access", self.access.as_str())
            .time("createdAt", self.created_at)
            .time("expiresAt", self.expires_at)
            .time("revokedAt", self.revoked_at)
    }

    pub(super) fn of_record(id: &str, value: &str) -> Result<Self> {
        let read = || {
            let kept: Kept = serde_json::from_str(value).ok()?;
            let time = |text: Option<String>| text.map(|text| Timestamp::parse(&text).ok_or(())).transpose().ok();
            Some(Self {
                id: id.into(),
                hash: unhex(&kept.hash)?,
                identity: Identity::new(&kept.user, kept.agent.as_deref()).ok()?,
                namespaces: Namespaces::matching(kept.namespaces),
                access: kept.access,
                created_at: Timestamp::parse(&kept.created_at)?,
                expires_at: time(kept.expires_at)?,
                revoked_at: time(kept.revoked_at)?,
            })
        };
        let broken =
            || Error::new(ErrorKind::CorruptStore, format!("token {id:?} is not kept as it should be: revoke it"));
        read().ok_or_else(broken)
    }
}

/// A token's record. Nothing has a default: what is missing must not widen what it allows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    hash: String,
    user: String,
    agent: Option<String>,
    namespaces: Vec<String>,
    access: Access,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

/// A new id, and the text that its bearer shows.
pub(super) fn random() -> Result<(String, String)> {
    let mut bytes = [0; ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|source| {
        let message = format!("the system gives no random bytes: {source}: try again");
        Error::new(ErrorKind::Unavailable, message).caused_by(source)
    })?;
    let (id, secret) = bytes.split_at(ID_BYTES);
    let id = hex(id);
    let text = format!("{PREFIX}{id}_{}", hex(secret));
    Ok((id, text))
}

/// The id within the text of a token, if that is one by its form.
pub(super) fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    (is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES)).then_some(id)
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if !is_hex(text, 32) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_an_id_and_two_hundred_and_fifty_six_random_bits() {
        let (id, text) = random().expect("random bytes");
        let (other, _) = random().expect("random bytes");
        assert_ne!(id, other);
        assert_eq!(text.len(), "ads_".len() + 16 + 1 + 64);
        assert_eq!(id_of(&text), Some(&*id));
        for wrong in ["", "ads_", &text[1..], &text[..84], &text.to_uppercase(), &format!("{text}0"), "ads_k_k"] {
            assert_eq!(id_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_record_holds_the_hash_and_never_the_secret() {
        let (id, text) = random().expect("random bytes");
        let at = Timestamp::parse("2026-01-31T12:00:00Z").expect("a time");
        let token = Token {
            id: id.as_str().into(),
            hash: hash(&text),
            identity: Identity::new("a:b", Some("reader")).expect("names"),
            namespaces: Namespaces::matching(["c*".to_owned()]),
            access: Access::Write,
            created_at: at,
            expires_at: Some(at),
            revoked_at: None,
        };
        let record = token.to_record();
        let secret = text.rsplit('_').next().expect("a secret");
        assert!(!record.as_str().contains(secret));
        let read = Token::of_record(&id, record.as_str()).expect("what was written");
        assert_eq!(read.to_record(), record);
        assert!(read.is(&text) && !read.is("ads_") && !read.is(&format!("{text} ")));
        assert!(!token.to_json(at).as_str().contains("hash"));
    }

    #[test]
    fn a_record_that_lacks_something_is_no_token() {
        let whole = r#"{"hash":"HASH","user":"u","agent":null,"namespaces":[],"access":"read","createdAt":"2026-01-31T12:00:00Z","expiresAt":null,"revokedAt":null}"#
            .replace("HASH", &"0".repeat(64));
        assert!(Token::of_record("id", &whole).is_ok());
        let parts = [
            ("\"namespaces\":[],", ""),
            ("\"access\":\"read\",", ""),
            ("\"user\":\"u\"", "\"user\":\"ads:tokens\""),
            ("\"revokedAt\":null", "\"revokedAt\":\"then\""),
            ("\"revokedAt\"", "\"revoked\""),
            ("00", "0"),
        ];
        for (part, instead) in parts {
            let error = Token::of_record("id", &whole.replacen(part, instead, 1)).expect_err(part);
            assert_eq!(error.kind(), ErrorKind::CorruptStore, "{part}");
        }
    }
}
