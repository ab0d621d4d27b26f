//! Ask or join?

use certs::layout::{RENEW_DONE, RENEW_REQUESTED};

use super::installation::{annotate, cas, drop_older, healthy, new_ca, new_leaf, now, publish};
use crate::certificates::{Goal, What, Wish, decide, new_id};

#[test]
fn at_rest_it_asks() {
    let gathered = healthy(now());
    assert_eq!(decide(&gathered.seen, What::Ca), Wish::Ask);
    assert_eq!(decide(&gathered.seen, What::Leaf), Wish::Ask);
}

#[test]
fn an_honoured_request_is_no_pending_one() {
    let mut gathered = healthy(now());
    annotate(&mut gathered.seen.ca, RENEW_REQUESTED, "1");
    annotate(&mut gathered.seen.ca, RENEW_DONE, "1");
    assert_eq!(decide(&gathered.seen, What::Ca), Wish::Ask);
}

#[test]
fn a_pending_request_is_joined() {
    let mut gathered = healthy(now());
    annotate(&mut gathered.seen.ca, RENEW_REQUESTED, "1");
    for what in [What::Ca, What::Leaf] {
        let Wish::JoinRequest(goal) = decide(&gathered.seen, what) else {
            panic!("pending")
        };
        assert_eq!((goal.what, goal.id.as_deref()), (What::Ca, Some("1")));
    }
}

#[test]
fn a_new_leaf_brings_no_new_ca() {
    let mut gathered = healthy(now());
    annotate(&mut gathered.seen.leaf, RENEW_REQUESTED, "1");
    assert_eq!(decide(&gathered.seen, What::Ca), Wish::Ask);
    assert!(matches!(
        decide(&gathered.seen, What::Leaf),
        Wish::JoinRequest(_)
    ));
}

#[test]
fn a_rotation_is_joined_until_it_is_over() {
    let mut gathered = healthy(now());
    let half_way = |gathered: &_, what| {
        let gathered: &crate::certificates::Gathered = gathered;
        matches!(decide(&gathered.seen, what), Wish::JoinRotation(_))
    };
    let ca = new_ca(&mut gathered, now());
    assert!(half_way(&gathered, What::Ca) && half_way(&gathered, What::Leaf));
    let both = cas(&gathered);
    publish(&mut gathered, &both);
    new_leaf(&mut gathered, ca, now());
    assert!(half_way(&gathered, What::Ca));
    drop_older(&mut gathered);
    assert_eq!(decide(&gathered.seen, What::Ca), Wish::Ask);
}

#[test]
fn without_a_secret_there_is_nothing_to_write_on() {
    let mut gathered = healthy(now());
    gathered.seen.leaf = None;
    assert!(matches!(
        decide(&gathered.seen, What::Leaf),
        Wish::Missing(_)
    ));
    assert_eq!(decide(&gathered.seen, What::Ca), Wish::Ask);
    gathered.seen.ca = None;
    assert!(matches!(decide(&gathered.seen, What::Ca), Wish::Missing(_)));
}

#[test]
fn a_request_is_fulfilled_by_its_id_or_by_a_secret_made_anew() {
    let mut gathered = healthy(now());
    annotate(&mut gathered.seen.ca, RENEW_REQUESTED, "ours");
    let Wish::JoinRequest(goal) = decide(&gathered.seen, What::Ca) else {
        panic!("pending")
    };
    assert!(!goal.is_made(&gathered.seen));
    annotate(&mut gathered.seen.ca, RENEW_DONE, "ours");
    assert!(goal.is_made(&gathered.seen));
    annotate(&mut gathered.seen.ca, RENEW_DONE, "somebody else's");
    annotate(&mut gathered.seen.ca, RENEW_REQUESTED, "somebody else's");
    assert!(!goal.is_made(&gathered.seen), "it is still the old CA");
    let anew = healthy(now());
    assert!(
        goal.is_made(&anew.seen),
        "it is another CA, and nobody knows of us"
    );
    let mut gone = anew;
    gone.seen.ca = None;
    assert!(!goal.is_made(&gone.seen));
}

#[test]
fn what_was_missing_is_made_when_it_is_there() {
    let mut gathered = healthy(now());
    let ca = gathered.seen.ca.take();
    let Wish::Missing(goal) = decide(&gathered.seen, What::Ca) else {
        panic!("missing")
    };
    assert_eq!(
        goal,
        Goal {
            what: What::Ca,
            id: None,
            before: None
        }
    );
    assert!(!goal.is_made(&gathered.seen));
    gathered.seen.ca = ca;
    assert!(goal.is_made(&gathered.seen));
}

#[test]
fn ids_say_when_and_never_repeat() {
    let (one, other) = (new_id(now()), new_id(now()));
    assert!(one.starts_with("2026-11-21T06:00:00Z-"), "{one}");
    assert_ne!(one, other);
}
