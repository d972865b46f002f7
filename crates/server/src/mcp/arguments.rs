//! What a call brings, read from its own text: a value must be stored as it was sent, with every digit and in its order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agent_data_store::{Error, ErrorKind, Json, Limits, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::schema::Argument;
use crate::body::JsonBody;
use crate::error::shortened;
use crate::write::seconds;

/// A whole message as it came, which goes with the request that was read from it.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Line(Arc<[u8]>),
    /// With its share of what may be held of bodies, for as long as somebody works on it.
    Body(Arc<JsonBody>),
}

impl Message {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Line(line) => line,
            Self::Body(body) => body.bytes(),
        }
    }
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// The arguments of one call.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    given: HashMap<String, &'a RawValue>,
    /// The namespace where none is named.
    namespace: &'a str,
}

impl<'a> Arguments<'a> {
    /// Those in `message`, of which there may be no others than `known`.
    pub(super) fn read(message: &'a Message, known: &[Argument], namespace: &'a str) -> Result<Self> {
        let outer: Outer<'a> =
            serde_json::from_slice(message.bytes()).map_err(|_| invalid("the call has no params that can be read"))?;
        let given: HashMap<String, &RawValue> = match outer.params.arguments {
            None => HashMap::new(),
            Some(arguments) => serde_json::from_str::<Option<_>>(arguments.get())
                .map_err(|_| invalid("arguments are not a JSON object: send {\"name\": value}"))?
                .unwrap_or_default(),
        };
        if let Some(unknown) = given.keys().filter(|name| known.iter().all(|known| known.name != **name)).min() {
            let known: Vec<&str> = known.iter().map(|known| known.name).collect();
            return Err(invalid(format!("there is no argument {unknown:?} here: use {}", known.join(", "))));
        }
        Ok(Self { given, namespace })
    }

    /// Any JSON, `null` included.
    fn any(&self, name: &str) -> Option<&'a RawValue> {
        self.given.get(name).copied()
    }

    /// An argument for which `null` is the same as nothing.
    fn given(&self, name: &str) -> Option<&'a str> {
        self.any(name).map(RawValue::get).filter(|text| *text != "null")
    }

    fn parsed<T: Deserialize<'a>>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        let parsed = self.given(name).map(serde_json::from_str).transpose();
        parsed.map_err(|_| invalid(format!("{name} is not {expected}: correct it and call again")))
    }

    pub(super) fn namespace(&self) -> Result<String> {
        Ok(self.text("namespace")?.unwrap_or_else(|| self.namespace.to_owned()))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        self.parsed(name, "a string")
    }

    pub(super) fn needed_text(&self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.parsed(name, "a list of strings")?.ok_or_else(|| missing(name))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.parsed(name, "true or false")?.unwrap_or_default())
    }

    pub(super) fn whole(&self, name: &str) -> Result<Option<u64>> {
        let whole: Option<crate::body::Whole> = self.parsed(name, "a whole number that is not negative")?;
        Ok(whole.map(|whole| whole.0))
    }

    pub(super) fn needed_whole(&self, name: &str) -> Result<u64> {
        self.whole(name)?.ok_or_else(|| missing(name))
    }

    /// Seconds, zero included.
    pub(super) fn pause(&self, name: &str) -> Result<Option<Duration>> {
        let Some(text) = self.given(name) else { return Ok(None) };
        let wrong = || invalid(format!("{name} is not a number of seconds: give one that is not negative"));
        seconds(text).map(Some).ok_or_else(wrong)
    }

    /// Seconds, more than none.
    pub(super) fn ttl(&self, name: &str) -> Result<Option<Duration>> {
        match self.pause(name)? {
            Some(ttl) if ttl.as_micros() == 0 => {
                Err(invalid(format!("{name} is not positive: give at least 0.000001")))
            }
            ttl => Ok(ttl),
        }
    }

    /// A value to store.
    pub(super) fn json(&self, name: &str, limits: &Limits) -> Result<Option<Json>> {
        self.any(name).map(|value| Json::parse(value.get(), limits)).transpose()
    }

    pub(super) fn needed_json(&self, name: &str, limits: &Limits) -> Result<Json> {
        self.json(name, limits)?.ok_or_else(|| missing(name))
    }

    /// An object, or nothing.
    pub(super) fn object(&self, name: &str, limits: &Limits) -> Result<Option<Json>> {
        self.given(name).map(|text| Json::parse(text, limits)).transpose()
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, shortened(message.into()))
}

fn missing(name: &str) -> Error {
    invalid(format!("{name} is missing: give it and call again"))
}
