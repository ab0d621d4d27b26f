//! Facts about a Service or Ingress -> what is found.

use clb::HealthState::{Alive, Dead};
use direct_access::{ObjectRef, Owner, names};

use super::*;
use crate::desired::tests::front;

fn owner(name: &str) -> ObjectRef {
    ObjectRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn explained(world: World, clb: Clb, pods: &[PodFacts]) -> Report {
    explain_object(&facts(world, clb), &Owner::service(owner("web")), pods)
}

#[test]
fn a_service_that_serves_has_nothing_to_mend() {
    let mut ready = about(PodRecord {
        condition: condition("True", "LoadBalancerNetworkGroupReady", ""),
        ..pod()
    });
    ready.detail.ready = true;
    let clb = clb(None, &[(5, "uid-web-1", Alive)]);
    let report = explained(world(vec![service("web")], vec![pod()]), clb, &[ready]);
    assert_eq!(
        (codes(&report), report.verdict),
        (vec!["serves"], Verdict::Fine)
    );
    assert_eq!(report.bindings.len(), 1);
}

#[test]
fn what_its_pods_have_in_common_is_said_once() {
    let other = crate::pod::tests::pod("web-2", 6);
    let pods = [about(pod()), about(other.clone())];
    let clb = clb(None, &[(5, "uid-web-1", Dead), (6, "uid-web-2", Dead)]);
    let report = explained(world(vec![service("web")], vec![pod(), other]), clb, &pods);
    assert_eq!(codes(&report), ["noAnswer"]);
    assert!(
        report.findings[0]
            .says
            .starts_with("2 pods, of which shop/web-1: the health check")
    );
}

#[test]
fn a_selector_that_selects_nothing_is_told() {
    let report = explained(world(vec![service("web")], vec![]), clb(None, &[]), &[]);
    assert_eq!(codes(&report), ["selectsNothing"]);
    assert!(report.findings[0].says.contains("app=web"));
}

#[test]
fn a_service_that_is_not_ours_is_told_why() {
    let mut plain = service("web");
    plain.annotations.remove(names::DIRECT_ACCESS);
    let report = explained(world(vec![plain.clone()], vec![pod()]), clb(None, &[]), &[]);
    assert_eq!(codes(&report), ["notOurs"]);
    let mut unreadable = service("web");
    let typo = (names::DIRECT_ACCESS.to_owned(), "yes".to_owned());
    unreadable.annotations.extend([typo]);
    let report = explained(world(vec![unreadable], vec![pod()]), clb(None, &[]), &[]);
    assert_eq!(codes(&report), ["toMend"]);
    assert!(report.findings[0].says.contains("\"yes\""));
}

#[test]
fn what_the_planner_holds_is_told() {
    let Clb::Seen(mut looked) = clb(None, &[]) else {
        panic!("seen");
    };
    if let Some(Look::There(seen)) = looked.sighting.load_balancers.get_mut("lb-abcd1234") {
        seen.listeners[0].name = None;
        seen.listeners[0].protocol = "HTTP".to_owned();
    }
    let report = explained(
        world(vec![service("web")], vec![pod()]),
        Clb::Seen(looked),
        &[about(pod())],
    );
    assert_eq!(report.verdict, Verdict::Mend);
    assert!(
        report.findings[0].says.contains("protocol HTTP"),
        "{report}"
    );
}

#[test]
fn an_ingress_is_explained_with_its_rules() {
    let mut web = service("web");
    web.annotations.clear();
    let mut world = world(vec![web], vec![pod()]);
    world.ingresses = vec![front()];
    let owner = Owner::ingress(owner("front"));
    let report = explain_object(&facts(world.clone(), missing()), &owner, &[about(pod())]);
    assert_eq!(codes(&report)[0], "toMend");
    assert_eq!(report.bindings[0].rule.as_deref(), Some("a.example/"));
    assert!(codes(&report).contains(&"loadBalancerGone"));
    world.ingresses[0].class_name = Some("nginx".to_owned());
    let report = explain_object(&facts(world, missing()), &owner, &[]);
    assert_eq!(codes(&report), ["notOurs"]);
    assert!(report.findings[0].says.contains("\"nginx\""));
}
