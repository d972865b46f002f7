//! Settings: from flags, else variables, else one TOML file, else defaults.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use agent_data_store::{Error, ErrorKind, Json, Quota, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config_values as values;
use crate::mcp::{FEWEST_CHARACTERS, USUAL_CHARACTERS};
use crate::other_sites::is_origin;

/// What the variables start with: `ADS_BODY_BYTES` is `body_bytes`.
const VARIABLES: &str = "ADS_";

/// How a server behaves.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Where to listen; with port 0 the system chooses one. Default 127.0.0.1:0.
    pub listen: SocketAddr,
    /// Where to serve the metrics, to everyone who can connect there. Default nowhere of its own: they are then at
    /// `/metrics` of `listen`, for admins.
    pub metrics_listen: Option<SocketAddr>,
    /// A file with the certificate and its chain as PEM, for TLS. Default none.
    pub tls_certificate: Option<PathBuf>,
    /// A file with the certificate's private key as PEM. Default none.
    pub tls_key: Option<PathBuf>,
    /// Largest body of a request, in bytes. Default 64 MiB.
    #[serde(with = "values::bytes")]
    pub body_bytes: usize,
    /// How much is held in memory of all bodies that are being received, worked on or sent, in bytes. Default 1 GiB.
    #[serde(with = "values::bytes")]
    pub body_memory: usize,
    /// Largest head of a request, in bytes, at least 16 KiB, so that the longest names fit. Default 32 KiB.
    #[serde(with = "values::bytes")]
    pub header_bytes: usize,
    /// Most headers of a request. Default 64.
    #[serde(with = "values::count")]
    pub header_count: usize,
    /// How long a request's head may take from its first byte. Default 10 s.
    #[serde(with = "values::time")]
    pub header_timeout: Duration,
    /// How long a request's body may take, and then the work on it beyond what it asks to wait. Default 30 s.
    #[serde(with = "values::time")]
    pub request_timeout: Duration,
    /// How long a connection may be open without a request, or a client may take nothing of its answer. Default 120 s.
    #[serde(with = "values::time")]
    pub idle_timeout: Duration,
    /// Most open connections. Default 20,000.
    #[serde(with = "values::count")]
    pub connections: usize,
    /// Most requests of one user at a time, those that wait and streams of events included. Default 1,000.
    #[serde(with = "values::limit")]
    pub user_requests: Option<u64>,
    /// Most requests of one token in a second, on average. Default no limit.
    #[serde(with = "values::limit")]
    pub token_rate: Option<NonZeroU32>,
    /// Most requests of one token at once, where there is a rate. Default as many as in two seconds.
    #[serde(with = "values::limit")]
    pub token_burst: Option<NonZeroU32>,
    /// Most live records of a user. Default no limit.
    #[serde(with = "values::limit")]
    pub quota_records: Option<u64>,
    /// Most bytes of a user's live records: keys, values and metadata. Default no limit.
    #[serde(with = "values::bytes_limit")]
    pub quota_bytes: Option<u64>,
    /// Other quotas for single users.
    pub users: BTreeMap<String, UserOptions>,
    /// Whose pages may use the store from a browser: origins such as `https://app.example.org`. Default nobody's.
    #[serde(with = "values::list")]
    pub cors_origins: Vec<String>,
    /// How long one request may wait for a change, a lock or a task, at most. Default 60 s.
    #[serde(with = "values::time")]
    pub longest_wait: Duration,
    /// Most characters of an answer to a client of the Model Context Protocol, at least 2,000. Default 20,000.
    #[serde(with = "values::count")]
    pub mcp_characters: usize,
    /// How often a stream of events shows that it is alive while nothing happens. Default 15 s.
    #[serde(with = "values::time")]
    pub heartbeat: Duration,
    /// How long a shutdown waits for requests in flight. Default 30 s.
    #[serde(with = "values::time")]
    pub shutdown_grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            metrics_listen: None,
            tls_certificate: None,
            tls_key: None,
            body_bytes: 64 << 20,
            body_memory: 1 << 30,
            header_bytes: 32 << 10,
            header_count: 64,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            connections: 20_000,
            user_requests: Some(1_000),
            token_rate: None,
            token_burst: None,
            quota_records: None,
            quota_bytes: None,
            users: BTreeMap::new(),
            cors_origins: Vec::new(),
            longest_wait: Duration::from_secs(60),
            mcp_characters: USUAL_CHARACTERS,
            heartbeat: Duration::from_secs(15),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// What is different for one user; what is not said is as for everyone.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UserOptions {
    /// Most live records; `Some(None)` for no limit.
    #[serde(with = "values::other_limit", skip_serializing_if = "Option::is_none")]
    pub quota_records: Option<Option<u64>>,
    /// Most bytes of live records; `Some(None)` for no limit.
    #[serde(with = "values::other_limit", skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<Option<u64>>,
}

