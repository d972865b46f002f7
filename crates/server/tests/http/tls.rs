//! TLS, and a certificate that is replaced while the server runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_data_store::ErrorKind;
use agent_data_store_server::{Server, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use agent_data_store::{Options, Store};

/// Writes a certificate for localhost and its key, and returns it.
fn issue(certificate: &Path, key: &Path) -> CertificateDer<'static> {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(key, issued.signing_key.serialize_pem()).expect("a file");
    std::fs::write(certificate, issued.cert.pem()).expect("a file");
    issued.cert.der().clone()
}

/// Connects as one who trusts only this certificate.
async fn connect(
    address: std::net::SocketAddr,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

async fn is_served(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("the server reads");
    let mut text = String::new();
    while !text.contains("\"ok\"") {
        let mut bytes = [0; 1_024];
        let count = stream.read(&mut bytes).await.expect("an answer");
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_to_new_clients_and_keeps_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let old = issue(&certificate, &key);
    let store = Store::open("memory:", Options::default()).await.unwrap();
    let mut options = ServerOptions::default();
    options.tls_certificate = Some(certificate.clone());
    options.tls_key = Some(key.clone());
    let running = Server::bind(&store, options).await.unwrap();
    assert!(running.url().starts_with("https://127.0.0.1:"));
    let mut first = connect(running.local_addr(), &old).await.unwrap();
    is_served(&mut first).await;

    // A broken file changes nothing.
    std::fs::write(&certificate, "no certificate").unwrap();
    is_served(&mut connect(running.local_addr(), &old).await.unwrap()).await;
    let new = issue(&certificate, &key);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut second = loop {
        match connect(running.local_addr(), &new).await {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    is_served(&mut second).await;
    is_served(&mut first).await;
    assert!(connect(running.local_addr(), &old).await.is_err());
    drop((first, second));
    running.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn files_that_are_no_certificate_with_its_key_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let (other_certificate, other_key) = (folder.path().join("other.pem"), folder.path().join("other.key"));
    issue(&certificate, &key);
    issue(&other_certificate, &other_key);
    let store = Store::open("memory:", Options::default()).await.unwrap();
    let missing = folder.path().join("missing.pem");
    for (certificate, key) in [(&missing, &key), (&certificate, &missing), (&certificate, &other_key), (&key, &key)] {
        let mut options = ServerOptions::default();
        options.tls_certificate = Some(certificate.clone());
        options.tls_key = Some(key.clone());
        let error = Server::bind(&store, options).await.map(drop).expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(!error.message().contains("PRIVATE KEY"));
    }
    store.close().await.unwrap();
}
