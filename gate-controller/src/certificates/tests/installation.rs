//! An installation that is as it should be, and what may happen to it.

use std::time::Duration;

use certs::layout::{
    CA_CERT_KEY, CA_PRIVATE_KEY, LEAF_BUNDLE_KEY, LEAF_CERT_KEY, LEAF_PRIVATE_KEY,
};
use certs::plan::{Presents, Replica};
use certs::{Bundle, Certificate, ServiceNames, issue};
use direct_access::names;
use direct_access::settings::FailurePolicy;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use runtime::lease::Record;
use serde_json::json;

use crate::certificates::{Gathered, Held, Sighted, manifests};
use crate::heal::facts::{Seen, Wanted};
use crate::heal::registration::{Inputs, desired};
use crate::heal::secrets::{ca_material, leaf_material};

pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn now() -> Timestamp {
    "2026-11-21T06:00:00Z".parse().unwrap()
}

pub(super) fn names_of_service() -> ServiceNames {
    ServiceNames::new(names::WEBHOOK_SERVICE, "clb-gate")
}

/// Made at `at`, with two replicas that serve the leaf, and a leader that has just renewed its lease.
pub(super) fn healthy(at: Timestamp) -> Gathered {
    let made = manifests("clb-gate", at).unwrap();
    let [ca, leaf] = made.secrets() else {
        panic!("two Secrets")
    };
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "clb-gate", "uid": "uid-1"}})).unwrap();
    let mut gathered = Gathered {
        seen: Seen {
            namespace,
            registration: None,
            ca: Some(ca.clone()),
            leaf: Some(leaf.clone()),
            serving: None,
        },
        wanted: Wanted {
            namespace: "clb-gate".to_owned(),
            service_name: names::WEBHOOK_SERVICE.to_owned(),
            failure_policy: FailurePolicy::Ignore,
        },
        replicas: None,
        lease: Some(led_by("clb-gate-controller-5b7c-x2v4z", now())),
    };
    let only = cas(&gathered);
    publish(&mut gathered, &only);
    let leaf = leaf_of(&gathered);
    let serve = |name| sighted(name, Some(leaf.clone()));
    show(
        &mut gathered,
        vec![
            serve("clb-gate-webhook-7d9f-2abcd"),
            serve("clb-gate-webhook-7d9f-x9k4p"),
        ],
    );
    gathered
}

pub(super) fn led_by(holder: &str, renewed: Timestamp) -> Held {
    Held {
        record: Record {
            holder: Some(holder.to_owned()),
            transitions: 1,
            duration: Duration::from_secs(15),
            resource_version: Some("1".to_owned()),
        },
        renewed: Some(renewed),
    }
}

pub(super) fn cas(gathered: &Gathered) -> Bundle {
    let material = ca_material(gathered.seen.ca.as_ref().unwrap());
    Bundle::parse_lossy(&material.cert_pem).0
}

pub(super) fn leaf_of(gathered: &Gathered) -> Certificate {
    let material = leaf_material(gathered.seen.leaf.as_ref().unwrap());
    Certificate::from_pem(&material.cert_pem).unwrap()
}

pub(super) fn publish(gathered: &mut Gathered, bundle: &Bundle) {
    let inputs = Inputs {
        namespace: "clb-gate",
        namespace_uid: "uid-1",
        service_name: names::WEBHOOK_SERVICE,
        bundle_pem: bundle.to_pem(),
        failure_policy: gathered.wanted.failure_policy,
    };
    gathered.seen.registration = Some(desired(&inputs));
}

pub(super) fn sighted(name: &str, leaf: Option<Certificate>) -> Sighted {
    let presents = match leaf {
        Some(leaf) => Presents::Leaf(Box::new(leaf)),
        None => Presents::Nothing("no answer".to_owned()),
    };
    Sighted {
        replica: Replica {
            name: name.to_owned(),
            ready: true,
            presents,
        },
        going: false,
        node: Some("node-1".to_owned()),
        by_handshake: false,
        refused: None,
    }
}

pub(super) fn show(gathered: &mut Gathered, replicas: Vec<Sighted>) {
    let serving = replicas.iter().filter(|one| one.serves());
    gathered.seen.serving = Some(serving.map(|one| one.replica.clone()).collect());
    gathered.replicas = Some(replicas);
}

/// The first part of a rotation: a CA of the next generation in front of the others.
pub(super) fn new_ca(gathered: &mut Gathered, at: Timestamp) -> issue::Issued {
    let made = issue::ca(2, at).unwrap();
    let all = Bundle::from_iter([made.certificate.clone()]).union(cas(gathered));
    let secret = gathered.seen.ca.as_mut().unwrap();
    set(secret, CA_CERT_KEY, all.to_pem());
    set(secret, CA_PRIVATE_KEY, made.key.expose());
    made
}

/// The second: a leaf of it.
pub(super) fn new_leaf(gathered: &mut Gathered, ca: issue::Issued, at: Timestamp) -> Certificate {
    let beside = ca.certificate.to_pem();
    let made = issue::leaf(&ca.into(), &names_of_service(), at).unwrap();
    let secret = gathered.seen.leaf.as_mut().unwrap();
    set(secret, LEAF_CERT_KEY, made.certificate.to_pem());
    set(secret, LEAF_PRIVATE_KEY, made.key.expose());
    set(secret, LEAF_BUNDLE_KEY, beside);
    made.certificate
}

/// The last: older CAs are forgotten in Secret and bundle.
pub(super) fn drop_older(gathered: &mut Gathered) {
    let newest: Bundle = cas(gathered).iter().take(1).cloned().collect();
    set(
        gathered.seen.ca.as_mut().unwrap(),
        CA_CERT_KEY,
        newest.to_pem(),
    );
    publish(gathered, &newest);
}

pub(super) fn annotate(secret: &mut Option<Secret>, key: &str, value: &str) {
    let annotations = &mut secret.as_mut().unwrap().metadata.annotations;
    annotations
        .get_or_insert_default()
        .insert(key.to_owned(), value.to_owned());
}

fn set(secret: &mut Secret, key: &str, value: impl Into<Vec<u8>>) {
    let data = secret.data.get_or_insert_default();
    data.insert(key.to_owned(), ByteString(value.into()));
}