impl ServerOptions {
    /// What a user may have in the store.
    pub(crate) fn quota(&self, user: &str) -> Quota {
        let other = if self.users.is_empty() { None } else { self.users.get(user) };
        Quota {
            records: other.and_then(|other| other.quota_records).unwrap_or(self.quota_records),
            bytes: other.and_then(|other| other.quota_bytes).unwrap_or(self.quota_bytes),
        }
    }

    /// Whether these go together.
    pub(crate) fn check(&self) -> Result<()> {
        let positive = [
            ("header_timeout", self.header_timeout),
            ("request_timeout", self.request_timeout),
            ("idle_timeout", self.idle_timeout),
            ("heartbeat", self.heartbeat),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(invalid(format!("{name} is 0: give it some time")));
        }
        if self.heartbeat >= self.idle_timeout {
            return Err(invalid("heartbeat is not shorter than idle_timeout: streams of events would be cut"));
        }
        if self.body_memory < self.body_bytes {
            return Err(invalid("body_memory is less than body_bytes: the largest bodies would never be taken"));
        }
        if self.header_bytes < 16 << 10 {
            return Err(invalid("header_bytes is under 16 KiB: give at least that, so that the longest names fit"));
        }
        if self.header_count == 0 || self.connections == 0 {
            return Err(invalid("header_count and connections are at least 1"));
        }
        if self.mcp_characters < FEWEST_CHARACTERS {
            return Err(invalid(format!("mcp_characters is under {FEWEST_CHARACTERS}: give at least that")));
        }
        if let Some(origin) = self.cors_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(invalid(format!("cors_origins: {origin:?} is no origin: write https://app.example.org")));
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(invalid("tls_certificate and tls_key go together: give both or neither"));
        }
        Ok(())
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object in each line.
    Json,
}

/// What is logged, each level with all that the one before is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures.
    Error,
    /// What an operator should look at.
    Warn,
    /// A line for each request.
    #[default]
    Info,
    /// What the server does besides.
    Debug,
}

/// Everything that can be set for a program that serves a store.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The store's URL.
    pub store: Option<String>,
    /// How lines of the log look.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: LogLevel,
    /// How the server behaves.
    pub server: ServerOptions,
}

/// The settings that are not the server's own.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Around {
    store: Option<String>,
    log_format: LogFormat,
    log_level: LogLevel,
}

impl Config {
    /// The names of all settings but those of single users, in alphabetical order. `name` is the flag `--name` with dashes
    /// and the variable `ADS_NAME`.
    pub fn names() -> Vec<String> {
        // What is not set has no place in a table, so each of these is named here.
        const UNSET: [&str; 8] = [
            "metrics_listen",
            "quota_bytes",
            "quota_records",
            "store",
            "tls_certificate",
            "tls_key",
            "token_burst",
            "token_rate",
        ];
        let mut names: Vec<String> = Self::default().table().unwrap_or_default().keys().cloned().collect();
        names.extend(UNSET.map(String::from));
        names.sort();
        names.dedup();
        names.retain(|name| name != "users");
        names
    }

