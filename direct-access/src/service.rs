//! A Service pruned to what the decisions need: the form in which both halves cache it.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::annotations;
use crate::exposure::Reason;
use crate::names;
use crate::owner::{Kind, Owner};
use crate::problem::Problem;
use crate::tke_service_config::Named;
use crate::words::Words;

/// Which object something belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The port of the pod that a Service port leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetPort {
    /// The same number in every pod.
    Number(u16),
    /// The container port of that name, which may differ from pod to pod.
    Name(String),
}

impl fmt::Display for TargetPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// Its name; an Ingress may name the port by it.
    pub name: Option<String>,
    /// The Service's own port, which becomes the listener's.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The pods' port.
    pub target: TargetPort,
}

/// A Service pruned to what the decisions need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, for Events.
    pub uid: String,
    /// Whether it is `type: LoadBalancer`.
    pub load_balancer_type: bool,
    /// `spec.loadBalancerClass`.
    pub load_balancer_class: Option<String>,
    /// The selector; empty selects nothing.
    pub selector: BTreeMap<String, String>,
    /// The annotations that are present and that [`annotations`] says matter.
    pub annotations: BTreeMap<String, String>,
    /// Ports.
    pub ports: Vec<PortFacts>,
    /// When it was created: the older of two Services that claim a port keeps it.
    pub created: Option<jiff::Timestamp>,
    /// Whether it has a deletion timestamp.
    pub going: bool,
    /// Resource version, as a number: the API server's own are, and compare as such.
    pub version: u64,
    /// Whether it has [`names::FINALIZER`].
    pub finalizer: bool,
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<Ingress>,
    /// What its annotation `tke-service-config` leads to, joined by whoever looks after listeners.
    pub config: Named,
}

/// An address at which the Service says it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// The IP, or the host name where there is none.
    pub address: String,
    /// `VIP`, or `Proxy`: nodes must not short-cut the address.
    pub mode: Option<String>,
}

impl ServiceFacts {
    /// Prunes a Service as the API server gave it.
    pub fn prune(service: Service) -> Self {
        let meta = service.metadata;
        let spec = service.spec.unwrap_or_default();
        let mut kept = meta.annotations.unwrap_or_default();
        kept.retain(|key, _| annotations::matters(key));
        let finalizers = meta.finalizers.unwrap_or_default();
        let status = service.status.and_then(|status| status.load_balancer);
        let ingress = status.and_then(|status| status.ingress).unwrap_or_default();
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            load_balancer_type: spec.type_.as_deref() == Some("LoadBalancer"),
            load_balancer_class: spec.load_balancer_class,
            selector: spec.selector.unwrap_or_default(),
            annotations: kept,
            ports: spec
                .ports
                .unwrap_or_default()
                .into_iter()
                .filter_map(port)
                .collect(),
            created: meta.creation_timestamp.map(|time| time.0),
            going: meta.deletion_timestamp.is_some(),
            version: meta
                .resource_version
                .and_then(|version| version.parse().ok())
                .unwrap_or_default(),
            finalizer: finalizers.iter().any(|name| name == names::FINALIZER),
            ingress: ingress.into_iter().map(shown).collect(),
            config: Named::default(),
        }
    }

    /// The Service's own name.
    pub fn object(&self) -> ObjectRef {
        ObjectRef {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Itself, as the one that asks.
    pub fn owner(&self) -> Owner {
        Owner::service(self.object())
    }

    /// What it says of its load balancer.
    pub fn words(&self) -> Words<'_> {
        Words {
            kind: Kind::Service,
            namespace: &self.namespace,
            name: &self.name,
            annotations: &self.annotations,
        }
    }

    /// The value of an annotation that matters here.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// Whether it names clb-gate's own class.
    pub(crate) fn names_our_class(&self) -> bool {
        self.load_balancer_class.as_deref() == Some(names::LOAD_BALANCER_CLASS)
    }

    /// A problem of one of its fields.
    pub fn problem(&self, field: &str, value: &str, accepted: &str) -> Problem {
        self.owner().problem(field, value, accepted)
    }

    /// A problem of one of its annotations.
    pub fn annotation_problem(&self, key: &str, value: &str, accepted: &str) -> Problem {
        self.owner().annotation_problem(key, value, accepted)
    }

    pub(crate) fn unreadable(&self, key: &str, value: &str, accepted: &str) -> Reason {
        Reason::Unreadable(Box::new(self.annotation_problem(key, value, accepted)))
    }
}

fn shown(ingress: LoadBalancerIngress) -> Ingress {
    Ingress {
        address: ingress.ip.or(ingress.hostname).unwrap_or_default(),
        mode: ingress.ip_mode,
    }
}

/// `None` only for numbers the API server itself would have refused.
fn port(port: ServicePort) -> Option<PortFacts> {
    let own = u16::try_from(port.port).ok()?;
    let target = match port.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(own),
        Some(IntOrString::Int(number)) => TargetPort::Number(u16::try_from(number).ok()?),
        Some(IntOrString::String(name)) => TargetPort::Name(name),
    };
    let protocol = port.protocol.unwrap_or_else(|| "TCP".to_owned());
    Some(PortFacts {
        name: port.name.filter(|name| !name.is_empty()),
        port: own,
        protocol,
        target,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A direct-access Service `shop/NAME`: port 80 to 8080, selecting `app=NAME`, on `lb-abcd1234`.
    pub(crate) fn service(name: &str) -> ServiceFacts {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        ServiceFacts {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            load_balancer_type: true,
            selector: [pair("app", name)].into(),
            annotations: [
                pair(names::DIRECT_ACCESS, "true"),
                pair(names::EXISTING_LOAD_BALANCER, "lb-abcd1234"),
            ]
            .into(),
            ports: vec![PortFacts {
                name: None,
                port: 80,
                protocol: "TCP".to_owned(),
                target: TargetPort::Number(8080),
            }],
            ..ServiceFacts::default()
        }
    }

    #[test]
    fn pruning_keeps_what_is_used_and_nothing_else() {
        let whole: Service = serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "uid-web", "resourceVersion": "7",
                "finalizers": ["example.com/other", (names::FINALIZER)], "annotations": {
                (names::DIRECT_ACCESS): "true", (names::EXISTING_LOAD_BALANCER): "lb-abcd1234",
                "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"},
                "ports": [{"port": 80, "targetPort": 8080}, {"port": 81}, {"port": 82, "targetPort": "http"}]},
            "status": {"loadBalancer": {"ingress": [
                {"ip": "198.18.0.130", "ipMode": "Proxy"}, {"hostname": "lb.example.com"}]}}
        }))
        .unwrap();
        let ingress = |address: &str, mode: Option<&str>| Ingress {
            address: address.to_owned(),
            mode: mode.map(str::to_owned),
        };
        let mut expected = ServiceFacts {
            version: 7,
            finalizer: true,
            ingress: vec![
                ingress("198.18.0.130", Some("Proxy")),
                ingress("lb.example.com", None),
            ],
            ..service("web")
        };
        let tcp = |port, target| PortFacts {
            name: None,
            port,
            protocol: "TCP".to_owned(),
            target,
        };
        expected.ports.push(tcp(81, TargetPort::Number(81)));
        expected
            .ports
            .push(tcp(82, TargetPort::Name("http".to_owned())));
        assert_eq!(ServiceFacts::prune(whole), expected);
    }
}
