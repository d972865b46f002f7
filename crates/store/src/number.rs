//! JSON numbers with the arithmetic that agents expect: integers of any size stay exact, floats are 64-bit.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use num_bigint::BigUint;

use crate::json::Json;

/// A number of any size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    Int(Int),
    Float(f64),
}

/// An integer as its decimal digits, without leading zeros, and not negative where it is zero. Sums are made digit by digit:
/// going over to binary and back takes time with the square of the length, minutes for the longest that a value can hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Int {
    negative: bool,
    digits: String,
}

impl Int {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_integer = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_integer.then(|| Self::new(digits.len() < text.len(), digits))
    }

    fn new(negative: bool, digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        match digits {
            "" => Self { negative: false, digits: "0".to_owned() },
            digits => Self { negative, digits: digits.to_owned() },
        }
    }

    fn add(&self, other: &Self) -> Self {
        let (left, right) = (self.digits.as_bytes(), other.digits.as_bytes());
        if self.negative == other.negative {
            return Self::new(self.negative, &sum(left, right));
        }
        match left.len().cmp(&right.len()).then_with(|| left.cmp(right)) {
            Ordering::Less => Self::new(other.negative, &difference(right, left)),
            _ => Self::new(self.negative, &difference(left, right)),
        }
    }

    fn to_text(&self) -> String {
        format!("{}{}", if self.negative { "-" } else { "" }, self.digits)
    }

    /// The nearest float; an infinity beyond the range.
    fn nearest(&self) -> f64 {
        self.to_text().parse().unwrap_or(f64::INFINITY)
    }
}

/// The integer that a float is, if it is one.
fn integer(float: f64) -> Option<Int> {
    (float.fract() == 0.0).then(|| Int::parse(&format!("{float:.0}"))).flatten()
}

fn sum(left: &[u8], right: &[u8]) -> String {
    let mut carry = 0;
    let mut digits = by_digit(left, right, |left, right| {
        let digit = left + right + carry;
        carry = digit / 10;
        digit % 10
    });
    if carry > 0 {
        digits.insert(0, '1');
    }
    digits
}

/// `left - right`, where that is not negative.
fn difference(left: &[u8], right: &[u8]) -> String {
    let mut borrowed = 0;
    by_digit(left, right, |left, right| {
        let digit = 10 + left - right - borrowed;
        borrowed = u8::from(digit < 10);
        digit % 10
    })
}

/// What `combine` makes of each two digits, from the last ones on.
fn by_digit(left: &[u8], right: &[u8], mut combine: impl FnMut(u8, u8) -> u8) -> String {
    let length = left.len().max(right.len());
    let mut digits = Vec::with_capacity(length);
    for place in 1..=length {
        let digit = |of: &[u8]| of.len().checked_sub(place).map_or(0, |at| of[at] - b'0');
        digits.push(b'0' + combine(digit(left), digit(right)));
    }
    digits.into_iter().rev().map(char::from).collect()
}

impl Number {
    /// Reads the text of a JSON number; `None` where it is another kind of value.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return None;
        }
        if text.contains(['.', 'e', 'E']) {
            return text.parse().ok().filter(|float: &f64| float.is_finite()).map(Number::Float);
        }
        Int::parse(text).map(Number::Int)
    }

    /// The sum; `None` where it leaves the range of a 64-bit float. As in Python, an integer plus a float is a float.
    pub(crate) fn add(&self, other: &Self) -> Option<Self> {
        if let (Number::Int(left), Number::Int(right)) = (self, other) {
            return Some(Number::Int(left.add(right)));
        }
        let sum = self.to_float()? + other.to_float()?;
        sum.is_finite().then_some(Number::Float(sum))
    }

    /// Whether both are the same number: 1 and 1.0 are.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Number::Int(left), Number::Int(right)) => left == right,
            (Number::Float(left), Number::Float(right)) => left == right,
            (Number::Int(int), Number::Float(float)) | (Number::Float(float), Number::Int(int)) => {
                integer(*float).is_some_and(|exact| exact == *int)
            }
        }
    }

    /// Equal numbers of either kind have equal hashes, and others mostly not, however long they are.
    pub(crate) fn hash_into(&self, state: &mut impl Hasher) {
        match self {
            Number::Int(int) => int.hash(state),
            Number::Float(float) => match integer(*float) {
                Some(int) => int.hash(state),
                None => float.to_bits().hash(state),
            },
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        match self {
            Number::Int(int) => Json::from_trusted(int.to_text()),
            // `{:?}` keeps a float recognisable as one: 5.0 and 1e16, never 5 or 10000000000000000.
            Number::Float(float) => Json::from_trusted(format!("{float:?}")),
        }
    }

    fn to_float(&self) -> Option<f64> {
        let float = match self {
            Number::Float(float) => *float,
            Number::Int(int) => int.nearest(),
        };
        float.is_finite().then_some(float)
    }
}