    /// Replaces what the layers say, the later ones in the parameters before the earlier ones: a TOML text, variables by
    /// their name, and flags by the setting's name.
    ///
    /// # Errors
    /// `InvalidArgument` names the setting that is unknown or cannot have its value.
    pub fn layered(
        self,
        file: Option<&str>,
        variable: impl Fn(&str) -> Result<Option<String>>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self> {
        let mut table = self.table().map_err(|error| invalid(error.to_string()))?;
        if let Some(text) = file {
            let file: Table = text.parse().map_err(|error| in_file(&error, text))?;
            // Alone first, so that a mistake is told as one of the file.
            Self::of_table(file.clone())
                .map_err(|error| invalid(format!("in the configuration file: {}", error.message())))?;
            table.extend(file);
        }
        for name in Self::names() {
            let variable_name = format!("{VARIABLES}{}", name.to_uppercase());
            if let Some(text) = variable(&variable_name)?.filter(|text| !text.is_empty()) {
                let mut alone = Table::new();
                alone.insert(name.clone(), Value::String(text.clone()));
                Self::of_table(alone).map_err(|error| invalid(format!("{variable_name}: {}", error.message())))?;
                table.insert(name, Value::String(text));
            }
        }
        for (name, text) in flags {
            table.insert(name.to_owned(), Value::String(text));
        }
        Self::of_table(table)
    }

    /// As a TOML text, without secrets.
    pub fn to_toml(&self) -> String {
        let shown = Self { store: self.store.as_deref().map(without_password), ..self.clone() };
        shown.table().map(|table| table.to_string()).unwrap_or_default()
    }

    /// As JSON, without secrets.
    pub fn to_json(&self) -> Json {
        let shown = Self { store: self.store.as_deref().map(without_password), ..self.clone() };
        let text = shown.table().ok().and_then(|table| serde_json::to_string(&table).ok());
        Json::from_trusted(text.unwrap_or_default())
    }

    fn table(&self) -> std::result::Result<Table, toml::ser::Error> {
        let Self { store, log_format, log_level, server } = self.clone();
        let mut table = Table::try_from(Around { store, log_format, log_level })?;
        table.extend(Table::try_from(server)?);
        Ok(table)
    }

    fn of_table(mut table: Table) -> Result<Self> {
        let mut around = Table::new();
        for name in ["store", "log_format", "log_level"] {
            if let Some(value) = table.remove(name) {
                around.insert(name.to_owned(), value);
            }
        }
        let Around { store, log_format, log_level } = read(around)?;
        Ok(Self { store, log_format, log_level, server: read(table)? })
    }
}

fn read<T: for<'de> Deserialize<'de>>(table: Table) -> Result<T> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let reason = error.inner().to_string();
        let reason = reason.trim_end();
        match error.path().to_string().as_str() {
            "." => invalid(reason),
            // Named in the reason already.
            _ if reason.starts_with("unknown field") => invalid(reason),
            path => invalid(format!("{path}: {reason}")),
        }
    })
}

fn in_file(error: &toml::de::Error, text: &str) -> Error {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
    invalid(format!("the configuration file is not TOML: line {line}: {}", error.message()))
}

/// A URL that may be shown.
fn without_password(url: &str) -> String {
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (login, host) = authority.rsplit_once('@')?;
        let user = login.split_once(':')?.0;
        Some(format!("{scheme}://{user}:***@{host}{path}"))
    };
    parts().unwrap_or_else(|| url.to_owned())
}

