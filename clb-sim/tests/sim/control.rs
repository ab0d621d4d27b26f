//! The API's rules, one by one.

use crate::support::{LB, Sim, batch_target, config, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn eni(number: u16) -> Value {
    json!({ "EniIp": "10.0.0.1", "Port": number })
}

#[tokio::test]
async fn load_balancers_are_created_found_by_tag_and_not_made_twice() {
    let sim = Sim::start(config(1)).await;
    let order = json!({
        "LoadBalancerType": "OPEN", "LoadBalancerName": "shop", "ClientToken": "t1",
        "Tags": [{ "TagKey": "owner", "TagValue": "me" }],
    });
    let made = sim.done("CreateLoadBalancer", order.clone()).await;
    let again = sim.ok("CreateLoadBalancer", order).await;
    assert_eq!(made["LoadBalancerIds"], again["LoadBalancerIds"]);
    let filter = json!({ "Filters": [{ "Name": "tag:owner", "Values": ["me"] }] });
    let found = sim.ok("DescribeLoadBalancers", filter).await;
    assert_eq!(found["TotalCount"], 1);
    assert_eq!(
        found["LoadBalancerSet"][0]["LoadBalancerId"],
        made["LoadBalancerIds"][0]
    );
    assert_eq!(found["LoadBalancerSet"][0]["Status"], 1);
    let both = sim
        .ok(
            "DescribeLoadBalancers",
            json!({ "LoadBalancerIds": [LB, "lb-none0000"] }),
        )
        .await;
    assert_eq!(both["TotalCount"], 1, "unknown ids are left out");
    let page = sim
        .ok("DescribeLoadBalancers", json!({ "Offset": 1, "Limit": 1 }))
        .await;
    assert_eq!(
        (
            &page["TotalCount"],
            page["LoadBalancerSet"].as_array().unwrap().len()
        ),
        (&json!(2), 1)
    );
}

#[tokio::test]
async fn a_busy_load_balancer_refuses_other_writes_until_its_task_is_done() {
    let mut slow = config(2);
    slow.delays.task_ms = 60_000;
    let sim = Sim::start(slow).await;
    let create = |port: u16| json!({ "LoadBalancerId": LB, "Ports": [port], "Protocol": "TCP" });
    let first = sim.ok("CreateListener", create(80)).await;
    let task = json!({ "TaskId": first["RequestId"] });
    assert_eq!(sim.ok("DescribeTaskStatus", task).await["Status"], 2);
    assert_eq!(
        sim.refused("CreateListener", create(81)).await,
        "FailedOperation.ResourceInOperating"
    );
    let listeners = sim
        .ok("DescribeListeners", json!({ "LoadBalancerId": LB }))
        .await;
    assert_eq!(
        listeners["TotalCount"], 0,
        "not there before the task is done"
    );
}

#[tokio::test]
async fn a_port_belongs_to_one_listener() {
    let sim = Sim::start(config(3)).await;
    let create =
        |protocol: &str| json!({ "LoadBalancerId": LB, "Ports": [8080], "Protocol": protocol });
    sim.done("CreateListener", create("HTTP")).await;
    assert_eq!(
        sim.refused("CreateListener", create("TCP")).await,
        "InvalidParameter.PortCheckFailed"
    );
    sim.done("CreateListener", create("UDP")).await;
    let all = sim
        .ok("DescribeListeners", json!({ "LoadBalancerId": LB }))
        .await;
    assert_eq!(all["TotalCount"], 2);
    let http = all["Listeners"][0]["ListenerId"].clone();
    let register = json!({ "LoadBalancerId": LB, "ListenerId": http, "Targets": [eni(80)] });
    assert_eq!(
        sim.refused("RegisterTargets", register).await,
        "MissingParameter"
    );
    sim.done(
        "DeleteListener",
        json!({ "LoadBalancerId": LB, "ListenerId": http }),
    )
    .await;
    sim.done("CreateListener", create("TCP")).await;
}

#[tokio::test]
async fn calls_of_more_than_the_api_takes_are_refused() {
    let sim = Sim::start(config(4)).await;
    let listener = sim.listener(80, json!({})).await;
    let many = |count: u16| -> Vec<Value> { (1..=count).map(eni).collect() };
    let one_listener =
        |count| json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": many(count) });
    let batch = |count: u16| {
        let target = |port: u16| batch_target(&listener, SocketAddr::from(([10, 0, 0, 1], port)));
        json!({ "LoadBalancerId": LB, "Targets": (1..=count).map(target).collect::<Vec<_>>() })
    };
    let weights = |items: u16, each: u16| {
        let item = json!({ "ListenerId": listener, "Targets": many(each) });
        json!({ "LoadBalancerId": LB, "ModifyList": vec![item; items.into()] })
    };
    let ids =
        |name: &str, count: usize| json!({ "LoadBalancerId": LB, name: vec!["lbl-x"; count] });
    let cases = [
        ("RegisterTargets", one_listener(21)),
        ("DeregisterTargets", one_listener(21)),
        ("BatchRegisterTargets", batch(501)),
        ("BatchDeregisterTargets", batch(501)),
        ("BatchModifyTargetWeight", weights(101, 1)),
        ("BatchModifyTargetWeight", weights(1, 51)),
        ("BatchModifyTargetWeight", weights(11, 50)),
        ("DescribeTargets", ids("ListenerIds", 21)),
        ("DescribeListeners", ids("ListenerIds", 101)),
        (
            "DescribeTargetHealth",
            json!({ "LoadBalancerIds": vec![LB; 31] }),
        ),
        (
            "DescribeLoadBalancers",
            json!({ "LoadBalancerIds": vec![LB; 21] }),
        ),
        (
            "CreateListener",
            json!({ "LoadBalancerId": LB, "Protocol": "TCP", "Ports": (1..=51).collect::<Vec<_>>() }),
        ),
    ];
    for (action, body) in cases {
        assert_eq!(
            sim.refused(action, body).await,
            "InvalidParameterValue.Length",
            "{action}"
        );
    }
    assert_eq!(
        sim.refused("BatchRegisterTargets", batch(201)).await,
        "LimitExceeded",
        "quota of a listener"
    );
    sim.ok("BatchRegisterTargets", batch(200)).await;
}

#[tokio::test]
async fn targets_are_named_by_exactly_one_address_the_vpc_knows() {
    let mut config = config(5);
    config.reachable = vec!["10.0.0.0/16".parse().unwrap()];
    let sim = Sim::start(config).await;
    let listener = sim.listener(80, json!({})).await;
    let register = |target: Value| json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [target] });
    let cases = [
        (json!({ "Port": 80 }), "MissingParameter"),
        (
            json!({ "Port": 80, "EniIp": "10.0.0.1", "InstanceId": "ins-1" }),
            "InvalidParameter",
        ),
        (
            json!({ "Port": 80, "InstanceId": "ins-1" }),
            "InvalidParameterValue",
        ),
        (
            json!({ "Port": 80, "EniIp": "10.1.0.1" }),
            "InvalidParameterValue",
        ),
        (
            json!({ "Port": 80, "EniIp": "pod" }),
            "InvalidParameterValue",
        ),
        (
            json!({ "Port": 0, "EniIp": "10.0.0.1" }),
            "InvalidParameterValue",
        ),
        (
            json!({ "Port": 80, "EniIp": "10.0.0.1", "Weight": 101 }),
            "InvalidParameterValue",
        ),
        (
            json!({ "Port": 80, "EniIp": "10.0.0.1", "Colour": 1 }),
            "UnknownParameter",
        ),
        (json!({ "EniIp": "10.0.0.1" }), "MissingParameter"),
    ];
    for (target, code) in cases {
        assert_eq!(
            sim.refused("RegisterTargets", register(target.clone()))
                .await,
            code,
            "{target}"
        );
    }
    let twice =
        json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [eni(1), eni(1)] });
    assert_eq!(
        sim.refused("RegisterTargets", twice).await,
        "InvalidParameterValue.Duplicate"
    );
    sim.done("RegisterTargets", register(eni(80))).await;
}

