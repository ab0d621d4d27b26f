//! Every annotation that TKE documents for Services, Ingresses and pods with direct access, and what becomes of it
//! here. `docs/annotations.md` is held to this list by a test; an annotation that is asked for and not
//! served is told on its Service.

use crate::names;
use crate::problem::Problem;
use crate::service::ServiceFacts;

/// One annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Its key.
    pub key: &'static str,
    /// On which object.
    pub on: On,
    /// What becomes of it.
    pub fate: Fate,
}

/// Where an annotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On a Service.
    Service,
    /// On an Ingress.
    Ingress,
    /// On a pod.
    Pod,
}

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Served; this test shows it.
    Served(&'static str),
    /// It changes nothing here, for this reason, and nobody needs to be told.
    Ignored(&'static str),
    /// It asks for something that is not done, for this reason: told on the object.
    Declined(&'static str),
}

const fn service(key: &'static str, fate: Fate) -> Annotation {
    Annotation {
        key,
        on: On::Service,
        fate,
    }
}

pub(crate) const fn ingress(key: &'static str, fate: Fate) -> Annotation {
    Annotation {
        key,
        on: On::Ingress,
        fate,
    }
}

const fn pod(key: &'static str, fate: Fate) -> Annotation {
    Annotation {
        key,
        on: On::Pod,
        fate,
    }
}

const BY_TKE: Fate = Fate::Ignored("written by TKE's controller, for people to read");
const NODE_PORT: Fate =
    Fate::Ignored("of NodePort forwarding: direct access has no nodes in its way");
const ELSEWHERE: Fate = Fate::Declined(
    "clb-gate binds pods in the CLB's own VPC; name a CLB set up for it with tke-existed-lbid",
);

/// Those of Services and pods; an Ingress has its own in [`crate::ingress`].
pub const ANNOTATIONS: [Annotation; 43] = [
    service(
        names::DIRECT_ACCESS,
        Fate::Served("only_true_switches_it_on"),
    ),
    service(
        names::EXISTING_LOAD_BALANCER,
        Fate::Served("a_load_balancer_id_is_checked"),
    ),
    service(
        names::LOAD_BALANCER_ID,
        Fate::Served("what_is_made_depends_on_the_level_and_on_what_was_made"),
    ),
    service(
        names::INTERNAL_SUBNET,
        Fate::Served("an_internal_one_is_in_its_subnet_and_pays_for_no_traffic"),
    ),
    service(
        names::CHARGE_TYPE,
        Fate::Served("how_traffic_is_paid_for_is_read"),
    ),
    service(
        names::BANDWIDTH,
        Fate::Served("how_traffic_is_paid_for_is_read"),
    ),
    service(
        names::LISTENER_PARAMETERS,
        Fate::Served("what_differs_is_changed_once"),
    ),
    service(
        names::SPECIFY_PROTOCOL,
        Fate::Served("good_values_are_served"),
    ),
    service(
        names::MODE,
        Fate::Served("what_belongs_to_others_is_left_alone_without_a_word"),
    ),
    service(
        names::CLIENT_TOKEN,
        Fate::Served("a_plain_service_gets_a_public_one_with_both_tags_and_the_token"),
    ),
    pod(
        names::ingress::CUSTOM_WEIGHT,
        Fate::Served("a_pods_weight_under_rules_is_its_own_or_that_of_the_pod"),
    ),
    pod(
        names::CUSTOM_WEIGHT,
        Fate::Served("a_pods_own_weight_is_0_to_100_and_10_otherwise"),
    ),
    service(
        names::EXTENSIVE_PARAMETERS,
        Fate::Served("extensive_parameters_are_ordered"),
    ),
    service(
        names::SECURITY_GROUPS,
        Fate::Served("good_attributes_are_read"),
    ),
    service(
        names::PASS_TO_TARGET,
        Fate::Served("good_attributes_are_read"),
    ),
    service(
        names::TKE_SERVICE_CONFIG,
        Fate::Served("what_an_object_declares_holds_for_its_listeners"),
    ),
    service(
        names::GATE_DEADLINE,
        Fate::Served("what_waits_too_long_is_let_through_and_says_so"),
    ),
    service(
        "service.cloud.tencent.com/tke-service-config-auto",
        Fate::Declined(
            "clb-gate makes no TkeServiceConfigs: without one a listener keeps what the CLB has; make one yourself, or copy TKE's under another name, and name it in service.cloud.tencent.com/tke-service-config",
        ),
    ),
    service(
        "service.kubernetes.io/qcloud-share-existed-lb",
        Fate::Ignored(
            "sharing a CLB is always allowed: the older Service keeps a port that two claim",
        ),
    ),
    service(
        names::OLDER_CHARGE_TYPE,
        Fate::Served("an_older_name_counts_where_the_newer_is_absent"),
    ),
    service(
        names::OLDER_BANDWIDTH,
        Fate::Served("an_older_name_counts_where_the_newer_is_absent"),
    ),
    service(
        "service.cloud.tencent.com/enable-grace-shutdown",
        Fate::Ignored("always on: a pod that is going gets weight 0 first"),
    ),
    service(
        "service.cloud.tencent.com/enable-grace-shutdown-tkex",
        Fate::Ignored(
            "a pod that is not ready is judged by the CLB's own health check, which takes it out of service",
        ),
    ),
    service(
        names::GRACE_DELETION,
        Fate::Served("the_annotation_counts_before_tkes_switch"),
    ),
    service(
        names::DRAIN_SECONDS,
        Fate::Served("drain_seconds_are_5_to_3600_and_30_otherwise"),
    ),
    service(
        "service.cloud.tencent.com/lb-rs-weight",
        Fate::Declined("weights are set on pods: service.cloud.tencent.com/custom-weight"),
    ),
    service(
        "service.cloud.tencent.com/modification-protection",
        Fate::Declined(
            "what people change on listeners of clb-gate is changed back; protect the CLB in Tencent's console",
        ),
    ),
    service(
        "service.cloud.tencent.com/prevent-loopback",
        Fate::Declined(
            r#"write service.kubernetes.io/service.listenerParameters: {"HealthCheck":{"SourceIpType":1}}"#,
        ),
    ),
    service("service.cloud.tencent.com/cross-region-id", ELSEWHERE),
    service("service.cloud.tencent.com/cross-vpc-id", ELSEWHERE),
    service("service.cloud.tencent.com/hybrid-type", ELSEWHERE),
    service("service.cloud.tencent.com/snat-pro-info", ELSEWHERE),
    service(
        "service.cloud.tencent.com/target-groups",
        Fate::Declined("pods are bound to listeners themselves, not through target groups"),
    ),
    service(
        "service.kubernetes.io/local-svc-only-bind-node-with-pod",
        NODE_PORT,
    ),
    service(
        "service.cloud.tencent.com/local-svc-weighted-balance",
        NODE_PORT,
    ),
    service(
        "service.kubernetes.io/qcloud-loadbalancer-backends-label",
        NODE_PORT,
    ),
    service(
        "service.kubernetes.io/loadbalance-type",
        Fate::Ignored("deprecated by TKE: every CLB of today is an application load balancer"),
    ),
    service("service.kubernetes.io/loadbalance-nat-ipv6", BY_TKE),
    service("service.cloud.tencent.com/sync-begin-time", BY_TKE),
    service("service.cloud.tencent.com/sync-end-time", BY_TKE),
    service(
        "service.cloud.tencent.com/loadbalancer-source-endpoints",
        BY_TKE,
    ),
    service(
        "service.kubernetes.io/qcloud-loadbalancer-clusterid",
        BY_TKE,
    ),
    service(
        names::SHOWN_ADDRESS,
        Fate::Served("below_the_level_only_what_was_made_is_looked_after"),
    ),
];

/// Whether an annotation of a Service bears on anything here; everything else is pruned.
pub(crate) fn matters(key: &str) -> bool {
    names::SERVICE_ANNOTATIONS.contains(&key) || declined(key).is_some()
}

/// What of a Service's annotations is asked for and not done.
pub(crate) fn problems(service: &ServiceFacts) -> Vec<Problem> {
    let all = service.annotations.iter();
    let declined = all.filter_map(|(key, value)| {
        // `"false"` asks for nothing.
        let why = declined(key).filter(|_| value != "false")?;
        Some(service.annotation_problem(key, value, &format!("clb-gate does not do this: {why}")))
    });
    declined.chain(disagreements(service)).collect()
}

/// Where an older name says something else than the newer one.
fn disagreements(service: &ServiceFacts) -> impl Iterator<Item = Problem> {
    names::OLDER.iter().filter_map(|(newer, older)| {
        let holds = service.annotations.get(*newer)?;
        let other = service.annotations.get(*older)?;
        let accepted = format!(
            "an older name of {newer}, which says {holds:?} here and holds; remove this one"
        );
        (other != holds).then(|| service.annotation_problem(older, other, &accepted))
    })
}

fn declined(key: &str) -> Option<&'static str> {
    let known = ANNOTATIONS
        .iter()
        .find(|one| one.on == On::Service && one.key == key)?;
    match known.fate {
        Fate::Declined(why) => Some(why),
        Fate::Served(_) | Fate::Ignored(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::service::tests::service;

    const DOCUMENT: &str = include_str!("../../docs/annotations.md");

    /// Key and object -> last column.
    fn documented() -> BTreeMap<(String, String), String> {
        let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.map(|row| {
            row.trim_matches('|')
                .split(" | ")
                .map(str::trim)
                .collect::<Vec<_>>()
        });
        let of_objects =
            cells.filter(|cells| matches!(cells.get(1), Some(&("Service" | "Ingress" | "pod"))));
        of_objects
            .map(|cells| {
                let key = cells[0].trim_matches('`').to_owned();
                ((key, cells[1].to_owned()), cells[3].to_owned())
            })
            .collect()
    }

    fn all() -> impl Iterator<Item = &'static Annotation> {
        ANNOTATIONS.iter().chain(&crate::ingress::ANNOTATIONS)
    }

    #[test]
    fn the_document_says_of_each_what_the_list_says() {
        let documented = documented();
        let listed: BTreeMap<_, _> = all()
            .map(|one| {
                let on = match one.on {
                    On::Service => "Service",
                    On::Ingress => "Ingress",
                    On::Pod => "pod",
                };
                let fate = match one.fate {
                    Fate::Served(test) => format!("supported: `{test}`"),
                    Fate::Ignored(why) => format!("without effect: {why}"),
                    Fate::Declined(why) => format!("declined: {why}"),
                };
                ((one.key.to_owned(), on.to_owned()), fate)
            })
            .collect();
        assert_eq!(listed.len(), all().count(), "a key twice");
        assert_eq!(documented, listed);
    }

    #[test]
    fn every_key_that_is_read_is_listed() {
        let listed: BTreeSet<_> = all().map(|one| one.key).collect();
        let read = names::SERVICE_ANNOTATIONS.iter();
        let missing = read
            .chain(&names::ingress::ANNOTATIONS)
            .filter(|key| !listed.contains(*key));
        assert_eq!(missing.count(), 0);
    }

    #[test]
    fn every_test_that_is_named_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut sources = String::new();
        for part in ["direct-access/src", "gate-controller/src", "webhook/src"] {
            gather(&root.join(part), &mut sources);
        }
        for one in all() {
            if let Fate::Served(test) = one.fate {
                assert!(
                    sources.contains(&format!("fn {test}(")),
                    "{}: no test {test}",
                    one.key
                );
            }
        }
    }

    fn gather(folder: &Path, into: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, into);
            } else if path.extension().is_some_and(|end| end == "rs") {
                into.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn what_is_declined_is_told_with_its_reason() {
        let mut asks = service("web");
        assert_eq!(problems(&asks), []);
        let mut ask = |key: &str| asks.annotations.insert(key.to_owned(), "x".to_owned());
        ask("service.cloud.tencent.com/prevent-loopback");
        ask("service.cloud.tencent.com/enable-grace-shutdown");
        ask("example.com/other");
        let off = "service.cloud.tencent.com/tke-service-config-auto".to_owned();
        asks.annotations.insert(off, "false".to_owned());
        let told = problems(&asks);
        assert_eq!(told.len(), 1);
        assert!(told[0].to_string().contains("SourceIpType"));
        assert!(!matters("example.com/other"));
    }

    #[test]
    fn an_older_name_that_disagrees_is_told() {
        let mut asks = service("web");
        let mut ask =
            |key: &str, value: &str| asks.annotations.insert(key.to_owned(), value.to_owned());
        ask(names::OLDER_BANDWIDTH, "5");
        ask(names::CHARGE_TYPE, "BANDWIDTH_PACKAGE");
        ask(names::OLDER_CHARGE_TYPE, "BANDWIDTH_PACKAGE");
        assert_eq!(problems(&asks), []);
        asks.annotations
            .insert(names::BANDWIDTH.to_owned(), "6".to_owned());
        let told = problems(&asks);
        assert_eq!(told.len(), 1);
        let told = told[0].to_string();
        for part in [names::OLDER_BANDWIDTH, "\"5\"", names::BANDWIDTH, "\"6\""] {
            assert!(told.contains(part), "{told}");
        }
    }
}
