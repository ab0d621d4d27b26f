//! Reads the documentation's own answers, and writes the requests it shows.

use crate::support::{Api, Reply, ok};
use clb::{
    BatchTarget, Client, CreateListener, CreateLoadBalancer, HealthCheck, HealthState, ListenerId,
    ListenerQuery, LoadBalancerId, LoadBalancerType, LocationId, ModifyWeight, Protocol, Target,
    Task, TaskStatus,
};
use serde_json::json;
use std::net::IpAddr;

macro_rules! sample {
    ($action:literal) => {
        Reply::Body(include_str!(concat!("../samples/", $action, ".json")).to_owned())
    };
}

fn lb() -> LoadBalancerId {
    LoadBalancerId::new("lb-demo0001")
}

async fn answering(reply: Reply) -> (Api, Client) {
    let api = Api::new([reply]).await;
    let client = api.client();
    (api, client)
}

#[tokio::test]
async fn load_balancers() {
    let (api, client) = answering(sample!("DescribeLoadBalancers")).await;
    let found = client.describe_load_balancers(&[lb()]).await.unwrap();
    assert_eq!(found.len(), 1);
    let one = &found[0];
    assert!(one.is_normal());
    assert_eq!(one.load_balancer_vips.len(), 1);
    assert_eq!(one.address_ip_version.as_deref(), Some("ipv4"));
    assert_eq!(
        (one.tags.len(), one.load_balancer_pass_to_target),
        (1, Some(false))
    );
    let region = one
        .target_region_info
        .as_ref()
        .and_then(|info| info.region.as_deref());
    assert_eq!(region, Some("ap-guangzhou"));
    assert_eq!(
        api.requests()[0].body,
        json!({"LoadBalancerIds": ["lb-demo0001"], "Limit": 20})
    );
}

#[tokio::test]
async fn listeners() {
    let (api, client) = answering(sample!("DescribeListeners")).await;
    let query = ListenerQuery {
        protocol: Some(Protocol::Tcp),
        port: Some(333),
        ..ListenerQuery::default()
    };
    let found = client.describe_listeners(&lb(), &query).await.unwrap();
    let [one] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (one.listener_id.as_str(), &one.protocol, one.port),
        ("lbl-hd9nfp6o", &Protocol::Tcp, 333)
    );
    let check = one.health_check.as_ref().unwrap();
    assert_eq!(
        (check.health_switch, check.health_num, check.check_port),
        (Some(1), Some(3), None)
    );
    assert!(!check.is_off() && one.rules.is_empty());
    assert_eq!(
        api.requests()[0].body,
        json!({"LoadBalancerId": "lb-demo0001", "Protocol": "TCP", "Port": 333})
    );
}

#[tokio::test]
async fn targets_of_both_layers() {
    let (api, client) = answering(sample!("DescribeTargets")).await;
    let found = client.describe_targets(&lb(), &[]).await.unwrap();
    let [seven, four] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (
            seven.protocol.has_rules(),
            seven.targets.len(),
            seven.rules.len()
        ),
        (true, 0, 1)
    );
    assert_eq!(seven.rules[0].location_id, LocationId::new("loc-o9732aw0"));
    assert_eq!(
        (
            four.protocol.has_rules(),
            four.targets.len(),
            four.rules.len()
        ),
        (false, 1, 0)
    );
    let target = &four.targets[0];
    assert_eq!(target.address(), Some("172.16.0.12:666".parse().unwrap()));
    assert_eq!(
        (target.kind.as_str(), target.weight, &target.tag),
        ("cvm", Some(40), &None)
    );
    assert_eq!(
        api.requests()[0].body,
        json!({"LoadBalancerId": "lb-demo0001"})
    );
}

