//! Telling of likely credentials that were stored.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use agent_data_store::{SecretsWarning, WarningSink};

use crate::escape::escaped;
use crate::output::message;

/// After this many lines it is clear what the matter is.
const LINES: usize = 20;

/// Prints a line on stderr for each kind of credential in each record, once.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<HashSet<String>>);

impl WarningSink for Warnings {
    fn warn(&self, warning: &SecretsWarning) {
        if let Some(line) = self.line(warning) {
            message(&line);
        }
    }
}

impl Warnings {
    fn line(&self, warning: &SecretsWarning) -> Option<String> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let record = format!("{:?}", (&warning.namespace, &warning.key, warning.kind));
        if told.len() > LINES || !told.insert(record) {
            return None;
        }
        Some(match told.len() > LINES {
            true => "ads: warning: there are more likely credentials, which are not shown".to_owned(),
            false => format!("ads: warning: {}", escaped(&warning.to_string())),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agent_data_store::{Identity, Json, Options, SetOptions, Store, block_on};

    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Warnings, Mutex<Vec<String>>);

    impl WarningSink for Lines {
        fn warn(&self, warning: &SecretsWarning) {
            self.1.lock().expect("test").extend(self.0.line(warning));
        }
    }

    #[test]
    fn each_record_and_kind_is_told_once_and_not_without_end() {
        let lines = Arc::new(Lines::default());
        let mut options = Options::default();
        options.warnings = Some(Arc::<Lines>::clone(&lines));
        let store = block_on(Store::open("memory:", options)).expect("memory");
        let view = store.data_store(Identity::new("u", None).expect("a name"), "notes").expect("a name");
        let token = |start: &str| format!("{start}{}", "4Kz".repeat(12));
        let (first, second) = (token("ghp_"), token("npm_"));
        let value = Json::from_trusted(format!(r#"{{"a\u009b": "{first}", "b": ["{first}", "{second}"]}}"#));
        let set = |key: &str| block_on(view.set(key, value.clone(), SetOptions::default())).expect("stored");
        set("k");
        set("k");
        let told = std::mem::take(&mut *lines.1.lock().expect("test"));
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].starts_with("ads: warning: value of key \"k\" in namespace \"notes\""), "{}", told[0]);
        assert!(told[0].contains("a GitHub token") && told[1].contains("an npm token"), "{told:#?}");
        for n in 0..100 {
            set(&format!("k{n}"));
        }
        let told = lines.1.lock().expect("test");
        assert_eq!(told.len(), LINES - 2 + 1, "{told:#?}");
        assert!(told.last().is_some_and(|line| line.contains("more likely credentials")), "{told:#?}");
    }
}
