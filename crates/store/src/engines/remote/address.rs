//! Where a server is and how long it may take: what a store URL says.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use ureq::http::Uri;

use crate::error::{Error, Result};

/// How long a server may take for one step of a call, unless the URL says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A store URL of a server, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What every path is appended to.
    pub(super) base: String,
    /// Host and port, as messages name the server.
    pub(super) place: String,
    /// How long the server may take for one step of a call.
    pub(super) timeout: Duration,
    /// A file of certificates that are trusted in place of the system's.
    pub(super) ca_file: Option<PathBuf>,
}

impl Address {
    /// Takes a URL apart. It may carry a secret where none belongs, so messages quote nothing but names of parameters.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let wrong = || Error::invalid("server URL is not one: use http://host:port or https://host:port");
        let uri: Uri = Some(address).filter(|it| !it.contains('#')).and_then(|it| it.parse().ok()).ok_or_else(wrong)?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err(Error::invalid(
                "server URL holds a user or a password: take it out, and give a token by token or AGENT_DATA_STORE_TOKEN",
            ));
        }
        let port = authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let mut parsed = Self {
            base: format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/')),
            place: format!("{}:{port}", authority.host()),
            timeout: TIMEOUT,
            ca_file: None,
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("timeout", seconds)) => parsed.timeout = seconds_of(seconds)?,
                Some(("ca_file", path)) => parsed.ca_file = Some(path_of(path)?),
                other => {
                    let name = other.map_or(parameter, |(name, _)| name);
                    return Err(Error::invalid(format!(
                        "server URL parameter {name:?} is not known: use timeout=SECONDS, ca_file=PATH, secrets=allow, \
                         secrets=warn or secrets=refuse"
                    )));
                }
            }
        }
        Ok(parsed)
    }
}

fn seconds_of(text: &str) -> Result<Duration> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let wrong =
        || Error::invalid("timeout in the server URL is not a positive number of seconds, for instance timeout=30");
    seconds.filter(|seconds| !seconds.is_zero()).ok_or_else(wrong)
}

fn path_of(text: &str) -> Result<PathBuf> {
    let wrong = |_| Error::invalid("ca_file in the server URL is not UTF-8 after percent-decoding: rename the file");
    Ok(PathBuf::from(percent_decode_str(text).decode_utf8().map_err(wrong)?.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_url_says_where_the_server_is() {
        for (url, base, place) in [
            ("http://localhost:8787", "http://localhost:8787", "localhost:8787"),
            ("http://h/", "http://h", "h:80"),
            ("https://h.example/stores/one/", "https://h.example/stores/one", "h.example:443"),
            ("http://[::1]:1?timeout=0.5", "http://[::1]:1", "[::1]:1"),
        ] {
            let address = Address::parse(url).expect(url);
            assert_eq!((&*address.base, &*address.place), (base, place), "{url}");
        }
        let address = Address::parse("https://h?ca_file=/a%20b.pem&timeout=2").expect("a URL");
        assert_eq!((address.timeout, address.ca_file), (Duration::from_secs(2), Some("/a b.pem".into())));
    }

    #[test]
    fn a_url_that_cannot_be_is_refused_without_being_shown() {
        for url in [
            "http:",
            "http://",
            "http:///hunter2",
            "http:hunter2",
            "http://user:hunter2@host",
            "http://hunter2@host",
            "http://host#hunter2",
            "http://ho st/hunter2",
            "http://host?token=hunter2",
            "http://host?timeout=hunter2",
            "http://host?timeout=0",
            "http://host?timeout=-1",
            "http://host?timeout=nan",
            "http://host?ca_file=%ffhunter2",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(!error.message().contains("hunter2"), "{url}: {error}");
        }
    }
}
