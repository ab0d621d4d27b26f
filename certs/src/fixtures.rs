//! What the tests of this crate share: a fixed time, the usual names, and material made on the spot.

use crate::{
    bundle::Bundle,
    issue::{self, Signer},
    layout::{CaMaterial, LeafMaterial, ServiceNames},
};
use jiff::{SignedDuration, Timestamp};

pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(crate) fn now() -> Timestamp {
    "2026-11-21T06:00:00Z".parse().unwrap()
}

pub(crate) fn names() -> ServiceNames {
    ServiceNames::new("clb-gate-webhook", "clb-gate")
}

/// A CA made at `at`, with the content of its Secret.
pub(crate) fn ca(generation: u64, at: Timestamp) -> (Signer, CaMaterial) {
    let made = issue::ca(generation, at).unwrap();
    let material = CaMaterial {
        cert_pem: made.certificate.to_pem().into_bytes(),
        key_pem: made.key.clone(),
    };
    (made.into(), material)
}

/// A leaf made at `at`, with its CA as the bundle beside it.
pub(crate) fn leaf(signer: &Signer, at: Timestamp) -> LeafMaterial {
    let made = issue::leaf(signer, &names(), at).unwrap();
    LeafMaterial {
        cert_pem: made.certificate.to_pem().into_bytes(),
        key_pem: made.key,
        bundle_pem: signer.certificate().to_pem().into_bytes(),
    }
}

pub(crate) fn bundle(pem: &[u8]) -> Bundle {
    Bundle::parse_lossy(pem).0
}
