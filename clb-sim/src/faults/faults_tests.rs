//! Which calls a fault hits.

use super::*;
use crate::state::Fate;

const WRITE: &str = "RegisterTargets";
const BATCH: &str = "BatchRegisterTargets";
const READ: &str = "DescribeTargets";

fn fault(text: &str) -> Fault {
    serde_json::from_str(text).unwrap()
}

fn faults(texts: &[&str]) -> Faults {
    let mut faults = Faults::default();
    for text in texts {
        faults.add(fault(text), 0).unwrap();
    }
    faults
}

fn late(late_ms: u64) -> Plan {
    Plan {
        late_ms,
        ..Plan::default()
    }
}

#[test]
fn a_fault_hits_its_action_and_no_more_than_its_count() {
    let mut faults = faults(&[
        r#"{"action":"RegisterTargets","latency_ms":5,"count":2}"#,
        r#"{"action":"RegisterTargets","drop_answer":true}"#,
    ]);
    assert_eq!(faults.next(READ, 0), Plan::default());
    let plans: Vec<Plan> = (0..4).map(|_| faults.next(WRITE, 0)).collect();
    let lost = Plan {
        lost: Lost::Answer,
        ..Plan::default()
    };
    assert_eq!(plans, [late(5), late(5), lost, Plan::default()]);
}

#[test]
fn a_fault_lasts_as_long_as_it_says() {
    let mut faults = faults(&[r#"{"action":"*","throttle":true,"after_ms":100,"for_ms":50}"#]);
    let throttled: Vec<i64> = [0, 99, 100, 120, 149, 150, 200]
        .into_iter()
        .filter(|now| {
            faults
                .next(READ, *now)
                .refusal
                .is_some_and(|refusal| refusal.code == code::RATE)
        })
        .collect();
    assert_eq!(throttled, [100, 120, 149]);
}

#[rstest::rstest]
#[case(r#"{"action":"RegisterTargets"}"#)]
#[case(r#"{"action":"RegisterTargets","latency_ms":1,"drop_answer":true}"#)]
#[case(r#"{"action":"Nope","latency_ms":1}"#)]
#[case(r#"{"action":"DescribeTargets","silent":true}"#)]
#[case(r#"{"action":"DescribeTargets","task_failure":{"message":null}}"#)]
#[case(r#"{"action":"RegisterTargets","partial":[]}"#)]
#[case(r#"{"action":"*","chance":1.5}"#)]
#[case(r#"{"action":"*","kinds":["silent"]}"#)]
#[case(r#"{"action":"*","silent":true,"chance":0.5,"kinds":["error"]}"#)]
fn nonsense_is_refused(#[case] text: &str) {
    assert!(Faults::default().add(fault(text), 0).is_err());
}

#[test]
fn lots_hit_as_often_as_they_say_and_what_fits() {
    let text = r#"{"action":"*","chance":0.3,"seed":7}"#;
    let mut first = faults(&[text]);
    let mut second = faults(&[text]);
    let mut hits = 0;
    let mut fates = std::collections::BTreeSet::new();
    for number in 0..10_000 {
        let action = [WRITE, READ, BATCH][number % 3];
        let plan = first.next(action, 0);
        assert_eq!(plan, second.next(action, 0), "the same seed, the same lots");
        hits += u32::from(plan != Plan::default());
        assert!(action != READ || plan.fate == Fate::Works, "{plan:?}");
        fates.insert(format!(
            "{:?} {:?} {}",
            plan.fate,
            plan.lost,
            plan.refusal.is_some()
        ));
    }
    // A late answer may be late by nothing.
    assert!((2900..3100).contains(&hits), "{hits}");
    assert!(fates.len() >= 8, "{fates:?}");
}

#[test]
fn drawn_kinds_are_the_ones_named() {
    let mut faults = faults(&[
        r#"{"action":"*","chance":1,"kinds":["silent","drop_request"],"seed":1,"count":50}"#,
    ]);
    for _ in 0..50 {
        let plan = faults.next(WRITE, 0);
        assert!(plan.fate == Fate::Silent || plan.lost == Lost::Request);
    }
    assert_eq!(faults.next(WRITE, 0), Plan::default());
}
