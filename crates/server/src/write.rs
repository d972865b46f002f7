//! A write as JSON, the same in a batch and for one record.

use std::borrow::Cow;
use std::time::Duration;

use agent_data_store::limits::{KEY_BYTES, NAMESPACE_BYTES, check_namespace};
use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};
use agent_data_store::{Json, Limits};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, SchemaType};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::body::{Whole, checked, given};
use crate::error::{Failure, Result};
use crate::schemas;

/// Members of a write. Which of them belong to it depends on `op`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WriteBody<'a> {
    op: Op,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    by: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    items: Option<&'a RawValue>,
    unique: Option<bool>,
    max_length: Option<Whole>,
    #[serde(borrow, default, deserialize_with = "given")]
    patch: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    ttl_seconds: Option<&'a RawValue>,
    if_version: Option<Whole>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Op {
    Set,
    Delete,
    Increment,
    Append,
    Merge,
    Touch,
    Check,
}

impl WriteBody<'_> {
    /// The write, to the record that it names itself.
    pub(crate) fn anywhere(mut self, limits: &Limits) -> Result<Write> {
        let namespace = self.namespace.take().ok_or_else(|| missing("namespace"))?;
        let key = self.key.take().ok_or_else(|| missing("key"))?;
        check_namespace(&namespace)?;
        self.at(Address { namespace: namespace.into(), key: key.into() }, limits)
    }

    /// The write, to a record that the path names.
    pub(crate) fn at(mut self, address: Address, limits: &Limits) -> Result<Write> {
        let mutation = self.mutation(limits)?;
        let write = Write {
            address,
            precondition: self.if_version.map_or(Precondition::None, |version| Precondition::Version(version.0)),
            mutation,
            metadata: self.metadata.map(|metadata| checked(metadata, limits)).transpose()?,
            expiry: expiry(self.ttl_seconds)?,
        };
        match self.left_over() {
            Some(name) => Err(Failure::invalid(format!("{name} does not belong to this op: leave it out"))),
            None => Ok(write),
        }
    }

    /// Takes the members that belong to the mutation.
    fn mutation(&mut self, limits: &Limits) -> Result<Mutation> {
        let needed = |member: Option<&RawValue>, name| -> Result<Json> {
            Ok(checked(member.ok_or_else(|| missing(name))?, limits)?)
        };
        Ok(match self.op {
            Op::Set => Mutation::Set(needed(self.value.take(), "value")?),
            Op::Delete => Mutation::Delete,
            Op::Increment => Mutation::Increment(match self.by.take() {
                Some(by) => checked(by, limits)?,
                None => Json::from_trusted("1"),
            }),
            Op::Append => Mutation::Append {
                items: needed(self.items.take(), "items")?,
                unique: self.unique.take().unwrap_or_default(),
                max_length: self.max_length.take().map(|most| usize::try_from(most.0).unwrap_or(usize::MAX)),
            },
            Op::Merge => Mutation::Merge(needed(self.patch.take(), "patch")?),
            Op::Touch => Mutation::Touch,
            Op::Check => Mutation::Check,
        })
    }

    fn left_over(&self) -> Option<&'static str> {
        let keeps_nothing = matches!(self.op, Op::Delete | Op::Check);
        [
            ("namespace", self.namespace.is_some()),
            ("key", self.key.is_some()),
            ("value", self.value.is_some()),
            ("by", self.by.is_some()),
            ("items", self.items.is_some()),
            ("unique", self.unique.is_some()),
            ("maxLength", self.max_length.is_some()),
            ("patch", self.patch.is_some()),
            ("metadata", keeps_nothing && self.metadata.is_some()),
            ("ttlSeconds", keeps_nothing && self.ttl_seconds.is_some()),
        ]
        .into_iter()
        .find_map(|(name, is_there)| is_there.then_some(name))
    }
}

fn missing(name: &str) -> Failure {
    Failure::invalid(format!("the write has no {name}: add it"))
}

/// `ttlSeconds` of a write: missing leaves it to the mutation, `null` is never.
pub(crate) fn expiry(ttl_seconds: Option<&RawValue>) -> Result<Expiry> {
    match ttl_seconds {
        None => Ok(Expiry::Default),
        Some(ttl_seconds) => {
            Ok(ttl(Some(ttl_seconds).filter(|it| it.get() != "null"))?.map_or(Expiry::Never, Expiry::After))
        }
    }
}

/// `ttlSeconds` of what always ends.
pub(crate) fn ttl(ttl_seconds: Option<&RawValue>) -> Result<Option<Duration>> {
    match pause("ttlSeconds", ttl_seconds)? {
        Some(ttl) if ttl.as_micros() == 0 => {
            Err(Failure::invalid("ttlSeconds is not positive: give at least 0.000001"))
        }
        ttl => Ok(ttl),
    }
}

