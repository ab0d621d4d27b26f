//! A pod pruned to what the controller uses: the form in which it is cached.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use direct_access::condition::Observed;
use direct_access::names;
use direct_access::network::PodNetwork;
use direct_access::service::{ObjectRef, TargetPort};
use k8s_openapi::api::core::v1::{
    Container, ObjectReference, Pod, PodCondition, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Weight of a target where nothing else is said: the CLB API's own default.
pub const DEFAULT_WEIGHT: u8 = 10;
/// The heaviest (API reference, `Target`).
const HEAVIEST: u8 = 100;

/// The labels of a pod.
pub type Labels = BTreeMap<String, String>;

/// How far a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Running, or on its way there.
    Live,
    /// It has a deletion timestamp.
    Going,
    /// Its phase is Succeeded or Failed: its containers are dead.
    Ended,
}

/// What a pod's deletion says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// When it was asked to go, to the second: its deletion timestamp is when it should be gone.
    pub asked: jiff::Timestamp,
    /// How long it has to end.
    pub grace: Duration,
}

/// A pod pruned to what the controller uses.
#[derive(Clone, Debug, PartialEq)]
pub struct PodRecord {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Resource version, as a number: the API server's own are, and compare as such.
    pub version: u64,
    /// Labels; the cache shares them among pods that have the same.
    pub labels: Arc<Labels>,
    /// Where it is in its life.
    pub fate: Fate,
    /// What its deletion says, where it has been asked to go.
    pub farewell: Option<Farewell>,
    /// Address; of a dual-stack pod the first.
    pub ip: Option<IpAddr>,
    /// The one of the other family.
    pub other_ip: Option<IpAddr>,
    /// What bears on whether a CLB can reach it.
    pub network: PodNetwork,
    /// The controller that made it; kept only of pods on the host's network, whose makers saw no warning.
    pub maker: Option<Box<ObjectReference>>,
    /// Has the gate in `spec.readinessGates`.
    pub gated: bool,
    /// Condition `ContainersReady`.
    pub containers_ready: bool,
    /// When `ContainersReady` last turned.
    pub containers_ready_since: Option<jiff::Timestamp>,
    /// The gate's condition.
    pub condition: Option<Observed>,
    /// The address for which the gate was latched.
    pub latched_ip: Option<String>,
    /// Named container ports.
    pub ports: Vec<(String, u16)>,
    /// Weight of its targets, 0 to 100.
    pub weight: u8,
    /// The same under rules of an Ingress.
    pub rule_weight: u8,
    /// What it asks for as its weight, where that is none: it has the default then.
    pub bad_weight: Option<Box<str>>,
    /// The same of its weight under rules: it has the other one then.
    pub bad_rule_weight: Option<Box<str>>,
}

impl PodRecord {
    /// Prunes a pod as the API server gave it.
    pub fn prune(pod: Pod) -> Self {
        let meta = pod.metadata;
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let annotation = |key| meta.annotations.as_ref().and_then(|all| all.get(key));
        let containers_ready = condition(&status, "ContainersReady");
        let asked = annotation(names::CUSTOM_WEIGHT).map(String::as_str);
        let own_weight = asked.and_then(weight).unwrap_or(DEFAULT_WEIGHT);
        let under_rules = annotation(names::ingress::CUSTOM_WEIGHT).map(String::as_str);
        Self {
            version: meta
                .resource_version
                .as_deref()
                .and_then(|v| v.parse().ok())
                .unwrap_or_default(),
            fate: fate(meta.deletion_timestamp.is_some(), status.phase.as_deref()),
            other_ip: other_ip(&status),
            farewell: farewell(&meta),
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            network: network(&spec, annotation(names::NETWORKS)),
            maker: spec
                .host_network
                .unwrap_or_default()
                .then(|| maker(&meta))
                .flatten(),
            gated: gated(&spec),
            containers_ready: containers_ready.is_some_and(|c| c.status == "True"),
            containers_ready_since: containers_ready
                .and_then(|c| c.last_transition_time.as_ref())
                .map(|time| time.0),
            condition: condition(&status, names::GATE).map(observed),
            latched_ip: annotation(names::LATCHED_IP).cloned(),
            ports: serving(&spec).flat_map(named_ports).collect(),
            weight: own_weight,
            rule_weight: under_rules.and_then(weight).unwrap_or(own_weight),
            bad_weight: bad(asked),
            bad_rule_weight: bad(under_rules),
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            labels: Arc::new(meta.labels.unwrap_or_default()),
        }
    }

