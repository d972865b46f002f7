//! What a request shows of who it is.

use std::net::IpAddr;

use agent_data_store::{Error, ErrorKind, Result};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::uri::Authority;

use super::permit::Permit;
use super::tokens::{Tokens, unauthenticated};

const SCHEME: &str = "bearer";

/// What the caller may do.
///
/// # Errors
/// `Unauthenticated` without a valid token where one is needed.
pub(crate) async fn permit(tokens: &Tokens, open: bool, headers: &HeaderMap) -> Result<Permit> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let Some(authorization) = shown.next() else {
        if !open || tokens.are_required().await? {
            return Err(unauthenticated("no token is given: send Authorization: Bearer and a token of this store"));
        }
        check_host(headers)?;
        return Ok(Permit::Everything);
    };
    if shown.next().is_some() {
        return Err(unauthenticated("Authorization is given more than once: give it once"));
    }
    let token = authorization.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map(|(_, token)| token.trim());
    let token = token.ok_or_else(|| unauthenticated("Authorization is no token: write Bearer and the token"))?;
    tokens.recognise(token).await.map(Permit::Token)
}

/// Where nobody needs a token, a page of another site must not get in by having its own name lead here.
fn check_host(headers: &HeaderMap) -> Result<()> {
    let Some(host) = headers.get(HOST) else { return Ok(()) };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    match authority.is_some_and(|authority| is_here(authority.host())) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::PermissionDenied,
            "without tokens the store is served under localhost and its addresses alone: create a token",
        )),
    }
}

fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_here() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["localhost.example.org", "evil.example", "10.0.0.1", "0.0.0.0", "[::2]", "127.0.0.1.example", ""] {
            assert!(!is_here(host), "{host}");
        }
    }
}
