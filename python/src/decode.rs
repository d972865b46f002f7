//! JSON text to Python objects.
//!
//! Measured against the parsers at hand, building objects straight from the text with a table of known keys was the
//! fastest that also keeps integers of any length; the text was checked when it was written, so this only has to be
//! memory-safe, not a validator, on text that is not JSON.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard};

use agent_data_store::parse_digits;
use num_bigint::{BigInt, Sign};
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};
use rustc_hash::FxBuildHasher;

use crate::scan::{Delimiter, find, find_delimiter};

/// From here on, parsing an int takes so long (100 microseconds) that other threads should run meanwhile.
const SLOW_INT_DIGITS: usize = 10_000;

/// Why text could not become an object.
pub(crate) enum DecodeError {
    /// The text is not JSON: what was stored is damaged.
    Malformed {
        /// Byte offset of the trouble.
        at: usize,
    },
    /// Python itself failed, such as by running out of memory.
    Python(PyErr),
}

impl From<PyErr> for DecodeError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// The Python object that the JSON in `text` describes. Nesting of any depth is accepted; of equal keys the last wins.
pub(crate) fn decode<'py>(py: Python<'py>, text: &str) -> Result<Bound<'py, PyAny>, DecodeError> {
    let mut decoder =
        Decoder { py, text, at: 0, items: Vec::new(), known_keys: None, last_key: 0, unescaped: String::new() };
    decoder.document()
}

/// A container whose end has not been seen.
enum Open<'py> {
    /// Its items are those in `Decoder::items` from `start` on.
    Array {
        start: usize,
    },
    Object {
        dict: Bound<'py, PyDict>,
        key: Bound<'py, PyString>,
    },
}

/// A literal in which nothing is escaped.
#[derive(Clone, Copy)]
struct Plain<'t> {
    text: &'t str,
    is_ascii: bool,
}

struct Decoder<'py, 't> {
    py: Python<'py>,
    text: &'t str,
    at: usize,
    /// Items of all open arrays, one after the other, so that a list is made at its exact size.
    items: Vec<Bound<'py, PyAny>>,
    known_keys: Option<MutexGuard<'static, KnownKeys>>,
    /// The slot of the key before the present one.
    last_key: usize,
    unescaped: String,
}

type Decoded<T> = Result<T, DecodeError>;

impl<'py, 't> Decoder<'py, 't> {
    /// A loop rather than recursion: the depth of the text then costs heap, never this thread's stack.
    fn document(&mut self) -> Decoded<Bound<'py, PyAny>> {
        let mut open: Vec<Open<'py>> = Vec::new();
        'value: loop {
            let mut value = match self.next_token() {
                Some(b'"') => self.string()?.into_any(),
                Some(b'{') => {
                    self.at += 1;
                    let dict = PyDict::new(self.py);
                    if self.next_token() == Some(b'}') {
                        self.at += 1;
                        dict.into_any()
                    } else {
                        let key = self.key()?;
                        open.push(Open::Object { dict, key });
                        continue 'value;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.next_token() == Some(b']') {
                        self.at += 1;
                        PyList::empty(self.py).into_any()
                    } else {
                        open.push(Open::Array { start: self.items.len() });
                        continue 'value;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word("true", PyBool::new(self.py, true).to_owned().into_any())?,
                Some(b'f') => self.word("false", PyBool::new(self.py, false).to_owned().into_any())?,
                Some(b'n') => self.word("null", self.py.None().into_bound(self.py))?,
                _ => return self.malformed(),
            };
            // `value` is complete: put it where it belongs, and close what it closes.
            loop {
                let Some(container) = open.last_mut() else {
                    return if self.next_token().is_none() { Ok(value) } else { self.malformed() };
                };
                match container {
                    Open::Array { start } => {
                        let start = *start;
                        self.items.push(value);
                        match self.next_token() {
                            Some(b',') => {
                                self.at += 1;
                                continue 'value;
                            }
                            Some(b']') => {
                                self.at += 1;
                                value = PyList::new(self.py, self.items.drain(start..))?.into_any();
                                open.pop();
                            }
                            _ => return self.malformed(),
                        }
                    }
                    Open::Object { dict, key } => {
                        dict.set_item(&*key, value)?;
                        match self.next_token() {
                            Some(b',') => {
                                self.at += 1;
                                self.next_token();
                                *key = self.key()?;
                                continue 'value;
                            }
                            Some(b'}') => {
                                self.at += 1;
                                value = dict.clone().into_any();
                                open.pop();
                            }
                            _ => return self.malformed(),
                        }
                    }
                }
            }
        }
    }

    fn malformed<T>(&self) -> Decoded<T> {
        Err(DecodeError::Malformed { at: self.at })
    }

    /// Skips white space and shows the byte after it, without taking it.
    #[inline(always)]
    fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn word(&mut self, word: &str, meaning: Bound<'py, PyAny>) -> Decoded<Bound<'py, PyAny>> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.malformed();
        }
        self.at += word.len();
        Ok(meaning)
    }
}

