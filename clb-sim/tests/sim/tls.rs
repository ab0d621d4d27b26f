//! The HTTPS door: the same API under a name and a private authority, and no operator's door.

use crate::support::{LB, SECRET_KEY, Sim, config, exchange, signed};
use bytes::Bytes;
use clb_sim::TlsConfig;
use http_body_util::Full;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const NAME: &str = "clb.example";

fn connector(trusted: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    TlsConnector::from(Arc::new(
        config
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    ))
}

#[tokio::test]
async fn https_serves_the_api_and_only_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut config = config(30);
    let listen = ([127, 0, 0, 1], 0).into();
    config.tls = Some(TlsConfig { listen, cert, key });
    let sim = Sim::start(config).await;

    let connector = connector(made.cert.der().clone());
    let ask = async |request: http::Request<Full<Bytes>>| {
        let stream = TcpStream::connect(sim.handle.https_addr.unwrap())
            .await
            .unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        exchange(connector.connect(name, stream).await.unwrap(), request)
            .await
            .unwrap()
    };
    let body = json!({ "LoadBalancerIds": [LB] }).to_string();
    let (status, _, answer) = ask(signed(NAME, "DescribeLoadBalancers", &body, SECRET_KEY)).await;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        (status, &answer["Response"]["TotalCount"]),
        (200, &json!(1))
    );
    let door = http::Request::get("/_sim/state")
        .header("host", NAME)
        .body(Full::default());
    assert_eq!(ask(door.unwrap()).await.0, 404);
    let (_, calls) = sim.operator("GET", "/_sim/calls", "").await;
    assert_eq!(calls["by_listener"], json!({ "http": 0, "https": 1 }));
}
