//! What the annotation of a Service or an Ingress leads to, and what of it holds for a Service.
//!
//! Whoever only decides about gates need not look: what an object says changes how listeners are set up,
//! never which pods stand behind them, and a mistake in it holds nothing back but itself.

use std::sync::Arc;

use serde_json::Value;

use super::{NotApplied, TkeServiceConfig, fit::fit};
use crate::ingress::IngressFacts;
use crate::listener::ListenerParameters;
use crate::load_balancer::LoadBalancer;
use crate::names;
use crate::problem::{Code, Problem};
use crate::service::ServiceFacts;
use crate::slot::{Protocol, Slot};
use crate::words::{Word, Words};

/// What the annotation leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Named {
    /// There is no annotation, or nobody has looked.
    #[default]
    NotLooked,
    /// This cluster has no such kind.
    NoKind,
    /// There is no such object in the namespace.
    Missing,
    /// This.
    Found(Arc<Read>),
}

/// An object as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// What can be applied.
    pub config: TkeServiceConfig,
    /// What cannot, and why.
    pub told: Vec<NotApplied>,
}

/// Ends of the names that TKE keeps for objects it makes itself.
const RESERVED: [&str; 2] = ["-auto-service-config", "-auto-ingress-config"];
/// How the fields of layer-7 listeners begin: an Ingress is told of them.
const LAYER7: &str = "spec.loadBalancer.l7Listeners";

impl Read {
    /// Reads an object's `spec`. Never fails.
    pub fn of(spec: &Value) -> Self {
        let (config, told) = TkeServiceConfig::parse(spec);
        Self { config, told }
    }
}

/// Mbit/s of the whole CLB, where the object that a Service names declares them.
pub fn bandwidth(service: &ServiceFacts) -> Option<u32> {
    Configured::of(service).config()?.bandwidth
}

/// Mbit/s of the whole CLB, where the object that an Ingress names declares them.
pub fn bandwidth_of_ingress(ingress: &IngressFacts) -> Option<u32> {
    Configured::of_ingress(ingress).config()?.bandwidth
}

/// An object with what it names.
#[derive(Clone, Copy)]
pub(crate) struct Configured<'a> {
    asks: Asks<'a>,
    named: &'a Named,
    name: Option<&'a str>,
}