impl<'py, 't> Decoder<'py, 't> {
    fn string(&mut self) -> Decoded<Bound<'py, PyString>> {
        if let Some(plain) = self.plain_literal()? {
            return new_string(self.py, plain);
        }
        self.unescape()?;
        Ok(PyString::new(self.py, &self.unescaped))
    }

    fn key(&mut self) -> Decoded<Bound<'py, PyString>> {
        let Some((b'"', rest)) = self.text.as_bytes()[self.at..].split_first() else { return self.malformed() };
        if self.known_keys.is_none() {
            self.known_keys = KNOWN_KEYS.try_lock().ok();
        }
        let expected = self.known_keys.as_ref().and_then(|known| known.expected(self.py, self.last_key, rest));
        let key = match expected {
            Some((slot, key, length)) => {
                (self.last_key, self.at) = (slot, self.at + length + 2);
                key
            }
            None => self.unexpected_key()?,
        };
        if self.next_token() != Some(b':') {
            return self.malformed();
        }
        self.at += 1;
        Ok(key)
    }

    fn unexpected_key(&mut self) -> Decoded<Bound<'py, PyString>> {
        let Some(plain) = self.plain_literal()? else {
            self.unescape()?;
            return Ok(PyString::new(self.py, &self.unescaped));
        };
        match &mut self.known_keys {
            Some(known) if plain.text.len() <= KnownKeys::LONGEST_BYTES && plain.is_ascii => {
                let (slot, key) = known.get(self.py, self.last_key, plain)?;
                self.last_key = slot;
                Ok(key)
            }
            _ => new_string(self.py, plain),
        }
    }

    /// Takes the literal at the opening quote if nothing in it is escaped; otherwise takes nothing.
    #[inline]
    fn plain_literal(&mut self) -> Decoded<Option<Plain<'t>>> {
        let start = self.at + 1;
        let (length, is_ascii) = find_delimiter(&self.text.as_bytes()[start..]);
        let end = start + length;
        match self.text.as_bytes().get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(Some(Plain { text: &self.text[start..end], is_ascii }))
            }
            Some(_) => Ok(None),
            None => self.malformed(),
        }
    }

    /// Takes the literal at the opening quote into `self.unescaped`.
    fn unescape(&mut self) -> Decoded<()> {
        self.unescaped.clear();
        self.at += 1;
        loop {
            let length = find::<Delimiter>(&self.text.as_bytes()[self.at..]);
            self.unescaped.push_str(&self.text[self.at..self.at + length]);
            self.at += length;
            match self.text.as_bytes()[self.at..] {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(());
                }
                [b'\\', escape, ..] => {
                    self.at += 2;
                    let character = match escape {
                        b'"' | b'\\' | b'/' => char::from(escape),
                        b'n' => '\n',
                        b't' => '\t',
                        b'r' => '\r',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'u' => self.code_point()?,
                        _ => return self.malformed(),
                    };
                    self.unescaped.push(character);
                }
                _ => return self.malformed(),
            }
        }
    }

    /// Takes the digits after `\u`, and the second half of a surrogate pair.
    fn code_point(&mut self) -> Decoded<char> {
        let first = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return self.malformed();
            }
            self.at += 2;
            let second = self.hex4()?;
            if !(0xdc00..0xe000).contains(&second) {
                return self.malformed();
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or(DecodeError::Malformed { at: self.at })
    }

    fn hex4(&mut self) -> Decoded<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or(DecodeError::Malformed { at: self.at })
    }

    fn number(&mut self) -> Decoded<Bound<'py, PyAny>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let negative = bytes[start] == b'-';
        let digits = start + usize::from(negative);
        let mut end = digits;
        // Wraps on numbers too long for it, which are told by their length below.
        let mut magnitude: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            end += 1;
        }
        if end == digits {
            return self.malformed();
        }
        if let Some(b'.' | b'e' | b'E') = bytes.get(end) {
            while let Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') = bytes.get(end) {
                end += 1;
            }
            let Ok(number) = self.text[start..end].parse::<f64>() else { return self.malformed() };
            self.at = end;
            return Ok(PyFloat::new(self.py, number).into_any());
        }
        self.at = end;
        if end - digits <= 18 {
            let number = if negative { -magnitude } else { magnitude };
            return Ok(PyInt::new(self.py, number).into_any());
        }
        let sign = if negative { Sign::Minus } else { Sign::Plus };
        let digits = &self.text[digits..end];
        let is_slow = digits.len() > SLOW_INT_DIGITS;
        let magnitude = if is_slow { self.py.detach(|| parse_digits(digits)) } else { parse_digits(digits) };
        let number = BigInt::from_biguint(sign, magnitude);
        Ok(number.into_pyobject(self.py)?.into_any())
    }
}

