//! What the statements of several engines have in common.

use crate::model::View;

/// Columns of a record for a view, from `records r`, and for [`View::Record`] `accesses a`.
pub(super) fn columns(view: View) -> &'static str {
    match view {
        View::Key => "r.expires_at",
        View::Version => "r.expires_at, r.version",
        View::Value => "r.expires_at, r.version, r.value",
        View::Record => {
            "r.expires_at, r.version, r.value, r.metadata, r.created_by, r.updated_by, r.created_at, r.updated_at,
             r.accessed_at, r.accessed_by, a.count, a.last_at, a.last_by"
        }
    }
}

/// The smallest text above all that start with `prefix`; `None` where there is none.
pub(super) fn end_of(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // UTF-8 orders as code points do; the surrogates between U+D7FF and U+E000 are no characters.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn the_end_of_a_prefix_is_above_all_that_start_with_it() {
        assert_eq!(end_of("ab").as_deref(), Some("ac"));
        assert_eq!(end_of("a\u{D7FF}").as_deref(), Some("a\u{E000}"));
        assert_eq!(end_of("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(end_of("\u{10FFFF}"), None);
    }
}
