//! What a `postgresql:` URL says.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::error::{Error, Result};

/// Longest name of a schema and longest prefix: with it the longest name of a table or index still fits into PostgreSQL's 63.
const LONGEST_NAME: usize = 40;

const PARAMETERS: &str = "beside those of PostgreSQL itself there are schema, table_prefix, pool_size, pool_timeout, \
                          statement_timeout, ordering, sslmode, sslrootcert and secrets";

/// Where versions come from; see `begin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ordering {
    /// From one sequence; writers of one user run beside each other. Needs PostgreSQL's advisory locks.
    Concurrent,
    /// From a counter of each user, at which their writers queue up. Needs nothing but transactions.
    Serial,
}

/// How sure a connection is of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// Not at all.
    None,
    /// The certificate comes from a trusted authority.
    Authority,
    /// And it is for this host.
    Full,
}

/// Everything that a URL says. Shows no password.
#[derive(Clone)]
pub(super) struct Address {
    /// What PostgreSQL's driver takes care of.
    pub(super) config: Config,
    pub(super) schema: String,
    pub(super) prefix: String,
    pub(super) pool_size: usize,
    /// How long a call waits for a connection of the pool.
    pub(super) pool_timeout: Duration,
    pub(super) statement_timeout: Duration,
    /// What is asked for; `None` leaves it to what the database can do.
    pub(super) ordering: Option<Ordering>,
    pub(super) verification: Verification,
    /// Certificates in PEM that are trusted in place of the system's.
    pub(super) root_certificates: Option<PathBuf>,
}

impl Address {
    /// # Errors
    /// `InvalidArgument`, without anything of the URL that may be secret.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut parsed = Self {
            config: Config::new(),
            schema: "agent_data_store".to_owned(),
            prefix: String::new(),
            pool_size: 10,
            pool_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            ordering: None,
            verification: Verification::None,
            root_certificates: None,
        };
        let mut of_driver = Vec::new();
        let mut ssl_mode = None;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| Error::invalid(format!("postgresql URL parameter {name:?} is not UTF-8")))?;
            match name {
                "schema" => parsed.schema = identifier(name, &value, false)?,
                "table_prefix" => parsed.prefix = identifier(name, &value, true)?,
                "pool_size" => parsed.pool_size = number(name, &value, 1)?,
                "pool_timeout" => parsed.pool_timeout = Duration::from_secs(number(name, &value, 1)?),
                "statement_timeout" => parsed.statement_timeout = Duration::from_secs(number(name, &value, 1)?),
                "ordering" if value == "concurrent" => parsed.ordering = Some(Ordering::Concurrent),
                "ordering" if value == "serial" => parsed.ordering = Some(Ordering::Serial),
                "ordering" => {
                    return Err(Error::invalid(
                        "postgresql URL parameter \"ordering\" is ordering=concurrent or ordering=serial",
                    ));
                }
                "sslmode" => ssl_mode = Some(value.into_owned()),
                "sslrootcert" => parsed.root_certificates = Some(PathBuf::from(value.as_ref())),
                _ => of_driver.push(parameter),
            }
        }
        // The driver's own words may quote the URL.
        parsed.config = format!("{address}?{}", of_driver.join("&")).parse().map_err(|_| {
            Error::invalid(format!(
                "store URL is not of the form postgresql://user:password@host:port/database?parameter=value ({PARAMETERS})"
            ))
        })?;
        if parsed.config.get_hosts().is_empty() && parsed.config.get_hostaddrs().is_empty() {
            return Err(Error::invalid("postgresql URL names no host: postgresql://user:password@host:port/database"));
        }
        parsed.set_tls(ssl_mode.as_deref())?;
        parsed.set_defaults();
        Ok(parsed)
    }

    /// Hosts, database and tables, without who connects and how.
    pub(super) fn place(&self) -> String {
        let named = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let numbered = self.config.get_hostaddrs().iter().map(IpAddr::to_string);
        let mut hosts: Vec<String> =
            if self.config.get_hosts().is_empty() { numbered.collect() } else { named.collect() };
        let ports = self.config.get_ports();
        for (index, host) in hosts.iter_mut().enumerate() {
            // One port stands for all hosts.
            let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432);
            *host = format!("{host}:{port}");
        }
        let database = self.config.get_dbname().or_else(|| self.config.get_user()).unwrap_or_default();
        let Self { schema, prefix, .. } = self;
        let prefix = if prefix.is_empty() { String::new() } else { format!("&table_prefix={prefix}") };
        format!("postgresql://{}/{database}?schema={schema}{prefix}", hosts.join(","))
    }

    /// Off the machine nobody connects without knowing to whom, unless the URL says so.
    fn set_tls(&mut self, ssl_mode: Option<&str>) -> Result<()> {
        let (mode, verification) = match ssl_mode {
            None if self.is_local() => (SslMode::Disable, Verification::None),
            None | Some("verify-full") => (SslMode::Require, Verification::Full),
            Some("verify-ca") => (SslMode::Require, Verification::Authority),
            Some("require") => (SslMode::Require, Verification::None),
            Some("prefer" | "allow") => (SslMode::Prefer, Verification::None),
            Some("disable") => (SslMode::Disable, Verification::None),
            Some(_) => {
                return Err(Error::invalid(
                    "postgresql URL parameter \"sslmode\" is disable, prefer, require, verify-ca or verify-full",
                ));
            }
        };
        // As with other clients: who names an authority wants it asked.
        let asked = self.root_certificates.is_some() && mode == SslMode::Require && verification == Verification::None;
        self.verification = if asked { Verification::Authority } else { verification };
        self.config.ssl_mode(mode);
        Ok(())
    }

    fn set_defaults(&mut self) {
        self.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if self.config.get_connect_timeout().is_none() {
            self.config.connect_timeout(Duration::from_secs(5));
        }
        if self.config.get_application_name().is_none() {
            self.config.application_name("agent-data-store");
        }
        // A machine that is gone is noticed, not waited for.
        self.config.keepalives_idle(Duration::from_secs(10));
        #[cfg(target_os = "linux")]
        self.config.tcp_user_timeout(Duration::from_secs(15));
    }

    /// Whether every host is this machine.
    fn is_local(&self) -> bool {
        let hosts = self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
            #[cfg(unix)]
            Host::Unix(_) => true,
        });
        hosts && self.config.get_hostaddrs().iter().all(IpAddr::is_loopback)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("hosts", &self.config.get_hosts())
            .field("ports", &self.config.get_ports())
            .field("schema", &self.schema)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A name that needs no quotes anywhere.
