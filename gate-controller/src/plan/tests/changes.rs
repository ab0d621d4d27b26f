//! What differs from what is declared: changed, or told.

use super::*;

fn declared(text: &str) -> Desired {
    let mut wanted = desired(&[]);
    for listener in wanted.listeners.values_mut() {
        listener.parameters = ListenerParameters::parse(text).unwrap();
    }
    wanted
}

#[test]
fn what_differs_is_changed_once() {
    let mut clb = vec![listener(vec![])];
    let wanted =
        declared(r#"{"SessionExpireTime":60,"HealthCheck":{"IntervalTime":9,"HealthNum":4}}"#);
    let plan = planned(&wanted, &clb);
    let [operation @ Operation::Modify(_)] = &plan.operations[..] else {
        panic!("{plan:?}")
    };
    perform(&mut clb, operation);
    assert_eq!(clb[0].health.earliest, Duration::from_secs(27));
    assert_eq!(planned(&wanted, &clb).operations, []);
    // Taken back: what nobody declares stays as it is.
    assert_eq!(planned(&declared("{}"), &clb).operations, []);
}

#[test]
fn what_may_not_be_changed_is_told() {
    let wanted = declared(r#"{"Scheduler":"LEAST_CONN"}"#);
    let foreign = [ObservedListener {
        name: None,
        ..listener(vec![])
    }];
    let told = |plan: &Plan, parts: &[&str]| {
        assert_eq!(plan.operations, []);
        let text = plan.unchanged[&Protocol::Tcp.at(80)][0].clone();
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
    };
    let difference = "Scheduler is \"WRR\", declared is \"LEAST_CONN\"";
    told(&planned(&wanted, &foreign), &[difference, "did not make"]);
    let ours = [listener(vec![])];
    let below = planned_with(&wanted, &ours, &HashMap::new(), Manage::Backends);
    told(&below, &[difference, "manage: backends"]);
    let tried = planned(&wanted, &ours).operations.remove(0);
    let Operation::Modify(modification) = tried else {
        panic!()
    };
    let mut limits = Limits::default();
    let known = (modification.change.clone(), "the API said no".to_owned());
    limits.refused.changes.insert(modification.place(), known);
    told(
        &planned_within(&wanted, &ours, &limits),
        &["the API said no"],
    );
    let other = declared(r#"{"Scheduler":"WRR","SessionExpireTime":60}"#);
    assert_eq!(planned_within(&other, &ours, &limits).operations.len(), 1);
}

#[test]
fn rules_are_changed_and_what_checks_them_is_not_their_listeners() {
    let text = r#"{"HealthCheck":{"HttpCode":2},"SessionExpireTime":60}"#;
    let parameters = ListenerParameters::parse(text).unwrap();
    let mut clb = vec![];
    let settle = |desired: &Desired, clb: &mut Vec<ObservedListener>| {
        for _ in 0..3 {
            for operation in planned(desired, clb).operations {
                let ids = vec![operation.label().to_owned()];
                apply(clb, &operation, &ids, &us());
            }
        }
    };
    let mut wanted = rules(&["/"], &[]);
    settle(&wanted, &mut clb);
    let listener = wanted.listeners.get_mut(&Protocol::Http.at(80)).unwrap();
    listener.parameters = parameters.clone();
    assert_eq!(planned(&wanted, &clb).operations, []);
    let listener = wanted.listeners.get_mut(&Protocol::Http.at(80)).unwrap();
    listener.rules.get_mut(&key("/")).unwrap().parameters = parameters;
    let plan = planned(&wanted, &clb);
    let [Operation::Modify(modification)] = &plan.operations[..] else {
        panic!("{plan:?}")
    };
    assert!(matches!(modification.part, Part::Rule(_)));
    settle(&wanted, &mut clb);
    assert_eq!(clb[0].rules[0].parameters.session_expire_time, Some(60));
}
