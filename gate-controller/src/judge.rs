//! From exposures, pods and views to what the gates should say and whose health to ask for. Pure, but
//! for the views it reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use direct_access::condition::{Condition, Status};
use direct_access::gate::{Binding, BindingState};
use direct_access::names;
use direct_access::network::{Conclusion, Reach, Refusal};
use direct_access::{Exposure, GateFacts, GateValue, gate};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::desired::{PodsByNamespace, RuleKey};
use crate::metrics::{self, Counted};
use crate::pod::{Fate, PodRecord};
use crate::view::{Sought, Views};

/// Reasons of metrics for pods that have no condition yet.
const NOT_STARTED: &str = "NotStarted";
const UNSELECTED: &str = "Unselected";

/// What one look at all pods found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Conditions to write.
    pub writes: Vec<(PodRecord, Condition)>,
    /// Listeners whose health is awaited, by load balancer.
    pub waiting: BTreeMap<String, BTreeSet<String>>,
    /// How many gated pods wait and why, and how bindings stand.
    pub counted: Counted,
    /// Exposed pods without the gate: created before their Service, or while no webhook answered.
    pub ungated: Vec<PodRecord>,
    /// Exposed pods without the gate that the CLB cannot reach.
    pub unreachable: Vec<(PodRecord, Refusal)>,
    /// Exposed pods that ask for a weight that is none.
    pub misweighted: Vec<PodRecord>,
    /// UIDs of live, gated, unlatched pods that nothing selects.
    pub unselected: BTreeSet<String>,
    network: Conclusion,
    now: Timestamp,
}

/// How long pods have been unselected, by UID.
pub type Durations = HashMap<String, Duration>;

/// What time bears on the judgement.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a> {
    /// Now, by the wall clock.
    pub now: Timestamp,
    /// How long pods have been unselected.
    pub unselected: &'a Durations,
}

/// Judges every live pod.
pub fn judge(
    exposures: &[Exposure],
    pods: &PodsByNamespace<'_>,
    views: &Views,
    network: Conclusion,
    times: Times<'_>,
) -> Verdict {
    let mut by_namespace: HashMap<&str, Vec<&Exposure>> = HashMap::new();
    for exposure in exposures {
        by_namespace
            .entry(exposure.service.namespace.as_str())
            .or_default()
            .push(exposure);
    }
    let mut verdict = Verdict {
        network,
        now: times.now,
        ..Verdict::default()
    };
    for (namespace, pods) in pods {
        let exposures = by_namespace.get(namespace).map_or(&[][..], |all| &all[..]);
        for pod in pods.iter().filter(|pod| pod.fate == Fate::Live) {
            verdict.look(
                pod,
                exposures,
                views,
                times.unselected.get(&pod.uid).copied(),
            );
        }
    }
    verdict
}

impl Verdict {
    fn look(
        &mut self,
        pod: &PodRecord,
        exposures: &[&Exposure],
        views: &Views,
        unselected_for: Option<Duration>,
    ) {
        let mine: Vec<_> = exposures
            .iter()
            .filter(|exposure| pod.selected_by(&exposure.selector))
            .collect();
        let under_rules = mine.iter().any(|exposure| exposure.rule.is_some());
        let bad = pod.bad_weight.is_some() && !mine.is_empty();
        if bad || pod.bad_rule_weight.is_some() && under_rules {
            self.misweighted.push(pod.clone());
        }
        let reach = pod.network.reach(self.network);
        if !pod.gated {
            if !mine.is_empty() {
                self.without_gate(pod, reach);
            }
            return;
        }
        let mut waiting = Vec::new();
        let bindings: Vec<_> = mine
            .iter()
            .filter_map(|exposure| {
                let binding = binding(pod, exposure, views, &mut waiting)?;
                let overdue = exposure
                    .deadline
                    .filter(|deadline| self.over(pod, *deadline));
                Some(Binding {
                    overdue,
                    ..held_by_network(binding, reach)
                })
            })
            .collect();
        for binding in &bindings {
            self.counted.stands(&binding.state);
        }
        let ip = pod.ip.map(|ip| ip.to_string());
        let facts = GateFacts {
            gated: pod.gated,
            going: false,
            containers_ready: pod.containers_ready,
            condition: pod.condition.as_ref(),
            latched_ip: pod.latched_ip.as_deref(),
            ip: ip.as_deref(),
            unselected_for,
        };
        self.conclude(pod, gate(&facts, &bindings), waiting, mine.is_empty());
    }