/// Like `PyString::new`, without its search for the widest character where there is nothing to find.
#[inline]
fn new_string<'py>(py: Python<'py>, Plain { text, is_ascii }: Plain<'_>) -> Decoded<Bound<'py, PyString>> {
    // Python keeps one shared object for each single character.
    if text.len() < 2 || !is_ascii {
        return Ok(PyString::new(py, text));
    }
    let length = ffi::Py_ssize_t::try_from(text.len()).map_err(|_| PyMemoryError::new_err(()))?;
    // SAFETY: PyUnicode_New returns a new reference or null with an exception set. For a widest character of 127 the
    // string is ASCII: its data is `length` writable bytes, with a terminating zero already in place, and nobody else
    // has seen it yet.
    unsafe {
        let string = Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_New(length, 127))?;
        let data = ffi::PyUnicode_DATA(string.as_ptr()).cast::<u8>();
        data.copy_from_nonoverlapping(text.as_ptr(), text.len());
        Ok(string.cast_into_unchecked())
    }
}

/// The text of `string`, which must be ASCII.
#[inline]
fn ascii_text<'a>(string: &'a Bound<'_, PyString>) -> &'a [u8] {
    // SAFETY: `string` is a live string; in an ASCII one the data are `length` bytes that never change.
    unsafe {
        let length = usize::try_from(ffi::PyUnicode_GET_LENGTH(string.as_ptr())).unwrap_or_default();
        std::slice::from_raw_parts(ffi::PyUnicode_DATA(string.as_ptr()).cast::<u8>(), length)
    }
}

/// ASCII keys seen before, none of which needs an escape in JSON: records of one kind repeat the same few names, mostly in
/// the same order, and a reused string has its hash already.
struct KnownKeys {
    slots: Vec<Option<KnownKey>>,
}

struct KnownKey {
    /// The text and the quote that ends it, if that fits; then `mask` covers it, else nothing.
    start: u128,
    mask: u128,
    length: usize,
    hash: u64,
    key: Py<PyString>,
    /// The slot of the key that came after this one.
    next: usize,
}

/// Never waited for: whoever finds it taken (a finalizer that runs inside another decode) does without.
static KNOWN_KEYS: Mutex<KnownKeys> = Mutex::new(KnownKeys { slots: Vec::new() });

impl KnownKey {
    fn new(key: &Bound<'_, PyString>, text: &str, hash: u64, slot: usize) -> Self {
        let mut start = [0; 16];
        let mut mask = 0;
        if text.len() < start.len() {
            start[..text.len()].copy_from_slice(text.as_bytes());
            start[text.len()] = b'"';
            mask = u128::MAX >> (8 * (start.len() - 1 - text.len()));
        }
        let start = u128::from_le_bytes(start);
        Self { start, mask, length: text.len(), hash, key: key.clone().unbind(), next: slot }
    }

    /// Whether `rest`, which follows an opening quote, goes on with this key.
    #[inline(always)]
    fn starts(&self, py: Python<'_>, rest: &[u8]) -> bool {
        match rest.first_chunk() {
            Some(start) if self.mask != 0 => (u128::from_le_bytes(*start) ^ self.start) & self.mask == 0,
            _ => rest.get(self.length) == Some(&b'"') && rest[..self.length] == *ascii_text(self.key.bind(py)),
        }
    }
}

impl KnownKeys {
    const SLOTS: usize = 2_048;
    const LONGEST_BYTES: usize = 64;

    /// The key that came after the one in the slot `last`, if that is how `rest` goes on: with its slot and length.
    #[inline]
    fn expected<'py>(&self, py: Python<'py>, last: usize, rest: &[u8]) -> Option<(usize, Bound<'py, PyString>, usize)> {
        let slot = self.slots.get(last)?.as_ref()?.next;
        let known = self.slots.get(slot)?.as_ref()?;
        known.starts(py, rest).then(|| (slot, known.key.bind(py).clone(), known.length))
    }

    /// The key with this text, which comes after the one in the slot `last`, and its slot.
    fn get<'py>(&mut self, py: Python<'py>, last: usize, plain: Plain<'_>) -> Decoded<(usize, Bound<'py, PyString>)> {
        if self.slots.is_empty() {
            self.slots.resize_with(Self::SLOTS, || None);
        }
        let hash = FxBuildHasher.hash_one(plain.text);
        // The high bits are the well-mixed ones.
        let slot = (hash >> 32) as usize % Self::SLOTS;
        if let Some(last) = &mut self.slots[last] {
            last.next = slot;
        }
        if let Some(known) = &self.slots[slot]
            && known.hash == hash
            && *ascii_text(known.key.bind(py)) == *plain.text.as_bytes()
        {
            return Ok((slot, known.key.bind(py).clone()));
        }
        let new = new_string(py, plain)?;
        self.slots[slot] = Some(KnownKey::new(&new, plain.text, hash, slot));
        Ok((slot, new))
    }
}
