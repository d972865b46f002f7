//! Where the data is and who asks: options, else the environment, else defaults.

use std::path::PathBuf;

use agent_data_store::limits::{check_agent, check_namespace, check_user};
use agent_data_store::{DataStore, Error, ErrorKind, Result, Store, Token, default_url};

use crate::args::Global;

const DEFAULT_NAMESPACE: &str = "default";

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    store: Option<String>,
    token_file: Option<PathBuf>,
    /// None: the one whom the store takes its caller for.
    pub(crate) user: Option<String>,
    /// None: an administrator, who leaves no trace of access.
    pub(crate) agent: Option<String>,
    pub(crate) namespace: String,
}

impl Settings {
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let settings = Self {
            store: global.store.clone(),
            token_file: global.token_file.clone(),
            user: given_or_set(&global.user, "AGENT_DATA_STORE_USER")?,
            agent: given_or_set(&global.agent, "AGENT_DATA_STORE_AGENT")?,
            namespace: given_or_set(&global.namespace, "AGENT_DATA_STORE_NAMESPACE")?
                .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        };
        // Before anything is opened: a wrong call must not create a file.
        settings.user.as_deref().map_or(Ok(()), check_user)?;
        settings.agent.as_deref().map_or(Ok(()), check_agent)?;
        check_namespace(&settings.namespace)?;
        Ok(settings)
    }

    /// What this caller sees of an open store.
    pub(crate) fn view(&self, store: &Store) -> Result<DataStore> {
        store.data_store(store.identity(self.user.as_deref(), self.agent.as_deref())?, &self.namespace)
    }

    /// The token for a server. Never an argument: everyone on a machine can see those of every program.
    pub(crate) fn token(&self) -> Result<Option<Token>> {
        let Some(path) = &self.token_file else { return Token::from_environment() };
        let text = std::fs::read_to_string(path).map_err(|source| {
            let message = format!("cannot read the token in {}: {source}: correct --token-file", path.display());
            Error::new(ErrorKind::InvalidArgument, message).caused_by(source)
        })?;
        Token::new(text.trim()).map(Some)
    }

    /// The store that an option names, and none from elsewhere.
    pub(crate) fn given_store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// The same at another store.
    pub(crate) fn at(&self, store: String) -> Self {
        Self { store: Some(store), ..self.clone() }
    }

    pub(crate) fn store_url(&self) -> Result<String> {
        match &self.store {
            Some(url) => Ok(url.clone()),
            None => default_url(),
        }
    }
}

/// An option, else an environment variable. An empty variable counts as not set; an empty option does not:
/// `--user "$UNSET"` must not quietly mean the default user.
fn given_or_set(given: &Option<String>, variable: &str) -> Result<Option<String>> {
    if given.is_some() {
        return Ok(given.clone());
    }
    variable_text(variable)
}

/// An environment variable, unless it is empty.
pub(crate) fn variable_text(variable: &str) -> Result<Option<String>> {
    match std::env::var(variable) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Error::new(ErrorKind::InvalidArgument, format!("{variable} is not UTF-8: set it anew or unset it")))
        }
    }
}
