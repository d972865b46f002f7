//! Values that were made into objects before: a copy is made several times faster than objects from text.
//!
//! The text is what is known, by its place in memory, so this says nothing about what a key holds now: the engine's cache
//! does, and hands out the same text for as long as that is what the database holds.

use std::sync::Mutex;

use agent_data_store::Json;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::decode::{DecodeError, decode};

/// Powers of two. Of more texts than this that come in turn, hardly one comes again before its place is taken: those are too
/// many to keep, and making and dropping originals of them all the time would scatter Python's memory.
const SEEN: usize = 512;
const SLOTS: usize = 4_096;
/// Of all texts together; their objects take about four times as much.
const MOST_BYTES: usize = 4 << 20;
const LONGEST_BYTES: usize = 64 << 10;
/// Copying recurses, so it takes this thread's stack.
const DEEPEST: usize = 32;

/// The Python object that the JSON in `value` describes, as [`decode`] makes it; nobody else has it.
pub(crate) fn object<'py>(py: Python<'py>, value: &Json) -> Result<Bound<'py, PyAny>, DecodeError> {
    // A text that nobody else keeps will not be met again.
    if !value.is_shared() || value.len() > LONGEST_BYTES || !value.is_container() {
        return decode(py, value.as_str());
    }
    // Never waited for: whoever finds it taken (a finalizer that runs inside a copy) does without.
    let Ok(mut known) = KNOWN_VALUES.try_lock() else { return decode(py, value.as_str()) };
    if let Some(original) = known.find(value) {
        return Ok(original.copy(py)?);
    }
    let is_worth_keeping = known.was_seen(value);
    drop(known);
    let object = decode(py, value.as_str())?;
    if is_worth_keeping
        && let Some(original) = Original::of(&object, DEEPEST)?
        && let Ok(mut known) = KNOWN_VALUES.try_lock()
    {
        let replaced = known.keep(value, original);
        // Letting go of objects may run code that comes back here.
        drop(known);
        drop(replaced);
    }
    Ok(object)
}

static KNOWN_VALUES: Mutex<KnownValues> =
    Mutex::new(KnownValues { seen: [0; SEEN], slots: Vec::new(), bytes: 0, hand: 0 });

struct KnownValues {
    /// Where the last texts were that came without being known: only what comes again is worth a copy.
    seen: [usize; SEEN],
    slots: Vec<Option<Known>>,
    /// Of the texts that are kept.
    bytes: usize,
    /// Where room is made next.
    hand: usize,
}

struct Known {
    /// Kept, so that no other text takes its place in memory.
    text: Json,
    original: Original,
}

impl KnownValues {
    /// The place of a text among `count`.
    fn slot(text: &Json, count: usize) -> usize {
        // Fibonacci hashing; allocations differ in their middle bits.
        let place = (text.as_str().as_ptr() as usize as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (place >> (u64::BITS - count.trailing_zeros())) as usize
    }

    fn find(&self, text: &Json) -> Option<&Original> {
        let known = self.slots.get(Self::slot(text, SLOTS))?.as_ref()?;
        known.text.is_same_text(text).then_some(&known.original)
    }

    /// Whether this text was the last to come to its place; it is from now on.
    fn was_seen(&mut self, text: &Json) -> bool {
        let at = text.as_str().as_ptr() as usize;
        std::mem::replace(&mut self.seen[Self::slot(text, SEEN)], at) == at
    }

    /// Keeps a value; returns those that had to go for it.
    fn keep(&mut self, text: &Json, original: Original) -> Vec<Known> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let mut gone = Vec::new();
        let slot = Self::slot(text, SLOTS);
        gone.extend(self.take(slot));
        while self.bytes + text.len() > MOST_BYTES {
            gone.extend(self.take(self.hand));
            self.hand = (self.hand + 1) % SLOTS;
        }
        self.bytes += text.len();
        self.slots[slot] = Some(Known { text: text.clone(), original });
        gone
    }

    fn take(&mut self, slot: usize) -> Option<Known> {
        let known = self.slots[slot].take()?;
        self.bytes -= known.text.len();
        Some(known)
    }
}

/// What copies are made of. Strings, numbers and the like never change, so that copies share them.
enum Original {
    Leaf(Py<PyAny>),
    /// A dict that nobody else has, with `None` in the place of each container.
    Dict {
        flat: Py<PyDict>,
        containers: Box<[(Py<PyString>, Original)]>,
    },
    /// A list that nobody else has, with `None` in the place of each container.
    List {
        flat: Py<PyList>,
        containers: Box<[(usize, Original)]>,
    },
}

impl Original {
    /// An original of what `decode` has made; `None` where it is nested deeper than `depth`.
    fn of(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Option<Self>> {
        let py = object.py();
        if !is_container(object) {
            return Ok(Some(Self::Leaf(object.clone().unbind())));
        }
        let Some(depth) = depth.checked_sub(1) else { return Ok(None) };
        if let Ok(dict) = object.cast::<PyDict>() {
            let flat = dict.copy()?;
            let mut containers = Vec::new();
            for (key, item) in dict.iter().filter(|(_, item)| is_container(item)) {
                let Some(original) = Self::of(&item, depth)? else { return Ok(None) };
                flat.set_item(&key, py.None())?;
                containers.push((key.cast_into::<PyString>()?.unbind(), original));
            }
            return Ok(Some(Self::Dict { flat: flat.unbind(), containers: containers.into() }));
        }
        let list = object.cast::<PyList>()?;
        let flat = list.get_slice(0, list.len());
        let mut containers = Vec::new();
        for (index, item) in list.iter().enumerate().filter(|(_, item)| is_container(item)) {
            let Some(original) = Self::of(&item, depth)? else { return Ok(None) };
            flat.set_item(index, py.None())?;
            containers.push((index, original));
        }
        Ok(Some(Self::List { flat: flat.unbind(), containers: containers.into() }))
    }

    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Leaf(leaf) => Ok(leaf.bind(py).clone()),
            Self::Dict { flat, containers } => {
                let copy = flat.bind(py).copy()?;
                for (key, container) in containers {
                    copy.set_item(key, container.copy(py)?)?;
                }
                Ok(copy.into_any())
            }
            Self::List { flat, containers } => {
                let flat = flat.bind(py);
                let copy = flat.get_slice(0, flat.len());
                for (index, container) in containers {
                    copy.set_item(*index, container.copy(py)?)?;
                }
                Ok(copy.into_any())
            }
        }
    }
}

fn is_container(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyDict>() || object.is_exact_instance_of::<PyList>()
}
