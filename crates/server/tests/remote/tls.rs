//! https: who the server is, is proved before anything is said to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agent_data_store::ErrorKind;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{TestServer, get, notes, runtime, set, try_open};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("a certificate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn certify(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a certificate");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }
}

/// Puts TLS before a server, and counts the bytes of what it is told.
struct Terminator {
    address: SocketAddr,
    told: Arc<AtomicUsize>,
}

impl Terminator {
    fn before(server: &TestServer, (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Self {
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate")));
        let listener = runtime().block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let (address, told) = (listener.local_addr().expect("an address"), Arc::new(AtomicUsize::new(0)));
        let (upstream, counted) = (server.address(), Arc::clone(&told));
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let (Ok(mut client), Ok(mut server)) =
                        (acceptor.accept(stream).await, TcpStream::connect(upstream).await)
                    else {
                        return;
                    };
                    if let Ok((sent, _)) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
                        counted.fetch_add(sent as usize, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, told }
    }

    fn url(&self, host: &str, folder: &TempDir) -> String {
        let file = folder.path().join("ca.pem");
        format!("https://{host}:{}?timeout=5&ca_file={}", self.address.port(), file.display())
    }
}

#[test]
fn a_server_whose_certificate_is_trusted_is_talked_to() {
    let (server, folder, authority) = (TestServer::start(), tempfile::tempdir().expect("a folder"), Authority::new());
    std::fs::write(folder.path().join("ca.pem"), authority.0.pem()).expect("a file");
    let terminator = Terminator::before(&server, authority.certify("localhost"));
    let store = try_open(&terminator.url("localhost", &folder), Some(&server.make_token())).expect("the store opens");
    set(&notes(&store), "a", "1");
    assert_eq!(get(&server.served(), "a").as_deref(), Some("1"));
}

#[test]
fn a_server_that_only_says_who_it_is_is_told_nothing() {
    let (server, folder, authority) = (TestServer::start(), tempfile::tempdir().expect("a folder"), Authority::new());
    std::fs::write(folder.path().join("ca.pem"), authority.0.pem()).expect("a file");
    let forged = Terminator::before(&server, Authority::new().certify("localhost"));
    let of_another = Terminator::before(&server, authority.certify("elsewhere.example"));
    let trusted_by_none = format!("https://localhost:{}?timeout=5", of_another.address.port());
    for url in [forged.url("localhost", &folder), of_another.url("localhost", &folder), trusted_by_none] {
        let error = try_open(&url, Some("ads_hunter2")).expect_err("forged");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("cannot be trusted"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    assert_eq!(forged.told.load(Ordering::SeqCst) + of_another.told.load(Ordering::SeqCst), 0);
    let missing = format!("https://localhost:1?ca_file={}", folder.path().join("missing.pem").display());
    assert_eq!(try_open(&missing, None).expect_err("no file").kind(), ErrorKind::InvalidArgument);
    std::fs::write(folder.path().join("ca.pem"), "no certificate").expect("a file");
    assert_eq!(
        try_open(&forged.url("localhost", &folder), None).expect_err("no PEM").kind(),
        ErrorKind::InvalidArgument
    );
}
