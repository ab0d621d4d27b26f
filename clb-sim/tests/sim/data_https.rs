//! HTTPS listeners: certificates by id and by name, HTTP/2, client certificates, `WebSocket`s.

use crate::support::{Backend, LB, SECRET_KEY, Sim, config, eventually, signed_as};
use crate::web::{Web, get, listener, over, over_http2, rule, websocket};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PORT: u16 = 18443;

/// A certificate for names, with its key.
struct Made {
    chain: String,
    key: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

fn made(name: &str) -> Made {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Made {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
        key_der: made.signing_key.serialize_der(),
    }
}

/// Puts it in the store under this id.
async fn put(sim: &Sim, id: &str, made: &Made) {
    let body = json!({ "certificate": made.chain, "key": made.key });
    let path = format!("/_sim/certificates/{id}");
    assert_eq!(sim.operator("PUT", &path, &body.to_string()).await.0, 200);
}

/// Who a client is, and what it wants.
struct Client<'a> {
    trusts: &'a [&'a Made],
    alpn: &'a [&'a str],
    own: Option<&'a Made>,
}

impl Client<'_> {
    async fn connect(&self, vip: &str, name: &str) -> Option<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for made in self.trusts {
            roots.add(made.der.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.key_der.clone()));
                builder
                    .with_client_auth_cert(vec![own.der.clone()], key)
                    .unwrap()
            }
        };
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect((vip, PORT)).await.ok()?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .ok()
    }
}

