//! Tools as a model is shown them: names, descriptions, and JSON schemas of their arguments.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

/// A tool.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) effect: Effect,
    pub(super) arguments: &'static [Argument],
}

/// What a call does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// It adds to what is there; again is once more.
    Adds,
    /// It replaces or removes; again changes nothing further.
    Replaces,
    /// It replaces or removes; again is another matter.
    Moves,
}

/// An argument of a tool.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) needed: bool,
    pub(super) about: &'static str,
}

/// What an argument can be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A name of at most so many bytes.
    Name(u64),
    Text,
    /// A whole number from this on.
    Whole(u64),
    Number,
    /// Seconds; whether there have to be some.
    Seconds {
        some: bool,
    },
    /// Any JSON.
    Any,
    Object,
    /// A list of keys.
    Keys,
    Flag,
    /// One of these.
    OneOf(&'static [&'static str]),
}

pub(super) const fn needed(name: &'static str, form: Form, about: &'static str) -> Argument {
    Argument { name, form, needed: true, about }
}

pub(super) const fn optional(name: &'static str, form: Form, about: &'static str) -> Argument {
    Argument { name, form, needed: false, about }
}

impl Form {
    fn schema(self) -> Value {
        match self {
            Self::Name(longest) => json!({"type": "string", "minLength": 1, "maxLength": longest}),
            Self::Text => json!({"type": "string"}),
            Self::Whole(least) => json!({"type": "integer", "minimum": least}),
            Self::Number => json!({"type": "number"}),
            Self::Seconds { some: true } => json!({"type": "number", "exclusiveMinimum": 0}),
            Self::Seconds { some: false } => json!({"type": "number", "minimum": 0}),
            // Named one by one: some clients show no field for a schema without a type.
            Self::Any => json!({"type": ["object", "array", "string", "number", "boolean", "null"]}),
            Self::Object => json!({"type": "object"}),
            Self::Keys => json!({
                "type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 1024}, "minItems": 1,
                "maxItems": 1000,
            }),
            Self::Flag => json!({"type": "boolean"}),
            Self::OneOf(names) => json!({"type": "string", "enum": names}),
        }
    }
}

impl Described {
    pub(super) fn reads(&self) -> bool {
        self.effect == Effect::Reads
    }

    /// As the protocol shows it.
    pub(super) fn tool(&self) -> Tool {
        let (destructive, idempotent) = match self.effect {
            Effect::Reads => (false, true),
            Effect::Adds => (false, false),
            Effect::Replaces => (true, true),
            Effect::Moves => (true, false),
        };
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(self.reads())
            .destructive(destructive)
            .idempotent(idempotent)
            .open_world(false);
        Tool::new(self.name, self.about, Arc::new(self.schema())).with_title(self.title).with_annotations(annotations)
    }

    fn schema(&self) -> JsonObject {
        let mut properties = Map::new();
        for argument in self.arguments {
            let mut schema = argument.form.schema();
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".to_owned(), argument.about.into());
            }
            properties.insert(argument.name.to_owned(), schema);
        }
        let needed: Vec<Value> =
            self.arguments.iter().filter(|argument| argument.needed).map(|argument| argument.name.into()).collect();
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties.into());
        if !needed.is_empty() {
            schema.insert("required".to_owned(), needed.into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        schema
    }
}