/// Whose annotation it is.
#[derive(Clone, Copy)]
enum Asks<'a> {
    Service(&'a ServiceFacts),
    Ingress(&'a IngressFacts),
}

impl<'a> Configured<'a> {
    pub(crate) fn of(service: &'a ServiceFacts) -> Self {
        Self {
            asks: Asks::Service(service),
            named: &service.config,
            name: service.annotation(names::TKE_SERVICE_CONFIG),
        }
    }

    pub(crate) fn of_ingress(ingress: &'a IngressFacts) -> Self {
        Self {
            asks: Asks::Ingress(ingress),
            named: &ingress.config,
            name: ingress.annotation(names::ingress::TKE_SERVICE_CONFIG),
        }
    }

    fn words(self) -> Words<'a> {
        match self.asks {
            Asks::Service(service) => service.words(),
            Asks::Ingress(ingress) => ingress.words(),
        }
    }

    pub(super) fn read(self) -> Option<&'a Read> {
        let name = self.name?;
        match self.named {
            Named::Found(read) if !is_reserved(name) => Some(read),
            Named::Found(_) | Named::NotLooked | Named::NoKind | Named::Missing => None,
        }
    }

    pub(super) fn config(self) -> Option<&'a TkeServiceConfig> {
        self.read().map(|read| &read.config)
    }

    /// The parameters of a listener: the object's over the annotation's.
    pub(crate) fn over(
        self,
        base: ListenerParameters,
        protocol: Protocol,
        port: u16,
    ) -> ListenerParameters {
        let declared = self.config().and_then(|config| config.l4(protocol, port));
        match declared {
            None => base,
            Some(declared) => fit(&base, declared).0,
        }
    }

    /// What of it is not applied. `base` are the annotation's parameters, `ports` what is served, `held`
    /// what stays as it is.
    pub(crate) fn not_applied(
        self,
        base: &ListenerParameters,
        ports: &[(Protocol, u16)],
        held: &[Slot],
    ) -> Vec<NotApplied> {
        let Some(read) = self.read() else {
            return vec![];
        };
        let of_layer4 = |one: &&NotApplied| !one.field.starts_with(LAYER7);
        let mut all: Vec<_> = read.told.iter().filter(of_layer4).cloned().collect();
        let has = |protocol: Protocol, port: u16| {
            ports.contains(&(protocol, port)) || held.contains(&protocol.at(port))
        };
        all.extend(read.config.unmatched_l4(has));
        for (protocol, port) in ports {
            if let Some(declared) = read.config.l4(*protocol, *port) {
                all.extend(fit(&base.of(*protocol), declared).1);
            }
        }
        all
    }

    /// What the user should be told, on the object that names it.
    pub(crate) fn told(self, not_applied: Vec<NotApplied>, on: &LoadBalancer) -> Vec<Problem> {
        let Some(name) = self.name else {
            return vec![];
        };
        let mut all: Vec<_> = self.absent(name).into_iter().collect();
        let object = format!("TkeServiceConfig {}/{name}", self.words().namespace);
        let problem = |one: NotApplied| {
            let field = format!("{object}: {}", one.field);
            match self.asks {
                Asks::Service(service) => service.problem(&field, &one.value, &one.why),
                Asks::Ingress(ingress) => ingress.problem(&field, &one.value, &one.why),
            }
        };
        all.extend(not_applied.into_iter().map(problem));
        all.extend(self.bandwidth_is_not_ours(on).map(problem));
        all
    }

    fn absent(self, name: &str) -> Option<Problem> {
        let problem = |accepted: &str, code| {
            let problem = match self.asks {
                Asks::Service(service) => {
                    service.annotation_problem(names::TKE_SERVICE_CONFIG, name, accepted)
                }
                Asks::Ingress(ingress) => {
                    ingress.annotation_problem(names::ingress::TKE_SERVICE_CONFIG, name, accepted)
                }
            };
            Some(problem.coded(code))
        };
        if is_reserved(name) {
            let accepted = "TKE keeps names that end in -auto-service-config or -auto-ingress-config for itself; \
                            accepted is a TkeServiceConfig of another name";
            return problem(accepted, Code::ConfigName);
        }
        match self.named {
            Named::NotLooked | Named::Found(_) => None,
            Named::NoKind => problem(
                "this cluster has no TkeServiceConfigs; install the component tke-service-config, which brings the \
                 kind, and apply the object; listeners stay as they are until then",
                Code::ConfigNotFound,
            ),
            Named::Missing => problem(
                match self.asks {
                    Asks::Service(_) => {
                        "there is no such TkeServiceConfig in the Service's namespace; accepted is the name of one; \
                         listeners stay as they are until then"
                    }
                    Asks::Ingress(_) => {
                        "there is no such TkeServiceConfig in the Ingress's namespace; accepted is the name of one; \
                         rules stay as they are until then"
                    }
                },
                Code::ConfigNotFound,
            ),
        }
    }

    /// A user's own CLB is the user's, and an internal one has no public traffic.
    fn bandwidth_is_not_ours(self, on: &LoadBalancer) -> Option<NotApplied> {
        let asked = self.config()?.bandwidth?;
        let why = match on {
            LoadBalancer::Existing(id) => format!(
                "it is for CLBs that clb-gate makes; {id} is yours: set it there in Tencent's console"
            ),
            LoadBalancer::Made(_) => {
                let words = self.words();
                words.get(Word::Subnet)?;
                format!(
                    "the {}'s CLB is an internal one, which has no public traffic; leave it out",
                    words.kind.as_str()
                )
            }
        };
        Some(NotApplied {
            field: "spec.loadBalancer.internetMaxBandwidthOut".to_owned(),
            value: asked.to_string(),
            why,
        })
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|end| name.ends_with(end))
}
