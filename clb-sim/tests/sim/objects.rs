//! Rules, changes and deletions: what the API keeps as objects, in virtual time.

use crate::support::{LB, VirtualClb};
use clb_sim::{
    Behaviour, Config, Delays, InitialLoadBalancer, OnAbsent, OnReregister, Quotas, Visible,
};
use serde_json::{Value, json};

fn clb() -> VirtualClb {
    VirtualClb::new(|config| config)
}

fn behaving(behaviour: Behaviour) -> VirtualClb {
    VirtualClb::new(|config| Config {
        behaviour,
        ..config
    })
}

fn web(clb: &VirtualClb) -> String {
    clb.listener(json!({ "Ports": [80], "Protocol": "HTTP" }))
}

fn rule(domain: &str, url: &str) -> Value {
    json!({ "Domain": domain, "Url": url })
}

async fn create_rules(clb: &VirtualClb, listener: &str, rules: Value) -> Vec<String> {
    let body = json!({ "LoadBalancerId": LB, "ListenerId": listener, "Rules": rules });
    let made = clb.ok("CreateRule", body).await;
    let ids = made["LocationIds"].as_array().unwrap();
    ids.iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

fn eni(number: u8) -> Value {
    json!({ "EniIp": format!("10.0.0.{number}"), "Port": 80 })
}

#[tokio::test(start_paused = true)]
async fn targets_of_layer_7_hang_on_rules() {
    let clb = clb();
    let listener = web(&clb);
    let rules = create_rules(
        &clb,
        &listener,
        json!([rule("a.com", "/"), rule("a.com", "/x")]),
    )
    .await;
    let by_name = json!({
        "LoadBalancerId": LB, "ListenerId": listener, "Domain": "a.com", "Url": "/x", "Targets": [eni(1)],
    });
    clb.ok("RegisterTargets", by_name).await;
    let batch = |location: Value| {
        let target = json!({ "ListenerId": listener, "LocationId": location, "EniIp": "10.0.0.2", "Port": 80, "Tag": "t" });
        json!({ "LoadBalancerId": LB, "Targets": [target] })
    };
    assert_eq!(
        clb.refused("BatchRegisterTargets", batch(Value::Null))
            .await,
        "MissingParameter"
    );
    let nowhere = batch(json!("loc-none0000"));
    assert_eq!(
        clb.refused("BatchRegisterTargets", nowhere).await,
        "InvalidParameter.LocationNotFound"
    );
    clb.ok("BatchRegisterTargets", batch(json!(rules[0]))).await;

    let bound = clb
        .ok("DescribeTargets", json!({ "LoadBalancerId": LB }))
        .await;
    let shown = &bound["Listeners"][0];
    assert!(shown["Targets"].is_null());
    assert_eq!(
        shown["Rules"][0]["Targets"][0]["PrivateIpAddresses"][0],
        "10.0.0.2"
    );
    assert_eq!(shown["Rules"][1]["LocationId"], rules[1].as_str());
    let filter = json!([{ "Name": "location-id", "Values": [rules[1]] }]);
    let one = clb
        .ok(
            "DescribeTargets",
            json!({ "LoadBalancerId": LB, "Filters": filter }),
        )
        .await;
    assert_eq!(one["Listeners"][0]["Rules"].as_array().unwrap().len(), 1);

    clb.sleep_s(60).await;
    let asked = json!({ "LoadBalancerIds": [LB], "LocationIds": [rules[0]] });
    let health = clb.ok("DescribeTargetHealth", asked).await;
    let rule = &health["LoadBalancers"][0]["Listeners"][0]["Rules"][0];
    assert_eq!(
        (&rule["Domain"], &rule["Url"]),
        (&json!("a.com"), &json!("/"))
    );
    assert_eq!(rule["Targets"][0]["HealthStatusDetail"], "Alive");

    let tags = json!({ "LoadBalancerId": LB, "ModifyList": [
        { "ListenerId": listener, "LocationId": rules[0], "Targets": [{ "EniIp": "10.0.0.2", "Port": 80 }], "Tag": "u" },
    ] });
    clb.ok("BatchModifyTargetTag", tags).await;
    let weights = json!({ "LoadBalancerId": LB, "ModifyList": [
        { "ListenerId": listener, "LocationId": rules[0], "Targets": [eni(2)], "Weight": 0 },
    ] });
    clb.ok("BatchModifyTargetWeight", weights).await;
    let target =
        clb.clb.state()["load_balancers"][0]["listeners"][0]["rules"][0]["targets"][0].clone();
    assert_eq!(
        (&target["tag"], &target["weight"]),
        (&json!("u"), &json!(0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_with_rules_has_one_default_domain() {
    let clb = clb();
    let listener = web(&clb);
    let rules = create_rules(
        &clb,
        &listener,
        json!([rule("a.com", "/"), rule("b.com", "/")]),
    )
    .await;
    let on = |more: Value| {
        let mut body = json!({ "LoadBalancerId": LB, "ListenerId": listener });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let delete = on(json!({ "LocationIds": [rules[0]] }));
    assert_eq!(clb.refused("DeleteRule", delete).await, "InvalidParameter");
    let twice = on(json!({ "Rules": [rule("b.com", "/")] }));
    assert_eq!(
        clb.refused("CreateRule", twice).await,
        "InvalidParameterValue.Duplicate"
    );
    let change = on(json!({ "LocationId": rules[1], "Url": "/new", "Scheduler": "IP_HASH" }));
    clb.ok("ModifyRule", change).await;
    let delete = on(json!({ "Domain": "a.com", "NewDefaultServerDomain": "b.com" }));
    clb.ok("DeleteRule", delete).await;
    let shown = clb
        .ok("DescribeListeners", json!({ "LoadBalancerId": LB }))
        .await;
    let left = &shown["Listeners"][0]["Rules"];
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &left[0]["Url"],
            &left[0]["DefaultServer"],
            &left[0]["Scheduler"]
        ),
        (&json!("/new"), &json!(true), &json!("IP_HASH"))
    );
    assert_eq!(left[0]["HealthCheck"]["HttpCheckDomain"], "b.com");
    clb.clb.set_quotas(Quotas {
        rules: 1,
        ..Quotas::default()
    });
    let more = on(json!({ "Rules": [rule("c.com", "/")] }));
    assert_eq!(clb.refused("CreateRule", more).await, "LimitExceeded");
    let quota = clb.ok("DescribeQuota", json!({})).await;
    let rules_quota = &quota["QuotaSet"][3];
    assert_eq!(rules_quota["QuotaId"], "TOTAL_LISTENER_RULE_QUOTA");
    assert_eq!(rules_quota["QuotaLimit"], 1);
}

#[tokio::test(start_paused = true)]
async fn listeners_change_and_go() {
    let clb = clb();
    for port in [80, 81, 82] {
        clb.listener(json!({ "Ports": [port], "Protocol": "TCP" }));
    }
    let shown = clb
        .ok("DescribeListeners", json!({ "LoadBalancerId": LB }))
        .await;
    let first = shown["Listeners"][0]["ListenerId"]
        .as_str()
        .unwrap()
        .to_owned();
    let change = json!({
        "LoadBalancerId": LB, "ListenerId": first, "ListenerName": "new", "Scheduler": "LEAST_CONN",
        "HealthCheck": { "IntervalTime": 7, "HealthNum": 2 },
    });
    clb.ok("ModifyListener", change).await;
    let one = clb
        .ok(
            "DescribeListeners",
            json!({ "LoadBalancerId": LB, "Port": 80 }),
        )
        .await;
    let one = &one["Listeners"][0];
    assert_eq!(
        (&one["ListenerName"], &one["HealthCheck"]["IntervalTime"]),
        (&json!("new"), &json!(7))
    );
    clb.ok(
        "DeleteLoadBalancerListeners",
        json!({ "LoadBalancerId": LB, "ListenerIds": [first] }),
    )
    .await;
    let left = clb
        .ok("DescribeListeners", json!({ "LoadBalancerId": LB }))
        .await;
    assert_eq!(left["TotalCount"], 2);
    clb.ok(
        "DeleteLoadBalancerListeners",
        json!({ "LoadBalancerId": LB, "ListenerIds": [] }),
    )
    .await;
    let left = clb
        .ok("DescribeListeners", json!({ "LoadBalancerId": LB }))
        .await;
    assert_eq!(left["TotalCount"], 0, "an empty list deletes all");
}

#[tokio::test(start_paused = true)]
async fn load_balancers_are_not_deleted_lightly() {
    let clb = behaving(Behaviour {
        traffic_mbps: 11,
        ..Behaviour::default()
    });
    let listener = clb.listener(json!({ "Ports": [80], "Protocol": "TCP" }));
    let delete = json!({ "LoadBalancerIds": [LB] });
    let bind = |range: std::ops::Range<u8>| {
        let targets: Vec<Value> = range.map(eni).collect();
        json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": targets })
    };
    clb.ok("RegisterTargets", bind(1..2)).await;
    assert_eq!(
        clb.refused("DeleteLoadBalancer", delete.clone()).await,
        "FailedOperation.TrafficCheckRisk"
    );
    clb.ok("RegisterTargets", bind(2..21)).await;
    assert_eq!(
        clb.refused("DeleteLoadBalancer", delete.clone()).await,
        "FailedOperation.TargetNumCheckRisk"
    );
    let protect =
        |on: bool| json!({ "LoadBalancerId": LB, "DeleteProtect": on, "LoadBalancerName": "kept" });
    clb.ok("ModifyLoadBalancerAttributes", protect(true)).await;
    let force = json!({ "LoadBalancerIds": [LB], "ForceDelete": true });
    assert_eq!(
        clb.refused("DeleteLoadBalancer", force.clone()).await,
        "OperationDenied"
    );
    clb.ok("ModifyLoadBalancerAttributes", protect(false)).await;
    clb.ok("DeleteLoadBalancer", force).await;
    assert_eq!(clb.clb.state()["load_balancers"], json!([]));
    for round in 0..2 {
        let order = json!({ "LoadBalancerType": "OPEN", "Number": 15 });
        let made = clb.clb.operate("CreateLoadBalancer", &order).unwrap();
        let delete = json!({ "LoadBalancerIds": made["LoadBalancerIds"] });
        if round == 0 {
            clb.ok("DeleteLoadBalancer", delete).await;
        } else {
            let code = clb.refused("DeleteLoadBalancer", delete.clone()).await;
            assert_eq!(code, "FailedOperation.FrequencyCheckRisk");
            clb.sleep_s(300).await;
            clb.ok("DeleteLoadBalancer", delete).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn classic_and_foreign_load_balancers_refuse_what_they_must() {
    let clb = VirtualClb::new(|mut config| {
        for (id, classic, vpc) in [
            ("lb-classic1", true, None),
            ("lb-foreign1", false, Some("vpc-else")),
        ] {
            config.load_balancers.push(InitialLoadBalancer {
                id: id.to_owned(),
                name: id.to_owned(),
                classic,
                vpc_id: vpc.map(str::to_owned),
                ..InitialLoadBalancer::default()
            });
        }
        config
    });
    let create = |id: &str| json!({ "LoadBalancerId": id, "Ports": [80], "Protocol": "TCP" });
    assert_eq!(
        clb.refused("CreateListener", create("lb-classic1")).await,
        "UnsupportedOperation"
    );
    let made = clb.ok("CreateListener", create("lb-foreign1")).await;
    let bind = json!({ "LoadBalancerId": "lb-foreign1", "ListenerId": made["ListenerIds"][0], "Targets": [eni(1)] });
    assert_eq!(
        clb.refused("RegisterTargets", bind.clone()).await,
        "InvalidParameterValue"
    );
    let region = json!({ "Region": "ap-guangzhou", "VpcId": "vpc-demo0001" });
    clb.ok(
        "ModifyLoadBalancerAttributes",
        json!({ "LoadBalancerId": "lb-foreign1", "TargetRegionInfo": region }),
    )
    .await;
    clb.ok("RegisterTargets", bind).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_documented_can_be_chosen() {
    let clb = behaving(Behaviour {
        on_reregister: OnReregister::Duplicate,
        on_absent_deregister: OnAbsent::Error,
        create_without_ids: true,
        domain_for_vip: true,
        batch_without_task: true,
        ..Behaviour::default()
    });
    let listener = clb.listener(json!({ "Ports": [80], "Protocol": "TCP" }));
    let one = json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [eni(1)] });
    assert_eq!(
        clb.refused("DeregisterTargets", one.clone()).await,
        "InvalidParameterValue"
    );
    clb.ok("RegisterTargets", one.clone()).await;
    assert_eq!(
        clb.refused("RegisterTargets", one).await,
        "InvalidParameterValue.Duplicate"
    );
    let other = json!({ "ListenerId": listener, "EniIp": "10.0.0.9", "Port": 80 });
    let done = clb
        .ok(
            "BatchRegisterTargets",
            json!({ "LoadBalancerId": LB, "Targets": [other] }),
        )
        .await;
    let task = json!({ "TaskId": done["RequestId"] });
    assert_eq!(
        clb.refused("DescribeTaskStatus", task).await,
        "InvalidParameter"
    );
    clb.clb.set_delays(Delays {
        task_ms: 1000,
        ..Delays::default()
    });
    let order = json!({ "LoadBalancerType": "OPEN", "ClientToken": "t", "AddressIPVersion": "IPv6FullChain" });
    let made = clb.ok("CreateLoadBalancer", order.clone()).await;
    assert_eq!(made["LoadBalancerIds"], json!([]));
    clb.sleep_s(1).await;
    let again = clb.ok("CreateLoadBalancer", order).await;
    let id = &again["LoadBalancerIds"][0];
    let found = clb
        .ok("DescribeLoadBalancers", json!({ "LoadBalancerIds": [id] }))
        .await;
    let found = &found["LoadBalancerSet"][0];
    assert_eq!(found["LoadBalancerVips"], json!([]));
    assert_eq!(found["AddressIPVersion"], "IPv6FullChain");
    assert!(
        found["LoadBalancerDomain"]
            .as_str()
            .unwrap()
            .starts_with(id.as_str().unwrap())
    );
    clb.clb.set_behaviour(Behaviour {
        bind_visible: Visible::AtOnce,
        ..Behaviour::default()
    });
    let seen = json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [eni(2)] });
    clb.ok("RegisterTargets", seen.clone()).await;
    let targets = clb.clb.state()["load_balancers"].to_string();
    assert!(targets.contains("10.0.0.2"), "seen before the task is done");
    assert_eq!(
        clb.refused("RegisterTargets", seen).await,
        "FailedOperation.ResourceInOperating"
    );
}

#[tokio::test(start_paused = true)]
async fn writes_fail_in_every_way() {
    let clb = clb();
    let listener = clb.listener(json!({ "Ports": [80], "Protocol": "TCP" }));
    let count = || {
        let state = clb.clb.state();
        state["load_balancers"][0]["listeners"][0]["targets"]
            .as_array()
            .unwrap()
            .len()
    };
    let fault = |fault: Value| clb.clb.add_fault(&fault).unwrap();
    let one = json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [eni(1)] });
    fault(json!({ "action": "RegisterTargets", "task_failure": { "message": null } }));
    let task = clb.ok("RegisterTargets", one.clone()).await["RequestId"].clone();
    let status = clb
        .ok("DescribeTaskStatus", json!({ "TaskId": task }))
        .await;
    assert_eq!(
        (&status["Status"], &status["Message"]),
        (&json!(1), &Value::Null)
    );
    fault(json!({ "action": "RegisterTargets", "silent": true }));
    clb.ok("RegisterTargets", one.clone()).await;
    fault(json!({ "action": "RegisterTargets", "drop_request": true }));
    assert_eq!(clb.try_call("RegisterTargets", &one).await, None);
    let batch = json!({ "LoadBalancerId": LB, "Targets": [{ "ListenerId": listener, "EniIp": "10.0.0.3", "Port": 1 }] });
    fault(json!({ "action": "*", "partial": [] }));
    let answer = clb.ok("BatchRegisterTargets", batch).await;
    assert_eq!(answer["FailListenerIdSet"], json!([listener]));
    assert_eq!(count(), 0, "none of these bound anything");
    fault(json!({ "action": "*", "throttle": true, "for_ms": 100 }));
    assert_eq!(
        clb.refused("RegisterTargets", one.clone()).await,
        "RequestLimitExceeded"
    );
    clb.sleep_s(1).await;
    clb.ok("RegisterTargets", one).await;
    let writer = json!({ "load_balancer": LB, "listener": listener, "every_ms": 1000, "tag": "theirs", "seed": 3 });
    clb.clb.add_foreign_writer(&writer).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        clb.sleep_s(1).await;
        seen.insert(count());
    }
    assert!(
        seen.len() >= 3 && !seen.contains(&0),
        "it adds and removes, but not ours: {seen:?}"
    );
    clb.clb.clear_faults();
    let settled = count();
    clb.sleep_s(60).await;
    assert_eq!(count(), settled);
}