    /// It is counted from when the containers were ready: nothing can be bound before.
    fn over(&self, pod: &PodRecord, deadline: Duration) -> bool {
        let since = pod.containers_ready_since;
        since.is_some_and(|since| {
            Duration::try_from(self.now.duration_since(since))
                .is_ok_and(|waited| waited >= deadline)
        })
    }

    fn without_gate(&mut self, pod: &PodRecord, reach: Reach) {
        if let Some(refusal) = reach.refusal() {
            self.unreachable.push((pod.clone(), refusal));
        } else if pod.labels.get(names::INJECT_LABEL).map(String::as_str) != Some("false") {
            self.ungated.push(pod.clone());
        }
    }

    fn conclude(
        &mut self,
        pod: &PodRecord,
        value: GateValue,
        waiting: Vec<(String, String)>,
        unselected: bool,
    ) {
        use direct_access::gate::Leave;
        let reason = match value {
            GateValue::Leave(Leave::Latched | Leave::Going | Leave::NoGate) => return,
            GateValue::Leave(Leave::NotStarted) => Some(NOT_STARTED),
            GateValue::Leave(Leave::Unselected) => Some(UNSELECTED),
            GateValue::Leave(Leave::Unchanged) => Some(waits_for(pod)),
            GateValue::Set(condition) => {
                let opens = condition.status == Status::True;
                let reason = condition.reason.as_str();
                self.writes.push((pod.clone(), condition));
                (!opens).then_some(reason)
            }
        };
        if let Some(reason) = reason {
            self.counted.waits(reason, pod.containers_ready_since);
        }
        if unselected {
            self.unselected.insert(pod.uid.clone());
        }
        for (load_balancer, listener) in waiting {
            self.waiting
                .entry(load_balancer)
                .or_default()
                .insert(listener);
        }
    }
}

/// Why a pod waits of which the condition says it already.
fn waits_for(pod: &PodRecord) -> &'static str {
    let says = pod.condition.as_ref().map(|one| one.reason.as_str());
    let known = metrics::REASONS.into_iter().find(|one| says == Some(one));
    known.unwrap_or(NOT_STARTED)
}

/// `None`: the pod has no address yet, so there is nothing to bind.
fn binding(
    pod: &PodRecord,
    exposure: &Exposure,
    views: &Views,
    waiting: &mut Vec<(String, String)>,
) -> Option<Binding> {
    let (service, slot) = (&exposure.service, exposure.slot());
    let rule = exposure.rule.as_ref().map(RuleKey::of);
    let Some(load_balancer) = exposure.load_balancer.id() else {
        return Some(Binding {
            place: format!("{slot} of the CLB that is being made for Service {service}"),
            state: BindingState::Missing,
            overdue: None,
        });
    };
    let mut listener = format!("{load_balancer} {}:{}", exposure.protocol, exposure.port);
    if let Some(rule) = &rule {
        listener = format!("{listener} {rule}");
    }
    let Some(port) = pod.port(&exposure.target) else {
        let why = format!(
            "Service {} has the target port {}, and no container port of the pod has that name",
            service, exposure.target
        );
        return Some(Binding {
            place: listener,
            state: BindingState::Held(why),
            overdue: None,
        });
    };
    let ip = pod.ip?;
    let sought = Sought {
        load_balancer,
        slot,
        rule: rule.as_ref(),
        owner: &exposure.owner,
        address: (ip, port),
        pod_uid: &pod.uid,
    };
    let (state, poll) = views.state(&sought);
    if let Some(id) = poll {
        waiting.push((load_balancer.to_owned(), id));
    }
    Some(Binding {
        place: format!("{listener} -> {ip}:{port}"),
        state,
        overdue: None,
    })
}

/// How one exposure's binding of a pod stands, for whoever explains it; `None`: the pod has no address yet.
pub(crate) fn stand(
    pod: &PodRecord,
    exposure: &Exposure,
    views: &Views,
    network: Conclusion,
) -> Option<Binding> {
    let binding = binding(pod, exposure, views, &mut Vec::new())?;
    Some(held_by_network(binding, pod.network.reach(network)))
}