fn trusting<'a>(trusts: &'a [&'a Made]) -> Client<'a> {
    Client {
        trusts,
        alpn: &[],
        own: None,
    }
}

fn named(id: &str) -> Value {
    json!({ "SSLMode": "UNIDIRECTIONAL", "CertId": id })
}

fn over_tls(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn every_domain_has_its_own_certificate_and_changes_it_in_place() {
    let sim = Sim::start(config(80)).await;
    let vip = sim.vip().await;
    let (one, two) = (Web::start("one").await, Web::start("two").await);
    let (first, second, later) = (made("a.example"), made("b.example"), made("b.example"));
    put(&sim, "cert-a", &first).await;
    put(&sim, "cert-b", &second).await;
    put(&sim, "cert-c", &later).await;
    let listener = listener(&sim, PORT, json!({ "Protocol": "HTTPS", "SniSwitch": 1 })).await;
    let fields = json!({ "Domain": "a.example", "Url": "/", "Certificate": named("cert-a") });
    rule(&sim, &listener, fields, &[&one]).await;
    let fields = json!({ "Domain": "b.example", "Url": "/", "Certificate": named("cert-b") });
    rule(&sim, &listener, fields, &[&two]).await;
    for (made, host, name) in [(&first, "a.example", "one"), (&second, "b.example", "two")] {
        let stream = trusting(&[made]).connect(&vip, host).await.unwrap();
        let got = over(stream, get(host, "/")).await.unwrap();
        assert_eq!((got.status, got.name()), (200, name));
        assert_eq!(got.header("x-client-proto"), "https");
    }
    let wrong = trusting(&[&first]).connect(&vip, "b.example").await;
    assert!(wrong.is_none(), "that is another certificate");
    let stranger = trusting(&[&first, &second])
        .connect(&vip, "stranger.test")
        .await;
    assert!(
        stranger.is_none(),
        "the default domain's certificate has another name"
    );
    let change = json!({
        "LoadBalancerId": LB, "ListenerId": listener, "Domain": "b.example", "Certificate": named("cert-c"),
    });
    sim.done("ModifyDomainAttributes", change).await;
    assert!(
        trusting(&[&second])
            .connect(&vip, "b.example")
            .await
            .is_none()
    );
    assert!(
        trusting(&[&later])
            .connect(&vip, "b.example")
            .await
            .is_some()
    );
    put(&sim, "cert-c", &second).await;
    assert!(
        trusting(&[&second])
            .connect(&vip, "b.example")
            .await
            .is_some(),
        "replaced under its id"
    );
    let (status, _) = sim
        .operator("DELETE", "/_sim/certificates/cert-c", "")
        .await;
    assert_eq!(status, 200);
    assert!(
        trusting(&[&second])
            .connect(&vip, "b.example")
            .await
            .is_none()
    );
    assert!(
        trusting(&[&first])
            .connect(&vip, "a.example")
            .await
            .is_some()
    );
}

#[tokio::test]
async fn http2_is_spoken_where_the_domain_wants_it_and_targets_speak_http1() {
    let sim = Sim::start(config(81)).await;
    let vip = sim.vip().await;
    let (one, two) = (Web::start("one").await, Web::start("two").await);
    let made = rcgen_both();
    put(&sim, "cert-a", &made).await;
    let fields = json!({ "Protocol": "HTTPS", "Certificate": named("cert-a") });
    let listener = listener(&sim, PORT, fields).await;
    let fields = json!({ "Domain": "a.example", "Url": "/", "Http2": true });
    rule(&sim, &listener, fields, &[&one, &two]).await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "b.example", "Url": "/" }),
        &[&one],
    )
    .await;
    let client = Client {
        trusts: &[&made],
        alpn: &["h2", "http/1.1"],
        own: None,
    };
    let stream = client.connect(&vip, "a.example").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let requests = (0..20)
        .map(|_| over_tls("https://a.example/x?y=z"))
        .collect();
    let answers = over_http2(stream, requests).await;
    assert_eq!(answers.len(), 20);
    let names: BTreeSet<&str> = answers.iter().map(crate::web::Got::name).collect();
    assert_eq!(
        names,
        BTreeSet::from(["one", "two"]),
        "each stream is balanced"
    );
    for got in &answers {
        assert_eq!((got.status, &got.said["path"]), (200, &json!("/x?y=z")));
        assert_eq!(got.said["version"], "HTTP/1.1");
        assert_eq!(
            (got.header("host"), got.header("x-client-proto-ver")),
            ("a.example", "HTTP/2.0")
        );
    }
    let stream = client.connect(&vip, "b.example").await.unwrap();
    assert_eq!(
        stream.get_ref().1.alpn_protocol(),
        Some(b"http/1.1".as_slice())
    );
    let change = json!({
        "LoadBalancerId": LB, "ListenerId": listener, "Domain": "b.example", "Http2": true,
    });
    sim.done("ModifyDomainAttributes", change).await;
    let stream = client.connect(&vip, "b.example").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
}

fn rcgen_both() -> Made {
    let names = ["a.example", "b.example"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    Made {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
        key_der: made.signing_key.serialize_der(),
    }
}

#[tokio::test]
async fn a_websocket_goes_through_tls() {
    let sim = Sim::start(config(82)).await;
    let vip = sim.vip().await;
    let web = Web::start("web").await;
    let made = made("a.example");
    let sent = json!({ "CertName": "x", "CertContent": made.chain, "CertKey": made.key });
    let listener = listener(
        &sim,
        PORT,
        json!({ "Protocol": "HTTPS", "Certificate": sent }),
    )
    .await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "a.example", "Url": "/" }),
        &[&web],
    )
    .await;
    let stream = trusting(&[&made]).connect(&vip, "a.example").await.unwrap();
    let (name, mut socket) = websocket(stream, "a.example", "/ws").await.unwrap();
    let mut back = [0; 4];
    socket.write_all(b"ping").await.unwrap();
    socket.flush().await.unwrap();
    socket.read_exact(&mut back).await.unwrap();
    assert_eq!((name.as_str(), &back), ("web", b"ping"));
}

