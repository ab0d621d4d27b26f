use super::*;
use crate::{
    fixtures::{DAY, bundle, ca, leaf as make_leaf, names, now},
    issue::{self, CA_LIFE},
    layout::KeyPem,
    parse::Certificate,
};
use proptest::prelude::*;
use rstest::rstest;

/// Performs one step as the controller does; replicas load the leaf Secret at once.
pub(super) fn perform(step: Step, observed: &mut Observed, now: Timestamp) {
    observed.serving = None;
    match step {
        Step::CreateCa {
            generation, keep, ..
        } => {
            let made = issue::ca(generation, now).unwrap();
            let all = Bundle::from_iter([made.certificate]).union(keep);
            let cert_pem = all.to_pem().into_bytes();
            observed.ca = Some(CaMaterial {
                cert_pem,
                key_pem: made.key,
            });
            observed.ca_renewal.done = observed.ca_renewal.requested.clone();
        }
        Step::IssueLeaf { signer, .. } => {
            observed.leaf = Some(make_leaf(&signer, now));
            observed.leaf_renewal.done = observed.leaf_renewal.requested.clone();
        }
        Step::PublishBundle { bundle } => observed.published = Some(bundle.to_pem().into_bytes()),
        Step::RefreshLeafBundle { beside, .. } => {
            observed.leaf.as_mut().unwrap().bundle_pem = beside.to_pem().into_bytes();
        }
        Step::Look { .. } | Step::Await { .. } => {
            let leaf = observed.leaf.as_ref().unwrap();
            observed.serving = Some(vec![replica("a", &leaf.cert_pem)]);
        }
        Step::ForgetCas { keep, .. } => {
            observed.ca.as_mut().unwrap().cert_pem = keep.to_pem().into_bytes();
        }
        Step::Keep { .. } => {}
    }
}

pub(super) fn replica(name: &str, cert_pem: &[u8]) -> Replica {
    Replica {
        name: name.to_owned(),
        ready: true,
        presents: Presents::Leaf(Box::new(Certificate::from_pem(cert_pem).unwrap())),
    }
}

/// The names of all steps until all is well.
pub(super) fn settle(observed: &mut Observed, now: Timestamp) -> Vec<&'static str> {
    observed.serving = None;
    let mut taken = vec![];
    loop {
        let step = plan(observed, &names(), now);
        taken.push(step.name());
        assert!(taken.len() < 13, "does not settle: {taken:?}");
        if taken.last() == Some(&"keep") {
            return taken;
        }
        perform(step, observed, now);
    }
}

pub(super) fn settled(at: Timestamp) -> Observed {
    let mut observed = Observed::default();
    settle(&mut observed, at);
    observed
}

/// A whole rotation, however it began.
const ROTATION: &[&str] = &[
    "create-ca",
    "publish-bundle",
    "issue-leaf",
    "look",
    "publish-bundle",
    "look",
    "forget-cas",
    "keep",
];

#[test]
fn a_first_installation_publishes_only_what_can_be_answered() {
    let steps = settle(&mut Observed::default(), now());
    assert_eq!(steps, ["create-ca", "issue-leaf", "publish-bundle", "keep"]);
}

#[rstest]
#[case::nothing(|_: &mut Observed| (), &["keep"])]
#[case::registration_gone(|o: &mut Observed| o.published = None, &["publish-bundle", "keep"])]
#[case::bundle_cleared(|o: &mut Observed| o.published = Some(vec![]), &["publish-bundle", "keep"])]
#[case::bundle_foreign(|o: &mut Observed| o.published = Some(rcgen_ca("somebody else").to_pem().into_bytes()), &["publish-bundle", "keep"])]
#[case::bundle_of_a_ca_like_ours(|o: &mut Observed| o.published = Some(ca(9, now()).1.cert_pem), &["publish-bundle", "look", "publish-bundle", "keep"])]
#[case::leaf_gone(|o: &mut Observed| o.leaf = None, &["issue-leaf", "keep"])]
#[case::leaf_cut(|o: &mut Observed| o.leaf.as_mut().unwrap().cert_pem.truncate(99), &["issue-leaf", "keep"])]
#[case::leaf_key_gone(|o: &mut Observed| o.leaf.as_mut().unwrap().key_pem = KeyPem::default(), &["issue-leaf", "keep"])]
#[case::beside_cleared(|o: &mut Observed| o.leaf.as_mut().unwrap().bundle_pem.clear(), &["refresh-leaf-bundle", "keep"])]
#[case::leaf_foreign(|o: &mut Observed| o.leaf = Some(make_leaf(&ca(1, now()).0, now())), &["publish-bundle", "issue-leaf", "look", "publish-bundle", "keep"])]
#[case::ca_gone(|o: &mut Observed| o.ca = None, ROTATION)]
#[case::ca_key_gone(|o: &mut Observed| o.ca.as_mut().unwrap().key_pem = KeyPem::default(), ROTATION)]
#[case::ca_cut(|o: &mut Observed| o.ca.as_mut().unwrap().cert_pem.truncate(99), ROTATION)]
#[case::ca_key_foreign(|o: &mut Observed| o.ca.as_mut().unwrap().key_pem = ca(1, now()).1.key_pem, ROTATION)]
#[case::both_gone(|o: &mut Observed| (o.ca, o.leaf) = (None, None), ROTATION)]
#[case::all_gone(|o: &mut Observed| *o = Observed::default(), &["create-ca", "issue-leaf", "publish-bundle", "keep"])]
fn every_damage_is_repaired_in_order(#[case] damage: fn(&mut Observed), #[case] expected: &[&str]) {
    let mut observed = settled(now());
    damage(&mut observed);
    assert_eq!(settle(&mut observed, now()), expected);
}

