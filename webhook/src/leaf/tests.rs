use certs::issue::{self, Signer};
use k8s_openapi::ByteString;
use prometheus_client::registry::Registry;

use super::*;

fn names() -> ServiceNames {
    ServiceNames::new("clb-gate-webhook", "clb-gate")
}

fn now() -> Timestamp {
    "2026-11-21T06:00:00Z".parse().unwrap()
}

/// A fresh leaf from a fresh CA.
pub(crate) fn fresh(now: Timestamp) -> LeafMaterial {
    let signer = Signer::from(issue::ca(1, now).unwrap());
    let made = issue::leaf(&signer, &names(), now).unwrap();
    LeafMaterial {
        cert_pem: made.certificate.to_pem().into_bytes(),
        key_pem: made.key,
        bundle_pem: signer.certificate().to_pem().into_bytes(),
    }
}

fn applied(material: LeafMaterial) -> Change<LeafMaterial> {
    Change::Applied(runtime::Key::new("clb-gate", LEAF_SECRET), material)
}

struct Subject {
    leaf: Leaf,
    resolver: Arc<LeafResolver>,
    readiness: Readiness,
}

fn subject() -> Subject {
    let (resolver, readiness) = (Arc::new(LeafResolver::new()), Readiness::new());
    let metrics = Metrics::register(&mut Registry::default());
    let leaf = Leaf::new(resolver.clone(), names(), metrics, readiness.handle("leaf"));
    Subject {
        leaf,
        resolver,
        readiness,
    }
}

#[test]
fn a_good_leaf_is_served_and_a_bad_one_does_not_replace_it() {
    let Subject {
        leaf,
        resolver,
        readiness,
    } = subject();
    leaf.on_change(Change::Restarted(vec![]), now());
    assert!(!readiness.is_ready());
    leaf.on_change(applied(fresh(now())), now());
    assert!(readiness.is_ready());
    let served = resolver.serving().unwrap().fingerprint;

    let mut bad = fresh(now());
    bad.key_pem = fresh(now()).key_pem;
    leaf.on_change(applied(bad), now());
    leaf.on_change(applied(LeafMaterial::default()), now());
    leaf.on_change(
        Change::Deleted(runtime::Key::new("clb-gate", LEAF_SECRET)),
        now(),
    );
    assert_eq!(resolver.serving().unwrap().fingerprint, served);
    assert!(readiness.is_ready());

    leaf.on_change(applied(fresh(now())), now());
    assert_ne!(resolver.serving().unwrap().fingerprint, served);
}

#[test]
fn a_leaf_from_the_future_is_served_when_its_time_has_come() {
    let Subject {
        leaf,
        resolver,
        readiness,
    } = subject();
    let hour = jiff::SignedDuration::from_hours(1);
    leaf.on_change(applied(fresh(now() + hour * 3)), now());
    assert!(resolver.serving().is_none() && !readiness.is_ready());
    leaf.on_tick(now() + hour);
    assert!(resolver.serving().is_none());
    leaf.on_tick(now() + hour * 3);
    assert!(resolver.serving().is_some() && readiness.is_ready());
}

#[test]
fn an_expired_leaf_makes_the_webhook_unready() {
    let Subject {
        leaf, readiness, ..
    } = subject();
    leaf.on_change(applied(fresh(now())), now());
    leaf.on_tick(now() + issue::LEAF_LIFE + jiff::SignedDuration::from_hours(1));
    assert!(readiness.missing()[0].reason.contains("expired"));
}

#[test]
fn the_secrets_keys_are_those_of_certs() {
    let leaf = fresh(now());
    let bytes = |key: &str, bytes: &[u8]| (key.to_owned(), ByteString(bytes.to_vec()));
    let data = [
        bytes(LEAF_CERT_KEY, &leaf.cert_pem),
        bytes(LEAF_PRIVATE_KEY, leaf.key_pem.expose()),
        bytes(LEAF_BUNDLE_KEY, &leaf.bundle_pem),
    ];
    let secret = Secret {
        data: Some(data.into()),
        ..Secret::default()
    };
    assert_eq!(material(secret), leaf);
    assert_eq!(material(Secret::default()), LeafMaterial::default());
}