/// What will not be bound does not wait for a binding: it says why.
fn held_by_network(binding: Binding, reach: Reach) -> Binding {
    match (&binding.state, reach.refusal()) {
        (BindingState::Missing, Some(refusal)) => Binding {
            state: BindingState::Held(format!("the CLB cannot reach this pod: {}", refusal.why())),
            ..binding
        },
        _ => binding,
    }
}

/// Keeps since when pods have been unselected.
#[derive(Debug, Default)]
pub struct Unselected(HashMap<String, Instant>);

impl Unselected {
    /// Takes in who is unselected now.
    pub fn update(&mut self, now_unselected: &BTreeSet<String>, now: Instant) {
        self.0.retain(|uid, _| now_unselected.contains(uid));
        for uid in now_unselected {
            self.0.entry(uid.clone()).or_insert(now);
        }
    }

    /// Starts the count of everybody anew: a fresh read did not agree.
    pub fn restart(&mut self) {
        self.0.clear();
    }

    /// How long each has been unselected.
    pub fn durations(&self, now: Instant) -> Durations {
        self.0
            .iter()
            .map(|(uid, since)| (uid.clone(), now - *since))
            .collect()
    }

    /// Whether somebody has been unselected for that long.
    pub fn ripe(&self, after: Duration, now: Instant) -> bool {
        self.0.values().any(|since| now - *since >= after)
    }
}

#[cfg(test)]
mod tests {
    use direct_access::condition::Status;
    use direct_access::gate::ORPHAN_AFTER;
    use direct_access::network::PodNetwork;
    use direct_access::{IngressFacts, ServiceFacts, Settings};

    use super::*;
    use crate::desired::tests::{compute_in, front, service};
    use crate::desired::{Asked, by_namespace, wanted};
    use crate::lifecycle::Made;
    use crate::pod::tests::pod;

    const NOW: &str = "2026-01-01T00:10:00Z";

    fn judged(pods: &[PodRecord], unselected: &Durations, exposed: bool) -> Verdict {
        judged_in(&Settings::default(), pods, unselected, exposed)
    }

    fn judged_in(
        settings: &Settings,
        pods: &[PodRecord],
        unselected: &Durations,
        exposed: bool,
    ) -> Verdict {
        let services = if exposed {
            vec![service("web")]
        } else {
            vec![]
        };
        judged_behind(&services, settings, pods, unselected)
    }

    fn judged_behind(
        services: &[ServiceFacts],
        settings: &Settings,
        pods: &[PodRecord],
        unselected: &Durations,
    ) -> Verdict {
        let wanted = compute_in(settings, services, pods);
        judge(
            &wanted.exposures,
            &by_namespace(pods),
            &Views::default(),
            settings.conclusion,
            Times {
                now: NOW.parse().unwrap(),
                unselected,
            },
        )
    }

    #[test]
    fn pods_without_the_gate_are_told_apart() {
        let opted_out = {
            let mut pod = PodRecord {
                gated: false,
                ..pod("c", 3)
            };
            pod.labels
                .insert(names::INJECT_LABEL.to_owned(), "false".to_owned());
            pod
        };
        let pods = [
            PodRecord {
                gated: false,
                ..pod("a", 1)
            },
            PodRecord {
                gated: false,
                network: PodNetwork::of(true, None, false),
                ..pod("b", 2)
            },
            opted_out,
        ];
        let verdict = judged(&pods, &HashMap::new(), true);
        assert_eq!(
            verdict.ungated.iter().map(|p| &p.name).collect::<Vec<_>>(),
            ["a"]
        );
        assert_eq!(
            verdict
                .unreachable
                .iter()
                .map(|(p, why)| (p.name.as_str(), *why))
                .collect::<Vec<_>>(),
            [("b", Refusal::HostNetwork)]
        );
        assert!(verdict.writes.is_empty());
    }

