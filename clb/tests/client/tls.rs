//! An endpoint with a private CA, as a simulator or a proxy has one.

use std::sync::Arc;

use clb::{BuildError, Client, Config, Kind, LoadBalancerId};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use crate::support::{Api, Reply, config, ok};

/// A server for `localhost`, and the CA its certificate is from.
async fn server(replies: Vec<Reply>) -> (Api, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let wrap = move |stream| {
        let accepting = acceptor.accept(stream);
        async { accepting.await.ok() }
    };
    (Api::over(replies, wrap).await, ca.pem())
}

fn secured(api: &Api, ca: Option<&str>) -> Config {
    let mut config = config(format!("https://localhost:{}", api.port).parse().unwrap());
    config.extra_ca_pem = ca.map(|pem| pem.as_bytes().to_vec());
    config
}

fn ids() -> [LoadBalancerId; 1] {
    [LoadBalancerId::new("lb-demo0001")]
}

#[tokio::test]
async fn an_extra_ca_is_trusted() {
    let (api, ca) = server(vec![ok("")]).await;
    let client = Client::new(secured(&api, Some(&ca))).unwrap();
    client.describe_load_balancers(&ids()).await.unwrap();
    assert_eq!(
        api.requests()[0].header("host"),
        format!("localhost:{}", api.port)
    );
}

#[tokio::test]
async fn another_ca_is_not_trusted_and_nothing_is_sent() {
    let (api, _) = server(vec![]).await;
    let (_other, ca) = server(vec![]).await;
    let client = Client::new(secured(&api, Some(&ca))).unwrap();
    let error = client.describe_load_balancers(&ids()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    let text = error.to_string();
    assert!(
        text.contains("cannot reach https://localhost") && text.contains("certificate"),
        "{text}"
    );
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn an_extra_ca_that_is_none_is_refused_at_the_start() {
    let (api, ca) = server(vec![]).await;
    for pem in ["", "ca.crt", &ca.replace("MII", "AAA")] {
        let error = Client::new(secured(&api, Some(pem))).unwrap_err();
        assert!(
            matches!(error, BuildError::ExtraCa { .. }),
            "{pem:?}: {error}"
        );
        assert!(error.to_string().contains("BEGIN CERTIFICATE"), "{error}");
    }
}

/// Roots are found through the environment, which is the process's: so a process of its own.
#[test]
fn an_image_without_roots_is_told_at_the_start() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::in_an_image_without_roots", "--ignored"])
        .env("SSL_CERT_DIR", "/nonexistent")
        .env("SSL_CERT_FILE", "/nonexistent")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
#[ignore = "started by the test above, with another environment"]
async fn in_an_image_without_roots() {
    let (api, ca) = server(vec![ok("")]).await;
    let error = Client::new(secured(&api, None)).unwrap_err();
    assert!(matches!(error, BuildError::NoRoots { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("/etc/ssl/certs/ca-certificates.crt"),
        "{error}"
    );
    let client = Client::new(secured(&api, Some(&ca))).unwrap();
    client.describe_load_balancers(&ids()).await.unwrap();
}