/// A number from its decimal digits. Halving makes this as fast as multiplication, where the library's own parser takes
/// time with the square of the length: minutes for the longest number that a value can hold.
pub fn parse_digits(digits: &str) -> BigUint {
    const SIMPLE_DIGITS: usize = 1_000;
    // Powers of ten: 10^1000, 10^2000, 10^4000, ...
    let mut powers = Vec::new();
    let mut length = SIMPLE_DIGITS;
    while length < digits.len() {
        powers.push(match powers.last() {
            None => BigUint::from(10_u8).pow(SIMPLE_DIGITS as u32),
            Some(power) => power * power,
        });
        length *= 2;
    }
    fn parse(digits: &str, powers: &[BigUint]) -> BigUint {
        match powers.split_last() {
            Some((power, smaller)) => {
                let low_digits = SIMPLE_DIGITS << smaller.len();
                match digits.len().checked_sub(low_digits) {
                    Some(middle) if middle > 0 => {
                        let (high, low) = digits.split_at(middle);
                        parse(high, smaller) * power + parse(low, smaller)
                    }
                    _ => parse(digits, smaller),
                }
            }
            None => BigUint::parse_bytes(digits.as_bytes(), 10).unwrap_or_default(),
        }
    }
    parse(digits, &powers)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::*;

    fn sum_of(left: &str, right: &str) -> Option<String> {
        let [left, right] = [left, right].map(|text| Number::parse(text).expect(text));
        left.add(&right).map(|sum| sum.to_json().as_str().to_owned())
    }

    #[test]
    fn integers_stay_exact_and_floats_stay_floats() {
        assert_eq!(sum_of("9007199254740993", "1").as_deref(), Some("9007199254740994"));
        assert_eq!(
            sum_of("340282366920938463463374607431768211456", "-1").as_deref(),
            Some("340282366920938463463374607431768211455")
        );
        assert_eq!(sum_of("2", "0.5").as_deref(), Some("2.5"));
        assert_eq!(sum_of("4.5", "0.5").as_deref(), Some("5.0"));
        assert_eq!(sum_of("1e308", "1e308"), None);
        assert_eq!(sum_of(&"9".repeat(400), "0.5"), None);
    }

    proptest! {
        #[test]
        fn sums_of_integers_are_exact(left in "-?(0|[1-9][0-9]{0,60})", right in "-?(0|[1-9][0-9]{0,60}|9{1,60})") {
            let [a, b] = [&left, &right].map(|text| BigInt::from_str(text).expect("digits"));
            prop_assert_eq!(sum_of(&left, &right), Some((a + b).to_string()));
            prop_assert_eq!(sum_of(&left, left.strip_prefix('-').unwrap_or(&format!("-{left}"))), Some("0".to_owned()));
        }
    }

    #[test]
    fn the_longest_integers_are_added_at_once() {
        let nines = "9".repeat(1 << 20);
        let sum = sum_of(&nines, "1").expect("an integer");
        assert!(sum.starts_with('1') && sum[1..].bytes().all(|digit| digit == b'0') && sum.len() == nines.len() + 1);
        assert_eq!(sum_of(&sum, &format!("-{nines}")).as_deref(), Some("1"));
        assert_eq!(sum_of(&nines, "0.5"), None);
    }

    #[test]
    fn integers_of_any_length_are_read_from_their_digits() {
        // Around the lengths at which reading goes over to halves, quarters, and so on.
        for length in [1, 18, 999, 1_000, 1_001, 1_999, 2_000, 2_001, 3_000, 4_001, 9_500] {
            let digits: String = (0..length).map(|index| char::from(b'1' + (index * 7 % 9) as u8)).collect();
            for text in [digits.clone(), format!("-{digits}"), format!("{digits}{}", "0".repeat(length))] {
                assert_eq!(Number::parse(&text).map(|it| it.to_json().as_str().to_owned()), Some(text.clone()));
                let digits = text.trim_start_matches('-');
                assert_eq!(Some(parse_digits(digits)), BigUint::from_str(digits).ok(), "{text}");
            }
        }
        assert_eq!(Number::parse("-0").map(|it| it.to_json().as_str().to_owned()).as_deref(), Some("0"));
        assert_eq!((Number::parse("-"), Number::parse("1x"), Number::parse("--1")), (None, None, None));
    }

    #[test]
    fn only_numbers_are_numbers() {
        for text in ["null", "true", "\"1\"", "[1]", "{}"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
        assert!(Number::parse("1").expect("int").equals(&Number::parse("1.0").expect("float")));
        assert!(!Number::parse("9007199254740993").expect("int").equals(&Number::Float(9007199254740992.0)));
    }
}