/// A member of seconds.
pub(crate) fn pause(name: &str, value: Option<&RawValue>) -> Result<Option<Duration>> {
    let Some(value) = value else { return Ok(None) };
    let wrong = || Failure::invalid(format!("{name} is not a number of seconds: give one that is not negative"));
    seconds(value.get()).map(Some).ok_or_else(wrong)
}

/// A JSON number as a time, exact where it is written without an exponent; what is too long for a time is the longest.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let exact = || {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        Some(whole.parse().map_or(Duration::MAX, |whole| Duration::new(whole, nanos)))
    };
    exact().or_else(|| match text.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        _ => None,
    })
}

/// A write to a record that the path names, as it is described.
pub(crate) struct ChangeRecord;

impl PartialSchema for ChangeRecord {
    fn schema() -> RefOr<Schema> {
        described(&[])
    }
}

impl ToSchema for ChangeRecord {}

impl PartialSchema for WriteBody<'_> {
    fn schema() -> RefOr<Schema> {
        described(&[("namespace", NAMESPACE_BYTES), ("key", KEY_BYTES)])
    }
}

impl ToSchema for WriteBody<'_> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Write")
    }
}

/// One form for each `op`.
fn described(address: &[(&str, usize)]) -> RefOr<Schema> {
    let number = || ObjectBuilder::new().schema_type(Type::Number);
    let whole = |description| {
        let whole = SchemaType::from_iter([Type::Integer, Type::Null]);
        ObjectBuilder::new()
            .schema_type(whole)
            .minimum(Some(0))
            .maximum(Some(usize::MAX))
            .description(Some(description))
    };
    let object = || ObjectBuilder::new().schema_type(Type::Object);
    let any = || ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    let ttl = || number().schema_type(SchemaType::from_iter([Type::Number, Type::Null])).minimum(Some(0.000_001));
    let mut forms = OneOfBuilder::new();
    for op in ["set", "delete", "increment", "append", "merge", "touch", "check"] {
        let mut form = object()
            .property("op", ObjectBuilder::new().schema_type(Type::String).enum_values(Some([op])))
            .required("op")
            .property("ifVersion", whole("Only if the record has this version; 0: only if there is none"))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        form = match op {
            "set" => form.description(Some("Replaces the value")).property("value", any()).required("value"),
            "delete" => form.description(Some("Removes the record")),
            "increment" => form
                .description(Some("Adds a number, 1 unless said otherwise; a missing record counts as 0"))
                .property("by", number()),
            "append" => form
                .description(Some("Appends to a list; a missing record counts as an empty one"))
                .property("items", ArrayBuilder::new().items(any()))
                .required("items")
                .property(
                    "unique",
                    ObjectBuilder::new()
                        .schema_type(SchemaType::from_iter([Type::Boolean, Type::Null]))
                        .description(Some("Leaves out items that the list already holds")),
                )
                .property("maxLength", whole("Drops the oldest items above this length")),
            "merge" => form.description(Some("JSON Merge Patch (RFC 7396)")).property("patch", any()).required("patch"),
            "touch" => {
                form.description(Some("Leaves the value: for the expiry and metadata of a record that is there"))
            }
            _ => form.description(Some("Changes nothing: for the version alone")),
        };
        if !matches!(op, "delete" | "check") {
            form = form
                .property(
                    "metadata",
                    object()
                        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
                        .description(Some("Merged key by key into what is there")),
                )
                .property(
                    "ttlSeconds",
                    ttl().description(Some("How long the record lives from now on; null: for ever")),
                );
        }
        for (name, longest) in address {
            form = form.property(*name, schemas::name(*longest)).required(*name);
        }
        forms = forms.item(form);
    }
    Schema::OneOf(forms.build()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_and_never_negative() {
        let expected = [
            ("0", Some(Duration::ZERO)),
            ("90", Some(Duration::from_secs(90))),
            ("0.000001", Some(Duration::from_micros(1))),
            ("123456789012.000001", Some(Duration::new(123_456_789_012, 1_000))),
            ("1.0000000019", Some(Duration::new(1, 1))),
            ("1e3", Some(Duration::from_secs(1_000))),
            ("18446744073709551616", Some(Duration::MAX)),
            ("1e99", Some(Duration::MAX)),
            ("-1", None),
            ("-0.5", None),
            ("\"1\"", None),
            ("null", None),
            ("[1]", None),
        ];
        for (text, time) in expected {
            assert_eq!(seconds(text), time, "{text}");
        }
    }
}
