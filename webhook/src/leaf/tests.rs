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

fn applied(material: LeafMaterial) -> Change<Candidate> {
    version("1", material)
}

fn version(resource_version: &str, material: LeafMaterial) -> Change<Candidate> {
    let candidate = Candidate {
        material,
        resource_version: resource_version.to_owned(),
    };
    Change::Applied(runtime::Key::new("clb-gate", LEAF_SECRET), candidate)
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
    assert_eq!(candidate(secret).material, leaf);
    assert_eq!(
        candidate(Secret::default()).material,
        LeafMaterial::default()
    );
}

#[test]
fn a_refused_leaf_is_named_and_takes_nobody_out_of_service() {
    let Subject {
        leaf, readiness, ..
    } = subject();
    assert_eq!(leaf.served(), ServedLeaf::default());
    let good = fresh(now());
    leaf.on_change(version("7", good.clone()), now());
    let mut bad = fresh(now());
    bad.key_pem = good.key_pem.clone();
    leaf.on_change(version("8", bad.clone()), now());
    let minute = jiff::SignedDuration::from_mins(1);
    leaf.on_tick(now() + minute);

    let served = leaf.served();
    assert_eq!(served.resource_version.as_deref(), Some("7"));
    assert_eq!(
        served.certificate.unwrap().into_bytes(),
        good.cert_pem,
        "the good one is still served"
    );
    let refused = served.refused.unwrap();
    assert_eq!(
        (refused.resource_version.as_str(), refused.since),
        ("8", now())
    );
    assert!(refused.problems[0].contains("private key does not belong"));
    assert!(readiness.is_ready());
    let [(part, remark)] = &readiness.remarks()[..] else {
        panic!("one remark")
    };
    assert!(
        *part == "leaf" && remark.contains("resourceVersion 8") && remark.contains("private key")
    );

    leaf.on_change(version("9", good), now());
    assert_eq!(leaf.served().refused, None);
    assert!(readiness.remarks().is_empty());
}

#[test]
fn a_refusal_is_counted_once_however_often_it_is_tried() {
    let Subject { leaf, .. } = subject();
    let count = |result| {
        let label = crate::metrics::ResultLabel { result };
        leaf.shared.metrics.leaf_loads.get_or_create(&label).get()
    };
    leaf.on_change(version("1", LeafMaterial::default()), now());
    leaf.on_tick(now());
    // Somebody wrote an annotation.
    leaf.on_change(version("2", LeafMaterial::default()), now());
    assert_eq!(count("refused"), 1);
    let mut other = fresh(now());
    other.key_pem = KeyPem::default();
    leaf.on_change(version("3", other), now());
    assert_eq!(count("refused"), 2);
}

#[tokio::test]
async fn the_admin_port_tells_what_is_served_and_no_key() {
    use tower::ServiceExt;
    let Subject { leaf, .. } = subject();
    leaf.on_change(version("7", fresh(now())), now());
    leaf.on_change(version("8", LeafMaterial::default()), now());
    let request = http::Request::get("/leaf").body(axum::body::Body::empty());
    let answer = leaf.router().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), http::StatusCode::OK);
    let body = http_body_util::BodyExt::collect(answer.into_body())
        .await
        .unwrap();
    let body = body.to_bytes();
    let told: ServedLeaf = serde_json::from_slice(&body).unwrap();
    assert_eq!(told, leaf.served());
    assert!(told.serving.is_some() && told.refused.is_some());
    assert!(!String::from_utf8_lossy(&body).contains("PRIVATE"));
}
