//! Times as people type them.

use std::time::Duration;

const FORMS: &str = "give seconds, or units such as 90s, 5m, 1h or 2d";

/// How long something lives.
pub(super) fn parse_ttl(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        ttl if ttl.as_micros() == 0 => Err("a record must live for at least a microsecond".to_owned()),
        ttl => Ok(ttl),
    }
}

/// A pause, which may be none.
pub(super) fn parse_pause(text: &str) -> Result<Duration, String> {
    parse(text)
}

/// How long to wait at most.
pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    match text {
        "forever" => Ok(Duration::MAX),
        text => parse(text).map_err(|reason| format!("{reason}, or `forever`")),
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    };
    parsed.map_err(|reason| format!("{reason}: {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_or_has_units() {
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
            let expected = Ok(Duration::from_secs_f64(expected));
            assert_eq!(parse_ttl(text), expected, "{text}");
            assert_eq!(parse_pause(text), expected, "{text}");
            assert_eq!(parse_wait(text), expected, "{text}");
        }
        for text in ["", "-1", "soon", "inf", "NaN", "1e300", "5 parsecs"] {
            for parse in [parse_ttl, parse_pause, parse_wait] {
                let reason = parse(text).expect_err(text);
                assert!(reason.contains("90s"), "{text:?}: {reason}");
            }
        }
    }

    #[test]
    fn nothing_lives_for_no_time_but_waiting_may_be_none_or_without_end() {
        for text in ["0", "0s", "1ns"] {
            assert!(parse_ttl(text).is_err(), "{text:?}");
        }
        for parse in [parse_pause, parse_wait] {
            assert_eq!(parse("0"), Ok(Duration::ZERO));
        }
        assert_eq!(parse_wait("forever"), Ok(Duration::MAX));
        for parse in [parse_ttl, parse_pause] {
            assert!(parse("forever").is_err());
        }
    }
}
