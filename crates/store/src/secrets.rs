//! Likely credentials in what is written: found by the fixed shapes of well-known tokens, then stored, warned about or
//! refused.
//!
//! Each shape is a literal prefix that its vendor reserves for secrets, then so many characters of a certain alphabet. A
//! JSON text is searched once for all prefixes together; only where one occurs is looked at what follows. There is no
//! guessing by randomness or by names like `password`: it would flag hashes, ids and prose.
//!
//! Not found, on purpose:
//! - keys for test modes (`sk_test_`) and publishable ones (`pk_live_`), which open nothing;
//! - JSON Web Tokens on their own: most have long expired or carry no right, and those who hand sessions from one agent to
//!   another would be refused for doing so;
//! - secrets without a shape of their own: passwords, AWS secret access keys, tokens that are plain hexadecimal;
//! - tokens with a letter written as an escape (`\u0067hp_…`): encoders do not write those, and this guards against
//!   accidents, not against somebody who hides a token.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::data_store::DataStore;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::model::{Address, Mutation, Write};
use crate::secrets_place::{place, quoted};

/// Most findings that one call warns about.
const WARNINGS_PER_CALL: usize = 20;

/// What happens to a write whose value, patch, items or metadata look as if they hold a credential. Reading is never
/// concerned, nor are keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecretsPolicy {
    /// It is stored without a look.
    Allow,
    /// It is stored, and the [`WarningSink`] of the store is told.
    #[default]
    Warn,
    /// It fails with `InvalidArgument`, which names the place and the kind but never the value; nothing is stored.
    Refuse,
}

impl SecretsPolicy {
    /// The name in a store URL: `allow`, `warn` or `refuse`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for SecretsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SecretsPolicy {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` for anything but the three names.
    fn from_str(name: &str) -> Result<Self> {
        [Self::Allow, Self::Warn, Self::Refuse]
            .into_iter()
            .find(|policy| policy.as_str() == name)
            .ok_or_else(|| Error::invalid("the policy for secrets is not known: use secrets=allow, warn or refuse"))
    }
}

/// Something stored that looks like a credential. Shown as a message that never holds the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretsWarning {
    /// The namespace of the record.
    pub namespace: Arc<str>,
    /// Its key.
    pub key: Box<str>,
    /// What of the write holds it: `value`, `merge patch`, `appended items`, `metadata`, or of a task `result` or `error`.
    pub part: &'static str,
    /// Where in there, as a path from `$`; at most some 240 characters.
    pub place: String,
    /// What it looks like, for instance `a GitHub token`.
    pub kind: &'static str,
}

impl fmt::Display for SecretsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, key, part, place, kind } = self;
        let (key, namespace) = (quoted(key), quoted(namespace));
        write!(
            f,
            "{part} of key {key} in namespace {namespace} holds what looks like {kind} at {place}: keep it in an \
             environment variable or a secret manager, or allow it with secrets=allow"
        )
    }
}

/// Is told of likely credentials under [`SecretsPolicy::Warn`].
pub trait WarningSink: Send + Sync + fmt::Debug {
    /// Called after the write has been stored, on the thread that called; at most 20 times for one call of a verb.
    fn warn(&self, warning: &SecretsWarning);
}

impl DataStore {
    /// Looks at what the writes bring: an error where the policy refuses it, else what to warn about once they are stored.
    pub(crate) fn look_for_secrets(&self, writes: &[Write]) -> Result<Vec<SecretsWarning>> {
        self.judge(writes.iter().flat_map(found_in))
    }

    /// As [`DataStore::look_for_secrets`], for what is about to become part of the record at `address`.
    pub(crate) fn look_for_secrets_in(
        &self,
        address: &Address,
        part: &'static str,
        json: &Json,
    ) -> Result<Vec<SecretsWarning>> {
        self.judge(found(address, part, json))
    }

    /// The error alone, for writes that are only prepared.
    pub(crate) fn refuse_secrets(&self, write: &Write) -> Result<()> {
        match self.secrets_policy() {
            SecretsPolicy::Refuse => self.judge(found_in(write)).map(drop),
            SecretsPolicy::Allow | SecretsPolicy::Warn => Ok(()),
        }
    }

    /// Tells the sink of what has been stored.
    pub(crate) fn warn_of_secrets(&self, warnings: &[SecretsWarning]) {
        if let Some(sink) = self.warning_sink() {
            warnings.iter().for_each(|warning| sink.warn(warning));
        }
    }

