//! What a server knows its caller by.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Longest token, in bytes.
const TOKEN_BYTES: usize = 4_096;

/// A secret that a server has given out. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Takes a token as the server showed it.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is 1 to 4,096 visible ASCII characters.
    pub fn new(token: &str) -> Result<Self> {
        if token.is_empty() || token.len() > TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(
                "token is not one: give it as the server showed it, without spaces or line breaks",
            ));
        }
        Ok(Self(token.into()))
    }

    /// The token of the environment, `AGENT_DATA_STORE_TOKEN`, if it is set and not empty.
    ///
    /// # Errors
    /// `InvalidArgument` where it is no token.
    pub fn from_environment() -> Result<Option<Self>> {
        match std::env::var("AGENT_DATA_STORE_TOKEN") {
            Ok(token) if token.is_empty() => Ok(None),
            Ok(token) => Self::new(&token).map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Error::invalid("AGENT_DATA_STORE_TOKEN is not UTF-8: set it anew or unset it"))
            }
        }
    }

    #[cfg(feature = "remote")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_nowhere() {
        let token = Token::new("ads_hunter2").expect("a token");
        assert!(
            !format!("{token:?} {:?}", crate::Options { token: Some(token.clone()), ..Default::default() })
                .contains("hunter2")
        );
        for wrong in ["", "hunter 2", "hunter2\n", "hünter2", &"x".repeat(TOKEN_BYTES + 1)] {
            let error = Token::new(wrong).expect_err("no token");
            assert!(!error.to_string().contains("nter"), "{error}");
        }
    }
}
