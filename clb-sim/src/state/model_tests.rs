//! The model against a plain map that does the same, one write after the other.

use super::*;
use crate::health::machine::{Health, Verdict};
use crate::state::health_check::{CheckedAs, HealthCheck, HealthCheckFields};
use crate::state::parts::{Binding, Effect, Protocol, Scheduler};
use proptest::prelude::*;

const LB: &str = "lb-a";
const LISTENER: &str = "lbl-a";
const TASK_MS: Millis = 100;

fn call(now: Millis) -> Call {
    Call {
        now,
        request_id: format!("request-{now}"),
        latency: 0,
        operator: false,
        fate: Fate::Works,
    }
}

fn listener() -> Listener {
    Listener {
        id: LISTENER.to_owned(),
        name: String::new(),
        protocol: Protocol::Tcp,
        port: 80,
        check: HealthCheck::validate(&HealthCheckFields::default(), CheckedAs::Stream).ok(),
        scheduler: Scheduler::Wrr,
        session_expire_s: 0,
        sni: false,
        deregister_rst: false,
        certificate: None,
        created: 0,
        targets: BTreeMap::new(),
        rules: Vec::new(),
    }
}

/// A world with one load balancer and one listener, at time 1000.
fn model() -> Model {
    let mut model = Model::new(1);
    model.settings.delays.task_ms = TASK_MS.try_into().unwrap();
    model.settings.vip_pool = "10.0.0.0/29".parse().ok();
    let new = NewLoadBalancer {
        id: LB.to_owned(),
        name: LB.to_owned(),
        kind: Network::Open,
        subnet_id: String::new(),
        tags: BTreeMap::new(),
        pass_to_target: true,
        vpc_id: None,
        vip: None,
        more: More::default(),
    };
    model.add_load_balancer(&call(0), new).unwrap();
    model.settle(500);
    model
        .begin(&call(500), LB, Effect::AddListeners(vec![listener()]))
        .unwrap();
    model.settle(1000);
    model
}

fn key(port: u16) -> TargetKey {
    TargetKey::layer4(LISTENER, ([10, 1, 0, 1], port).into())
}

fn bind_one(port: u16, weight: u8) -> Effect {
    Effect::Bind(vec![Binding {
        key: key(port),
        weight,
        tag: None,
    }])
}

fn weights(model: &Model) -> BTreeMap<u16, u8> {
    let targets = &model.listener(LB, LISTENER).unwrap().targets;
    targets
        .iter()
        .map(|(address, target)| (address.port(), target.weight))
        .collect()
}

#[test]
fn a_write_locks_until_it_takes_effect() {
    let mut model = model();
    model.begin(&call(1000), LB, bind_one(1, 10)).unwrap();
    assert_eq!(model.next_due(), Some(1000 + TASK_MS));
    let refusal = model
        .begin(&call(1000 + TASK_MS - 1), LB, bind_one(2, 10))
        .unwrap_err();
    assert_eq!(refusal.code, code::BUSY);
    assert_eq!(
        refusal.message,
        "Loadbalancer(lb-a) is not in normal desState, maybe some tasks are being processed, please try later."
    );
    model.settle(1000 + TASK_MS - 1);
    assert!(weights(&model).is_empty());
    model.settle(1000 + TASK_MS);
    assert_eq!(weights(&model), BTreeMap::from([(1, 10)]));
    assert!(model.writable(&call(1000), LB).is_ok());
}

