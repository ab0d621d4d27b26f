//! An Ingress pruned to what the decisions need: the form in which both halves cache it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressRule, IngressTLS,
};

use crate::names;
use crate::owner::{Kind, Owner};
use crate::problem::Problem;
use crate::service::{self, ObjectRef};
use crate::tke_service_config::Named;
use crate::words::Words;

/// An Ingress pruned to what the decisions need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, for Events.
    pub uid: String,
    /// `spec.ingressClassName`.
    pub class_name: Option<String>,
    /// The annotations that bear on anything here.
    pub annotations: BTreeMap<String, String>,
    /// Every path of every rule, in order.
    pub routes: Vec<RouteFacts>,
    /// `spec.defaultBackend`.
    pub default_backend: Option<Backend>,
    /// `spec.tls`.
    pub tls: Vec<TlsFacts>,
    /// When it was created: the older of two objects that claim the same keeps it.
    pub created: Option<jiff::Timestamp>,
    /// Whether it has a deletion timestamp.
    pub going: bool,
    /// Resource version, as a number: the API server's own are, and compare as such.
    pub version: u64,
    /// Whether it has [`names::FINALIZER`].
    pub finalizer: bool,
    /// The addresses in `status.loadBalancer.ingress`.
    pub shown: Vec<String>,
    /// Whether we wrote them: the API server keeps who manages a status.
    pub shown_by_us: bool,
    /// What its `TkeServiceConfig` says; only the controller looks.
    pub config: Named,
}

/// One path of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteFacts {
    /// Where it stands, e.g. `spec.rules[0].http.paths[1]`.
    pub field: String,
    /// The host; absent or empty for all.
    pub host: Option<String>,
    /// The path; absent is `/`.
    pub path: Option<String>,
    /// `Exact`, `Prefix` or `ImplementationSpecific`.
    pub path_type: String,
    /// Where it leads.
    pub backend: Backend,
}

/// Where a route leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Nowhere.
    #[default]
    None,
    /// To a port of a Service in the same namespace.
    Service {
        /// Its name.
        name: String,
        /// Its port.
        port: BackendPort,
    },
    /// To an object that is no Service: kind and name.
    Resource(String),
}

/// A port of a Service, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendPort {
    /// By its number.
    Number(u16),
    /// By its name.
    Name(String),
}

/// An entry of `spec.tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// For these hosts; for all others where empty.
    pub hosts: Vec<String>,
    /// The Secret that names the certificate.
    pub secret: Option<String>,
}

impl IngressFacts {
    /// Prunes an Ingress as the API server gave it.
    pub fn prune(ingress: Ingress) -> Self {
        let meta = ingress.metadata;
        let spec = ingress.spec.unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.retain(|key, _| super::annotations::matters(key));
        let finalizers = meta.finalizers.unwrap_or_default();
        let managers = meta.managed_fields.unwrap_or_default();
        let status = ingress.status.and_then(|status| status.load_balancer);
        let shown = status.and_then(|status| status.ingress).unwrap_or_default();
        let rules = spec.rules.unwrap_or_default().into_iter().enumerate();
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            class_name: spec.ingress_class_name,
            annotations,
            routes: rules
                .flat_map(|(number, rule)| routes(number, rule))
                .collect(),
            default_backend: spec.default_backend.map(backend),
            tls: spec.tls.unwrap_or_default().into_iter().map(tls).collect(),
            created: meta.creation_timestamp.map(|time| time.0),
            going: meta.deletion_timestamp.is_some(),
            version: meta
                .resource_version
                .and_then(|version| version.parse().ok())
                .unwrap_or_default(),
            finalizer: finalizers.iter().any(|name| name == names::FINALIZER),
            shown: shown
                .into_iter()
                .filter_map(|one| one.ip.or(one.hostname))
                .collect(),
            shown_by_us: managers.iter().any(|entry| {
                entry.manager.as_deref() == Some(names::FIELD_MANAGER)
                    && entry.subresource.as_deref() == Some("status")
            }),
            config: Named::NotLooked,
        }
    }

    /// Its namespace and name.
    pub fn object(&self) -> ObjectRef {
        self.beside(&self.name)
    }

    /// Itself, as the one that asks.
    pub fn owner(&self) -> Owner {
        Owner::ingress(self.object())
    }

    /// What it says of its load balancer.
    pub fn words(&self) -> Words<'_> {
        Words {
            kind: Kind::Ingress,
            namespace: &self.namespace,
            name: &self.name,
            annotations: &self.annotations,
        }
    }

    /// The value of an annotation that matters here.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// The names of the Services it leads to, whether they exist or not.
    pub fn services(&self) -> BTreeSet<&str> {
        let backends = self.routes.iter().map(|route| &route.backend);
        let all = backends.chain(&self.default_backend);
        all.filter_map(|backend| match backend {
            Backend::Service { name, .. } => Some(name.as_str()),
            Backend::None | Backend::Resource(_) => None,
        })
        .collect()
    }

    /// A problem of one of its fields.
    pub fn problem(&self, field: &str, value: &str, accepted: &str) -> Problem {
        self.owner().problem(field, value, accepted)
    }

    /// A problem of one of its annotations.
    pub fn annotation_problem(&self, key: &str, value: &str, accepted: &str) -> Problem {
        self.owner().annotation_problem(key, value, accepted)
    }

    /// An object in the same namespace.
    pub(super) fn beside(&self, name: &str) -> ObjectRef {
        ObjectRef {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }
}

fn routes(number: usize, rule: IngressRule) -> Vec<RouteFacts> {
    let host = rule.host.filter(|host| !host.is_empty());
    let paths = rule.http.map(|http| http.paths).unwrap_or_default();
    if paths.is_empty() {
        let field = format!("spec.rules[{number}].http");
        return vec![RouteFacts {
            field,
            host,
            ..RouteFacts::default()
        }];
    }
    let route = |(at, path): (usize, HTTPIngressPath)| RouteFacts {
        field: format!("spec.rules[{number}].http.paths[{at}]"),
        host: host.clone(),
        path: path.path,
        path_type: path.path_type,
        backend: backend(path.backend),
    };
    paths.into_iter().enumerate().map(route).collect()
}

fn backend(backend: IngressBackend) -> Backend {
    if let Some(resource) = backend.resource {
        return Backend::Resource(format!("{} {}", resource.kind, resource.name));
    }
    let Some(service) = backend.service else {
        return Backend::None;
    };
    let port = service.port.and_then(|port| {
        let number = port.number.and_then(|number| u16::try_from(number).ok());
        let number = number.map(BackendPort::Number);
        number.or_else(|| port.name.map(BackendPort::Name))
    });
    Backend::Service {
        name: service.name,
        port: port.unwrap_or(BackendPort::Name(String::new())),
    }
}

fn tls(tls: IngressTLS) -> TlsFacts {
    let hosts = tls.hosts.unwrap_or_default();
    TlsFacts {
        hosts: hosts.into_iter().filter(|host| !host.is_empty()).collect(),
        secret: tls.secret_name.filter(|name| !name.is_empty()),
    }
}

impl BackendPort {
    /// The Service's port of that number or name.
    pub(super) fn of<'s>(
        &self,
        service: &'s service::ServiceFacts,
    ) -> Option<&'s service::PortFacts> {
        service.ports.iter().find(|port| match self {
            Self::Number(number) => port.port == *number,
            Self::Name(name) => !name.is_empty() && port.name.as_ref() == Some(name),
        })
    }
}

impl fmt::Display for BackendPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
