//! What there is to uninstall, and what stands in the way. Gathered first, decided by a pure function,
//! shown to a person before anything is touched.

use std::collections::BTreeMap;
use std::fmt;

use direct_access::condition::Observed;
use direct_access::{Kind as OwnerKind, ObjectRef, Owner, Word, names};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;

use super::objects::{Kind, Object, PART_OF};
use crate::pod::{Fate, PodRecord};

/// Waiting pods that are named; the rest is counted.
const NAMED_PODS: usize = 5;

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Objects that exist, in the order in which they go.
    pub objects: Vec<Found>,
    /// Services and Ingresses that nobody could delete any more.
    pub holders: Vec<Held>,
    /// Pods whose gate nobody would open any more.
    pub waiting: Vec<ObjectRef>,
}

/// An object that exists.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub object: Object,
    /// Its UID, so that nothing else of this name is deleted.
    pub uid: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It is being deleted already.
    pub going: bool,
}

/// A Service or an Ingress with our finalizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub owner: Owner,
    /// The CLB made for it, where it was made already.
    pub load_balancer: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is left.
    Nothing,
    /// All of it may go.
    Go,
    /// It would do harm.
    Refuse(Refusal),
}

/// Why nothing is touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Others may live there.
    #[error(
        "Namespace {0} does not have the label {key}={value}, so it may hold what is not clb-gate's; if all in it may \
         go, label it (kubectl label namespace {0} {key}={value}) and run this again",
        key = PART_OF.0, value = PART_OF.1
    )]
    ForeignNamespace(String),
    /// Their finalizer would hold them for ever.
    #[error(
        "{} still hold{} a CLB that clb-gate made, and could not be deleted once clb-gate is gone; delete {them} first, or \
         remove the annotation {annotation} from {them} (the CLB goes with either, in a few seconds), or leave the CLBs in \
         the account with --keep-load-balancers",
        holders(*.services, *.ingresses),
        if services + ingresses == 1 { "s" } else { "" },
        them = if services + ingresses == 1 { "it" } else { "them" },
        annotation = if *.services > 0 { names::DIRECT_ACCESS } else { names::ingress::DIRECT_ACCESS }
    )]
    Holders {
        /// Services.
        services: usize,
        /// Ingresses.
        ingresses: usize,
    },
}

/// Decides.
pub fn decide(facts: &Facts, keep_load_balancers: bool) -> Decision {
    let namespaces = facts
        .objects
        .iter()
        .filter(|found| found.object.kind == Kind::Namespace);
    for found in namespaces {
        if found.labels.get(PART_OF.0).map(String::as_str) != Some(PART_OF.1) {
            return Decision::Refuse(Refusal::ForeignNamespace(found.object.name.clone()));
        }
    }
    match (facts.holders.len(), facts.objects.len()) {
        (0, 0) => Decision::Nothing,
        (all @ 1.., _) if !keep_load_balancers => {
            let services = facts.holders.iter();
            let services = services.filter(|held| held.owner.kind == OwnerKind::Service);
            let services = services.count();
            Decision::Refuse(Refusal::Holders {
                services,
                ingresses: all - services,
            })
        }
        _ => Decision::Go,
    }
}

/// An object that carries our finalizer.
pub(super) fn held<K: Resource>(kind: OwnerKind, object: &K) -> Option<Held> {
    let meta = object.meta();
    let finalizers = meta.finalizers.iter().flatten();
    let ours = finalizers.into_iter().any(|name| name == names::FINALIZER);
    let annotations = meta.annotations.as_ref();
    ours.then(|| Held {
        owner: Owner {
            kind,
            object: ObjectRef {
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
        },
        load_balancer: annotations
            .and_then(|all| all.get(Word::Id.key(kind)))
            .cloned(),
    })
}

/// A pod that waits for its gate.
pub(super) fn waiting(pod: Pod) -> Option<ObjectRef> {
    let pod = PodRecord::prune(pod);
    let open = pod.condition.as_ref().is_some_and(Observed::is_true);
    (pod.gated && pod.fate == Fate::Live && !open).then(|| pod.object())
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.objects.is_empty() {
            writeln!(f, "To delete, in this order:")?;
        }
        for found in &self.objects {
            let with = match found.object.kind {
                Kind::Namespace => " with all that is in it",
                Kind::Registration
                | Kind::ClusterRoleBinding
                | Kind::ClusterRole
                | Kind::RoleBinding
                | Kind::Role => "",
            };
            let going = if found.going { ", on its way out" } else { "" };
            writeln!(f, "  - {}{with}{going}", found.object)?;
        }
        if !self.holders.is_empty() {
            writeln!(f, "With a CLB that clb-gate made:")?;
        }
        for held in &self.holders {
            let id = held.load_balancer.as_deref().unwrap_or("no CLB yet");
            writeln!(f, "  ! {}: {id}", held.owner)?;
        }
        if !self.waiting.is_empty() {
            let named = self.waiting.iter().take(NAMED_PODS);
            let named: Vec<_> = named.map(ToString::to_string).collect();
            let more = self.waiting.len() - named.len();
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            writeln!(
                f,
                "  ! {} for the gate ({}{more}), and nobody will open it: kubectl rollout restart makes new ones without",
                if self.waiting.len() == 1 {
                    "1 pod waits".to_owned()
                } else {
                    format!("{} pods wait", self.waiting.len())
                },
                named.join(", ")
            )?;
        }
        Ok(())
    }
}

