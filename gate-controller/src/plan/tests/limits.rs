//! What does not fit, or was refused.

use super::*;

#[test]
fn what_fits_is_bound_and_the_rest_waits_for_room() {
    let desired = desired(&[pod("a", 1), pod("b", 2), pod("c", 3)]);
    let limits = Limits {
        targets: Some(2),
        ..Limits::default()
    };
    let there = [listener(vec![target(9, 0, None)])];
    let plan = planned_within(&desired, &there, &limits);
    assert!(matches!(&plan.operations[..], [Operation::Register(all)] if all.len() == 1));
    let [held @ Held::Quota(2, waiting)] = &plan.held[&Protocol::Tcp.at(80)][..] else {
        panic!("{:?}", plan.held)
    };
    assert_eq!(waiting, &[address(2), address(3)]);
    assert!(held.covers(address(2), None) && !held.covers(address(1), None));
    assert!(held.to_string().contains("TOTAL_TARGET_BIND_QUOTA"));
}

#[test]
fn a_quota_is_told_before_a_rollout_meets_it() {
    let pods: Vec<_> = (1..=8).map(|n| pod(&format!("p{n}"), n)).collect();
    let desired = desired(&pods);
    let warned = |quota| {
        let limits = Limits {
            targets: Some(quota),
            ..Limits::default()
        };
        let all = (1..=8).map(|n| target(n, 10, Some(&format!("uid-p{n}"))));
        let plan = planned_within(&desired, &[listener(all.collect())], &limits);
        assert!(plan.held.is_empty() && plan.operations.is_empty());
        plan.warnings.get(&Protocol::Tcp.at(80)).cloned()
    };
    assert_eq!(warned(10), None);
    assert!(warned(9).unwrap().contains("quota of 9"));
}

#[test]
fn what_was_refused_is_left_out_and_told() {
    let desired = desired(&[pod("a", 1), pod("b", 2)]);
    let refused = Refused {
        places: [(place(1), "no such address".to_owned())].into(),
        ..Refused::default()
    };
    let limits = Limits {
        refused,
        ..Limits::default()
    };
    let plan = planned_within(&desired, &[listener(vec![])], &limits);
    assert!(matches!(&plan.operations[..], [Operation::Register(all)] if all[0].place == place(2)));
    let told = plan.held[&Protocol::Tcp.at(80)][0].to_string();
    assert!(told.contains("198.18.1.1:8080") && told.contains("no such address"));
}
