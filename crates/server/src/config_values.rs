//! How single settings are written: as TOML has them, or as the text of a flag or a variable.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A limit that is none.
const NONE: &str = "none";

/// A number as it is, or anything as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Number(u64),
    Fraction(f64),
    Text(String),
}

impl Given {
    fn read<'de, D: Deserializer<'de>>(deserializer: D, forms: &str) -> Result<String, D::Error> {
        Ok(match Self::deserialize(deserializer).map_err(|_| D::Error::custom(forms))? {
            Self::Number(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Text(text) => text.trim().to_owned(),
        })
    }
}

/// Times: seconds, or with units.
pub(crate) mod time {
    use super::*;

    const FORMS: &str = "give seconds, or units such as 90s, 5m, 1h or 2d";

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = Given::read(deserializer, FORMS)?;
        let parsed = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => humantime::parse_duration(&text).ok(),
        };
        parsed.ok_or_else(|| D::Error::custom(FORMS))
    }

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*time))
    }
}

const SIZES: &str = "give bytes, or units such as 64KiB, 16MiB or 2GiB";
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) =
        UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift))).unwrap_or((text, 0));
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn size_text(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, shift)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// Sizes: bytes, or with units.
pub(crate) mod bytes {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        let text = Given::read(deserializer, SIZES)?;
        let size = parse_size(&text).and_then(|size| size.try_into().ok());
        size.ok_or_else(|| D::Error::custom(SIZES))
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&size_text(*bytes as u64))
    }
}

/// Numbers of things.
pub(crate) mod count {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        const FORMS: &str = "give a whole number";
        Given::read(deserializer, FORMS)?.parse().map_err(|_| D::Error::custom(FORMS))
    }

    pub(crate) fn serialize<S: Serializer>(count: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*count as u64)
    }
}

/// Numbers that nothing may exceed, or `none`.
pub(crate) mod limit {
    use super::*;

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        const FORMS: &str = "give a whole number, at least 1 where it is a rate, or none";
        match Given::read(deserializer, FORMS)?.as_str() {
            NONE => Ok(None),
            text => text.parse().map(Some).map_err(|_| D::Error::custom(FORMS)),
        }
    }

    pub(crate) fn serialize<T: Display, S: Serializer>(limit: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match limit {
            None => serializer.serialize_str(NONE),
            // A TOML integer is a signed one: a text holds them all.
            Some(limit) => match limit.to_string().parse::<i64>() {
                Ok(limit) => serializer.serialize_i64(limit),
                Err(_) => serializer.collect_str(limit),
            },
        }
    }
}

/// Sizes that nothing may exceed, or `none`.
pub(crate) mod bytes_limit {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        match Given::read(deserializer, SIZES)?.as_str() {
            NONE => Ok(None),
            text => parse_size(text).map(Some).ok_or_else(|| D::Error::custom(format!("{SIZES}, or none"))),
        }
    }

    pub(crate) fn serialize<S: Serializer>(limit: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match limit {
            None => serializer.serialize_str(NONE),
            Some(bytes) => serializer.serialize_str(&size_text(*bytes)),
        }
    }
}

/// What replaces a limit, if it is given.
pub(crate) mod other_limit {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
        bytes_limit::deserialize(deserializer).map(Some)
    }

    pub(crate) fn serialize<S: Serializer>(limit: &Option<Option<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
        limit::serialize(&limit.unwrap_or_default(), serializer)
    }
}

/// Several texts: an array, or separated by commas.
pub(crate) mod list {
    use super::*;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        Array(Vec<String>),
        Text(String),
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let given = Texts::deserialize(deserializer);
        Ok(match given.map_err(|_| D::Error::custom("give texts in an array, or separated by commas"))? {
            Texts::Array(texts) => texts,
            Texts::Text(text) => {
                text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(String::from).collect()
            }
        })
    }

    pub(crate) fn serialize<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        texts.serialize(serializer)
    }
}
