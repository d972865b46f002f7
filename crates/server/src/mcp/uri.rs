//! Records as URIs: `ads://namespace/key`, both percent-encoded.

use agent_data_store::limits::{check_key, check_namespace};
use agent_data_store::{Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::arguments::invalid;

/// How all of them look, for clients that make some.
pub(super) const TEMPLATE: &str = "ads://{namespace}/{key}";
const SCHEME: &str = "ads://";
const CURSOR: &str = "cursor=";

/// What RFC 3986 calls unreserved stands for itself.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a URI points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) key: String,
    /// Where in the value reading goes on.
    pub(super) cursor: Option<String>,
}

/// The URI of a record.
pub(super) fn of_record(namespace: &str, key: &str) -> String {
    format!("{SCHEME}{}/{}", utf8_percent_encode(namespace, ENCODED), utf8_percent_encode(key, ENCODED))
}

/// The URI of the part of a long value at `cursor`.
pub(super) fn of_part(namespace: &str, key: &str, cursor: &str) -> String {
    format!("{}?{CURSOR}{}", of_record(namespace, key), utf8_percent_encode(cursor, ENCODED))
}

/// Reads a URI.
pub(super) fn parse(uri: &str) -> Result<Target> {
    let rest = uri.strip_prefix(SCHEME).ok_or_else(wrong)?;
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let (namespace, key) = path.split_once('/').ok_or_else(wrong)?;
    let cursor = match query {
        None => None,
        Some(query) => Some(decoded(query.strip_prefix(CURSOR).ok_or_else(wrong)?)?),
    };
    let target = Target { namespace: decoded(namespace)?, key: decoded(key)?, cursor };
    check_namespace(&target.namespace)?;
    check_key(&target.key)?;
    Ok(target)
}

fn decoded(text: &str) -> Result<String> {
    percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| wrong())
}

fn wrong() -> Error {
    invalid(format!(
        "the URI is not of the form {TEMPLATE} with both names percent-encoded: take one from resources/list"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_its_uri() {
        for (namespace, key) in
            [("n", "k"), ("a:b/c", "x/y?z#%41"), ("日本", "../é \n"), ("n", "a&cursor=b"), ("A", "~.-_")]
        {
            let target = parse(&of_record(namespace, key)).expect("its own URI");
            assert_eq!((&*target.namespace, &*target.key, target.cursor), (namespace, key, None));
            let target = parse(&of_part(namespace, key, "v1:2")).expect("its own URI");
            assert_eq!((&*target.key, target.cursor.as_deref()), (key, Some("v1:2")));
        }
        assert_eq!(of_record("project", "notes"), "ads://project/notes");
        assert_eq!(parse("ads://n/a/b").expect("a slash is part of the key").key, "a/b");
    }

    #[test]
    fn what_points_to_no_record_is_refused() {
        for uri in
            ["", "ads:", "ads://n", "ads://n/", "ads:///k", "http://n/k", "ads://n/k?x=1", "ads://n/%ff", "ads://n/%00"]
        {
            assert!(parse(uri).is_err(), "{uri}");
        }
    }
}
