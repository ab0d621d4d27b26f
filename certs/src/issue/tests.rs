use super::*;
use crate::fixtures::{ca, names, now};

#[test]
fn a_ca_says_what_it_is() {
    let (signer, _) = ca(7, now());
    let facts = signer.certificate().facts();
    assert!(facts.is_ca);
    assert_eq!(facts.generation, Some(7));
    assert_eq!(facts.not_before, now() - BACKDATE);
    assert_eq!(facts.not_after, now() + CA_LIFE);
    assert!(facts.subject_key_id.is_some());
    assert!(signer.certificate().is_issued_by(signer.certificate()));
}

#[test]
fn a_leaf_carries_every_name_and_its_issuers_key_id() {
    let (signer, _) = ca(1, now());
    let leaf = leaf(&signer, &names(), now()).unwrap();
    let facts = leaf.certificate.facts();
    assert_eq!(facts.dns_names, names().all());
    assert_eq!(
        facts.authority_key_id,
        signer.certificate().facts().subject_key_id
    );
    assert_eq!(facts.not_before, now() - BACKDATE);
    assert_eq!(facts.not_after, now() + LEAF_LIFE);
    assert!(facts.serves_tls && !facts.is_ca && facts.generation.is_none());
    assert!(leaf.certificate.is_issued_by(signer.certificate()));
}

#[test]
fn equal_generations_are_told_apart_by_key_not_by_name() {
    let (one, _) = ca(1, now());
    let (other, _) = ca(1, now());
    let leaf = leaf(&one, &names(), now()).unwrap().certificate;
    assert_eq!(
        one.certificate().facts().subject,
        other.certificate().facts().subject
    );
    assert!(!leaf.is_issued_by(other.certificate()));
}

#[test]
fn serials_are_positive_sixteen_bytes_and_never_repeat() {
    let mut serials: Vec<_> = (0..50)
        .map(|_| ca(1, now()).0.certificate().facts().serial.clone())
        .collect();
    assert!(serials.iter().all(|s| s.len() == 32 && s.as_str() < "80"));
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 50);
}

#[test]
fn a_signer_needs_its_own_key_and_a_ca() {
    let (signer, material) = ca(1, now());
    let (_, foreign) = ca(1, now());
    let cert = signer.certificate().clone();
    assert!(Signer::new(cert.clone(), material.key_pem).is_ok());
    let mismatch = Signer::new(cert.clone(), foreign.key_pem).unwrap_err();
    assert!(matches!(mismatch, Problem::KeyMismatch { .. }));
    let empty = Signer::new(cert, KeyPem::default()).unwrap_err();
    assert_eq!(empty, Problem::KeyUnreadable);
    let leaf = leaf(&signer, &names(), now()).unwrap();
    let not_a_ca = Signer::new(leaf.certificate, leaf.key).unwrap_err();
    assert!(matches!(not_a_ca, Problem::NotACa { .. }));
}

#[test]
fn a_clock_beyond_the_end_of_dates_is_an_error_not_a_panic() {
    assert!(matches!(super::ca(1, Timestamp::MAX), Err(Error::Date(_))));
}
