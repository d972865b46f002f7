//! JSON numbers with the arithmetic that agents expect: integers of any size stay exact, floats are 64-bit.

use std::str::FromStr;

use num_bigint::{BigInt, BigUint, Sign};

use crate::json::Json;

/// A number of any size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    Int(BigInt),
    Float(f64),
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
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (Sign::Minus, digits),
            None => (Sign::Plus, text),
        };
        let is_integer = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_integer.then(|| Number::Int(BigInt::from_biguint(sign, parse_digits(digits))))
    }

    /// The sum; `None` where it leaves the range of a 64-bit float. As in Python, an integer plus a float is a float.
    pub(crate) fn add(&self, other: &Self) -> Option<Self> {
        if let (Number::Int(left), Number::Int(right)) = (self, other) {
            return Some(Number::Int(left + right));
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
                float.fract() == 0.0 && BigInt::from_str(&format!("{float:.0}")).is_ok_and(|exact| exact == *int)
            }
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        match self {
            Number::Int(int) => Json::from_trusted(int.to_string()),
            // `{:?}` keeps a float recognisable as one: 5.0 and 1e16, never 5 or 10000000000000000.
            Number::Float(float) => Json::from_trusted(format!("{float:?}")),
        }
    }

    fn to_float(&self) -> Option<f64> {
        match self {
            Number::Float(float) => Some(*float),
            // Decimal text is parsed to the nearest float; beyond the range it gives an infinity.
            Number::Int(int) => int.to_string().parse().ok().filter(|float: &f64| float.is_finite()),
        }
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
    use super::*;

    fn sum(left: &str, right: &str) -> Option<String> {
        let [left, right] = [left, right].map(|text| Number::parse(text).expect(text));
        left.add(&right).map(|sum| sum.to_json().as_str().to_owned())
    }

    #[test]
    fn integers_stay_exact_and_floats_stay_floats() {
        assert_eq!(sum("9007199254740993", "1").as_deref(), Some("9007199254740994"));
        assert_eq!(
            sum("340282366920938463463374607431768211456", "-1").as_deref(),
            Some("340282366920938463463374607431768211455")
        );
        assert_eq!(sum("2", "0.5").as_deref(), Some("2.5"));
        assert_eq!(sum("4.5", "0.5").as_deref(), Some("5.0"));
        assert_eq!(sum("1e308", "1e308"), None);
        assert_eq!(sum(&"9".repeat(400), "0.5"), None);
    }

    #[test]
    fn integers_of_any_length_are_read_digit_by_digit() {
        // Around the lengths at which reading goes over to halves, quarters, and so on.
        for length in [1, 18, 999, 1_000, 1_001, 1_999, 2_000, 2_001, 3_000, 4_001, 9_500] {
            let digits: String = (0..length).map(|index| char::from(b'1' + (index * 7 % 9) as u8)).collect();
            for text in [digits.clone(), format!("-{digits}"), format!("{digits}{}", "0".repeat(length))] {
                assert_eq!(Number::parse(&text), BigInt::from_str(&text).ok().map(Number::Int), "{text}");
            }
        }
        assert_eq!(Number::parse("-0"), Some(Number::Int(BigInt::ZERO)));
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
