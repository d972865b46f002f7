//! Where an answer ends, and whether it is a good one.

use serde::Deserialize;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Http,
    Redis,
}

/// An answer that has come whole.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) length: usize,
    /// Where its body begins.
    pub(crate) body: usize,
    pub(crate) is_good: bool,
}

impl Protocol {
    /// The answer that these bytes begin with; `None` where more of it is to come.
    pub(crate) fn answer(self, bytes: &[u8]) -> Result<Option<Answer>, String> {
        match self {
            Self::Http => http(bytes),
            Self::Redis => {
                let is_good = bytes.first() != Some(&b'-');
                Ok(redis(bytes)?.map(|length| Answer { length, body: 0, is_good }))
            }
        }
    }
}

/// HTTP/1.1 with a length; no server that is asked here sends anything else.
fn http(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "the head of an answer is not UTF-8")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = end + 4;
    let length = body + length.ok_or("an answer does not say how long it is")?;
    Ok((length <= bytes.len()).then_some(Answer { length, body, is_good: head.starts_with("HTTP/1.1 200 ") }))
}

/// The length of one value of RESP2.
fn redis(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = find(bytes, b"\r\n") else { return Ok(None) };
    let line = end + 2;
    let count = || {
        let digits = std::str::from_utf8(&bytes[1..end]).ok().and_then(|digits| digits.parse::<i64>().ok());
        digits.ok_or_else(|| "an answer does not say how long it is".to_owned())
    };
    match bytes.first() {
        Some(b'+' | b'-' | b':') => Ok(Some(line)),
        Some(b'$') => {
            let length = usize::try_from(count()?).map_or(line, |length| line + length + 2);
            Ok((length <= bytes.len()).then_some(length))
        }
        Some(b'*') => {
            let mut length = line;
            for _ in 0..count()? {
                match redis(&bytes[length..])? {
                    Some(item) => length += item,
                    None => return Ok(None),
                }
            }
            Ok(Some(length))
        }
        _ => Err("an answer is not RESP".to_owned()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not before its last byte is there, and then as long as it is.
    fn ends(protocol: Protocol, text: &str) -> Answer {
        for length in 0..text.len() {
            assert_eq!(protocol.answer(&text.as_bytes()[..length]), Ok(None), "{length} of {text:?}");
        }
        let answer = protocol.answer(text.as_bytes()).expect("an answer").expect("a whole one");
        assert_eq!(answer.length, text.len());
        answer
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let text = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\netag: \"1\"\r\n\r\n{}";
        let answer = ends(Protocol::Http, text);
        assert!(answer.is_good && &text[answer.body..] == "{}");
        assert!(!ends(Protocol::Http, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_good);
        assert!(ends(Protocol::Redis, "*3\r\n$2\r\nab\r\n$-1\r\n:12\r\n").is_good);
        assert!(ends(Protocol::Redis, "+OK\r\n").is_good);
        assert!(!ends(Protocol::Redis, "-ERR no\r\n").is_good);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert!(Protocol::Http.answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Protocol::Redis.answer(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(Protocol::Redis.answer(b"$x\r\n").is_err());
    }
}
