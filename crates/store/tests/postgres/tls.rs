//! Encrypted connections: whom they trust, and what they say of those that they do not.

use agent_data_store::{ErrorKind, Result};
use agent_data_store_testing::postgres::{Cluster, run_sql};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::try_open;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Has the server show a certificate of `authority` for `name`.
fn encrypt(cluster: &Cluster, authority: &CertifiedIssuer<'static, KeyPair>, name: &str, number: u8) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let certificate = cluster.write_private(&format!("server {number}.crt"), &certificate.pem());
    let key = cluster.write_private(&format!("server {number}.key"), &key.serialize_pem());
    for setting in [
        "ssl = on".to_owned(),
        format!("ssl_cert_file = '{}'", certificate.display()),
        format!("ssl_key_file = '{}'", key.display()),
    ] {
        run_sql(&cluster.url(""), &format!("ALTER SYSTEM SET {setting}"));
    }
    cluster.stop();
    cluster.start_again();
}

#[track_caller]
fn refused(result: Result<agent_data_store::Store>) {
    let error = result.expect_err("whom it does not know it does not trust");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("sslrootcert"), "{error}");
}

#[test]
fn a_server_is_trusted_by_its_certificate_as_far_as_the_url_says() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let (known, unknown) = (authority(), authority());
    let known_file = cluster.write_private("known.crt", &known.pem());
    let unknown_file = cluster.write_private("unknown.crt", &unknown.pem());
    let open = |mode: &str, file: Option<&std::path::Path>| {
        let file = file.map_or_else(String::new, |file| format!("&sslrootcert={}", file.display()));
        try_open(&cluster.url(&format!("sslmode={mode}{file}")))
    };

    encrypt(&cluster, &known, "127.0.0.1", 1);
    for mode in ["verify-full", "verify-ca", "require"] {
        open(mode, Some(&known_file)).expect(mode);
        refused(open(mode, Some(&unknown_file)));
    }
    // The system's authorities have not signed it.
    refused(open("verify-full", None));
    open("require", None).expect("encrypted is enough");
    open("disable", None).expect("in the open");

    encrypt(&cluster, &known, "db.example", 2);
    refused(open("verify-full", Some(&known_file)));
    open("verify-ca", Some(&known_file)).expect("the authority is enough");
}
