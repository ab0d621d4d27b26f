use super::*;
use crate::{
    fixtures::{DAY, bundle, ca, leaf as make_leaf, names, now},
    issue,
};
use jiff::SignedDuration;
use rstest::rstest;

/// A good leaf, and the CA that signed it.
fn good() -> (issue::Signer, LeafMaterial) {
    let (signer, _) = ca(1, now());
    let material = make_leaf(&signer, now());
    (signer, material)
}

#[test]
fn a_good_leaf_is_verified_with_its_issuer() {
    let (signer, material) = good();
    let verified = leaf(&material, &names(), now()).unwrap();
    assert_eq!(&verified.issuer, signer.certificate());
    assert_eq!(verified.facts.dns_names, names().all());
}

#[rstest]
#[case::no_certificate(|m: &mut LeafMaterial| m.cert_pem.clear(), "cannot be read")]
#[case::garbage(|m: &mut LeafMaterial| m.cert_pem = b"garbage".to_vec(), "cannot be read")]
#[case::oversized(|m: &mut LeafMaterial| m.cert_pem.resize(70_000, b'\n'), "at most 65536")]
#[case::no_key(|m: &mut LeafMaterial| m.key_pem = KeyPem::default(), "not a PEM private key")]
#[case::oversized_key(|m: &mut LeafMaterial| m.key_pem = KeyPem::new(vec![b'\n'; 70_000]), "not a PEM private key")]
#[case::foreign_key(|m: &mut LeafMaterial| m.key_pem = good().1.key_pem, "does not belong")]
#[case::no_bundle(|m: &mut LeafMaterial| m.bundle_pem.clear(), "no readable CA")]
#[case::foreign_bundle(|m: &mut LeafMaterial| m.bundle_pem = good().1.bundle_pem, "no CA of the bundle signed it")]
#[case::leaf_as_bundle(|m: &mut LeafMaterial| m.bundle_pem = m.cert_pem.clone(), "no readable CA")]
#[case::ca_as_leaf(|m: &mut LeafMaterial| m.cert_pem = m.bundle_pem.clone(), "is missing")]
fn each_defect_is_named(#[case] tamper: fn(&mut LeafMaterial), #[case] says: &str) {
    let (_, mut material) = good();
    tamper(&mut material);
    let problems = leaf(&material, &names(), now()).unwrap_err();
    let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(text.join("; ").contains(says), "{text:?}");
}

#[rstest]
#[case::before(-DAY, false)]
#[case::backdated(SignedDuration::from_mins(-59), true)]
#[case::day_89(DAY * 89, true)]
#[case::day_91(DAY * 91, false)]
fn dates_decide(#[case] shift: SignedDuration, #[case] good_then: bool) {
    let (_, material) = good();
    assert_eq!(leaf(&material, &names(), now() + shift).is_ok(), good_then);
}

#[test]
fn an_expired_ca_spoils_a_leaf_that_outlives_it() {
    let (signer, _) = ca(1, now());
    let late = now() + issue::CA_LIFE - DAY;
    let material = make_leaf(&signer, late);
    assert!(leaf(&material, &names(), late).is_ok());
    let problems = leaf(&material, &names(), late + DAY * 2).unwrap_err();
    assert!(
        matches!(&problems[..], [Problem::Expired { subject, .. }] if subject.contains("CA generation"))
    );
}

#[test]
fn other_names_are_named_one_by_one() {
    let (_, material) = good();
    let elsewhere = ServiceNames::new("clb-gate-webhook", "other");
    let problems = leaf(&material, &elsewhere, now()).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(
        problems[0]
            .to_string()
            .starts_with("the name clb-gate-webhook.other.svc is missing")
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let (_, mut material) = good();
    material.key_pem = KeyPem::new("nonsense");
    material.bundle_pem.clear();
    let elsewhere = ServiceNames::new("clb-gate-webhook", "other");
    let problems = leaf(&material, &elsewhere, now() + DAY * 365).unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn any_bundled_ca_will_do() {
    let (_, material) = good();
    let (_, other) = ca(2, now());
    let both = [other.cert_pem, material.bundle_pem.clone()].concat();
    assert!(leaf_against(&bundle(&both), &material, &names(), now()).is_ok());
}
