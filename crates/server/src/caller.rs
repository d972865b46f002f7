//! Who is calling.

use agent_data_store::{DataStore, Identity};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::app::App;
use crate::error::Failure;

const USER: &str = "x-user-id";
const AGENT: &str = "x-agent-name";
const DEFAULT_USER: &str = "default";

/// The start of a name that is percent-encoded, as RFC 8187 writes those that a header cannot hold as they are.
const ENCODED: &str = "UTF-8''";

/// Who is calling, and on whose behalf.
#[derive(Debug)]
pub(crate) struct Caller {
    app: App,
    identity: Identity,
}

impl Caller {
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A view for reading a namespace.
    pub(crate) fn reader(&self, namespace: &str) -> agent_data_store::Result<DataStore> {
        self.app.store().data_store(self.identity.clone(), namespace)
    }

    /// A view for writing to a namespace.
    pub(crate) fn writer(&self, namespace: &str) -> agent_data_store::Result<DataStore> {
        self.app.store().data_store(self.identity.clone(), namespace)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let user = name(&parts.headers, USER)?;
        let agent = name(&parts.headers, AGENT)?;
        let identity = Identity::new(user.as_deref().unwrap_or(DEFAULT_USER), agent.as_deref())?;
        Ok(Self { app: app.clone(), identity })
    }
}

/// The name in a header: as it is, or percent-encoded after [`ENCODED`].
fn name(headers: &HeaderMap, header: &'static str) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::invalid(format!("{header} is given more than once: give it once")));
    }
    let text = std::str::from_utf8(value.as_bytes()).ok().and_then(|text| match text.strip_prefix(ENCODED) {
        Some(encoded) => percent_decode_str(encoded).decode_utf8().ok().map(String::from),
        None => Some(text.to_owned()),
    });
    let wrong = || Failure::invalid(format!("{header} is not UTF-8: write {ENCODED} and the name percent-encoded"));
    text.map(Some).ok_or_else(wrong)
}