#[rstest]
#[case::young(DAY * 59, &["keep"])]
#[case::leaf_due(DAY * 61, &["issue-leaf", "keep"])]
#[case::leaf_expired(DAY * 120, &["issue-leaf", "keep"])]
#[case::ca_due(DAY * 500, ROTATION)]
#[case::ca_expired(DAY * 800, &["create-ca", "publish-bundle", "issue-leaf", "keep"])]
#[case::clock_back_a_year(-DAY * 365, ROTATION)]
fn time_decides(#[case] later: SignedDuration, #[case] expected: &[&str]) {
    let mut observed = settled(now());
    assert_eq!(settle(&mut observed, now() + later), expected);
}

#[test]
fn renewing_the_leaf_leaves_the_ca_alone() {
    let mut observed = settled(now());
    let before = observed.clone();
    settle(&mut observed, now() + DAY * 61);
    assert_eq!(observed.ca, before.ca);
    assert_eq!(observed.published, before.published);
    assert_ne!(observed.leaf, before.leaf);
}

/// Performs steps until the plan names `wanted`.
pub(super) fn until_step(observed: &mut Observed, wanted: &str, now: Timestamp) -> Step {
    for _ in 0..13 {
        let step = plan(observed, &names(), now);
        if step.name() == wanted {
            return step;
        }
        perform(step, observed, now);
    }
    panic!("never comes to {wanted}")
}

#[rstest]
#[case::key_lost(|o: &mut Observed| o.ca.as_mut().unwrap().key_pem = KeyPem::default())]
#[case::secret_lost(|o: &mut Observed| o.ca = None)]
#[case::both_secrets_lost(|o: &mut Observed| (o.ca, o.leaf) = (None, None))]
#[case::ca_and_registration_lost(|o: &mut Observed| (o.ca, o.published) = (None, None))]
fn an_old_ca_that_can_still_be_read_stays_trusted_until_nobody_needs_it(
    #[case] damage: fn(&mut Observed),
) {
    let mut observed = settled(now());
    let old = bundle(&observed.ca.as_ref().unwrap().cert_pem);
    damage(&mut observed);
    until_step(&mut observed, "look", now());
    let published = bundle(observed.published.as_ref().unwrap());
    assert!(published.contains(old.iter().next().unwrap()));
    let generations: Vec<_> = published.iter().map(|ca| ca.facts().generation).collect();
    assert_eq!(generations, [Some(2), Some(1)]);
    settle(&mut observed, now());
    assert_eq!(bundle(&observed.published.unwrap()).len(), 1);
}

#[test]
fn a_foreign_ca_in_the_registration_is_never_adopted() {
    let mut observed = settled(now());
    let foreign = rcgen_ca("somebody else");
    observed.ca = None;
    observed
        .published
        .as_mut()
        .unwrap()
        .extend(foreign.to_pem().into_bytes());
    settle(&mut observed, now());
    assert!(!bundle(&observed.published.unwrap()).contains(&foreign));
}

pub(super) fn rcgen_ca(common_name: &str) -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, common_name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let made = params
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap();
    Certificate::from_der(made.der().clone()).unwrap()
}

#[test]
fn an_expired_ca_leaves_the_bundle_without_a_look() {
    let mut observed = settled(now());
    until_step(&mut observed, "look", now() + DAY * 600);
    assert_eq!(bundle(observed.published.as_ref().unwrap()).len(), 2);
    let steps = settle(&mut observed, now() + CA_LIFE + DAY);
    assert_eq!(bundle(observed.published.as_ref().unwrap()).len(), 1);
    assert_eq!(
        steps,
        ["publish-bundle", "issue-leaf", "forget-cas", "keep"]
    );
}

#[test]
fn the_bundle_stays_small_whatever_happens() {
    let mut observed = settled(now());
    for _ in 0..30 {
        observed.ca.as_mut().unwrap().key_pem = KeyPem::default();
        settle(&mut observed, now());
    }
    let published = observed.published.unwrap();
    assert_eq!(bundle(&published).len(), 1);
}

