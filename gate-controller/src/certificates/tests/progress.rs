//! The marks of a rotation, step by step.

use certs::layout::{RENEW_DONE, RENEW_REQUESTED};

use super::installation::{
    annotate, cas, drop_older, healthy, leaf_of, new_ca, new_leaf, now, publish, show, sighted,
};
use crate::certificates::{Gathered, Goal, Mark, What, news, progress};

fn goal(what: What) -> Goal {
    Goal {
        what,
        id: Some("1".to_owned()),
        before: None,
    }
}

fn told(goal: &Goal, gathered: &Gathered) -> (Vec<String>, Option<String>) {
    let progress = progress(goal, gathered, now());
    let marks = progress.marks.iter().map(|mark| {
        let text = mark.to_string();
        text.split(": ").next().unwrap_or(&text).to_owned()
    });
    (marks.collect(), progress.awaits)
}

#[test]
fn a_rotation_of_the_ca_passes_its_marks_in_order() {
    let (mut gathered, goal) = (healthy(now()), goal(What::Ca));
    let older = leaf_of(&gathered);
    annotate(&mut gathered.seen.ca, RENEW_REQUESTED, "1");
    let (marks, awaits) = told(&goal, &gathered);
    assert!(marks.is_empty(), "{marks:?}");
    assert_eq!(awaits.unwrap(), "a new CA in Secret clb-gate-ca");

    let ca = new_ca(&mut gathered, now());
    annotate(&mut gathered.seen.ca, RENEW_DONE, "1");
    let (marks, awaits) = told(&goal, &gathered);
    assert_eq!(marks, ["new CA made"]);
    assert_eq!(awaits.unwrap(), "the new CA in the registration's bundle");

    let both = cas(&gathered);
    publish(&mut gathered, &both);
    assert_eq!(told(&goal, &gathered).0, ["new CA made", "published"]);

    let newer = new_leaf(&mut gathered, ca, now());
    let (marks, awaits) = told(&goal, &gathered);
    assert_eq!(marks.last().unwrap(), "0 of 2 replicas serve it");
    assert!(awaits.unwrap().contains("-2abcd (serves an older leaf)"));

    let (one, other) = (sighted("a", Some(newer.clone())), sighted("b", Some(older)));
    show(&mut gathered, vec![one.clone(), other]);
    let (marks, awaits) = told(&goal, &gathered);
    assert_eq!(marks.last().unwrap(), "1 of 2 replicas serve it");
    assert_eq!(awaits.unwrap(), "replicas: b (serves an older leaf)");

    show(&mut gathered, vec![one, sighted("b", Some(newer))]);
    let (marks, awaits) = told(&goal, &gathered);
    assert_eq!(marks.last().unwrap(), "2 of 2 replicas serve it");
    assert!(awaits.unwrap().starts_with("the older CAs to be dropped"));

    drop_older(&mut gathered);
    let (marks, awaits) = told(&goal, &gathered);
    assert_eq!(awaits, None);
    assert_eq!(
        marks,
        [
            "new CA made",
            "published",
            "new leaf issued",
            "2 of 2 replicas serve it",
            "older CAs dropped",
            "done"
        ]
    );
}

#[test]
fn a_new_leaf_is_done_when_all_serve_it() {
    let (mut gathered, goal) = (healthy(now()), goal(What::Leaf));
    annotate(&mut gathered.seen.leaf, RENEW_REQUESTED, "1");
    assert_eq!(
        told(&goal, &gathered).1.unwrap(),
        "a new leaf in Secret clb-gate-leaf"
    );
    annotate(&mut gathered.seen.leaf, RENEW_DONE, "1");
    let (marks, awaits) = told(&goal, &gathered);
    assert_eq!(awaits, None);
    assert_eq!(
        marks,
        ["new leaf issued", "2 of 2 replicas serve it", "done"]
    );
}

#[test]
fn replicas_are_asked_only_once_there_is_something_to_serve() {
    let (mut gathered, goal) = (healthy(now()), goal(What::Leaf));
    gathered.replicas = None;
    gathered.seen.serving = None;
    annotate(&mut gathered.seen.leaf, RENEW_REQUESTED, "1");
    assert!(!progress(&goal, &gathered, now()).needs_replicas);
    annotate(&mut gathered.seen.leaf, RENEW_DONE, "1");
    let seen = progress(&goal, &gathered, now());
    assert!(seen.needs_replicas && seen.awaits.is_some());
}

#[test]
fn a_pod_that_does_not_serve_yet_is_not_waited_for_and_a_ready_silent_one_is() {
    let (mut gathered, goal) = (healthy(now()), goal(What::Leaf));
    annotate(&mut gathered.seen.leaf, RENEW_REQUESTED, "1");
    annotate(&mut gathered.seen.leaf, RENEW_DONE, "1");
    let good = sighted("a", Some(leaf_of(&gathered)));
    let mut other = sighted("b", None);
    show(&mut gathered, vec![good.clone(), other.clone()]);
    let (_, awaits) = told(&goal, &gathered);
    assert_eq!(awaits.unwrap(), "replicas: b (no answer)");
    other.replica.ready = false;
    show(&mut gathered, vec![good, other]);
    assert_eq!(told(&goal, &gathered).1, None);
}

#[test]
fn each_mark_is_told_once_and_counts_when_they_change() {
    let serving = |now| Mark::Serving { now, of: 3 };
    let made = Mark::CaMade {
        generation: Some(2),
    };
    let told = vec![made.clone(), serving(1)];
    assert!(news(&told, &[made.clone(), serving(1)]).is_empty());
    assert_eq!(news(&told, &[made, serving(2)]), [&serving(2)]);
}