#[tokio::test]
async fn registering_again_overwrites_weight_and_tag() {
    let sim = Sim::start(config(6)).await;
    let listener = sim.listener(80, json!({})).await;
    for (weight, tag) in [(5, "one"), (7, "two")] {
        let target = json!({ "EniIp": "10.0.0.1", "Port": 80, "Weight": weight, "Tag": tag });
        let body = json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [target] });
        sim.done("RegisterTargets", body).await;
    }
    let by_tag = |tag: &str| json!({ "LoadBalancerId": LB, "Filters": [{ "Name": "tag", "Values": [tag] }] });
    let found = sim.ok("DescribeTargets", by_tag("two")).await;
    let target = &found["Listeners"][0]["Targets"][0];
    assert_eq!(
        (&target["Weight"], &target["PrivateIpAddresses"][0]),
        (&json!(7), &json!("10.0.0.1"))
    );
    assert!(found["Listeners"][0]["Rules"].is_null());
    let none = sim.ok("DescribeTargets", by_tag("one")).await;
    assert!(none["Listeners"][0]["Targets"].is_null());
}

#[tokio::test]
async fn a_batch_names_the_listeners_it_could_not_serve() {
    let sim = Sim::start(config(7)).await;
    let listener = sim.listener(80, json!({})).await;
    let at = SocketAddr::from(([10, 0, 0, 1], 80));
    let targets = json!([
        batch_target(&listener, at),
        batch_target("lbl-none0000", at)
    ]);
    let answer = sim
        .ok(
            "BatchRegisterTargets",
            json!({ "LoadBalancerId": LB, "Targets": targets }),
        )
        .await;
    assert_eq!(answer["FailListenerIdSet"], json!(["lbl-none0000"]));
    assert_eq!(sim.health(&listener).await.len(), 1);
    let none = json!({ "LoadBalancerId": LB, "Targets": [batch_target("lbl-none0000", at)] });
    assert_eq!(
        sim.refused("BatchRegisterTargets", none).await,
        "InvalidParameter.ListenerIdNotFound"
    );
}