    /// Searches only as far as the policy wants to know.
    fn judge(&self, mut found: impl Iterator<Item = SecretsWarning>) -> Result<Vec<SecretsWarning>> {
        match self.secrets_policy() {
            SecretsPolicy::Allow => Ok(Vec::new()),
            SecretsPolicy::Warn if self.warning_sink().is_none() => Ok(Vec::new()),
            SecretsPolicy::Warn => Ok(found.take(WARNINGS_PER_CALL).collect()),
            SecretsPolicy::Refuse => found.next().map_or(Ok(Vec::new()), |found| Err(found.into_error())),
        }
    }
}

impl SecretsWarning {
    fn into_error(self) -> Error {
        let error = Error::invalid(self.to_string());
        // A name that holds the token itself stays out of what every face shows of an error.
        match holds_secret(&self.key) || holds_secret(&self.namespace) {
            true => error,
            false => error.at(&self.namespace, &self.key),
        }
    }
}

fn found_in(write: &Write) -> impl Iterator<Item = SecretsWarning> {
    let brought = match &write.mutation {
        Mutation::Set(value) => Some(("value", value)),
        Mutation::Merge(patch) => Some(("merge patch", patch)),
        Mutation::Append { items, .. } => Some(("appended items", items)),
        // A number, or nothing.
        Mutation::Increment(_) | Mutation::Delete | Mutation::Touch | Mutation::Check => None,
    };
    let metadata = write.metadata.as_ref().map(|metadata| ("metadata", metadata));
    brought.into_iter().chain(metadata).flat_map(move |(part, json)| found(&write.address, part, json))
}

fn found(address: &Address, part: &'static str, json: &Json) -> impl Iterator<Item = SecretsWarning> {
    findings(json.as_str()).map(move |(at, kind)| SecretsWarning {
        namespace: Arc::clone(&address.namespace),
        key: address.key.clone(),
        part,
        place: place(json.as_str(), at),
        kind,
    })
}

/// Whether a text, JSON or not, holds a likely credential.
pub fn holds_secret(text: &str) -> bool {
    findings(text).next().is_some()
}

/// A kind of credential: any of the prefixes, then any of the tails.
struct Shape {
    kind: &'static str,
    prefixes: &'static [&'static str],
    tails: &'static [&'static [Piece]],
}

