//! From an error to an answer: the one place that knows status codes.

use std::any::Any;
use std::time::Duration;

use agent_data_store::wire::{self, Object};
use agent_data_store::{Error, ErrorKind, Json};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::answer::json;

/// In how many seconds trying again may help.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

pub(crate) type Result<T = Response, E = Failure> = std::result::Result<T, E>;

/// Why a request has no better answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store's error.
    Store(Error),
    /// There is no such record.
    NoRecord { namespace: String, key: String },
    /// There are too many requests; how long to wait.
    TooMany { detail: &'static str, wait: Duration },
    /// What is wrong with the request as such.
    Request { status: StatusCode, code: &'static str, detail: String },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Store(Error::new(ErrorKind::InvalidArgument, shortened(detail.into())))
    }

    pub(crate) fn too_many(detail: &'static str, wait: Duration) -> Self {
        Self::TooMany { detail, wait }
    }

    pub(crate) fn request(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Request { status, code, detail: detail.into() }
    }
}

/// What is sent back of a message that may quote what came in, such as the name of a member.
pub(crate) fn shortened(mut message: String) -> String {
    const LONGEST: usize = 1_000;
    if message.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The status of an error of this kind.
pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::NotSerializable => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Conflict => StatusCode::PRECONDITION_FAILED,
        ErrorKind::LeaseHeld | ErrorKind::LeaseLost => StatusCode::CONFLICT,
        ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Store(error) => of_store(&error),
            Self::NoRecord { namespace, key } => {
                let detail = format!("Record '{key}' not found in '{namespace}'");
                let body = Object::with_capacity(128 + detail.len())
                    .text("detail", &*detail)
                    .text("code", "not_found")
                    .text("namespace", &*namespace)
                    .text("key", &*key);
                answer(StatusCode::NOT_FOUND, body.end())
            }
            Self::TooMany { detail, wait } => {
                let detail = format!("{detail}: try again later");
                let body = Object::with_capacity(128).text("detail", &*detail).text("code", "too_many_requests");
                let mut response = answer(StatusCode::TOO_MANY_REQUESTS, body.bool("retryable", true).end());
                // Whole seconds, so rather too many than too few.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
                response
            }
            Self::Request { status, code, detail } => {
                answer(status, Object::with_capacity(128).text("detail", &*detail).text("code", code).end())
            }
        }
    }
}

fn of_store(error: &Error) -> Response {
    let status = status(error.kind());
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%error, "the store failed");
    }
    let mut response = answer(status, wire::error_as("detail", error));
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
        }
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

fn answer(status: StatusCode, body: Json) -> Response {
    (status, json(body)).into_response()
}

/// The answer where a handler panicked. What it said is in the log of panics, not here.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Failure::request(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "internal error: see the server's log")
        .into_response()
}

/// The answer for a path that leads nowhere.
pub(crate) async fn no_such_path(uri: Uri) -> Failure {
    match uri.path().strip_prefix("/data-store/namespaces/").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
        Some(("", _)) => Failure::invalid("namespace is empty: give it at least one character"),
        Some((_, "records/")) => Failure::invalid("key is empty: give it at least one character"),
        _ => {
            let detail = "no such path: see /openapi.json for those there are";
            Failure::request(StatusCode::NOT_FOUND, "no_such_path", detail)
        }
    }
}

/// The answer for a method that a path does not have.
pub(crate) async fn no_such_method() -> Failure {
    Failure::request(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path has no such method: see /openapi.json for those it has",
    )
}
