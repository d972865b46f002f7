//! Where a request points: names in its path and options in its query.
//!
//! A namespace is one segment of the path, a key is all the rest, and both are percent-decoded only after the path has been
//! split, so a name may hold any character, `/` included.

use agent_data_store::model::View;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use percent_encoding::{CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};

use crate::error::Failure;
use crate::schemas::{Key, NamespaceName};

/// The namespace in a path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct Namespace {
    /// As one segment: its slashes are percent-encoded.
    #[param(value_type = NamespaceName)]
    pub(crate) namespace: String,
}

/// A record in a path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct Record {
    /// As one segment: its slashes are percent-encoded.
    #[param(value_type = NamespaceName)]
    pub(crate) namespace: String,
    /// All the rest of the path: its slashes may be percent-encoded.
    #[param(value_type = Key)]
    pub(crate) key: String,
}

/// The options in a query; unknown ones are refused.
#[derive(Debug)]
pub(crate) struct Choices<T>(pub(crate) T);

impl<S: Send + Sync> FromRequestParts<S> for Namespace {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(namespace) = Path::<String>::from_request_parts(parts, state).await.map_err(refused)?;
        Ok(Self { namespace })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Record {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path((namespace, key)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(refused)?;
        Ok(Self { namespace, key })
    }
}

fn refused(_: PathRejection) -> Failure {
    Failure::invalid("the path is not UTF-8 after percent-decoding: encode names as UTF-8")
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Choices<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        // What reads the query would replace what is not UTF-8.
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(Failure::invalid("the query is not UTF-8 after percent-decoding: encode names as UTF-8"));
        }
        let Query(choices) = Query::<T>::try_from_uri(&parts.uri).map_err(|rejection| {
            let reason =
                std::error::Error::source(&rejection).map_or_else(|| rejection.to_string(), ToString::to_string);
            Failure::invalid(format!(
                "the query is not understood: {reason}: correct it, /docs shows what each route takes"
            ))
        })?;
        Ok(Self(choices))
    }
}

/// How a caller names a [`View`].
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[schema(as = View)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Shown {
    /// The key alone.
    Key,
    /// Key, version and expiry.
    Version,
    /// Key, version, expiry and value.
    Value,
    /// The whole record.
    #[default]
    Record,
}

impl Shown {
    pub(crate) fn view(self) -> View {
        match self {
            Self::Key => View::Key,
            Self::Version => View::Version,
            Self::Value => View::Value,
            Self::Record => View::Record,
        }
    }
}

/// The same answer with a header `Link` to the page after `last`, if there is one.
pub(crate) fn linked_to_next(uri: &Uri, last: Option<&str>, mut response: Response) -> Response {
    let Some(last) = last else { return response };
    let query = uri.query().unwrap_or_default();
    let is_after = |option: &str| percent_decode_str(option.split('=').next().unwrap_or_default()).eq(*b"after");
    let others = query.split('&').filter(|option| !option.is_empty() && !is_after(option));
    let after = format!("after={}", utf8_percent_encode(last, NON_ALPHANUMERIC));
    let query: Vec<&str> = others.chain([&*after]).collect();
    // Some clients write UTF-8 as it is, which a header cannot hold.
    let (path, query) = (utf8_percent_encode(uri.path(), CONTROLS), query.join("&"));
    let link = format!("<{path}?{}>; rel=\"next\"", utf8_percent_encode(&query, CONTROLS));
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(LINK, link);
    }
    response
}