fn invalid(message: impl Display) -> Error {
    Error::new(ErrorKind::InvalidArgument, message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layered(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config> {
        let variable = |name: &str| Ok(variables.iter().find(|(it, _)| *it == name).map(|(_, text)| text.to_string()));
        Config::default().layered(Some(file), variable, flags.iter().map(|(name, text)| (*name, text.to_string())))
    }

    #[test]
    fn flags_come_before_variables_and_these_before_the_file() {
        let file = "body_bytes = \"1KiB\"\nheader_count = 10\nidle_timeout = \"5m\"\nstore = \"memory:\"";
        let variables = [("ADS_BODY_BYTES", "2KiB"), ("ADS_HEADER_COUNT", "20"), ("ADS_HEARTBEAT", "")];
        let config = layered(file, &variables, &[("body_bytes", "4096")]).expect("sound settings");
        assert_eq!(config.server.body_bytes, 4_096);
        assert_eq!(config.server.header_count, 20);
        assert_eq!(config.server.idle_timeout, Duration::from_secs(300));
        assert_eq!(config.server.heartbeat, ServerOptions::default().heartbeat);
        assert_eq!(config.store.as_deref(), Some("memory:"));
    }

    #[test]
    fn every_setting_can_be_set_by_a_text_and_prints_as_what_is_read_again() {
        let texts = [
            ("body_bytes", "1MiB"),
            ("body_memory", "1MiB"),
            ("connections", "100"),
            ("cors_origins", "https://a.example, https://b.example"),
            ("header_bytes", "20KiB"),
            ("header_count", "20"),
            ("header_timeout", "5s"),
            ("heartbeat", "1500ms"),
            ("idle_timeout", "1m"),
            ("listen", "127.0.0.1:1"),
            ("log_format", "json"),
            ("log_level", "warn"),
            ("longest_wait", "2m"),
            ("mcp_characters", "9000"),
            ("metrics_listen", "127.0.0.1:2"),
            ("quota_bytes", "1GiB"),
            ("quota_records", "1000"),
            ("request_timeout", "90"),
            ("shutdown_grace", "0"),
            ("store", "memory:"),
            ("tls_certificate", "/tls/certificate.pem"),
            ("tls_key", "/tls/key.pem"),
            ("token_burst", "20"),
            ("token_rate", "10"),
            ("user_requests", "none"),
        ];
        assert_eq!(texts.map(|(name, _)| name.to_owned()).to_vec(), Config::names());
        let default = Config::default().table().expect("a table");
        let config = layered("", &[], &texts).expect("sound settings");
        for (name, value) in config.table().expect("a table") {
            assert!(name == "users" || default.get(&name) != Some(&value), "{name} is set to its default");
        }
        assert_eq!(config.server.heartbeat, Duration::from_millis(1_500));
        assert_eq!(config.server.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!(layered(&config.to_toml(), &[], &[]).expect("what was printed"), config);
    }

    #[test]
    fn a_user_has_the_quota_of_everyone_but_for_what_is_said_otherwise() {
        let file = "quota_records = 10\nquota_bytes = \"1KiB\"\n[users.alice]\nquota_records = 20\n[users.\"a:b\"]\nquota_bytes = \"none\"";
        let config = layered(file, &[], &[]).expect("sound settings");
        let quota = |user| config.server.quota(user);
        assert_eq!(quota("bob"), Quota { records: Some(10), bytes: Some(1_024) });
        assert_eq!(quota("alice"), Quota { records: Some(20), bytes: Some(1_024) });
        assert_eq!(quota("a:b"), Quota { records: Some(10), bytes: None });
        assert_eq!(layered(&config.to_toml(), &[], &[]).expect("what was printed"), config);
    }

    #[test]
    fn a_mistake_is_told_by_the_name_of_the_setting_and_where_it_is() {
        let refused = |file, variables: &[_], flags: &[_]| {
            let error = layered(file, variables, flags).expect_err("a mistake");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            error.message().to_owned()
        };
        let message = refused("body_byte = 1", &[], &[]);
        assert!(message.contains("file") && message.contains("`body_byte`"), "{message}");
        let message = refused("[users.alice]\nquota = 1", &[], &[]);
        assert!(message.contains("file") && message.contains("`quota`"), "{message}");
        let message = refused("listen = ", &[], &[]);
        assert!(message.contains("line 1"), "{message}");
        let message = refused("idle_timeout = \"soon\"", &[], &[]);
        assert!(message.contains("idle_timeout") && message.contains("90s"), "{message}");
        let message = refused("", &[("ADS_CONNECTIONS", "many")], &[]);
        assert!(message.contains("ADS_CONNECTIONS"), "{message}");
        let message = refused("", &[], &[("body_bytes", "-1")]);
        assert!(message.contains("body_bytes"), "{message}");
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let refused = |change: fn(&mut ServerOptions)| {
            let mut options = ServerOptions::default();
            change(&mut options);
            options.check().is_err()
        };
        assert!(refused(|options| options.tls_key = Some("key.pem".into())));
        assert!(refused(|options| options.heartbeat = options.idle_timeout));
        assert!(refused(|options| options.header_bytes = (16 << 10) - 1));
        assert!(refused(|options| options.connections = 0));
        assert!(refused(|options| options.body_memory = options.body_bytes - 1));
        assert!(refused(|options| options.cors_origins = vec!["*".to_owned()]));
        assert!(refused(|options| options.request_timeout = Duration::ZERO));
        assert!(!refused(|_| {}));
    }

    #[test]
    fn no_password_is_printed() {
        let shown = [
            ("postgresql://ads:secret@db.example/ads", "postgresql://ads:***@db.example/ads"),
            ("postgresql://ads@db.example/ads", "postgresql://ads@db.example/ads"),
            ("sqlite:///a/b@c:d.db", "sqlite:///a/b@c:d.db"),
            ("memory:", "memory:"),
        ];
        for (url, expected) in shown {
            assert_eq!(without_password(url), expected);
        }
    }
}
