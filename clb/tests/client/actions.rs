//! What each action sends, and what it makes of the least the API may answer.

use clb::{
    Certificate, CreateListener, Filter, HealthCheck, HealthQuery, InUse, ListenerId,
    LoadBalancerId, LoadBalancerQuery, LocationId, ModifyDomain, ModifyListener,
    ModifyLoadBalancer, ModifyRule, ModifyTag, ModifyWeight, NewRule, NonEmpty, Protocol, QuotaId,
    Target, TargetQuery, Task,
};
use serde_json::{Value, json};

use crate::local::{Local, lb};

fn listener() -> ListenerId {
    ListenerId::new("lbl-1")
}

fn rule() -> LocationId {
    LocationId::new("loc-1")
}

fn pod() -> Target {
    Target::new("172.16.0.12".parse().unwrap(), 80)
}

fn number(body: &Value, name: &str) -> usize {
    let number = body[name].as_u64().unwrap_or_default();
    usize::try_from(number).unwrap()
}

#[tokio::test]
async fn rules_are_made_changed_and_deleted() {
    let api = Local::answering(json!({"LocationIds": ["loc-ho6lvh8m"]}));
    let check = HealthCheck {
        http_check_path: Some("/healthz".to_owned()),
        ..HealthCheck::default()
    };
    let rules = [NewRule {
        health_check: Some(check.clone()),
        scheduler: Some("IP_HASH".to_owned()),
        ..NewRule::new("foo.net", "/bar")
    }];
    let created = api
        .client()
        .create_rules(&lb(), &listener(), NonEmpty::new(&rules).unwrap())
        .await
        .unwrap();
    assert_eq!(created.ids, [LocationId::new("loc-ho6lvh8m")]);
    assert_eq!(created.task.as_str(), "req-local");
    let sent = json!({"LoadBalancerId": "lb-demo0001", "ListenerId": "lbl-1", "Rules": [
        {"Url": "/bar", "Domain": "foo.net", "Scheduler": "IP_HASH", "HealthCheck": {"HttpCheckPath": "/healthz"}}
    ]});
    assert_eq!(api.only("CreateRule"), sent);

    let api = Local::answering(json!({}));
    let modify = ModifyRule {
        health_check: Some(check),
        ..ModifyRule::new(lb(), listener(), rule())
    };
    api.client().modify_rule(&modify).await.unwrap();
    let sent = json!({"LoadBalancerId": "lb-demo0001", "ListenerId": "lbl-1", "LocationId": "loc-1",
        "HealthCheck": {"HttpCheckPath": "/healthz"}});
    assert_eq!(api.only("ModifyRule"), sent);

    let api = Local::answering(json!({}));
    let modify = ModifyDomain {
        certificate: Some(Certificate::new("cert-1")),
        ..ModifyDomain::new(lb(), listener(), "foo.net")
    };
    api.client().modify_domain(&modify).await.unwrap();
    let sent = json!({"LoadBalancerId": "lb-demo0001", "ListenerId": "lbl-1", "Domain": "foo.net",
        "Certificate": {"SSLMode": "UNIDIRECTIONAL", "CertId": "cert-1"}});
    assert_eq!(api.only("ModifyDomainAttributes"), sent);

    let api = Local::answering(json!({}));
    api.client()
        .delete_rules(&lb(), &listener(), NonEmpty::one(&rule()))
        .await
        .unwrap();
    let sent =
        json!({"LoadBalancerId": "lb-demo0001", "ListenerId": "lbl-1", "LocationIds": ["loc-1"]});
    assert_eq!(api.only("DeleteRule"), sent);
}

#[tokio::test]
async fn listeners_are_changed_and_deleted() {
    let api = Local::answering(json!({}));
    let modify = ModifyListener {
        listener_name: Some("new".to_owned()),
        certificate: Some(Certificate::new("cert-1")),
        ..ModifyListener::new(lb(), listener())
    };
    api.client().modify_listener(&modify).await.unwrap();
    let sent = json!({"LoadBalancerId": "lb-demo0001", "ListenerId": "lbl-1", "ListenerName": "new",
        "Certificate": {"SSLMode": "UNIDIRECTIONAL", "CertId": "cert-1"}});
    assert_eq!(api.only("ModifyListener"), sent);

    let api = Local::answering(json!({}));
    api.client()
        .delete_listeners(&lb(), NonEmpty::one(&listener()))
        .await
        .unwrap();
    let sent = json!({"LoadBalancerId": "lb-demo0001", "ListenerIds": ["lbl-1"]});
    assert_eq!(api.only("DeleteLoadBalancerListeners"), sent);
}