#[test]
fn a_probe_of_an_earlier_binding_does_not_count() {
    let mut model = model();
    let health = |model: &Model| -> (u64, Health) {
        let target = &model.listener(LB, LISTENER).unwrap().targets[&key(1).address];
        (target.generation, target.health)
    };
    model.begin(&call(1000), LB, bind_one(1, 10)).unwrap();
    model.settle(2000);
    let (old, _) = health(&model);
    model
        .begin(&call(2000), LB, Effect::Unbind(vec![key(1)]))
        .unwrap();
    model.settle(3000);
    model.begin(&call(3000), LB, bind_one(1, 10)).unwrap();
    model.settle(4000);
    let (new, _) = health(&model);
    assert_ne!(old, new);
    (0..3).for_each(|_| model.record_probe(LB, &key(1), old, true));
    assert_eq!(health(&model).1.verdict, Verdict::Unknown);
    (0..3).for_each(|_| model.record_probe(LB, &key(1), new, true));
    assert_eq!(health(&model).1.verdict, Verdict::Alive);
}

#[test]
fn a_probe_that_was_under_way_when_health_was_foretold_does_not_count() {
    let mut model = model();
    model.begin(&call(1000), LB, bind_one(1, 10)).unwrap();
    model.settle(2000);
    let target = |model: &Model| {
        let target = &model.listener(LB, LISTENER).unwrap().targets[&key(1).address];
        (target.generation, target.health.verdict)
    };
    let (generation, _) = target(&model);
    model.foretell([(key(1).address, Some(5000))], 2000);
    assert_eq!(model.next_due(), Some(5000));
    for _ in 0..3 {
        model.record_probe(LB, &key(1), generation, true);
    }
    assert_eq!(target(&model).1, Verdict::Unknown);
    model.settle(4999);
    assert_eq!(target(&model).1, Verdict::Unknown);
    model.settle(5000);
    assert_eq!((target(&model).1, model.next_due()), (Verdict::Alive, None));
}

#[test]
fn the_pool_runs_dry() {
    let mut model = model();
    let mut made = 1;
    loop {
        let new = NewLoadBalancer {
            id: format!("lb-{made}"),
            name: String::new(),
            kind: Network::Open,
            subnet_id: String::new(),
            tags: BTreeMap::new(),
            pass_to_target: false,
            vpc_id: None,
            vip: None,
            more: More::default(),
        };
        match model.add_load_balancer(&call(2000), new) {
            Ok(()) => made += 1,
            Err(refusal) => {
                assert_eq!(
                    (refusal.code.as_str(), made),
                    (code::RESOURCE_INSUFFICIENT, 6)
                );
                return;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Bind(u16, u8),
    Unbind(u16),
    Weigh(u16, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u16..6, 0_u8..=100).prop_map(|(port, weight)| Step::Bind(port, weight)),
        (1_u16..6).prop_map(Step::Unbind),
        (1_u16..6, 0_u8..=100).prop_map(|(port, weight)| Step::Weigh(port, weight)),
    ]
}

proptest! {
    #[test]
    fn writes_do_what_a_map_would(steps in prop::collection::vec((step(), 0_i64..250), 1..60)) {
        let mut model = model();
        let mut wanted = BTreeMap::new();
        let mut now = 1000;
        for (step, wait) in steps {
            now += wait;
            model.settle(now);
            let effect = match step {
                Step::Bind(port, weight) => bind_one(port, weight),
                Step::Unbind(port) => Effect::Unbind(vec![key(port)]),
                Step::Weigh(port, weight) => Effect::Weigh(vec![(key(port), weight)]),
            };
            if model.begin(&call(now), LB, effect).is_ok() {
                match step {
                    Step::Bind(port, weight) => drop(wanted.insert(port, weight)),
                    Step::Unbind(port) => drop(wanted.remove(&port)),
                    Step::Weigh(port, weight) => drop(wanted.get_mut(&port).map(|old| *old = weight)),
                }
            }
        }
        let saved = serde_json::to_vec(&model).unwrap();
        model.settle(now + TASK_MS);
        prop_assert_eq!(weights(&model), wanted.clone());
        let mut loaded: Model = serde_json::from_slice(&saved).unwrap();
        loaded.settle(now + TASK_MS);
        prop_assert_eq!(weights(&loaded), wanted, "a saved model goes on where it was");
    }
}
