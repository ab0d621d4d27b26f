//! From everything that asks to everything that is wanted: the older object first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use direct_access::slot::{Protocol, Space};
use direct_access::{
    Exposure, IngressFacts, IngressJudgement, Judgement, Kind, LoadBalancer, ServiceFacts,
    Settings, Slot, exposures, ingress_exposures, names,
};

use super::drains::{drains, leaving, unproven};
use super::{Certified, Others, PodsByNamespace, Wanted};
use crate::lifecycle::Made;
use crate::reach::survey;
use crate::secrets::{self, Certificates};

/// Everything that may ask for something.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// All Services.
    pub services: Vec<&'a ServiceFacts>,
    /// All Ingresses.
    pub ingresses: Vec<&'a IngressFacts>,
    /// What was read of the Secrets they name.
    pub certificates: Option<&'a Certificates>,
}

/// One of them.
#[derive(Clone, Copy)]
enum Object<'a> {
    Service(&'a ServiceFacts),
    Ingress(&'a IngressFacts),
}

/// What stays as it is, because the object that asks for it cannot be read.
struct Stays<'a> {
    selectors: Vec<(&'a str, &'a BTreeMap<String, String>)>,
    slots: Vec<Slot>,
}

/// Computes what every load balancer should hold. The `ledger` names those written to before: one that
/// nobody names any more should hold nothing of ours. `made` tells which ones we made for whom.
pub fn wanted(
    asked: &Asked<'_>,
    pods: &PodsByNamespace<'_>,
    settings: &Settings,
    ledger: &BTreeSet<String>,
    made: &Made,
) -> Wanted {
    let services = asked.by_name();
    let mut work = Work {
        asked,
        services: &services,
        pods,
        settings,
        made,
        wanted: Wanted {
            network: settings.conclusion,
            ..Wanted::default()
        },
        unseen: BTreeSet::new(),
        held: Vec::new(),
        held_slots: HashSet::new(),
    };
    for id in ledger {
        work.wanted.load_balancers.entry(id.clone()).or_default();
    }
    for object in asked.in_order() {
        match object {
            Object::Service(service) => work.service(service),
            Object::Ingress(ingress) => work.ingress(ingress),
        }
    }
    work.finish()
}

impl<'a> Asked<'a> {
    /// Services alone.
    pub fn of_services(services: impl IntoIterator<Item = &'a ServiceFacts>) -> Self {
        Self {
            services: services.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The older object keeps what two of them claim.
    fn in_order(&self) -> Vec<Object<'a>> {
        let services = self.services.iter().copied().map(Object::Service);
        let ingresses = self.ingresses.iter().copied().map(Object::Ingress);
        let mut all: Vec<_> = services.chain(ingresses).collect();
        all.sort_by_key(|object| match object {
            Object::Service(one) => (one.created, one.uid.as_str()),
            Object::Ingress(one) => (one.created, one.uid.as_str()),
        });
        all
    }

    /// Services by namespace and name, where an Ingress may ask for them.
    fn by_name(&self) -> HashMap<(&'a str, &'a str), &'a ServiceFacts> {
        let services = if self.ingresses.is_empty() {
            &[][..]
        } else {
            &self.services
        };
        let one = |service: &&'a ServiceFacts| {
            let key = (service.namespace.as_str(), service.name.as_str());
            (key, *service)
        };
        services.iter().map(one).collect()
    }
}

struct Work<'w, 'a> {
    asked: &'w Asked<'a>,
    services: &'w HashMap<(&'a str, &'a str), &'a ServiceFacts>,
    pods: &'w PodsByNamespace<'w>,
    settings: &'w Settings,
    made: &'w Made,
    wanted: Wanted,
    unseen: BTreeSet<String>,
    held: Vec<Stays<'a>>,
    /// Slots of ports that cannot be read, of Services that can.
    held_slots: HashSet<Slot>,
}

