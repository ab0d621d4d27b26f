use super::*;
use crate::{
    bundle::Bundle,
    fixtures::{bundle, ca, leaf, now},
};
use proptest::prelude::*;

#[test]
fn order_is_kept_and_other_blocks_are_skipped() {
    let (one, first) = ca(1, now());
    let (two, second) = ca(2, now());
    let text = [
        &second.cert_pem,
        second.key_pem.expose(),
        b"words\n",
        &first.cert_pem,
    ]
    .concat();
    let found = certificates(&text).unwrap();
    assert_eq!(
        found,
        [two.certificate().clone(), one.certificate().clone()]
    );
}

#[test]
fn one_broken_block_spoils_a_strict_read_and_not_a_lossy_one() {
    let (_, good) = ca(1, now());
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let text = [&broken[..], &good.cert_pem].concat();
    assert!(matches!(certificates(&text), Err(ParseError::Der(_))));
    let (found, errors) = certificates_lossy(&text);
    assert_eq!((found.len(), errors.len()), (1, 1));
}

#[test]
fn cut_short_in_the_middle_is_named() {
    let (_, good) = ca(1, now());
    let half = &good.cert_pem[..good.cert_pem.len() / 2];
    assert!(matches!(certificates(half), Err(ParseError::Pem(_))));
}

#[test]
fn nothing_and_too_much_are_named() {
    let empty = certificates(b"").unwrap_err();
    assert_eq!(empty.to_string(), "no PEM block CERTIFICATE in 0 bytes");
    let huge = certificates(&vec![b'x'; MAX_PEM_BYTES + 1]).unwrap_err();
    assert_eq!(
        huge.to_string(),
        "65537 bytes of PEM, at most 65536 are accepted"
    );
}

#[test]
fn pem_round_trips() {
    let (signer, _) = ca(1, now());
    let certificate = signer.certificate();
    let again = Certificate::from_pem(certificate.to_pem().as_bytes()).unwrap();
    assert_eq!(&again, certificate);
    assert_eq!(again.facts(), certificate.facts());
    assert_eq!(certificate.facts().fingerprint.len(), 64);
}

#[test]
fn a_bundle_keeps_order_drops_repeats_and_refuses_leaves() {
    let (one, first) = ca(1, now());
    let (two, second) = ca(2, now());
    let served = leaf(&one, now());
    let text = [
        second.cert_pem.as_slice(),
        &first.cert_pem,
        &second.cert_pem,
        &served.cert_pem,
    ]
    .concat();
    let (read, errors) = Bundle::parse_lossy(&text);
    assert!(errors.is_empty());
    assert_eq!(read.len(), 2);
    assert_eq!(read.iter().next(), Some(two.certificate()));
    assert_eq!(bundle(read.to_pem().as_bytes()), read);
    assert_eq!(bundle(&first.cert_pem).union(read.clone()).len(), 2);
    assert!(read.contains(one.certificate()));
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (found, errors) = certificates_lossy(&bytes);
        prop_assert!(found.is_empty() && !errors.is_empty());
        prop_assert!(Certificate::from_der(bytes.into()).is_err());
    }

    #[test]
    fn a_certificate_with_flipped_bytes_never_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let (signer, _) = ca(1, now());
        let mut der = signer.certificate().der().to_vec();
        for (at, value) in flips {
            let at = at.index(der.len());
            der[at] = value;
        }
        if let Ok(mutant) = Certificate::from_der(der.into()) {
            let same = mutant == *signer.certificate();
            prop_assert_eq!(mutant.is_issued_by(signer.certificate()), same);
        }
    }
}

/// A byte that no signature covers counts as well: here the tag of the algorithm's name beside it.
#[test]
fn a_certificate_that_others_could_not_read_is_issued_by_nobody() {
    let (signer, _) = ca(1, now());
    let whole = signer.certificate().der().to_vec();
    let length = usize::from(whole[6]) << 8 | usize::from(whole[7]);
    let tag = 8 + length + 2;
    assert_eq!(whole[tag], 6, "an object identifier");
    for (at, value) in [(0, 0x10), (tag - 2, 0x50), (tag, 7)] {
        let mut der = whole.clone();
        der[at] = value;
        let mutant = Certificate::from_der(der.into());
        let issued = |mutant: Certificate| mutant.is_issued_by(signer.certificate());
        assert!(!mutant.is_ok_and(issued), "{at}");
    }
    assert!(signer.certificate().is_issued_by(signer.certificate()));
}