    #[test]
    fn a_weight_that_is_none_is_told_where_it_would_count() {
        let heavy = PodRecord {
            bad_weight: Some("heavy".into()),
            ..pod("a", 1)
        };
        let ungated = PodRecord {
            gated: false,
            ..heavy.clone()
        };
        for (pod, exposed, told) in [(&heavy, true, 1), (&ungated, true, 1), (&heavy, false, 0)] {
            let verdict = judged(std::slice::from_ref(pod), &HashMap::new(), exposed);
            assert_eq!(verdict.misweighted.len(), told);
        }
    }

    #[test]
    fn a_weight_under_rules_that_is_none_is_told_where_there_are_rules() {
        let pods = [PodRecord {
            bad_rule_weight: Some("heavy".into()),
            ..pod("a", 1)
        }];
        let told = |services: &[ServiceFacts], ingresses: &[IngressFacts]| {
            let asked = Asked {
                services: services.iter().collect(),
                ingresses: ingresses.iter().collect(),
                certificates: None,
            };
            let grouped = by_namespace(&pods);
            let (settings, made) = (Settings::default(), Made::default());
            let ledger = BTreeSet::new();
            let wanted = wanted(&asked, &grouped, &settings, &ledger, &made);
            let (views, unselected) = (Views::default(), HashMap::new());
            let times = Times {
                now: NOW.parse().unwrap(),
                unselected: &unselected,
            };
            let verdict = judge(
                &wanted.exposures,
                &grouped,
                &views,
                settings.conclusion,
                times,
            );
            verdict.misweighted.len()
        };
        let services = [service("web")];
        assert_eq!(told(&services, &[]), 0, "a Service has no rules");
        assert_eq!(told(&services, &[front()]), 1);
        assert_eq!(told(&[], &[front()]), 0, "leads nowhere");
    }

    #[test]
    fn an_unbound_pod_waits() {
        let verdict = judged(&[pod("a", 1)], &HashMap::new(), true);
        let (_, condition) = &verdict.writes[0];
        assert_eq!(condition.status, Status::False);
        let waits = verdict.counted.waiting["WaitingForBinding"];
        assert_eq!((waits.pods, verdict.counted.bindings["missing"]), (1, 1));
    }

    #[test]
    fn a_deadline_counts_from_when_the_containers_were_ready() {
        let mut hurried = service("web");
        let deadline = (names::GATE_DEADLINE.to_owned(), "10m".to_owned());
        hurried.annotations.extend([deadline]);
        for (since, status) in [
            (Some("2026-01-01T00:00:00Z"), Status::True),
            (Some("2026-01-01T00:00:01Z"), Status::False),
            (None, Status::False),
        ] {
            let pod = PodRecord {
                containers_ready_since: since.map(|since| since.parse().unwrap()),
                ..pod("a", 1)
            };
            let services = [hurried.clone()];
            let verdict = judged_behind(&services, &Settings::default(), &[pod], &HashMap::new());
            assert_eq!(verdict.writes[0].1.status, status, "{since:?}");
        }
    }

    #[test]
    fn a_missing_named_port_is_said() {
        let portless = PodRecord {
            ports: vec![],
            ..pod("a", 1)
        };
        let verdict = judged(&[portless], &HashMap::new(), true);
        assert!(verdict.writes[0].1.message.contains("no container port"));
    }

    #[test]
    fn a_gated_pod_that_cannot_be_reached_says_why() {
        let (settings, _) = Settings::parse(&[("network".to_owned(), "mixed".to_owned())].into());
        let verdict = judged_in(&settings, &[pod("a", 1)], &HashMap::new(), true);
        let (_, condition) = &verdict.writes[0];
        assert_eq!(condition.status, Status::False);
        for part in ["cannot reach this pod", "tke-route-eni"] {
            assert!(condition.message.contains(part), "{}", condition.message);
        }
    }

    #[test]
    fn an_orphan_ripens() {
        let pods = [pod("a", 1)];
        let young = judged(&pods, &HashMap::new(), false);
        assert!(young.writes.is_empty() && young.unselected.contains("uid-a"));
        let mut memory = Unselected::default();
        let now = Instant::now();
        memory.update(&young.unselected, now);
        let later = now + ORPHAN_AFTER;
        assert!(memory.ripe(ORPHAN_AFTER, later));
        let old = judged(&pods, &memory.durations(later), false);
        assert_eq!(old.writes[0].1.status, Status::True);
    }
}
