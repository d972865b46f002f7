//! Python objects to JSON text, with the meaning of `json.dumps` and refusals that name their place.

use std::fmt::Write as _;

use num_bigint::BigInt;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::refusal::{Reason, Refusal};
use crate::scan::push_literal;

/// From here on, turning an int into digits takes so long (100 microseconds) that other threads should run meanwhile.
const SLOW_INT_BITS: u64 = 16_384;

/// What a caller allows of one value.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Deepest nesting; a value without containers has depth 0.
    pub(crate) depth: usize,
    /// Most bytes of JSON text.
    pub(crate) bytes: usize,
}

/// `value` as compact JSON text.
///
/// Exact built-in types are read without running any Python code. Subclasses of `int`, `float`, `str`, `list` and
/// `tuple` count as their plain value; a subclass of `dict` is asked for its `items()`, whose order may be its own.
pub(crate) fn encode(value: &Bound<'_, PyAny>, limits: Limits) -> Result<String, Refusal> {
    let mut encoder = Encoder { out: String::with_capacity(256), limits };
    encoder.value(value, None)?;
    Ok(encoder.out)
}

/// A container that is being written, linked to those around it: how a circle is told from deep nesting.
struct Ancestor<'a> {
    container: *mut ffi::PyObject,
    depth: usize,
    parent: Option<&'a Ancestor<'a>>,
}

impl Ancestor<'_> {
    fn chain(&self) -> impl Iterator<Item = &Ancestor<'_>> {
        std::iter::successors(Some(self), |ancestor| ancestor.parent)
    }

    /// The depth at which a container appears for the second time, outermost first.
    fn circle(&self) -> Option<usize> {
        let repeats = |inner: &&Ancestor<'_>| inner.chain().skip(1).any(|outer| outer.container == inner.container);
        self.chain().filter(repeats).map(|inner| inner.depth).min()
    }
}

struct Encoder {
    out: String,
    limits: Limits,
}