fn identifier(parameter: &str, name: &str, may_be_empty: bool) -> Result<String> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let begins = name.bytes().next().map_or(may_be_empty, |first| !first.is_ascii_digit());
    if is_plain && begins && name.len() <= LONGEST_NAME {
        return Ok(name.to_owned());
    }
    Err(Error::invalid(format!(
        "postgresql URL parameter {parameter:?} is a name of at most {LONGEST_NAME} small letters, digits and underscores \
         that does not begin with a digit"
    )))
}

fn number<N: std::str::FromStr + PartialOrd>(parameter: &str, text: &str, least: N) -> Result<N> {
    text.parse().ok().filter(|number| *number >= least).ok_or_else(|| {
        Error::invalid(format!("postgresql URL parameter {parameter:?} is a whole number of at least 1"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Address {
        Address::parse(url).expect(url)
    }

    #[test]
    fn a_url_says_what_is_ours_and_what_is_the_drivers() {
        let url = "postgresql://ann:p%40ss@one:5433,two:5434/db?schema=agents&table_prefix=x_&pool_size=3&ordering=serial\
                   &statement_timeout=7&connect_timeout=2&application_name=me";
        let address = parse(url);
        assert_eq!((&*address.schema, &*address.prefix, address.pool_size), ("agents", "x_", 3));
        assert_eq!(address.ordering, Some(Ordering::Serial));
        assert_eq!(address.statement_timeout, Duration::from_secs(7));
        assert_eq!(address.config.get_ports(), [5433, 5434]);
        assert_eq!(address.config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(address.config.get_application_name(), Some("me"));
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(2)));
        assert_eq!(parse("postgres://%2Fvar%2Frun/db").config.get_hosts().len(), 1);
    }

    #[test]
    fn servers_elsewhere_are_verified_unless_the_url_says_otherwise() {
        use Verification::{Authority, Full, None};
        for (url, mode, verification) in [
            ("postgresql://localhost/db", SslMode::Disable, None),
            ("postgresql://127.0.0.1,[::1]/db", SslMode::Disable, None),
            ("postgresql://%2Ftmp/db", SslMode::Disable, None),
            ("postgresql://db.example/db", SslMode::Require, Full),
            ("postgresql://localhost,db.example/db", SslMode::Require, Full),
            ("postgresql://localhost/db?sslmode=verify-full", SslMode::Require, Full),
            ("postgresql://db.example/db?sslmode=verify-ca", SslMode::Require, Authority),
            ("postgresql://db.example/db?sslmode=require", SslMode::Require, None),
            ("postgresql://db.example/db?sslmode=require&sslrootcert=/ca.pem", SslMode::Require, Authority),
            ("postgresql://db.example/db?sslmode=disable", SslMode::Disable, None),
        ] {
            let address = parse(url);
            assert_eq!((address.config.get_ssl_mode(), address.verification), (mode, verification), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_password() {
        for url in [
            "postgresql://ann:hunter2@host:port/db",
            "postgresql://ann:hunter2@host/db?schema=Robert'); DROP TABLE",
            "postgresql://ann:hunter2@host/db?table_prefix=1",
            "postgresql://ann:hunter2@host/db?pool_size=0",
            "postgresql://ann:hunter2@host/db?ordering=other",
            "postgresql://ann:hunter2@host/db?sslmode=maybe",
            "postgresql://ann:hunter2@host/db?no_such_parameter=1",
            "postgresql:///db",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(!format!("{:?}", parse("postgresql://ann:hunter2@host/db")).contains("hunter2"));
    }
}
