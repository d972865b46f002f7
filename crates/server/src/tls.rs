//! TLS, with a certificate that may be replaced while the server runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use agent_data_store::{Error, ErrorKind, Result};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How often the files are looked at, while clients connect.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the server shows of itself. Connections that are open keep what they began with.
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    stamps: Stamps,
    looked_at: Instant,
}

/// By which a change of the two files is noticed: when each was written and how long it is.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// # Errors
    /// `InvalidArgument` where the files are no certificate with its key.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Self> {
        // Before they are read: what is written meanwhile is then noticed.
        let stamps = stamps(certificate, key);
        let current = Current { acceptor: acceptor(certificate, key)?, stamps, looked_at: Instant::now() };
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current: Mutex::new(current) })
    }

    /// For a client that has just connected.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked_at.elapsed() >= LOOK_EVERY {
            current.looked_at = Instant::now();
            let found = stamps(&self.certificate, &self.key);
            if found != current.stamps {
                current.stamps = found;
                match acceptor(&self.certificate, &self.key) {
                    Ok(acceptor) => {
                        current.acceptor = acceptor;
                        tracing::info!("the certificate was replaced");
                    }
                    Err(error) => tracing::warn!(%error, "the certificate cannot be replaced: the old one stays"),
                }
            }
        }
        current.acceptor.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    [certificate, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let unfit = |path: &Path, reason: &dyn fmt::Display| {
        Error::new(ErrorKind::InvalidArgument, format!("{} cannot be used for TLS: {reason}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unfit(certificate, &error))?;
    if chain.is_empty() {
        return Err(unfit(certificate, &"it holds no certificate as PEM"));
    }
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| unfit(key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private_key))
        .map_err(|error| unfit(key, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a handshake ended with that took too long.
pub(crate) fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")
}