    /// Whether a Service's selector selects it. An empty one selects nothing.
    pub fn selected_by(&self, selector: &BTreeMap<String, String>) -> bool {
        !selector.is_empty() && selector.iter().all(|(k, v)| self.labels.get(k) == Some(v))
    }

    /// The number of the port a Service leads to; `None` where the pod has no port of that name.
    pub fn port(&self, target: &TargetPort) -> Option<u16> {
        match target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => self
                .ports
                .iter()
                .find(|(own, _)| own == name)
                .map(|(_, number)| *number),
        }
    }

    /// Its namespace and name.
    pub fn object(&self) -> ObjectRef {
        ObjectRef {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// The kubelet's own endings (eviction, node shutdown) set only the phase.
fn fate(deleted: bool, phase: Option<&str>) -> Fate {
    match phase {
        Some("Succeeded" | "Failed") => Fate::Ended,
        _ if deleted => Fate::Going,
        _ => Fate::Live,
    }
}

/// The address that is not of the first one's family.
fn other_ip(status: &PodStatus) -> Option<IpAddr> {
    let first: IpAddr = status.pod_ip.as_deref()?.parse().ok()?;
    let all = status.pod_ips.iter().flatten();
    let mut all = all.filter_map(|one| one.ip.parse::<IpAddr>().ok());
    all.find(|ip| ip.is_ipv6() != first.is_ipv6())
}

fn farewell(meta: &ObjectMeta) -> Option<Farewell> {
    let gone_by = meta.deletion_timestamp.as_ref()?.0;
    let seconds = meta.deletion_grace_period_seconds.unwrap_or_default();
    let grace = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    Some(Farewell {
        asked: gone_by.checked_sub(grace).unwrap_or(gone_by),
        grace,
    })
}

fn network(spec: &PodSpec, networks: Option<&String>) -> PodNetwork {
    let eni_ip =
        |list: Option<&BTreeMap<_, _>>| list.is_some_and(|all| all.contains_key(names::ENI_IP));
    let eni_ip = |container: &Container| {
        let resources = container.resources.as_ref();
        resources.is_some_and(|all| eni_ip(all.requests.as_ref()) && eni_ip(all.limits.as_ref()))
    };
    PodNetwork::of(
        spec.host_network.unwrap_or_default(),
        networks.map(String::as_str),
        spec.containers.iter().any(eni_ip),
    )
}

fn maker(meta: &ObjectMeta) -> Option<Box<ObjectReference>> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let owner: &OwnerReference = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(Box::new(ObjectReference {
        api_version: Some(owner.api_version.clone()),
        kind: Some(owner.kind.clone()),
        name: Some(owner.name.clone()),
        namespace: meta.namespace.clone(),
        uid: Some(owner.uid.clone()),
        ..ObjectReference::default()
    }))
}

fn gated(spec: &PodSpec) -> bool {
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    gates.iter().any(|gate| gate.condition_type == names::GATE)
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a PodCondition> {
    status
        .conditions
        .as_deref()?
        .iter()
        .find(|condition| condition.type_ == kind)
}

fn observed(condition: &PodCondition) -> Observed {
    Observed {
        status: condition.status.clone(),
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        last_transition: condition.last_transition_time.as_ref().map(|time| time.0),
    }
}

/// 0 to 100, as TKE documents it.
fn weight(text: &str) -> Option<u8> {
    text.parse().ok().filter(|weight| *weight <= HEAVIEST)
}

/// What is asked for as a weight and is none.
fn bad(asked: Option<&str>) -> Option<Box<str>> {
    asked.filter(|text| weight(text).is_none()).map(Into::into)
}

/// Containers that run as long as the pod: its own, then its sidecars, as Kubernetes looks for a named port.
fn serving(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let sidecar = |one: &&Container| one.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(sidecar);
    spec.containers.iter().chain(sidecars)
}

fn named_ports(container: &Container) -> impl Iterator<Item = (String, u16)> + '_ {
    let ports = container.ports.as_deref().unwrap_or_default();
    ports
        .iter()
        .filter_map(|port| Some((port.name.clone()?, u16::try_from(port.container_port).ok()?)))
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    /// A live, ready, gated pod `shop/NAME` with label `app=web` and the address 198.18.1.NUMBER.
    pub(crate) fn pod(name: &str, number: u8) -> PodRecord {
        PodRecord {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            version: 1,
            labels: Arc::new([("app".to_owned(), "web".to_owned())].into()),
            fate: Fate::Live,
            farewell: None,
            ip: Some([198, 18, 1, number].into()),
            other_ip: None,
            network: PodNetwork::default(),
            maker: None,
            gated: true,
            containers_ready: true,
            containers_ready_since: None,
            condition: None,
            latched_ip: None,
            ports: vec![("http".to_owned(), 8080)],
            weight: DEFAULT_WEIGHT,
            rule_weight: DEFAULT_WEIGHT,
            bad_weight: None,
            bad_rule_weight: None,
        }
    }

    /// The same with its gate open.
    pub(crate) fn serving(name: &str, number: u8) -> PodRecord {
        let open = Observed {
            status: "True".to_owned(),
            ..Observed::default()
        };
        PodRecord {
            condition: Some(open),
            ..pod(name, number)
        }
    }

    #[rstest::rstest]
    #[case(None, 10)]
    #[case(Some("0"), 0)]
    #[case(Some("30"), 30)]
    #[case(Some("100"), 100)]
    #[case(Some("101"), 10)]
    #[case(Some("-1"), 10)]
    #[case(Some("heavy"), 10)]
    #[case(Some(""), 10)]
    fn a_pods_own_weight_is_0_to_100_and_10_otherwise(
        #[case] value: Option<&str>,
        #[case] weight: u8,
    ) {
        let annotations = value.map(|value| serde_json::json!({(names::CUSTOM_WEIGHT): value}));
        let whole = serde_json::json!({"metadata": {"name": "a", "annotations": annotations}});
        let pod = PodRecord::prune(serde_json::from_value(whole).unwrap());
        assert_eq!(pod.weight, weight);
        let good = value.is_none_or(|value| value == weight.to_string());
        assert_eq!(pod.bad_weight.as_deref(), value.filter(|_| !good));
    }

    /// Kubernetes knows the ports of sidecars too, which are init containers that go on running.
    #[test]
    fn a_named_port_may_be_a_sidecars() {
        let port = |name: &str, number| json!([{"name": name, "containerPort": number}]);
        let whole = json!({"metadata": {"name": "a"}, "spec": {
            "containers": [{"name": "app", "ports": port("app", 1)}, {"name": "more", "ports": port("proxy", 3)}],
            "initContainers": [
                {"name": "setup", "ports": port("setup", 4)},
                {"name": "mesh", "restartPolicy": "Always", "ports": port("proxy", 2)},
                {"name": "logs", "restartPolicy": "Always", "ports": port("logs", 5)}]}});
        let pod = PodRecord::prune(serde_json::from_value(whole).unwrap());
        let of = |name: &str| pod.port(&TargetPort::Name(name.to_owned()));
        assert_eq!(
            [of("app"), of("proxy"), of("logs"), of("setup")],
            [Some(1), Some(3), Some(5), None]
        );
    }

    #[rstest]
    #[case(None, None, 10)]
    #[case(Some("30"), None, 30)]
    #[case(Some("30"), Some("0"), 0)]
    #[case(Some("30"), Some("101"), 30)]
    #[case(None, Some("40"), 40)]
    fn a_pods_weight_under_rules_is_its_own_or_that_of_the_pod(
        #[case] own: Option<&str>,
        #[case] under_rules: Option<&str>,
        #[case] weight: u8,
    ) {
        let keys = [names::CUSTOM_WEIGHT, names::ingress::CUSTOM_WEIGHT];
        let values = keys.into_iter().zip([own, under_rules]);
        let annotations: BTreeMap<_, _> = values
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let whole = json!({"metadata": {"name": "a", "annotations": annotations}});
        let pod = PodRecord::prune(serde_json::from_value(whole).unwrap());
        assert_eq!(pod.rule_weight, weight);
        let bad = under_rules.filter(|value| value.parse().is_ok_and(|number: u8| number > 100));
        assert_eq!(pod.bad_rule_weight.as_deref(), bad);
    }

    #[test]
    fn pruning_reads_what_is_used() {
        let whole: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "shop", "name": "a", "uid": "uid-a", "resourceVersion": "1",
                "labels": {"app": "web"}, "annotations": {(names::CUSTOM_WEIGHT): "30"}},
            "spec": {"readinessGates": [{"conditionType": names::GATE}],
                "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 1}]}]},
            "status": {"phase": "Running", "podIP": "198.18.1.5",
                "conditions": [{"type": "ContainersReady", "status": "True"}]}
        }))
        .unwrap();
        assert_eq!(
            PodRecord::prune(whole),
            PodRecord {
                weight: 30,
                rule_weight: 30,
                ..pod("a", 5)
            }
        );
    }

    #[test]
    fn what_bears_on_the_network_is_read() {
        let (eni_ip, owner) = (json!({(names::ENI_IP): "1"}), "uid-set");
        let mut whole = json!({
            "metadata": {"namespace": "shop", "name": "a", "annotations": {(names::NETWORKS): "tke-route-eni"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "uid-n"},
                    {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": owner, "controller": true}]},
            "spec": {"containers": [{"name": "c"}, {"name": "d", "resources": {"requests": eni_ip, "limits": eni_ip}}]},
        });
        let prune =
            |whole: &Value| PodRecord::prune(serde_json::from_value(whole.clone()).unwrap());
        let record = prune(&whole);
        assert_eq!(
            record.network,
            PodNetwork::of(false, Some("tke-route-eni"), true)
        );
        assert_eq!(record.maker, None);
        whole["spec"]["hostNetwork"] = json!(true);
        whole["spec"]["containers"][1]["resources"]["limits"] = json!({});
        let record = prune(&whole);
        assert_eq!(
            record.network,
            PodNetwork::of(true, Some("tke-route-eni"), false)
        );
        let maker = record.maker.unwrap();
        assert_eq!(
            (maker.kind.as_deref(), maker.uid.as_deref()),
            (Some("DaemonSet"), Some(owner))
        );
        assert_eq!(maker.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn a_pod_was_asked_to_go_its_grace_before_its_deletion_timestamp() {
        let prune = |meta: Value| {
            let whole = json!({"metadata": meta});
            PodRecord::prune(serde_json::from_value(whole).unwrap()).farewell
        };
        let deleted =
            json!({"deletionTimestamp": "2026-11-21T08:01:00Z", "deletionGracePeriodSeconds": 60});
        let farewell = prune(deleted).unwrap();
        assert_eq!(farewell.asked.to_string(), "2026-11-21T08:00:00Z");
        assert_eq!(farewell.grace, Duration::from_mins(1));
        let killed = json!({"deletionTimestamp": "2026-11-21T08:01:00Z"});
        let farewell = prune(killed).unwrap();
        assert_eq!(farewell.asked.to_string(), "2026-11-21T08:01:00Z");
        assert_eq!(prune(json!({})), None);
    }

    #[rstest]
    #[case(false, Some("Running"), Fate::Live)]
    #[case(true, Some("Running"), Fate::Going)]
    #[case(false, Some("Failed"), Fate::Ended)]
    #[case(true, Some("Succeeded"), Fate::Ended)]
    fn only_the_phase_may_tell_of_the_end(
        #[case] deleted: bool,
        #[case] phase: Option<&str>,
        #[case] expected: Fate,
    ) {
        assert_eq!(fate(deleted, phase), expected);
    }
}