#[test]
fn keep_says_until_when() {
    let observed = settled(now());
    let Step::Keep { until, .. } = plan(&observed, &names(), now()) else {
        panic!("not settled")
    };
    assert!(until > now() + DAY * 59 && until < now() + DAY * 60);
}

/// What may have happened to a text of a Secret or of the registration.
#[derive(Clone, Debug)]
enum Fate {
    Kept,
    Gone,
    Empty,
    Cut(usize),
    Junk(Vec<u8>),
    /// That of another installation, or an older one of this.
    Other(usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Kept),
        1 => Just(Fate::Gone),
        1 => Just(Fate::Empty),
        1 => (1usize..900).prop_map(Fate::Cut),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Fate::Junk),
        3 => (0usize..4).prop_map(Fate::Other),
    ]
}

/// Past states to draw from: fresh, half a year on, after a CA renewal, and a foreign installation.
fn histories() -> [Observed; 4] {
    let first = settled(now());
    let mut half_a_year = first.clone();
    settle(&mut half_a_year, now() + DAY * 180);
    let mut renewed = half_a_year.clone();
    settle(&mut renewed, now() + DAY * 500);
    [first, half_a_year, renewed, settled(now() + DAY * 100)]
}

fn struck(text: Vec<u8>, others: &[Vec<u8>; 4], fate: &Fate) -> Option<Vec<u8>> {
    match fate {
        Fate::Kept => Some(text),
        Fate::Gone => None,
        Fate::Empty => Some(vec![]),
        Fate::Cut(at) => Some(text.into_iter().take(*at).collect()),
        Fate::Junk(junk) => Some(junk.clone()),
        Fate::Other(i) => Some(others[*i].clone()),
    }
}

type Fates = [Fate; 6];

fn fates() -> impl Strategy<Value = Fates> {
    [fate(), fate(), fate(), fate(), fate(), fate()]
}

/// A state in which every text met its own fate.
fn mixed(histories: &[Observed; 4], base: usize, fates: &Fates) -> Observed {
    let texts: [fn(&Observed) -> Vec<u8>; 6] = [
        |o| o.ca.clone().unwrap().cert_pem,
        |o| o.ca.clone().unwrap().key_pem.expose().to_vec(),
        |o| o.leaf.clone().unwrap().cert_pem,
        |o| o.leaf.clone().unwrap().key_pem.expose().to_vec(),
        |o| o.leaf.clone().unwrap().bundle_pem,
        |o| o.published.clone().unwrap(),
    ];
    let value = |i: usize| {
        let others = [0, 1, 2, 3].map(|h| texts[i](&histories[h]));
        struck(texts[i](&histories[base]), &others, &fates[i])
    };
    Observed {
        ca: value(0).map(|cert_pem| CaMaterial {
            cert_pem,
            key_pem: KeyPem::new(value(1).unwrap_or_default()),
        }),
        leaf: value(2).map(|cert_pem| LeafMaterial {
            cert_pem,
            key_pem: KeyPem::new(value(3).unwrap_or_default()),
            bundle_pem: value(4).unwrap_or_default(),
        }),
        published: value(5),
        ..Observed::default()
    }
}

/// Whether the leaf of the Secret could be served at all.
fn servable(observed: &Observed, now: Timestamp) -> Option<LeafMaterial> {
    let leaf = observed.leaf.clone()?;
    let ca = observed
        .ca
        .clone()
        .map(|ca| ca.cert_pem)
        .unwrap_or_default();
    let anyone = bundle(&ca).union(bundle(&leaf.bundle_pem));
    verify::leaf_against(&anyone, &leaf, &names(), now).ok()?;
    Some(leaf)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// From any state, at any time: every bundle on the way trusts the leaf that may be in use, no
    /// leaf is issued that the published bundle does not trust, and it ends well within seven steps.
    #[test]
    fn whatever_is_found_no_step_breaks_trust_and_all_ends_well(
        base in 0usize..4,
        fates in fates(),
        day in -400i32..1000,
    ) {
        let at = now() + DAY * day;
        let mut observed = mixed(&HISTORIES, base, &fates);
        for _ in 0..13 {
            let step = plan(&observed, &names(), at);
            if let Some(leaf) = servable(&observed, at) {
                let trusted = step.bundle();
                prop_assert!(
                    verify::leaf_against(trusted, &leaf, &names(), at).is_ok(),
                    "{} leaves the leaf in use untrusted", step.name()
                );
            }
            if let (Step::IssueLeaf { signer, .. }, Some(published)) = (&step, &observed.published) {
                prop_assert!(bundle(published).contains(signer.certificate()));
            }
            if step.name() == "keep" {
                return Ok(());
            }
            perform(step, &mut observed, at);
        }
        prop_assert!(false, "does not settle");
    }
}

static HISTORIES: std::sync::LazyLock<[Observed; 4]> = std::sync::LazyLock::new(histories);