#[tokio::test]
async fn health_is_alive_only_where_flag_and_word_agree() {
    let (api, client) = answering(sample!("DescribeTargetHealth")).await;
    let found = client
        .describe_target_health(&[lb()], &[ListenerId::new("lbl-fs9naq76")])
        .await
        .unwrap();
    let tcp = found[0]
        .listeners
        .iter()
        .find(|listener| listener.listener_id.as_str() == "lbl-fs9naq76")
        .unwrap();
    let rule = &tcp.rules[0];
    assert_eq!(
        (&rule.domain, &rule.url, rule.location_id.is_some()),
        (&None, &None, true)
    );
    let states: Vec<_> = rule
        .targets
        .iter()
        .map(|target| (target.health_status, target.state()))
        .collect();
    assert_eq!(
        states,
        [
            (Some(false), HealthState::Dead),
            (Some(true), HealthState::Dead)
        ]
    );
    assert_eq!(
        rule.targets[1].address(),
        Some("172.16.0.12:80".parse().unwrap())
    );
    let body = json!({"LoadBalancerIds": ["lb-demo0001"], "ListenerIds": ["lbl-fs9naq76"]});
    assert_eq!(api.requests()[0].body, body);
}

#[tokio::test]
async fn health_in_all_its_spellings() {
    let cases = [
        (
            r#""HealthStatus":true,"HealthStatusDetail":"Alive""#,
            HealthState::Alive,
        ),
        (
            r#""HealthStatus":true,"HealthStatusDetial":"Alive""#,
            HealthState::Alive,
        ),
        (r#""HealthStatus":true"#, HealthState::Alive),
        (
            r#""HealthStatus":true,"HealthStatusDetail":null"#,
            HealthState::Alive,
        ),
        (
            r#""HealthStatus":false,"HealthStatusDetail":"Alive""#,
            HealthState::Unknown,
        ),
        (
            r#""HealthStatus":true,"HealthStatusDetail":"Dead","HealthStatusDetial":"Alive""#,
            HealthState::Dead,
        ),
        (
            r#""HealthStatus":true,"HealthStatusDetail":"Unknown""#,
            HealthState::Unknown,
        ),
        (
            r#""HealthStatus":true,"HealthStatusDetail":"Sleepy""#,
            HealthState::Unknown,
        ),
        (
            r#""HealthStatus":false,"HealthStatusDetail":"Close""#,
            HealthState::Close,
        ),
        (
            r#""HealthStatus":true,"HealthStatusDetail":"Close""#,
            HealthState::Close,
        ),
        (r#""HealthStatus":false"#, HealthState::Unknown),
        (r#""HealthStatus":null"#, HealthState::Unknown),
    ];
    let targets: Vec<String> = cases
        .iter()
        .map(|(fields, _)| format!(r#"{{"IP":"1.2.3.4","Port":1,{fields}}}"#))
        .collect();
    let rules = format!(r#"[{{"Targets":[{}]}}]"#, targets.join(","));
    let listeners = format!(r#"[{{"ListenerId":"lbl-1","Rules":{rules}}}]"#);
    let answer = ok(&format!(
        r#""LoadBalancers":[{{"LoadBalancerId":"lb-1","Listeners":{listeners}}}]"#
    ));
    let (_api, client) = answering(answer).await;
    let found = client.describe_target_health(&[lb()], &[]).await.unwrap();
    for (target, (fields, expected)) in found[0].listeners[0].rules[0].targets.iter().zip(cases) {
        assert_eq!(target.state(), expected, "{fields}");
    }
}

#[tokio::test]
async fn new_listeners_and_load_balancers() {
    let (api, client) = answering(sample!("CreateListener")).await;
    let health_check = HealthCheck {
        health_switch: Some(1),
        health_num: Some(2),
        ..HealthCheck::default()
    };
    let create = CreateListener {
        health_check: Some(health_check),
        ..CreateListener::new(lb(), Protocol::Tcp, 7570, "clb-gate/x")
    };
    let created = client.create_listener(&create).await.unwrap();
    assert_eq!(
        created.ids,
        [
            ListenerId::new("lbl-d1ubsydq"),
            ListenerId::new("lbl-4udz130k")
        ]
    );
    assert_eq!(
        created.task,
        Task::new("8f272cef-14ff-458c-b67e-1bd21bd2942b")
    );
    let body = json!({
        "LoadBalancerId": "lb-demo0001", "Ports": [7570], "Protocol": "TCP", "ListenerNames": ["clb-gate/x"],
        "HealthCheck": {"HealthSwitch": 1, "HealthNum": 2}
    });
    assert_eq!(api.requests()[0].body, body);

    let (api, client) = answering(sample!("CreateLoadBalancer")).await;
    let created = client
        .create_load_balancer(&CreateLoadBalancer::new(LoadBalancerType::Open))
        .await
        .unwrap();
    assert_eq!(created.ids, [LoadBalancerId::new("lb-6efswuxa")]);
    assert_eq!(
        created.deal_name.as_deref(),
        Some("20220101660009831340631")
    );
    assert_eq!(api.requests()[0].body, json!({"LoadBalancerType": "OPEN"}));
}

#[tokio::test]
async fn tasks_and_deletions() {
    let (_api, client) = answering(sample!("DescribeTaskStatus")).await;
    assert_eq!(
        client.describe_task_status(&Task::new("t")).await.unwrap(),
        TaskStatus::Succeeded
    );

    let (api, client) = answering(sample!("DeleteListener")).await;
    let task = client
        .delete_listener(&lb(), &ListenerId::new("lbl-1"))
        .await
        .unwrap();
    assert_eq!(task.as_str(), "eeb315e4-7333-4f0e-814f-2f44ffd13e4c");
    assert_eq!(
        api.requests()[0].body,
        json!({"LoadBalancerId": "lb-demo0001", "ListenerId": "lbl-1"})
    );
}

#[tokio::test]
async fn batches_name_listener_rule_and_mark() {
    let (api, client) = answering(sample!("BatchRegisterTargets")).await;
    let pod: IpAddr = "172.16.0.12".parse().unwrap();
    let target = Target::new(pod, 8080).weight(10).tag("c1/u1");
    let four = BatchTarget::new(ListenerId::new("lbl-1"), target);
    let seven = BatchTarget::new(ListenerId::new("lbl-2"), Target::new(pod, 80))
        .location(LocationId::new("loc-1"));
    let outcome = client
        .batch_register_targets(&lb(), &[four, seven])
        .await
        .unwrap();
    assert!(outcome.failed_listeners.is_empty() && outcome.message.is_none());
    let body = json!({"LoadBalancerId": "lb-demo0001", "Targets": [
        {"ListenerId": "lbl-1", "EniIp": "172.16.0.12", "Port": 8080, "Weight": 10, "Tag": "c1/u1"},
        {"ListenerId": "lbl-2", "LocationId": "loc-1", "EniIp": "172.16.0.12", "Port": 80},
    ]});
    assert_eq!(api.requests()[0].body, body);

    let partial = ok(r#""FailListenerIdSet":["lbl-2"],"Message":"no such ENI""#);
    let (_api, client) = answering(partial).await;
    let again = BatchTarget::new(ListenerId::new("lbl-2"), Target::new(pod, 80));
    let outcome = client
        .batch_deregister_targets(&lb(), &[again])
        .await
        .unwrap();
    assert_eq!(outcome.failed_listeners, [ListenerId::new("lbl-2")]);
    assert_eq!(outcome.message.as_deref(), Some("no such ENI"));
}

#[tokio::test]
async fn weights_are_zero_when_they_are_zero() {
    let change = ModifyWeight {
        listener_id: ListenerId::new("lbl-1"),
        location_id: None,
        targets: vec![Target::new("172.16.0.12".parse().unwrap(), 80).weight(0)],
        weight: None,
    };
    let entry = json!({"ListenerId": "lbl-1", "Targets": [{"EniIp": "172.16.0.12", "Port": 80, "Weight": 0}]});

    let api = Api::new([ok(""), ok("")]).await;
    let task = api
        .client()
        .batch_modify_target_weight(&lb(), std::slice::from_ref(&change))
        .await
        .unwrap();
    assert_eq!(task.as_str(), "req-ok");
    api.client()
        .modify_target_weight(&lb(), &change)
        .await
        .unwrap();

    let bodies: Vec<_> = api
        .requests()
        .into_iter()
        .map(|request| request.body)
        .collect();
    assert_eq!(
        bodies[0],
        json!({"LoadBalancerId": "lb-demo0001", "ModifyList": [entry]})
    );
    let mut single = entry;
    single["LoadBalancerId"] = json!("lb-demo0001");
    assert_eq!(bodies[1], single);
}
