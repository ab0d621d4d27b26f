//! What of a pod only an explanation looks at: why its containers are not ready, what ports they declare,
//! and what its own readiness probe asks. Pruned from the pod as the API server has it.

use direct_access::names;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What of a pod only an explanation looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodDetail {
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Condition `Ready` is True.
    pub ready: bool,
    /// Other conditions that its readiness gates name and that are not True.
    pub other_gates: Vec<String>,
    /// Its containers that are not ready, and why.
    pub waits: Vec<Waits>,
    /// The ports that its containers declare.
    pub ports: Vec<Port>,
    /// What its own readiness probes ask by HTTP.
    pub asks: Vec<Asks>,
}

/// A container that is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Its name.
    pub container: String,
    /// The kubelet's word for it, as `ImagePullBackOff`.
    pub why: String,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its number.
    pub number: u16,
}

/// What a readiness probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
}

impl PodDetail {
    /// Prunes a pod as the API server gave it.
    pub fn prune(pod: Pod) -> Self {
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let is_true = |kind: &str| {
            let mut all = conditions.iter();
            all.any(|one: &PodCondition| one.type_ == kind && one.status == "True")
        };
        let gates = spec.readiness_gates.unwrap_or_default().into_iter();
        let gates = gates.map(|gate| gate.condition_type);
        let statuses = status.container_statuses.unwrap_or_default();
        let ports: Vec<_> = spec.containers.iter().flat_map(ports).collect();
        Self {
            created: pod.metadata.creation_timestamp.map(|time| time.0),
            ready: is_true("Ready"),
            other_gates: gates
                .filter(|kind| kind != names::GATE && !is_true(kind))
                .collect(),
            waits: statuses.iter().filter_map(waits).collect(),
            asks: spec
                .containers
                .iter()
                .filter_map(|one| asks(one, &ports))
                .collect(),
            ports,
        }
    }

    /// Whether some container declares the port. One that declares none may serve on any.
    pub(super) fn may_serve(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|one| one.number == port)
    }
}

fn ports(container: &Container) -> Vec<Port> {
    let declared = container.ports.iter().flatten();
    let port = |one: &k8s_openapi::api::core::v1::ContainerPort| {
        Some(Port {
            name: one.name.clone(),
            number: u16::try_from(one.container_port).ok()?,
        })
    };
    declared.filter_map(port).collect()
}

fn waits(status: &ContainerStatus) -> Option<Waits> {
    if status.ready {
        return None;
    }
    let state = status.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let ended = state.and_then(|state| state.terminated.as_ref());
    let why = waiting
        .and_then(|waiting| waiting.reason.clone())
        .or_else(|| ended.map(|ended| format!("ended with exit code {}", ended.exit_code)))
        .unwrap_or_else(|| "running, its readiness probe has not passed".to_owned());
    Some(Waits {
        container: status.name.clone(),
        why,
    })
}

fn asks(container: &Container, ports: &[Port]) -> Option<Asks> {
    let get = container.readiness_probe.as_ref()?.http_get.as_ref()?;
    let port = match &get.port {
        IntOrString::Int(number) => u16::try_from(*number).ok()?,
        IntOrString::String(name) => {
            let named = ports.iter().find(|one| one.name.as_ref() == Some(name));
            named?.number
        }
    };
    Some(Asks {
        port,
        path: get.path.clone().unwrap_or_else(|| "/".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_declared_and_what_is_not_ready_is_kept() {
        let whole = json!({
            "metadata": {"name": "a", "creationTimestamp": "2026-11-21T06:00:00Z"},
            "spec": {"readinessGates": [{"conditionType": names::GATE}, {"conditionType": "example.com/other"}],
                "containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}}}]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
                {"name": "app", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                    "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
        });
        let detail = PodDetail::prune(serde_json::from_value(whole).unwrap());
        assert!(!detail.ready && detail.created.is_some());
        assert_eq!(detail.other_gates, ["example.com/other"]);
        assert_eq!(detail.waits[0].why, "ImagePullBackOff");
        assert_eq!(
            detail.asks,
            [Asks {
                port: 8080,
                path: "/ready".to_owned()
            }]
        );
        assert!(detail.may_serve(8080) && !detail.may_serve(9999));
        assert!(PodDetail::default().may_serve(9999));
    }
}