impl Encoder {
    fn value(&mut self, value: &Bound<'_, PyAny>, parent: Option<&Ancestor<'_>>) -> Result<(), Refusal> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.string(text)
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.int(number)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict, parent)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.sequence(list, list.iter(), parent)
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.float(number)
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.raw(if truth.is_true() { "true" } else { "false" })
        } else if value.is_none() {
            self.raw("null")
        } else {
            self.subclass(value, parent)
        }
    }

    #[cold]
    fn subclass(&mut self, value: &Bound<'_, PyAny>, parent: Option<&Ancestor<'_>>) -> Result<(), Refusal> {
        if let Ok(tuple) = value.cast::<PyTuple>() {
            self.sequence(tuple, tuple.iter(), parent)
        } else if let Ok(text) = value.cast::<PyString>() {
            self.string(text)
        } else if let Ok(number) = value.cast::<PyInt>() {
            self.int(number)
        } else if let Ok(number) = value.cast::<PyFloat>() {
            self.float(number)
        } else if let Ok(list) = value.cast::<PyList>() {
            self.sequence(list, list.iter(), parent)
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.dict_subclass(dict, parent)
        } else {
            Err(Reason::unsupported(value).into())
        }
    }

    fn raw(&mut self, text: &str) -> Result<(), Refusal> {
        self.room(text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    /// Refuses before memory is spent on what will not fit.
    fn room(&self, bytes: usize) -> Result<(), Refusal> {
        if self.out.len().saturating_add(bytes) > self.limits.bytes {
            return Err(Reason::TooLarge { limit_bytes: self.limits.bytes }.into());
        }
        Ok(())
    }

    fn string(&mut self, text: &Bound<'_, PyString>) -> Result<(), Refusal> {
        let text = utf8(text).ok_or(Reason::LoneSurrogate)?;
        self.room(text.len().saturating_add(2))?;
        push_literal(&mut self.out, text);
        self.room(0)
    }

    fn int(&mut self, number: &Bound<'_, PyInt>) -> Result<(), Refusal> {
        let mut overflow = 0;
        // SAFETY: `number` is a live `int` or a subclass; for these the call reads the digits and cannot fail.
        let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(number.as_ptr(), &raw mut overflow) };
        if overflow == 0 {
            return self.raw(itoa::Buffer::new().format(small));
        }
        // `int.__repr__` refuses beyond 4,300 digits (`sys.set_int_max_str_digits`), so it is not asked.
        let big: BigInt = number.extract().map_err(Reason::Python)?;
        // A bit is 0.301 digits.
        self.room(usize::try_from(big.bits() / 10 * 3).unwrap_or(usize::MAX))?;
        let is_slow = big.bits() > SLOW_INT_BITS;
        let digits = if is_slow { number.py().detach(|| big.to_string()) } else { big.to_string() };
        self.raw(&digits)
    }

    fn float(&mut self, number: &Bound<'_, PyFloat>) -> Result<(), Refusal> {
        let number = finite(number).map_err(|name| Reason::NotFinite { name })?;
        self.raw(zmij::Buffer::new().format_finite(number))
    }

    fn enter<'a>(
        &self,
        container: &Bound<'_, PyAny>,
        parent: Option<&'a Ancestor<'a>>,
    ) -> Result<Ancestor<'a>, Refusal> {
        let depth = parent.map_or(1, |parent| parent.depth + 1);
        let entered = Ancestor { container: container.as_ptr(), depth, parent };
        if depth <= self.limits.depth {
            return Ok(entered);
        }
        match entered.circle() {
            // As many steps of the path as lead to the repeated container; the root has none.
            Some(depth) => Err(Refusal::from(Reason::Circular).within(depth - 1)),
            None => Err(Reason::TooDeep { limit: self.limits.depth }.into()),
        }
    }

    fn sequence<'py>(
        &mut self,
        container: &Bound<'py, PyAny>,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        parent: Option<&Ancestor<'_>>,
    ) -> Result<(), Refusal> {
        let this = self.enter(container, parent)?;
        self.out.push('[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.value(&item, Some(&this)).map_err(|refusal| refusal.at_index(index))?;
        }
        self.raw("]")
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, parent: Option<&Ancestor<'_>>) -> Result<(), Refusal> {
        let py = dict.py();
        let this = self.enter(dict, parent)?;
        let length = dict.len();
        let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        self.out.push('{');
        let mut first = true;
        // SAFETY: `dict` is a live dict and the out-pointers are valid; a dict that changed meanwhile ends the loop below.
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut position, &raw mut key, &raw mut value) } != 0 {
            // SAFETY: PyDict_Next lends both references; they are made strong here, before anything else can run.
            let (key, value) = unsafe { (Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value)) };
            self.entry(&key, &value, first, &this)?;
            first = false;
            // A subclass among the values, or a finalizer, may have run Python code that reached this dict.
            if dict.len() != length {
                return Err(Reason::Changed.into());
            }
        }
        self.raw("}")
    }

    fn dict_subclass(&mut self, dict: &Bound<'_, PyDict>, parent: Option<&Ancestor<'_>>) -> Result<(), Refusal> {
        let this = self.enter(dict, parent)?;
        let items = dict.as_mapping().items().map_err(Reason::Python)?;
        self.out.push('{');
        for (index, item) in items.iter().enumerate() {
            let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>().map_err(Reason::Python)?;
            self.entry(&key, &value, index == 0, &this)?;
        }
        self.raw("}")
    }

    fn entry(
        &mut self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        first: bool,
        this: &Ancestor<'_>,
    ) -> Result<(), Refusal> {
        if !first {
            self.out.push(',');
        }
        self.key(key)?;
        self.out.push(':');
        self.value(value, Some(this)).map_err(|refusal| refusal.at_key(&key_text(key)))
    }

    fn key(&mut self, key: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        if let Ok(text) = key.cast::<PyString>() {
            return self.string(text).map_err(Refusal::of_key);
        }
        self.out.push('"');
        if let Ok(number) = key.cast::<PyFloat>() {
            finite(number).map_err(|name| Refusal::from(Reason::NotFinite { name }).of_key())?;
            self.raw(&float_repr(number).map_err(Reason::Python)?)?;
        } else if let Ok(truth) = key.cast_exact::<PyBool>() {
            self.raw(if truth.is_true() { "true" } else { "false" })?;
        } else if let Ok(number) = key.cast::<PyInt>() {
            self.int(number)?;
        } else if key.is_none() {
            self.raw("null")?;
        } else {
            return Err(Refusal::from(Reason::unsupported_key(key)));
        }
        self.raw("\"")
    }
}

/// The text of `string`, or `None` if it holds a lone surrogate, which no UTF-8 can express.
fn utf8<'a>(string: &'a Bound<'_, PyString>) -> Option<&'a str> {
    string.to_str().ok()
}

fn finite(number: &Bound<'_, PyFloat>) -> Result<f64, &'static str> {
    let number = number.value();
    match number {
        _ if number.is_finite() => Ok(number),
        _ if number.is_nan() => Err("NaN"),
        _ if number > 0.0 => Err("infinity"),
        _ => Err("-infinity"),
    }
}

/// `float.__repr__`, which is how `json.dumps` spells a key; a subclass's own `__repr__` is not asked.
fn float_repr(number: &Bound<'_, PyFloat>) -> PyResult<String> {
    PyFloat::new(number.py(), number.value()).repr()?.extract()
}

/// A key as the path of a refusal shows it: only reached for keys that have been written.
fn key_text(key: &Bound<'_, PyAny>) -> String {
    let mut text = String::new();
    if let Ok(key) = key.cast::<PyString>() {
        text.push_str(utf8(key).unwrap_or_default());
    } else if let Ok(number) = key.cast::<PyFloat>() {
        text = float_repr(number).unwrap_or_default();
    } else if key.is_none() {
        text.push_str("null");
    } else if let Ok(truth) = key.cast_exact::<PyBool>() {
        // A write to a String cannot fail.
        let _ = write!(text, "{}", truth.is_true());
    } else if let Ok(number) = key.extract::<i64>() {
        let _ = write!(text, "{number}");
    } else {
        text.push_str("(a large int)");
    }
    text
}