#[tokio::test]
async fn no_list_says_all_by_being_empty() {
    assert_eq!(NonEmpty::<ListenerId>::new(&[]), None);
    let api = Local::answering(json!({}));
    let many: Vec<ListenerId> = (0..21)
        .map(|n| ListenerId::new(format!("lbl-{n}")))
        .collect();
    let error = api
        .client()
        .delete_listeners(&lb(), NonEmpty::new(&many).unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("21 listeners given"), "{error}");
    let none = CreateListener {
        ports: vec![],
        ..CreateListener::new(lb(), Protocol::Tcp, 80, "x")
    };
    api.client().create_listener(&none).await.unwrap_err();
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn load_balancers_are_changed_guarded_and_deleted() {
    let api = Local::answering(json!({"DealName": null}));
    let modify = ModifyLoadBalancer {
        load_balancer_name: Some("newlbname".to_owned()),
        load_balancer_pass_to_target: Some(true),
        ..ModifyLoadBalancer::new(lb())
    };
    api.client().modify_load_balancer(&modify).await.unwrap();
    let sent = json!({"LoadBalancerId": "lb-demo0001", "LoadBalancerName": "newlbname",
        "LoadBalancerPassToTarget": true});
    assert_eq!(api.only("ModifyLoadBalancerAttributes"), sent);

    for groups in [vec![], vec!["sg-0936o7sd".to_owned()]] {
        let api = Local::answering(json!({}));
        api.client()
            .set_security_groups(&lb(), &groups)
            .await
            .unwrap();
        let sent = json!({"LoadBalancerId": "lb-demo0001", "SecurityGroups": groups});
        assert_eq!(api.only("SetLoadBalancerSecurityGroups"), sent);
    }

    for (in_use, sent) in [
        (InUse::Keep, json!({"LoadBalancerIds": ["lb-demo0001"]})),
        (
            InUse::Delete,
            json!({"LoadBalancerIds": ["lb-demo0001"], "ForceDelete": true}),
        ),
    ] {
        let api = Local::answering(json!({}));
        api.client()
            .delete_load_balancers(NonEmpty::one(&lb()), in_use)
            .await
            .unwrap();
        assert_eq!(api.only("DeleteLoadBalancer"), sent);
    }
}

#[tokio::test]
async fn targets_are_bound_singly_marked_and_found() {
    let api = Local::answering(json!({}));
    let change = ModifyWeight {
        listener_id: listener(),
        location_id: Some(rule()),
        targets: vec![pod().tag("c/u")],
        weight: None,
    };
    api.client().register_targets(&lb(), &change).await.unwrap();
    let target = json!({"EniIp": "172.16.0.12", "Port": 80, "Tag": "c/u"});
    let sent = json!({"LoadBalancerId": "lb-demo0001", "ListenerId": "lbl-1", "LocationId": "loc-1",
        "Targets": [target]});
    assert_eq!(api.only("RegisterTargets"), sent);
    api.client()
        .deregister_targets(&lb(), &change)
        .await
        .unwrap();
    assert_eq!(api.asked()[1], ("DeregisterTargets".to_owned(), sent));

    let api = Local::answering(json!({}));
    let mark = ModifyTag {
        listener_id: listener(),
        location_id: None,
        targets: vec![pod()],
        tag: Some("c/u".to_owned()),
    };
    api.client()
        .batch_modify_target_tag(&lb(), &[mark])
        .await
        .unwrap();
    let sent = json!({"LoadBalancerId": "lb-demo0001", "ModifyList": [
        {"ListenerId": "lbl-1", "Targets": [{"EniIp": "172.16.0.12", "Port": 80}], "Tag": "c/u"}]});
    assert_eq!(api.only("BatchModifyTargetTag"), sent);

    let api = Local::answering(json!({"Listeners": null}));
    let query = TargetQuery {
        filters: vec![Filter::new("tag", ["c/u"])],
        ..TargetQuery::default()
    };
    assert_eq!(api.client().find_targets(&lb(), &query).await.unwrap(), []);
    let sent =
        json!({"LoadBalancerId": "lb-demo0001", "Filters": [{"Name": "tag", "Values": ["c/u"]}]});
    assert_eq!(api.only("DescribeTargets"), sent);
}

#[tokio::test]
async fn load_balancers_are_found_by_tag_page_by_page() {
    let all: Vec<String> = (0..230).map(|n| format!("lb-{n}")).collect();
    let api = Local::new(move |_, body| {
        let page: Vec<_> = all
            .iter()
            .skip(number(body, "Offset"))
            .take(number(body, "Limit"))
            .map(|id| json!({"LoadBalancerId": id}))
            .collect();
        Ok(json!({"TotalCount": all.len(), "LoadBalancerSet": page}))
    });
    let query = LoadBalancerQuery {
        filters: vec![Filter::tag("clb-gate.io/cluster", ["c1"])],
        ..LoadBalancerQuery::default()
    };
    let found = api.client().find_load_balancers(&query).await.unwrap();
    assert_eq!(found.len(), 230);
    let filters = json!([{"Name": "tag:clb-gate.io/cluster", "Values": ["c1"]}]);
    let sent: Vec<_> = api.asked().into_iter().map(|(_, body)| body).collect();
    assert_eq!(
        sent,
        [
            json!({"Filters": filters, "Limit": 100}),
            json!({"Filters": filters, "Limit": 100, "Offset": 100}),
            json!({"Filters": filters, "Limit": 100, "Offset": 200}),
        ]
    );
}

#[tokio::test]
async fn a_load_balancer_deleted_between_two_pages_hides_no_other() {
    // The first reading loses lb-0 after its first page, so lb-100 moves to a place already read.
    let calls = std::sync::Mutex::new(0);
    let api = Local::new(move |_, body| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        let first = usize::from(*calls > 1);
        let page: Vec<_> = (first..101)
            .skip(number(body, "Offset"))
            .take(100)
            .map(|n| json!({"LoadBalancerId": format!("lb-{n}")}))
            .collect();
        Ok(json!({"TotalCount": 101 - first, "LoadBalancerSet": page}))
    });
    let found = api
        .client()
        .find_load_balancers(&LoadBalancerQuery::default())
        .await
        .unwrap();
    assert!(
        found
            .iter()
            .any(|one| one.load_balancer_id.as_str() == "lb-100")
    );
}