fn holders(services: usize, ingresses: usize) -> String {
    let ingresses = match ingresses {
        0 => None,
        1 => Some("1 Ingress".to_owned()),
        more => Some(format!("{more} Ingresses")),
    };
    let services = (services > 0).then(|| count(services, "Service"));
    let both: Vec<_> = services.into_iter().chain(ingresses).collect();
    both.join(" and ")
}

fn count(number: usize, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;
    use crate::uninstall::objects::objects;

    fn found(labels: &[(&str, &str)]) -> Vec<Found> {
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let all = objects("clb-gate").into_iter();
        all.map(|object| Found {
            object,
            uid: None,
            labels: labels.clone(),
            going: false,
        })
        .collect()
    }

    fn service(name: &str) -> Held {
        let service = json!({"metadata": {"name": name, "namespace": "shop",
            "finalizers": ["other", names::FINALIZER],
            "annotations": {names::LOAD_BALANCER_ID: "lb-1"}}});
        let service: Service = serde_json::from_value(service).unwrap();
        held(OwnerKind::Service, &service).unwrap()
    }

    #[test]
    fn an_installation_goes_and_a_second_run_finds_nothing() {
        let facts = Facts {
            objects: found(&[PART_OF]),
            ..Facts::default()
        };
        assert_eq!(decide(&facts, false), Decision::Go);
        assert_eq!(decide(&Facts::default(), false), Decision::Nothing);
    }

    #[test]
    fn a_namespace_of_others_is_not_deleted() {
        let facts = Facts {
            objects: found(&[]),
            ..Facts::default()
        };
        let Decision::Refuse(why) = decide(&facts, true) else {
            panic!("refused")
        };
        assert!(why.to_string().contains("kubectl label namespace clb-gate"));
    }

    #[test]
    fn services_that_could_never_be_deleted_stand_in_the_way() {
        let facts = Facts {
            objects: found(&[PART_OF]),
            holders: vec![service("web")],
            ..Facts::default()
        };
        assert_eq!(
            decide(&facts, false),
            Decision::Refuse(Refusal::Holders {
                services: 1,
                ingresses: 0
            })
        );
        assert_eq!(decide(&facts, true), Decision::Go);
        let only_services = Facts {
            objects: vec![],
            ..facts
        };
        assert_eq!(
            decide(&only_services, true),
            Decision::Go,
            "also when the rest is gone already"
        );
        let told = |services, ingresses| {
            let refusal = Refusal::Holders {
                services,
                ingresses,
            };
            refusal.to_string()
        };
        assert!(told(1, 0).starts_with("1 Service still holds a CLB"));
        assert!(told(2, 1).starts_with("2 Services and 1 Ingress still hold a CLB"));
        let ingresses = told(0, 2);
        assert!(ingresses.starts_with("2 Ingresses still hold a CLB"));
        assert!(ingresses.contains(names::ingress::DIRECT_ACCESS));
    }

    #[test]
    fn only_our_finalizer_counts() {
        let service = json!({"metadata": {"name": "web", "finalizers": ["other"]}});
        let service: Service = serde_json::from_value(service).unwrap();
        assert_eq!(held(OwnerKind::Service, &service), None);
    }

    #[test]
    fn a_pod_waits_until_its_gate_is_open_or_it_ends() {
        let pod = |status: &str, phase: &str| {
            let pod = json!({"metadata": {"name": "a", "namespace": "shop"},
                "spec": {"containers": [], "readinessGates": [{"conditionType": names::GATE}]},
                "status": {"phase": phase, "conditions": [{"type": names::GATE, "status": status}]}});
            waiting(serde_json::from_value(pod).unwrap())
        };
        assert!(pod("False", "Running").is_some());
        assert_eq!(pod("True", "Running"), None);
        assert_eq!(pod("False", "Failed"), None);
    }

    #[test]
    fn a_person_sees_what_goes_and_what_is_in_the_way() {
        let pod = |number| ObjectRef {
            namespace: "shop".to_owned(),
            name: format!("web-{number}"),
        };
        let facts = Facts {
            objects: found(&[PART_OF]).into_iter().take(3).collect(),
            holders: vec![service("web")],
            waiting: (1..8).map(pod).collect(),
        };
        assert_eq!(
            facts.to_string(),
            "To delete, in this order:\n  \
               - Namespace clb-gate with all that is in it\n  \
               - MutatingWebhookConfiguration clb-gate\n  \
               - Namespace clb-gate-canary with all that is in it\n\
             With a CLB that clb-gate made:\n  \
               ! Service shop/web: lb-1\n  \
               ! 7 pods wait for the gate (shop/web-1, shop/web-2, shop/web-3, shop/web-4, shop/web-5 and 2 more), and \
             nobody will open it: kubectl rollout restart makes new ones without\n"
        );
    }
}
