//! Patterns of namespace names. `*` stands for any characters, also none; everything else stands for itself.

use agent_data_store::limits::check_namespace;
use agent_data_store::{Error, ErrorKind, Result};

/// Most patterns of one token.
const MOST: usize = 32;

/// Which namespaces: those that match one of the patterns, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespaces(Option<Box<[Box<str>]>>);

impl Namespaces {
    pub(crate) const ALL: Self = Self(None);

    /// Those that match one of `patterns`; all if there are none.
    pub(crate) fn matching(patterns: impl IntoIterator<Item = String>) -> Self {
        let patterns: Box<[Box<str>]> = patterns.into_iter().map(Box::from).collect();
        Self(Some(patterns).filter(|patterns| !patterns.is_empty()))
    }

    pub(crate) fn are_all(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(|pattern| &**pattern)
    }

    pub(crate) fn contain(&self, namespace: &str) -> bool {
        self.are_all() || self.patterns().any(|pattern| matches(pattern, namespace))
    }
}

/// Checks patterns that somebody has typed.
pub(crate) fn check_patterns(patterns: &[String]) -> Result<()> {
    if patterns.len() > MOST {
        let message = format!("{} namespace patterns are more than {MOST}: use a wider one", patterns.len());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    patterns.iter().try_for_each(|pattern| check_namespace(pattern))
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, pattern)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let (middle, last) = pattern.rsplit_once('*').unwrap_or(("", pattern));
    // The earliest place for each part leaves the most for those that follow.
    for part in middle.split('*') {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_all_else_for_itself() {
        let cases = [
            ("a", &["a"][..], &["", "A", "aa", "b"][..]),
            ("*", &["", "a", "a/b", "é\n*"], &[]),
            (
                "project:*",
                &["project:", "project:a", "project:a:b", "project:*"],
                &["project", "a project:a", "Project:a"],
            ),
            ("*:done", &[":done", "a:done", "a:done:done"], &["done", "a:done:", "a:don"]),
            ("a*b*c", &["abc", "a-b-c", "abcbc", "abbc"], &["ab", "ac", "acb", "abcd", "xabc"]),
            ("a**b", &["ab", "a*b", "axxb"], &["a", "ba"]),
            ("aa*aa", &["aaaa", "aaxaa"], &["aaa", "aa"]),
            ("?[a]{b}\\.", &["?[a]{b}\\."], &["xa"]),
            ("é*", &["é", "éa"], &["e", "É"]),
        ];
        for (pattern, those, others) in cases {
            for name in those {
                assert!(matches(pattern, name), "{pattern:?} {name:?}");
            }
            for name in others {
                assert!(!matches(pattern, name), "{pattern:?} {name:?}");
            }
        }
    }

    #[test]
    fn no_patterns_are_no_limit_and_several_are_any_of_them() {
        assert!(Namespaces::matching([]).contain("anything"));
        assert!(Namespaces::ALL.are_all());
        let two = Namespaces::matching(["a".to_owned(), "b:*".to_owned()]);
        assert!(two.contain("a") && two.contain("b:") && !two.contain("b") && !two.are_all());
    }

    #[test]
    fn a_pattern_that_could_match_no_namespace_is_refused() {
        for pattern in [String::new(), "a\0".to_owned(), "n".repeat(513)] {
            assert!(check_patterns(&[pattern]).is_err());
        }
        assert!(check_patterns(&vec!["a".to_owned(); 33]).is_err());
        assert!(check_patterns(&["a*".to_owned()]).is_ok());
    }
}