#[tokio::test]
async fn the_gateway_refuses_strangers_and_the_impatient() {
    let mut strict = config(8);
    strict.rate = 3;
    let mut sim = Sim::start(strict).await;
    assert_eq!(
        sim.refused("DescribeNothing", json!({})).await,
        "InvalidAction"
    );
    assert_eq!(
        sim.refused(
            "DescribeTargets",
            json!({ "LoadBalancerId": "lb-none0000" })
        )
        .await,
        "InvalidParameter.LBIdNotFound"
    );
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(
            sim.refused("DescribeTaskStatus", json!({ "TaskId": "none" }))
                .await,
        );
    }
    assert!(
        codes.contains(&"RequestLimitExceeded".to_owned()),
        "{codes:?}"
    );
    sim.key = "wrong".to_owned();
    assert_eq!(
        sim.refused("DescribeListeners", json!({})).await,
        "AuthFailure.SignatureFailure"
    );
}

#[tokio::test]
async fn faults_hit_and_calls_are_counted() {
    let sim = Sim::start(config(9)).await;
    let error = r#"{"action":"DescribeListeners","error":{"code":"InternalError","message":"x"}}"#;
    assert_eq!(sim.operator("POST", "/_sim/faults", error).await.0, 200);
    let read = json!({ "LoadBalancerId": LB });
    assert_eq!(
        sim.refused("DescribeListeners", read.clone()).await,
        "InternalError"
    );
    sim.ok("DescribeListeners", read.clone()).await;
    let lost = r#"{"action":"CreateListener","drop_answer":true}"#;
    sim.operator("POST", "/_sim/faults", lost).await;
    let create = json!({ "LoadBalancerId": LB, "Ports": [80], "Protocol": "TCP" });
    assert!(
        sim.try_answer("CreateListener", &create).await.is_none(),
        "no answer"
    );
    eventually("the effect all the same", || async {
        sim.ok("DescribeListeners", read.clone()).await["TotalCount"] == 1
    })
    .await;
    let (_, calls) = sim.operator("GET", "/_sim/calls", "").await;
    assert_eq!(calls["calls"]["DescribeListeners"]["InternalError"], 1);
    assert_eq!(calls["calls"]["CreateListener"]["(dropped)"], 1);
    sim.operator("POST", "/_sim/reset-calls", "").await;
    assert_eq!(
        sim.operator("GET", "/_sim/calls", "").await.1["calls"],
        json!({})
    );
    assert_eq!(
        sim.operator("POST", "/_sim/faults", r#"{"action":"Nope"}"#)
            .await
            .0,
        400
    );
    assert_eq!(sim.operator("GET", "/_sim/nope", "").await.0, 404);
}

#[tokio::test]
async fn the_state_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = config(10);
    kept.state = Some(folder.path().join("state.json"));
    let sim = Sim::start(kept.clone()).await;
    let listener = sim.listener(80, json!({ "ListenerNames": ["web"] })).await;
    sim.bind(&listener, &[([10, 0, 0, 1], 80).into()]).await;
    sim.handle.shutdown().await.unwrap();
    let sim = Sim::start(kept).await;
    let found = sim
        .ok("DescribeListeners", json!({ "LoadBalancerId": LB }))
        .await;
    assert_eq!(found["Listeners"][0]["ListenerName"], "web");
    assert_eq!(sim.health(&listener).await, ["Unknown"]);
}

#[tokio::test]
async fn tags_can_be_ignored() {
    let mut config = config(11);
    config.behaviour.ignore_tags = true;
    let sim = Sim::start(config).await;
    let listener = sim.listener(80, json!({})).await;
    let target = json!({ "EniIp": "10.0.0.1", "Port": 80, "Tag": "mine" });
    sim.done(
        "RegisterTargets",
        json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [target] }),
    )
    .await;
    let found = sim
        .ok("DescribeTargets", json!({ "LoadBalancerId": LB }))
        .await;
    assert!(found["Listeners"][0]["Targets"][0]["Tag"].is_null());
}