impl<'a> Work<'_, 'a> {
    fn service(&mut self, service: &'a ServiceFacts) {
        match exposures(service, self.settings) {
            Judgement::Served(mut served) => {
                for exposure in &mut served.exposures {
                    let id = unconfirmed(&mut exposure.load_balancer, &service.uid, self.made);
                    self.unseen.extend(id);
                }
                self.held_slots.extend(served.held);
                let first = served.exposures.first();
                if let Some(id) = first.and_then(|one| one.load_balancer.id()) {
                    let desired = self.wanted.load_balancers.entry(id.to_owned());
                    desired.or_default().incomplete.extend(served.incomplete);
                }
                self.wanted.tell(&service.owner(), served.problems);
                self.serve(served.exposures);
            }
            Judgement::NotOurs(reason) => {
                let problem = reason.problem(service).into_iter().collect();
                self.wanted.tell(&service.owner(), problem);
                if reason.holds() {
                    let slot = |port: &direct_access::service::PortFacts| Slot {
                        space: Space::of(&port.protocol),
                        port: port.port,
                    };
                    self.held.push(Stays {
                        selectors: vec![(service.namespace.as_str(), &service.selector)],
                        slots: service.ports.iter().map(slot).collect(),
                    });
                }
            }
        }
    }

    fn ingress(&mut self, ingress: &'a IngressFacts) {
        let services = self.services;
        let namespace = ingress.namespace.as_str();
        let find = |name: &str| services.get(&(namespace, name)).copied();
        match ingress_exposures(ingress, &find, self.settings) {
            IngressJudgement::Served(mut served) => {
                self.wanted.tell(&ingress.owner(), served.problems);
                let own = &mut served.load_balancer;
                self.unseen
                    .extend(unconfirmed(own, &ingress.uid, self.made));
                for exposure in &mut served.exposures {
                    exposure.load_balancer.clone_from(own);
                }
                if let Some(id) = own.id() {
                    let desired = self.wanted.load_balancers.entry(id.to_owned());
                    desired.or_default().incomplete.extend(served.incomplete);
                }
                self.serve(served.exposures);
            }
            IngressJudgement::NotOurs(reason) => {
                let problem = reason.problem(ingress).into_iter().collect();
                self.wanted.tell(&ingress.owner(), problem);
                if reason.holds() {
                    let services = ingress.services().into_iter().filter_map(find);
                    let selectors = services.map(|one| (one.namespace.as_str(), &one.selector));
                    self.held.push(Stays {
                        selectors: selectors.collect(),
                        slots: ingress.possible_slots(),
                    });
                }
            }
        }
    }

    fn serve(&mut self, exposures: Vec<Exposure>) {
        for exposure in exposures {
            let certificate = self.certificate(&exposure);
            self.wanted.serve(&exposure, certificate, self.pods);
            self.wanted.exposures.push(exposure);
        }
    }

    /// What is known of the certificate it needs; what stands in the way is told on its object.
    fn certificate(&mut self, exposure: &Exposure) -> Certified {
        let Some(rule) = exposure.rule.as_ref() else {
            return Certified::NotNeeded;
        };
        if exposure.protocol != Protocol::Https {
            return Certified::NotNeeded;
        }
        let (certified, told) = secrets::certified(rule, self.asked.certificates);
        if let Some((secret, accepted)) = told {
            let (key, port) = (names::SPECIFY_PROTOCOL, exposure.port);
            let field = match exposure.owner.kind {
                Kind::Service => format!("metadata.annotations[{key}][{port}]"),
                Kind::Ingress => "spec.tls[].secretName".to_owned(),
            };
            let problem = exposure.owner.problem(&field, &secret, &accepted);
            self.wanted.remark(problem);
        }
        certified
    }

    fn finish(self) -> Wanted {
        let mut wanted = self.wanted;
        for id in self.unseen {
            let desired = wanted.load_balancers.entry(id).or_default();
            desired.hold = desired.listeners.is_empty();
        }
        let survey = survey(&wanted.exposures, self.pods, wanted.network);
        wanted.mixed = survey.mixed;
        let mut others = Others {
            unreachable: survey.unreachable,
            network: wanted.network,
            leaving: leaving(self.pods),
            drains: drains(&wanted.exposures, self.pods),
            unproven: unproven(self.pods),
            ..others(&self.held, self.pods)
        };
        others.held_slots.extend(self.held_slots);
        let others = Arc::new(others);
        for desired in wanted.load_balancers.values_mut() {
            desired.others = Arc::clone(&others);
        }
        wanted.others = others;
        wanted
    }
}

/// Takes the id away from a load balancer that was not seen to be made for the object of this UID, and
/// returns it.
pub(crate) fn unconfirmed(
    load_balancer: &mut LoadBalancer,
    uid: &str,
    made: &Made,
) -> Option<String> {
    match load_balancer {
        LoadBalancer::Made(id) if id.as_deref() != made.id(uid) => id.take(),
        LoadBalancer::Made(_) | LoadBalancer::Existing(_) => None,
    }
}

/// What unreadable objects have in the CLB stays as it is, on whatever load balancer it may be.
fn others(held: &[Stays<'_>], pods: &PodsByNamespace<'_>) -> Others {
    let selectors = held.iter().flat_map(|stays| &stays.selectors);
    let selected = selectors.flat_map(|(namespace, selector)| {
        let all = pods.get(namespace).into_iter().flatten();
        all.filter(move |pod| pod.selected_by(selector))
            .map(|pod| pod.uid.clone())
    });
    Others {
        fates: pods
            .values()
            .flatten()
            .map(|pod| (pod.uid.clone(), pod.fate))
            .collect(),
        held_pods: selected.collect(),
        held_slots: held.iter().flat_map(|stays| stays.slots.clone()).collect(),
        second_ips: second_ips(pods),
        ..Others::default()
    }
}

fn second_ips(pods: &PodsByNamespace<'_>) -> HashMap<String, IpAddr> {
    let dual = pods.values().flatten();
    dual.filter_map(|pod| Some((pod.uid.clone(), pod.other_ip?)))
        .collect()
}
