//! Why a Python object cannot be stored, and where inside it the trouble is.

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyMapping, PyType};

use crate::scan::push_literal;

/// Longest place in a message, in characters; the middle of a longer one is left out.
const PLACE_CHARS: usize = 240;
/// Longest key in a place, in characters.
const KEY_CHARS: usize = 60;

/// A value that was not encoded.
pub(crate) struct Refusal(Box<Inner>);

struct Inner {
    reason: Reason,
    /// The steps to the place, innermost first: each container adds its own on the way out.
    steps: Vec<Step>,
    /// How many of the outermost steps count.
    depth: usize,
    in_key: bool,
}

enum Step {
    Index(usize),
    Key(String),
}

/// What is wrong at the place.
pub(crate) enum Reason {
    /// An object that JSON has no form for.
    Unsupported { type_name: String, remedy: &'static str },
    /// A dict key of a type that `json.dumps` does not turn into text.
    UnsupportedKey { type_name: String },
    /// NaN or an infinity.
    NotFinite { name: &'static str },
    /// Half of a UTF-16 pair, which no UTF-8 text can hold.
    LoneSurrogate,
    /// A container that holds itself.
    Circular,
    /// Nested deeper than the limit.
    TooDeep { limit: usize },
    /// More text than the limit.
    TooLarge { limit_bytes: usize },
    /// A container changed size while it was being read.
    Changed,
    /// Python code of the value, such as the `items()` of a dict subclass, failed.
    Python(PyErr),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self(Box::new(Inner { reason, steps: Vec::new(), depth: usize::MAX, in_key: false }))
    }
}

impl Refusal {
    pub(crate) fn at_index(mut self, index: usize) -> Self {
        self.0.steps.push(Step::Index(index));
        self
    }

    pub(crate) fn at_key(mut self, key: &str) -> Self {
        self.0.steps.push(Step::Key(key.to_owned()));
        self
    }

    /// Puts the place at the end of the first `depth` steps from the outside.
    pub(crate) fn within(mut self, depth: usize) -> Self {
        self.0.depth = depth;
        self
    }

    /// Says that the trouble is in a key of the dict at the place.
    pub(crate) fn of_key(mut self) -> Self {
        self.0.in_key = true;
        self
    }

    pub(crate) fn into_reason(self) -> Reason {
        self.0.reason
    }

    /// The message, about `what`: "value", "metadata".
    pub(crate) fn message(&self, what: &str) -> String {
        let place = self.place();
        let at = match &self.0.reason {
            Reason::UnsupportedKey { .. } => format!("a key of {what} at {place}"),
            _ if self.0.in_key => format!("a key of {what} at {place}"),
            _ => format!("{what} at {place}"),
        };
        match &self.0.reason {
            Reason::Unsupported { type_name, remedy } => {
                format!("{at} is {type_name}, which JSON cannot hold: {remedy}")
            }
            Reason::UnsupportedKey { type_name } => {
                format!("{at} is {type_name}, which JSON cannot hold as a key: use a string")
            }
            Reason::NotFinite { name } => format!("{at} is {name}, which JSON cannot hold: store None or a string"),
            Reason::LoneSurrogate => format!(
                "{at} holds a lone surrogate, which UTF-8 cannot hold: \
                 replace it (text.encode(errors=\"replace\")) or store the bytes as base64 text"
            ),
            Reason::Circular => format!("{at} is circular, it contains itself: store a copy without the circle"),
            Reason::TooDeep { limit } => {
                format!("{at} is nested more than {limit} deep: flatten it or split it over several keys")
            }
            Reason::TooLarge { limit_bytes } => format!(
                "{what} is over the limit of {limit_bytes} bytes of JSON: split it over several keys or store a reference"
            ),
            Reason::Changed => format!("{at} changed size while it was being stored: store a copy of it"),
            Reason::Python(error) => format!("{at} could not be read: {error}"),
        }
    }