#[tokio::test]
async fn quotas_and_the_balancers_of_an_order_are_read() {
    let api = Local::answering(json!({"QuotaSet": [
        {"QuotaId": "TOTAL_OPEN_CLB_QUOTA", "QuotaLimit": 50, "QuotaCurrent": 2},
        {"QuotaId": "TOTAL_TARGET_BIND_QUOTA", "QuotaLimit": 200, "QuotaCurrent": null},
        {"QuotaId": "TOTAL_OF_NEXT_YEAR", "QuotaLimit": 1},
    ]}));
    let quotas = api.client().describe_quota().await.unwrap();
    let seen: Vec<_> = quotas
        .into_iter()
        .map(|quota| (quota.quota_id, quota.quota_current, quota.quota_limit))
        .collect();
    assert_eq!(
        seen,
        [
            (QuotaId::OpenLoadBalancers, Some(2), Some(50)),
            (QuotaId::Targets, None, Some(200)),
            (
                QuotaId::Other("TOTAL_OF_NEXT_YEAR".to_owned()),
                None,
                Some(1)
            ),
        ]
    );
    assert_eq!(api.only("DescribeQuota"), json!({}));

    let api = Local::answering(json!({"Status": 0, "LoadBalancerIds": ["lb-6efswuxa"]}));
    let ids = api
        .client()
        .load_balancers_of_task(&Task::new("t"))
        .await
        .unwrap();
    assert_eq!(ids, [LoadBalancerId::new("lb-6efswuxa")]);
}

#[tokio::test]
async fn an_answer_with_nothing_but_ids_is_understood() {
    for empty in [json!(null), json!([])] {
        let rule = json!({"LocationId": "loc-1", "Domain": null, "Domains": null, "Url": null,
            "HealthCheck": null, "Certificate": null, "Targets": empty});
        let api = Local::answering(json!({
            "TotalCount": 1,
            "LoadBalancerSet": [{"LoadBalancerId": "lb-1", "LoadBalancerVips": empty, "Tags": empty,
                "SecureGroups": empty, "TargetRegionInfo": null, "AttributeFlags": empty}],
            "Listeners": [{"ListenerId": "lbl-1", "Rules": [rule], "Targets": empty,
                "HealthCheck": null, "Certificate": null, "AttrFlags": empty}],
            "LoadBalancers": [{"LoadBalancerId": "lb-1", "Listeners": [
                {"ListenerId": "lbl-1", "ListenerName": null, "Rules": [rule]}]}],
        }));
        let client = api.client();
        let all = LoadBalancerQuery::default();
        assert_eq!(client.find_load_balancers(&all).await.unwrap().len(), 1);
        let listeners = client
            .describe_listeners(&lb(), &clb::ListenerQuery::default())
            .await
            .unwrap();
        assert_eq!(listeners[0].rules[0].domain, None);
        let targets = client.describe_targets(&lb(), &[]).await.unwrap();
        assert!(targets[0].rules[0].targets.is_empty());
        let query = HealthQuery {
            load_balancer_ids: vec![lb()],
            location_ids: vec![LocationId::new("loc-1")],
            ..HealthQuery::default()
        };
        let health = client.find_target_health(&query).await.unwrap();
        assert!(health[0].listeners[0].rules[0].targets.is_empty());
        let (_, sent) = api.asked().pop().unwrap();
        assert_eq!(
            sent,
            json!({"LoadBalancerIds": ["lb-demo0001"], "LocationIds": ["loc-1"]})
        );
    }
}

#[tokio::test]
async fn an_answer_with_only_the_envelope_has_nothing_in_it() {
    let api = Local::answering(json!({}));
    let client = api.client();
    let all = LoadBalancerQuery::default();
    assert_eq!(client.find_load_balancers(&all).await.unwrap(), []);
    assert_eq!(client.describe_targets(&lb(), &[]).await.unwrap(), []);
    assert_eq!(client.describe_quota().await.unwrap(), []);
    assert_eq!(
        client.describe_target_health(&[lb()], &[]).await.unwrap(),
        []
    );
    assert_eq!(api.asked().len(), 4, "none is a reason to ask again");
}
