//! Reading values: from an argument, a file or stdin.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use agent_data_store::wire;
use agent_data_store::{Error, ErrorKind, Json, Limits, Result};

/// Where a text comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Argument(&'a str),
    File(&'a Path),
    Stdin,
}

impl<'a> Source<'a> {
    /// An argument; `-` is stdin.
    pub(crate) fn argument(argument: &'a str) -> Self {
        match argument {
            "-" => Self::Stdin,
            text => Self::Argument(text),
        }
    }

    /// A path; `-` is stdin.
    pub(crate) fn path(path: &'a Path) -> Self {
        match path.as_os_str() == "-" {
            true => Self::Stdin,
            false => Self::File(path),
        }
    }

    /// An argument; `@` stands before a path, `-` is stdin.
    pub(crate) fn argument_or_file(argument: &'a str) -> Self {
        match argument.strip_prefix('@') {
            Some(path) => Self::File(Path::new(path)),
            None => Self::argument(argument),
        }
    }

    /// Its text, of at most `limit` bytes.
    fn read(self, limit: usize) -> Result<String> {
        let bytes = match self {
            Self::Argument(text) => return Ok(text.to_owned()),
            Self::File(path) => File::open(path).and_then(|file| read_limited(file, limit)),
            Self::Stdin => read_limited(io::stdin().lock(), limit),
        };
        let bytes = bytes.map_err(|source| {
            Error::new(ErrorKind::InvalidArgument, format!("cannot read {}: {source}", self.name())).caused_by(source)
        })?;
        if bytes.len() > limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{} is over the limit of {limit} bytes: split it or store a reference", self.name()),
            ));
        }
        String::from_utf8(bytes).map_err(|source| {
            let message = format!("{} is not UTF-8 text: convert it, or store base64 text", self.name());
            Error::new(ErrorKind::NotSerializable, message).caused_by(source)
        })
    }

    fn name(self) -> String {
        match self {
            Self::Argument(_) => "the argument".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "stdin".to_owned(),
        }
    }
}

/// Stops one byte above the limit: what is too large need not be held.
fn read_limited(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Longest text that may be a value: there is room for the line break at a file's end, which does not count.
pub(crate) fn text_limit(limits: &Limits) -> usize {
    limits.value_bytes.saturating_add(2)
}

/// A value to store. `plain`: the text itself, as a JSON string.
pub(crate) fn value(source: Source<'_>, plain: bool, limits: &Limits) -> Result<Json> {
    let text = source.read(text_limit(limits))?;
    if plain {
        return Json::parse(wire::string(&text).as_str(), limits);
    }
    Json::parse(&text, limits).map_err(|error| match error.kind() {
        ErrorKind::InvalidArgument => Error::new(
            ErrorKind::InvalidArgument,
            format!("{}: write JSON, such as 42 or '\"text\"', or add --string to store plain text", error.message()),
        ),
        _ => error,
    })
}

/// The JSON of an option.
pub(crate) fn option(name: &str, text: &str, limits: &Limits) -> Result<Json> {
    Json::parse(text, limits).map_err(|error| about(name, &error))
}

/// A JSON object for an agent; it is not stored, so it may be of any size.
pub(crate) fn object(name: &str, source: Source<'_>) -> Result<String> {
    let mut limits = Limits::default();
    limits.value_bytes = usize::MAX;
    let text = source.read(usize::MAX - 1).map_err(|error| about(name, &error))?;
    let json = Json::parse(&text, &limits).map_err(|error| about(name, &error))?;
    if !json.as_str().starts_with('{') {
        let message = format!("{name} is not a JSON object: give one such as '{{\"name\": \"Ada\"}}'");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    Ok(json.as_str().to_owned())
}

fn about(name: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{name}: {}", error.message()))
}