    fn place(&self) -> String {
        let mut place = String::from("$");
        for step in self.0.steps.iter().rev().take(self.0.depth) {
            match step {
                Step::Index(index) => place.push_str(&format!("[{index}]")),
                Step::Key(key) if is_identifier(key) => {
                    place.push('.');
                    place.push_str(key);
                }
                Step::Key(key) => {
                    place.push('[');
                    push_literal(&mut place, &shortened(key));
                    place.push(']');
                }
            }
        }
        let chars = place.chars().count();
        if chars > PLACE_CHARS {
            let half = PLACE_CHARS / 2;
            let (head, tail) = (place.chars().take(half), place.chars().skip(chars - half));
            return head.chain(['…']).chain(tail).collect();
        }
        place
    }
}

fn is_identifier(key: &str) -> bool {
    key.len() <= KEY_CHARS
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && key.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

fn shortened(key: &str) -> String {
    match key.char_indices().nth(KEY_CHARS) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

impl Reason {
    pub(crate) fn unsupported(value: &Bound<'_, PyAny>) -> Self {
        Self::Unsupported { type_name: type_name(value), remedy: remedy(value) }
    }

    pub(crate) fn unsupported_key(key: &Bound<'_, PyAny>) -> Self {
        Self::UnsupportedKey { type_name: type_name(key) }
    }
}

/// `bytes`, `datetime.datetime`, `my_agent.Task`: as a reader of the traceback would write it.
fn type_name(value: &Bound<'_, PyAny>) -> String {
    let class = value.get_type();
    class.fully_qualified_name().map_or_else(|_| "an object".to_owned(), |name| shortened(&name.to_string()))
}

/// What to store instead. Looks at class names where importing the class just to compare would cost a start-up.
fn remedy(value: &Bound<'_, PyAny>) -> &'static str {
    const REMEDIES: &[(&str, &str)] = &[
        ("builtins.bytes", "store base64 text or a reference"),
        ("builtins.bytearray", "store base64 text or a reference"),
        ("builtins.memoryview", "store base64 text or a reference"),
        ("builtins.set", "store a list, such as sorted(value)"),
        ("builtins.frozenset", "store a list, such as sorted(value)"),
        ("builtins.complex", "store a list [value.real, value.imag]"),
        ("builtins.coroutine", "await it first"),
        ("datetime.datetime", "store value.isoformat()"),
        ("datetime.date", "store value.isoformat()"),
        ("datetime.time", "store value.isoformat()"),
        ("datetime.timedelta", "store value.total_seconds()"),
        ("decimal.Decimal", "store str(value), or float(value) where rounding does no harm"),
        ("fractions.Fraction", "store str(value)"),
        ("uuid.UUID", "store str(value)"),
        ("pathlib.PurePath", "store str(value)"),
        ("pathlib._local.PurePath", "store str(value)"),
        ("enum.Enum", "store value.value"),
        ("numpy.generic", "store value.item()"),
        ("numpy.ndarray", "store value.tolist()"),
        ("pydantic.main.BaseModel", "store value.model_dump(mode=\"json\")"),
        ("builtins.BaseException", "store str(value)"),
    ];
    let class = value.get_type();
    for base in class.mro() {
        let Ok(base) = base.cast_into::<PyType>() else { continue };
        let (Ok(module), Ok(name)) = (base.module(), base.qualname()) else { continue };
        let full_name = format!("{module}.{name}");
        if let Some((_, remedy)) = REMEDIES.iter().find(|(known, _)| *known == full_name) {
            return remedy;
        }
    }
    if value.hasattr("__dataclass_fields__").unwrap_or(false) {
        return "store a dict, such as dataclasses.asdict(value)";
    }
    if value.is_instance_of::<PyFunction>() || value.is_instance_of::<PyCFunction>() {
        return "store what it returns, or its name";
    }
    if value.cast::<PyMapping>().is_ok() {
        return "store dict(value)";
    }
    if value.hasattr("__iter__").unwrap_or(false) {
        return "store list(value)";
    }
    "store a dict of its fields"
}
