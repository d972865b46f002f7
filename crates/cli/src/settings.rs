//! Where the data is and who asks: options, else the environment, else defaults.

use agent_data_store::limits::check_namespace;
use agent_data_store::{Error, ErrorKind, Identity, Result, default_url};

use crate::args::Global;

const DEFAULT_NAME: &str = "default";

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    store: Option<String>,
    pub(crate) user: String,
    /// None: an administrator, who leaves no trace of access.
    pub(crate) agent: Option<String>,
    pub(crate) namespace: String,
}

impl Settings {
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let name = |given: Option<String>| given.unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let settings = Self {
            store: global.store.clone(),
            user: name(given_or_set(&global.user, "AGENT_DATA_STORE_USER")?),
            agent: given_or_set(&global.agent, "AGENT_DATA_STORE_AGENT")?,
            namespace: name(given_or_set(&global.namespace, "AGENT_DATA_STORE_NAMESPACE")?),
        };
        // Before anything is opened: a wrong call must not create a file.
        settings.identity()?;
        check_namespace(&settings.namespace)?;
        Ok(settings)
    }

    pub(crate) fn identity(&self) -> Result<Identity> {
        Identity::new(&self.user, self.agent.as_deref())
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
