//! Times as people type them.

use std::time::Duration;

/// How long something lives.
pub(super) fn parse_ttl(text: &str) -> Result<Duration, String> {
    const FORMS: &str = "give seconds, or units such as 90s, 5m, 1h or 2d";
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    };
    match parsed {
        Ok(ttl) if ttl.as_micros() == 0 => Err("a record must live for at least a microsecond".to_owned()),
        Ok(ttl) => Ok(ttl),
        Err(reason) => Err(format!("{reason}: {FORMS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_seconds_or_has_units() {
        let seconds = [
            ("90", 90.0),
            ("0.5", 0.5),
            ("90s", 90.0),
            ("5m", 300.0),
            ("1h", 3_600.0),
            ("2d", 172_800.0),
            ("1h30m", 5_400.0),
        ];
        for (text, expected) in seconds {
            assert_eq!(parse_ttl(text), Ok(Duration::from_secs_f64(expected)), "{text}");
        }
        for text in ["", "0", "0s", "-1", "soon", "inf", "NaN", "1e300", "5 parsecs", "1ns"] {
            assert!(parse_ttl(text).is_err(), "{text:?} must be refused");
        }
    }
}
