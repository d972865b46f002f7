//! How connections are made.

use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector, Transport,
};

use super::address::Address;
use crate::error::{Error, Result};

/// How long making a connection may take, at most.
const CONNECT: Duration = Duration::from_secs(5);
/// How many times longer than one step a whole body may take: it may be large, and the network slow.
const BODY_FACTOR: u32 = 10;
/// Idle connections that are kept: as many threads may call at once without connecting anew.
const IDLE_CONNECTIONS: usize = 64;
/// How long an idle connection is kept.
const IDLE_AGE: Duration = Duration::from_secs(60);

/// How to make connections to a server.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    tls: TlsConfig,
    timeout: Duration,
}

impl Connections {
    pub(super) fn to(address: &Address) -> Result<Self> {
        let roots = match &address.ca_file {
            Some(path) => trusted(path)?,
            None => RootCerts::PlatformVerifier,
        };
        Ok(Self { tls: TlsConfig::builder().root_certs(roots).build(), timeout: address.timeout })
    }

    /// A pool of connections for calls whose answer may be `waiting` longer in coming than other answers.
    pub(super) fn pool(&self, waiting: Duration) -> Agent {
        let step = Some(self.timeout);
        let body = Some(self.timeout.saturating_mul(BODY_FACTOR));
        // No timeout of the whole: it would be had at the price of a thread for each call.
        let config: Config = Agent::config_builder()
            .tls_config(self.tls.clone())
            // The data goes to this server and to nobody else.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("agent-data-store/", env!("CARGO_PKG_VERSION")))
            .accept("")
            .accept_encoding("")
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .max_idle_age(IDLE_AGE)
            .timeout_connect(Some(CONNECT.min(self.timeout)))
            .timeout_send_request(step)
            .timeout_send_body(body)
            .timeout_recv_response(Some(self.timeout.saturating_add(waiting)))
            .timeout_recv_body(body)
            .build();
        let connector = Connector::<()>::chain(ByName::default(), RustlsConnector::default());
        Agent::with_parts(config, connector, NotYet)
    }
}

fn trusted(path: &Path) -> Result<RootCerts> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|source| {
        Error::invalid(format!("cannot read the certificates in {shown}: {source}: correct ca_file in the server URL"))
            .caused_by(source)
    })?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let Ok(PemItem::Certificate(certificate)) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(Error::invalid(format!(
            "{shown} holds no certificate: give a PEM file as ca_file in the server URL"
        )));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// Leaves looking up the host's name to [`ByName`]: a call on a connection that is there already needs none.
#[derive(Debug)]
struct NotYet;

impl Resolver for NotYet {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Looks up the host's name, and connects.
#[derive(Debug, Default)]
struct ByName {
    names: DefaultResolver,
    tcp: TcpConnector,
}

impl<In: Transport> Connector<In> for ByName {
    type Out = <TcpConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: self.names.resolve(details.uri, details.config, details.timeout)?,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        self.tcp.connect(&details, chained)
    }
}