/// What a tail is made of, one after the other.
enum Piece {
    /// As many characters of the alphabet as there are, at least and at most so many.
    Run(Alphabet, usize, usize),
    Text(&'static str),
    /// White space, if any: as such, or as `\n` and `\r` in a JSON string, or in one inside of another.
    Break,
}

#[derive(Clone, Copy)]
enum Alphabet {
    Digits,
    /// `0-9A-Z`
    Capitals,
    /// `0-9A-Za-z`
    Alnum,
    /// `0-9a-f`
    Hex,
    /// `0-9A-Za-z` and `-`
    Dashed,
    /// `0-9A-Za-z` and `_`
    Word,
    /// `0-9A-Za-z`, `-` and `_`
    Base64Url,
    /// `0-9A-Za-z`, `+` and `/`
    Base64,
}

use Alphabet::{Alnum, Base64, Base64Url, Capitals, Dashed, Digits, Hex, Word};
use Piece::{Break, Run, Text};

/// More characters than any token has.
const ANY: usize = 1_024;

/// From the vendors' documentation, else from the rules of the public secret scanners, as of November 2026.
const SHAPES: &[Shape] = &[
    Shape {
        kind: "a GitHub token",
        prefixes: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        tails: &[
            &[Run(Alnum, 36, 255)],
            // The stateless form since April 2026: the app's number and a JSON Web Token.
            &[
                Run(Digits, 1, 20),
                Text("_eyJ"),
                Run(Base64Url, 10, ANY),
                Text("."),
                Run(Base64Url, 10, ANY),
                Text("."),
                Run(Base64Url, 20, ANY),
            ],
        ],
    },
    Shape { kind: "a GitHub token", prefixes: &["github_pat_"], tails: &[&[Run(Word, 82, 255)]] },
    Shape {
        kind: "a GitLab token",
        // Personal, project and group access; deploy; runner.
        prefixes: &["glpat-", "gldt-", "glrt-"],
        tails: &[&[Run(Base64Url, 20, 320)]],
    },
    Shape { kind: "an AWS access key id", prefixes: &["AKIA", "ASIA"], tails: &[&[Run(Capitals, 16, 16)]] },
    Shape { kind: "a Google API key", prefixes: &["AIza"], tails: &[&[Run(Base64Url, 35, 35)]] },
    // What the Gemini API gives out since 2026.
    Shape { kind: "a Google API key", prefixes: &["AQ.Ab"], tails: &[&[Run(Base64Url, 40, 255)]] },
    Shape { kind: "a Google OAuth client secret", prefixes: &["GOCSPX-"], tails: &[&[Run(Base64Url, 28, 28)]] },
    Shape {
        kind: "a Slack token",
        prefixes: &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxc-", "xoxe-", "xapp-"],
        tails: &[&[Run(Digits, 1, 20), Text("-"), Run(Dashed, 20, ANY)]],
    },
    Shape {
        kind: "a Slack webhook URL",
        prefixes: &["hooks.slack.com"],
        tails: &[&[
            Text("/services/T"),
            Run(Capitals, 8, 20),
            Text("/B"),
            Run(Capitals, 8, 20),
            Text("/"),
            Run(Alnum, 24, 24),
        ]],
    },
    Shape { kind: "a Stripe live key", prefixes: &["sk_live_", "rk_live_"], tails: &[&[Run(Alnum, 24, 255)]] },
    Shape {
        kind: "an OpenAI API key",
        prefixes: &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        tails: &[&[Run(Base64Url, 40, 255)]],
    },
    Shape { kind: "an OpenAI API key", prefixes: &["sk-"], tails: &[&[Run(Alnum, 48, 48)]] },
    Shape {
        kind: "an Anthropic API key",
        // Also `oat`, what a subscription gives out, and its refresh token `ort`.
        prefixes: &["sk-ant-api", "sk-ant-admin", "sk-ant-oat", "sk-ant-ort"],
        tails: &[&[Run(Digits, 2, 2), Text("-"), Run(Base64Url, 40, 255)]],
    },
    Shape { kind: "an OpenRouter API key", prefixes: &["sk-or-v1-"], tails: &[&[Run(Hex, 64, 64)]] },
    Shape { kind: "an npm token", prefixes: &["npm_"], tails: &[&[Run(Alnum, 36, 36)]] },
    // The beginning is that of every macaroon: version 2, then its location.
    Shape { kind: "a PyPI token", prefixes: &["pypi-AgE"], tails: &[&[Run(Base64Url, 50, ANY)]] },
    Shape { kind: "a Hugging Face token", prefixes: &["hf_"], tails: &[&[Run(Alnum, 34, 34)]] },
    // In a connection string: 64 and 32 bytes in base64.
    Shape { kind: "an Azure storage key", prefixes: &["AccountKey="], tails: &[&[Run(Base64, 86, 86), Text("==")]] },
    Shape { kind: "an Azure access key", prefixes: &["SharedAccessKey="], tails: &[&[Run(Base64, 43, 43), Text("=")]] },
    Shape {
        kind: "a private key",
        // Without the dashes before it: rules and tables are made of dashes, and would be looked at one by one.
        prefixes: &[
            "BEGIN PRIVATE KEY-----",
            "BEGIN ENCRYPTED PRIVATE KEY-----",
            "BEGIN RSA PRIVATE KEY-----",
            "BEGIN EC PRIVATE KEY-----",
            "BEGIN DSA PRIVATE KEY-----",
            "BEGIN OPENSSH PRIVATE KEY-----",
            "BEGIN PGP PRIVATE KEY BLOCK-----",
        ],
        // The header alone is what code and documentation say about keys.
        tails: &[&[Break, Run(Base64, 16, usize::MAX)], &[Break, Text("Proc-Type:")], &[Break, Text("Version:")]],
    },
];

struct Detector {
    matcher: AhoCorasick,
    /// The shape of each pattern of the matcher.
    shapes: Vec<&'static Shape>,
}

/// `None` never: it would be too many prefixes for one matcher.
static DETECTOR: LazyLock<Option<Detector>> = LazyLock::new(|| {
    let patterns = SHAPES.iter().flat_map(|shape| shape.prefixes.iter().map(move |prefix| (*prefix, shape)));
    let (prefixes, shapes): (Vec<&str>, Vec<&Shape>) = patterns.unzip();
    let matcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(prefixes).ok()?;
    Some(Detector { matcher, shapes })
});

/// Where likely credentials begin in a JSON text, and what they look like.
fn findings(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let bytes = text.as_bytes();
    DETECTOR.as_ref().into_iter().flat_map(move |detector| {
        // Prefixes within what has been read and is no token are not looked at, so that the time stays linear.
        let mut read_until = 0;
        detector.matcher.find_iter(bytes).filter_map(move |found| {
            if found.start() < read_until || !begins_a_word(bytes, found.start()) {
                return None;
            }
            let shape = detector.shapes.get(found.pattern().as_usize())?;
            let rest = bytes.get(found.end()..)?;
            for tail in shape.tails {
                match look_at(tail, rest) {
                    Look::Token => return Some((found.start(), shape.kind)),
                    Look::Other { length } => read_until = read_until.max(found.end() + length),
                    Look::Short => {}
                }
            }
            None
        })
    })
}

/// Whether no letter, digit or `_` stands right before. One that belongs to an escape (`\n`, `\u00e9`) does not count.
fn begins_a_word(bytes: &[u8], at: usize) -> bool {
    match &bytes[..at] {
        [.., byte] if !is_word(*byte) => true,
        [] | [.., b'\\', b'b' | b'f' | b'n' | b'r' | b't'] => true,
        [.., b'\\', b'u', a, b, c, d] => [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()),
        _ => false,
    }
}

/// What follows a prefix.
enum Look {
    Token,
    /// A word of so many bytes that is no token: too long, a placeholder, or made of words.
    Other {
        length: usize,
    },
    /// Something that ends before it could be a token.
    Short,
}

fn look_at(tail: &[Piece], rest: &[u8]) -> Look {
    let mut at = 0;
    let mut last_run = None;
    for piece in tail {
        let start = at;
        match piece {
            Run(alphabet, least, most) => {
                let mut length = 0;
                while let Some((_, width)) = character(rest, at).filter(|(byte, _)| alphabet.has(*byte)) {
                    if length == *most {
                        return Look::Other { length: at };
                    }
                    at += width;
                    length += 1;
                }
                if length < *least {
                    return Look::Short;
                }
                last_run = rest.get(start..at).map(|run| (*alphabet, run));
            }
            Text(text) => {
                for expected in text.bytes() {
                    match character(rest, at) {
                        Some((byte, width)) if byte == expected => at += width,
                        _ => return Look::Short,
                    }
                }
            }
            Break => {
                while let Some(width) = rest.get(at..).and_then(white_space) {
                    at += width;
                }
            }
        }
    }
    let Some((alphabet, run)) = last_run else { return Look::Token };
    let goes_on = rest.get(at).is_some_and(|byte| is_word(*byte));
    match goes_on || is_placeholder(run) || (alphabet.has_separators() && is_wording(run)) {
        true => Look::Other { length: at },
        false => Look::Token,
    }
}

/// The character at `at` and its width. Some encoders escape `/`.
fn character(rest: &[u8], at: usize) -> Option<(u8, usize)> {
    match rest.get(at..)? {
        [b'\\', b'/', ..] => Some((b'/', 2)),
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

fn white_space(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b' ' | b'\n' | b'\r' | b'\t' => Some(1),
        b'\\' => {
            let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
            matches!(rest.get(slashes), Some(b'n' | b'r' | b't')).then_some(slashes + 1)
        }
        _ => None,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What documentation writes in place of a token.
fn is_placeholder(run: &[u8]) -> bool {
    run.iter().all(|byte| matches!(byte, b'x' | b'X' | b'-' | b'_'))
}

/// Whether what could hold separators is a name made of words, such as `token-for-the-runner`, `YOUR_KEY` or
/// `Release-Notes`: short stretches, in which no capital follows a small letter or a digit.
fn is_wording(run: &[u8]) -> bool {
    run.split(|byte| matches!(byte, b'-' | b'_')).all(|stretch| {
        let has_inner_capital =
            stretch.windows(2).any(|pair| !pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase());
        stretch.len() < 20 && !has_inner_capital
    })
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Digits => byte.is_ascii_digit(),
            Capitals => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
            Alnum => byte.is_ascii_alphanumeric(),
            Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Dashed => byte.is_ascii_alphanumeric() || byte == b'-',
            Word => is_word(byte),
            Base64Url => is_word(byte) || byte == b'-',
            Base64 => byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/',
        }
    }

    fn has_separators(self) -> bool {
        matches!(self, Dashed | Word | Base64Url)
    }
}