#[tokio::test]
async fn tcp_ssl_hands_on_what_is_inside() {
    let sim = Sim::start(config(85)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let made = made("a.example");
    put(&sim, "cert-a", &made).await;
    let fields = json!({
        "Protocol": "TCP_SSL", "Certificate": named("cert-a"), "HealthCheck": { "HealthSwitch": 0 },
    });
    let listener = listener(&sim, PORT, fields).await;
    sim.bind(&listener, &[backend.address]).await;
    let client = Client {
        trusts: &[&made],
        alpn: &["anything"],
        own: None,
    };
    let mut stream = client.connect(&vip, "a.example").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'1');
    let mut back = [0; 4];
    stream.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
}

#[tokio::test]
async fn mutual_tls_lets_in_only_whom_the_authority_knows() {
    let sim = Sim::start(config(83)).await;
    let vip = sim.vip().await;
    let web = Web::start("web").await;
    let (server, friend) = (made("a.example"), made("friend"));
    put(&sim, "cert-a", &server).await;
    let certificate =
        json!({ "SSLMode": "MUTUAL", "CertId": "cert-a", "CertCaContent": friend.chain });
    let fields = json!({ "Protocol": "HTTPS", "Certificate": certificate });
    let listener = listener(&sim, PORT, fields).await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "a.example", "Url": "/" }),
        &[&web],
    )
    .await;
    let ask = async |own: Option<&Made>| {
        let client = Client {
            trusts: &[&server],
            alpn: &[],
            own,
        };
        let stream = client.connect(&vip, "a.example").await?;
        over(stream, get("a.example", "/"))
            .await
            .map(|got| got.status)
    };
    assert_eq!(ask(Some(&friend)).await, Some(200));
    assert_eq!(ask(None).await, None);
    assert_eq!(ask(Some(&server)).await, None);
}

#[tokio::test]
async fn certificates_are_uploaded_by_their_own_api() {
    let sim = Sim::start(config(84)).await;
    let vip = sim.vip().await;
    let web = Web::start("web").await;
    let made = made("a.example");
    let call = async |action: &str, body: Value| {
        let host = sim.handle.http_addr.to_string();
        let request = signed_as(
            ("ssl", "2019-12-05"),
            &host,
            action,
            (&body.to_string(), SECRET_KEY),
        );
        let (_, _, answer) = sim.send(request).await.unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["Response"].take()
    };
    let pem = json!({
        "CertificatePublicKey": made.chain, "CertificatePrivateKey": made.key, "Alias": "shop",
    });
    let id = call("UploadCertificate", pem).await["CertificateId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(id.len(), 8);
    let found = call("DescribeCertificates", json!({ "SearchKey": "shop" })).await;
    assert_eq!(
        (
            &found["TotalCount"],
            &found["Certificates"][0]["CertificateId"]
        ),
        (&json!(1), &json!(id))
    );
    let bad = json!({ "CertificatePublicKey": "x", "CertificatePrivateKey": made.key });
    let bad = call("UploadCertificate", bad).await["Error"].take();
    assert_eq!(bad["Code"], "InvalidParameterValue");
    assert!(!bad.to_string().contains("PRIVATE"));
    let body = json!({ "check_certificates": true }).to_string();
    sim.operator("PUT", "/_sim/behaviour", &body).await;
    let unknown = json!({
        "LoadBalancerId": LB, "Ports": [PORT], "Protocol": "HTTPS", "Certificate": named("nobody"),
    });
    assert_eq!(
        sim.refused("CreateListener", unknown).await,
        "InvalidParameterValue"
    );
    let listener = listener(
        &sim,
        PORT,
        json!({ "Protocol": "HTTPS", "Certificate": named(&id) }),
    )
    .await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "a.example", "Url": "/" }),
        &[&web],
    )
    .await;
    eventually("TLS with it", || async {
        trusting(&[&made])
            .connect(&vip, "a.example")
            .await
            .is_some()
    })
    .await;
    let gone = call("DeleteCertificate", json!({ "CertificateId": id })).await;
    assert_eq!(gone["DeleteResult"], true);
    assert!(
        trusting(&[&made])
            .connect(&vip, "a.example")
            .await
            .is_none()
    );
}
