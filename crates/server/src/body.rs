//! What a request brings.

use std::fmt;
use std::marker::PhantomData;

use agent_data_store::{Error, ErrorKind, Json, Limits};
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use serde::de::{self, DeserializeOwned, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use tokio::time::timeout;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::error::{Failure, Result, shortened};
use crate::memory::{SMALL, Share};

/// The bytes of a JSON body, not looked at yet.
#[derive(Debug)]
pub(crate) struct JsonBody {
    bytes: Bytes,
    /// Its share of what may be held of bodies.
    _memory: Option<Share>,
}

impl JsonBody {
    /// The body as it came.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body as what it should be. The message names what is missing or in the way, never a value.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| match error.classify() {
            Category::Data if is_too_many(&error) => too_many(),
            Category::Data => Failure::invalid(self.why_not::<T>()),
            _ => Failure::invalid(format!("the body is not JSON: line {} column {}", error.line(), error.column())),
        })
    }

    /// Reads it once more, to tell where it is not as it should be.
    fn why_not<'a, T: Deserialize<'a>>(&'a self) -> String {
        let mut deserializer = serde_json::Deserializer::from_slice(&self.bytes);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Ok(_) => "the body is not as it should be: see /openapi.json".to_owned(),
            Err(error) => match error.path().to_string().as_str() {
                "." => format!("the body is not as it should be: {}", without_values(error.inner())),
                path => format!("{path} in the body is not as it should be: {}", without_values(error.inner())),
            },
        }
    }
}

/// What is wrong, unless the message quotes the body.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let quotes = ["invalid type", "invalid value", "unknown variant"].iter().any(|start| text.starts_with(start));
    match text.split_once(", expected ").filter(|_| quotes) {
        Some((_, expected)) => format!("expected {expected}"),
        None => text,
    }
}

impl FromRequest<App> for JsonBody {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        // A page of another site can send other types than this without being asked for permission first.
        if !is_json(request.headers()) {
            return Err(Failure::request(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body is not declared as JSON: send it with Content-Type: application/json",
            ));
        }
        if let Some(encoding) = encoding(request.headers()) {
            return Err(Failure::request(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                shortened(format!("the body is encoded as {encoding}: send it as it is, without Content-Encoding")),
            ));
        }
        let received = timeout(app.options().request_timeout, receive(request.into_body(), app));
        received.await.unwrap_or_else(|_| {
            Err(Failure::request(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "the body did not arrive in time: send it faster, or less at once",
            ))
        })
    }
}

/// Takes in a body for as long as it is within the limits; what is declared to be over them is not read at all.
async fn receive(body: Body, app: &App) -> Result<JsonBody> {
    let limit = app.options().body_bytes;
    let expected = body.size_hint();
    if expected.lower() > limit as u64 {
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let next = async |pieces: &mut BodyDataStream| {
        pieces.next().await.transpose().map_err(|_| Failure::invalid("the body ended before its end: send it again"))
    };
    let first = next(&mut pieces).await?.unwrap_or_default();
    if expected.exact() == Some(first.len() as u64) && first.len() <= SMALL {
        return Ok(JsonBody { bytes: first, _memory: None });
    }
    let mut memory = app.memory().take(first.len())?;
    let mut bytes = Vec::from(first);
    while let Some(piece) = next(&mut pieces).await? {
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        memory.merge(app.memory().take(piece.len())?);
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() > limit {
        return Err(too_large());
    }
    Ok(JsonBody { bytes: bytes.into(), _memory: Some(memory) })
}

fn too_large() -> Failure {
    Error::new(ErrorKind::TooLarge, "the body is over the server's limit: send less at once").into()
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// How the body is compressed or otherwise encoded, if it is: nothing here undoes that, so a small body stays a small one.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let given = headers.get_all(CONTENT_ENCODING).iter();
    let mut given = given.filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    given.next().map(|encoding| String::from_utf8_lossy(encoding.as_bytes()).into_owned())
}

/// Most entries of a list in a body, as `/openapi.json` says.
pub(crate) const MOST_ENTRIES: usize = 100_000;
const TOO_MANY: &str = "the body has more than 100000 entries, which is over the limit";

/// A list of no more entries than a request may have; further ones are not kept, nor looked at.
pub(crate) fn entries<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Entries { most: MOST_ENTRIES, entries: PhantomData })
}

/// The entries of a list within a body, where there are at most so many.
pub(crate) fn entries_of<T: DeserializeOwned>(list: &RawValue, name: &str, most: usize) -> Result<Vec<T>> {
    let mut deserializer = serde_json::Deserializer::from_str(list.get());
    deserializer.deserialize_seq(Entries { most, entries: PhantomData }).map_err(|error| match is_too_many(&error) {
        true => too_many(),
        false => Failure::invalid(format!("{name} in the body is not as it should be: {}", without_values(&error))),
    })
}

struct Entries<T> {
    most: usize,
    entries: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            if entries.len() == self.most {
                return Err(de::Error::custom(TOO_MANY));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn is_too_many(error: &serde_json::Error) -> bool {
    error.to_string().starts_with(TOO_MANY)
}

fn too_many() -> Failure {
    Error::new(ErrorKind::TooLarge, format!("{TOO_MANY}: split it")).into()
}

/// A value within a body as JSON that may be stored.
pub(crate) fn checked(value: &RawValue, limits: &Limits) -> agent_data_store::Result<Json> {
    Json::parse(value.get(), limits)
}

/// A whole number that is not negative; some clients write 7.0 for 7.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole(pub(crate) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
        Ok(Whole(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
        /// Above this not every whole number has a float of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() != 0.0 || !(0.0..=EXACT).contains(&number) {
            return Err(E::invalid_value(Unexpected::Float(number), &self));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within range")]
        Ok(Whole(number as u64))
    }
}

impl PartialSchema for Whole {
    fn schema() -> RefOr<Schema> {
        let whole = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(usize::MAX));
        Schema::Object(whole.build()).into()
    }
}

impl ToSchema for Whole {}

/// Keeps `null` apart from a member that is missing.
pub(crate) fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
