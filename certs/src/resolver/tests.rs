//! Real TLS handshakes, in memory.

use super::*;
use crate::fixtures::{DAY, ca, leaf, names, now};
use rstest::rstest;
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::time::Duration;

/// The standard verifier, at the tests' time.
#[derive(Debug)]
struct At(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for At {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seconds = now().as_second().try_into().unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Who calls the webhook.
pub(crate) struct Caller {
    bundle_pem: Vec<u8>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
}

impl Caller {
    /// As the API server calls: HTTP/1.1, any version.
    pub(crate) fn trusting(bundle_pem: &[u8]) -> Self {
        Self {
            bundle_pem: bundle_pem.to_vec(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: vec![b"http/1.1".to_vec()],
        }
    }

    fn connection(&self) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        for ca in crate::fixtures::bundle(&self.bundle_pem).iter() {
            roots.add(ca.der().clone()).unwrap();
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(At(verifier.build().unwrap())))
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.alpn);
        let name = ServerName::try_from(names().short().to_owned()).unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// Shakes hands until both agree or one refuses.
    pub(crate) fn calls(
        &self,
        resolver: &Arc<LeafResolver>,
    ) -> Result<ClientConnection, rustls::Error> {
        shake_hands(self.connection(), resolver)
    }
}

/// Shakes hands as the controller does, which wants to know what is presented, whatever it is.
pub(crate) fn look(resolver: &Arc<LeafResolver>) -> Result<ClientConnection, rustls::Error> {
    let name = ServerName::try_from(names().short().to_owned()).unwrap();
    let config = crate::handshake::client_config()?;
    shake_hands(ClientConnection::new(config, name)?, resolver)
}

fn shake_hands(
    mut client: ClientConnection,
    resolver: &Arc<LeafResolver>,
) -> Result<ClientConnection, rustls::Error> {
    let mut server = ServerConnection::new(server_config(Arc::clone(resolver)).unwrap())?;
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let mut wire = vec![];
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = vec![];
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(client)
}

pub(crate) fn presented(client: &ClientConnection) -> Vec<u8> {
    client.peer_certificates().unwrap()[0].to_vec()
}

fn loaded(material: &LeafMaterial) -> Arc<LeafResolver> {
    let resolver = Arc::new(LeafResolver::new());
    resolver.load(material, &names(), now()).unwrap();
    resolver
}

#[rstest]
#[case::tls12(&TLS12, ProtocolVersion::TLSv1_2)]
#[case::tls13(&TLS13, ProtocolVersion::TLSv1_3)]
fn both_versions_shake_hands(
    #[case] version: &'static SupportedProtocolVersion,
    #[case] spoken: ProtocolVersion,
) {
    let (signer, authority) = ca(1, now());
    let resolver = loaded(&leaf(&signer, now()));
    let caller = Caller {
        versions: vec![version],
        ..Caller::trusting(&authority.cert_pem)
    };
    let client = caller.calls(&resolver).unwrap();
    assert_eq!(client.protocol_version(), Some(spoken));
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn http2_is_not_spoken() {
    let (signer, authority) = ca(1, now());
    let resolver = loaded(&leaf(&signer, now()));
    let caller = Caller {
        alpn: vec![b"h2".to_vec()],
        ..Caller::trusting(&authority.cert_pem)
    };
    assert!(caller.calls(&resolver).is_err());
}

#[test]
fn without_a_leaf_the_handshake_fails() {
    let (_, authority) = ca(1, now());
    let resolver = Arc::new(LeafResolver::new());
    assert!(
        Caller::trusting(&authority.cert_pem)
            .calls(&resolver)
            .is_err()
    );
    assert_eq!(resolver.serving(), None);
}

#[test]
fn a_new_leaf_is_served_from_the_next_handshake_on() {
    let (signer, authority) = ca(1, now());
    let caller = Caller::trusting(&authority.cert_pem);
    let resolver = loaded(&leaf(&signer, now()));
    let before = presented(&caller.calls(&resolver).unwrap());
    let facts = resolver
        .load(&leaf(&signer, now()), &names(), now())
        .unwrap();
    let after = presented(&caller.calls(&resolver).unwrap());
    assert_ne!(before, after);
    assert_eq!(resolver.serving(), Some(facts));
}

#[test]
fn the_generation_counts_leaves_and_nothing_else() {
    let (signer, _) = ca(1, now());
    let resolver = LeafResolver::new();
    let mut seen = vec![resolver.generation()];
    let mut load = |material: &LeafMaterial| {
        let _ = resolver.load(material, &names(), now());
        seen.push(resolver.generation());
        let changed = seen.windows(2).last().unwrap();
        changed[0] != changed[1]
    };
    let (first, second) = (leaf(&signer, now()), leaf(&signer, now()));
    assert!(load(&first));
    assert!(!load(&first), "the same again");
    assert!(!load(&leaf(&signer, now() - DAY * 100)), "refused");
    assert!(load(&second));
    assert!(load(&first), "back to the one before is a change too");
    let served = resolver.certificate().unwrap();
    assert_eq!(served.to_pem().into_bytes(), first.cert_pem);
}

#[test]
fn a_bad_leaf_is_refused_and_the_good_one_kept() {
    let (signer, authority) = ca(1, now());
    let caller = Caller::trusting(&authority.cert_pem);
    let resolver = loaded(&leaf(&signer, now()));
    let before = presented(&caller.calls(&resolver).unwrap());
    let expired = leaf(&signer, now() - DAY * 100);
    let problems = resolver.load(&expired, &names(), now()).unwrap_err();
    assert!(problems[0].to_string().contains("expired"));
    assert_eq!(presented(&caller.calls(&resolver).unwrap()), before);
}

#[rstest]
#[case::old_leaf_old_bundle(0, &[0], true)]
#[case::old_leaf_both(0, &[1, 0], true)]
#[case::old_leaf_new_bundle(0, &[1], false)]
#[case::new_leaf_old_bundle(1, &[0], false)]
#[case::new_leaf_both(1, &[1, 0], true)]
#[case::new_leaf_new_bundle(1, &[1], true)]
fn the_trust_matrix(#[case] serves: usize, #[case] trusts: &[usize], #[case] works: bool) {
    let cas = [ca(1, now()), ca(2, now())];
    let resolver = loaded(&leaf(&cas[serves].0, now()));
    let bundle: Vec<u8> = trusts
        .iter()
        .flat_map(|&i| cas[i].1.cert_pem.clone())
        .collect();
    assert_eq!(Caller::trusting(&bundle).calls(&resolver).is_ok(), works);
}
