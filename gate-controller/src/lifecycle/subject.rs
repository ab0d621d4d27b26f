//! Which Services and Ingresses have a load balancer to look after, and what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use direct_access::settings::Manage;
use direct_access::{
    IngressFacts, IngressJudgement, Judgement, Kind, LoadBalancer, Owner, ServiceFacts, Settings,
    Word, exposures, ingress_exposures, names,
};

use super::decide::Wish;
use super::holder::Holder;

/// An object whose load balancer or whose status is looked after.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    pub(crate) holder: Holder,
    pub(crate) wish: Wish,
}

/// All of them, and what bears on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Subjects {
    pub(crate) all: Vec<Subject>,
    /// Who names an existing load balancer, by its id.
    pub(crate) users: BTreeMap<String, Owner>,
    /// UIDs of all Services and Ingresses there are.
    pub(crate) uids: BTreeSet<String>,
    pub(crate) may_create: bool,
    /// Changes with anything that a decision rests on.
    pub(crate) fingerprint: u64,
}

/// Finds a Service by namespace and name.
pub(crate) type Find<'f, 'a> = &'f dyn Fn(&str, &str) -> Option<&'a ServiceFacts>;

impl Subjects {
    pub(crate) fn of<'a>(
        services: impl Iterator<Item = &'a ServiceFacts> + Clone,
        ingresses: impl Iterator<Item = &'a IngressFacts> + Clone,
        find: Find<'_, 'a>,
        settings: &Settings,
    ) -> Self {
        let mut subjects = Self {
            may_create: settings.manage >= Manage::LoadBalancers,
            ..Self::default()
        };
        subjects.fingerprint = hash(&subjects.may_create);
        for service in services.clone() {
            subjects.service(service, settings);
        }
        for ingress in ingresses.clone() {
            subjects.ingress(ingress, find, settings);
        }
        if !subjects.all.is_empty() {
            subjects.uids = services.map(|one| one.uid.clone()).collect();
            for ingress in ingresses {
                subjects.uids.insert(ingress.uid.clone());
                subjects.used_by(ingress);
            }
        }
        subjects
    }

    fn service(&mut self, service: &ServiceFacts, settings: &Settings) {
        let touched = service.finalizer || shown(service);
        if !self.may_create && !touched {
            return;
        }
        let wish = wish(service, settings);
        if let Wish::Existing { id, .. } = &wish {
            self.users.insert(id.clone(), service.owner());
        }
        if touched || matches!(wish, Wish::Made | Wish::Existing { show: true, .. }) {
            self.take(service.into(), wish);
        }
    }

    fn ingress(&mut self, ingress: &IngressFacts, find: Find<'_, '_>, settings: &Settings) {
        if !self.may_create && !ingress.finalizer {
            return;
        }
        let wish = wish_of(ingress, find, settings);
        if ingress.finalizer || wish == Wish::Made {
            self.take(ingress.into(), wish);
        }
    }

    fn take(&mut self, holder: Holder, wish: Wish) {
        // Whatever order they come in.
        let seen = (holder.version, holder.bandwidth, format!("{wish:?}"));
        self.fingerprint ^= hash(&(&holder.uid, seen));
        self.all.push(Subject { holder, wish });
    }

    /// The load balancer that an Ingress names stays while it does.
    fn used_by(&mut self, ingress: &IngressFacts) {
        let Some(id) = used(ingress) else {
            return;
        };
        self.fingerprint ^= hash(&(&ingress.uid, id));
        let user = self.users.entry(id.to_owned());
        user.or_insert_with(|| ingress.owner());
    }

    /// The load balancers that they name, by either annotation.
    pub(crate) fn named(&self) -> BTreeSet<String> {
        let all = self.all.iter();
        all.filter_map(|subject| subject.named().map(str::to_owned))
            .collect()
    }
}

impl Subject {
    /// The load balancer it names.
    pub(crate) fn named(&self) -> Option<&str> {
        match &self.wish {
            Wish::Existing { id, .. } => Some(id),
            Wish::Made | Wish::AsIs | Wish::Nothing => {
                let id = self.holder.says(Word::Id);
                id.filter(|id| direct_access::load_balancer::well_formed(id))
            }
        }
    }
}

fn hash(of: &impl std::hash::Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}

fn used(ingress: &IngressFacts) -> Option<&str> {
    let direct = ingress.annotation(names::ingress::DIRECT_ACCESS) == Some("true");
    let id = ingress.annotation(Word::Existing.key(Kind::Ingress));
    id.filter(|_| direct && !ingress.going)
}

fn shown(service: &ServiceFacts) -> bool {
    service.annotation(names::SHOWN_ADDRESS).is_some()
}

fn wish(service: &ServiceFacts, settings: &Settings) -> Wish {
    let served = match exposures(service, settings) {
        Judgement::Served(served) => served,
        Judgement::NotOurs(reason) if reason.holds() => return Wish::AsIs,
        Judgement::NotOurs(_) => return Wish::Nothing,
    };
    // All exposures of a Service are on one.
    let first = served.exposures.into_iter().next();
    match first.map(|exposure| exposure.load_balancer) {
        Some(LoadBalancer::Made(_)) => Wish::Made,
        Some(LoadBalancer::Existing(id)) => Wish::Existing {
            id,
            show: settings.manage >= Manage::LoadBalancers,
        },
        None => Wish::Nothing,
    }
}

fn wish_of(ingress: &IngressFacts, find: Find<'_, '_>, settings: &Settings) -> Wish {
    let beside = |name: &str| find(&ingress.namespace, name);
    match ingress_exposures(ingress, &beside, settings) {
        IngressJudgement::Served(served) => match served.load_balancer {
            LoadBalancer::Existing(id) => Wish::Existing { id, show: false },
            // A CLB costs money: none is made before there is something to serve.
            LoadBalancer::Made(_) if served.exposures.is_empty() && !ingress.finalizer => {
                Wish::AsIs
            }
            LoadBalancer::Made(_) => Wish::Made,
        },
        IngressJudgement::NotOurs(reason) if reason.holds() => Wish::AsIs,
        IngressJudgement::NotOurs(_) => Wish::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use direct_access::tke_service_config::{Named, Read};
    use serde_json::json;

    use super::*;
    use crate::desired::tests::{front, service};

    fn at(manage: Manage) -> Settings {
        Settings {
            manage,
            ..Settings::default()
        }
    }

    fn unnamed() -> ServiceFacts {
        let mut unnamed = service("web");
        unnamed.annotations.remove(names::EXISTING_LOAD_BALANCER);
        unnamed
    }

    fn of(services: &[ServiceFacts], ingresses: &[IngressFacts], manage: Manage) -> Subjects {
        let find = |_: &str, name: &str| services.iter().find(|one| one.name == name);
        Subjects::of(services.iter(), ingresses.iter(), &find, &at(manage))
    }

    fn wishes(services: &[ServiceFacts], manage: Manage) -> Vec<Wish> {
        let subjects = of(services, &[], manage);
        subjects.all.into_iter().map(|one| one.wish).collect()
    }

    #[test]
    fn below_the_level_only_what_was_made_is_looked_after() {
        let claimed = ServiceFacts {
            finalizer: true,
            ..unnamed()
        };
        let services = [unnamed(), service("existing"), claimed];
        assert_eq!(wishes(&services, Manage::Listeners), [Wish::Made]);
        assert_eq!(wishes(&services, Manage::LoadBalancers).len(), 3);
    }

    #[test]
    fn a_service_that_is_not_ours_any_more_wishes_for_nothing() {
        let mut off = ServiceFacts {
            finalizer: true,
            ..unnamed()
        };
        off.annotations.remove(names::DIRECT_ACCESS);
        assert_eq!(
            wishes(&[off.clone()], Manage::LoadBalancers),
            [Wish::Nothing]
        );
        off.finalizer = false;
        assert_eq!(wishes(&[off], Manage::LoadBalancers), []);
    }

    #[test]
    fn an_unreadable_one_stays_as_it_is() {
        let mut bad = ServiceFacts {
            finalizer: true,
            ..unnamed()
        };
        let key = names::DIRECT_ACCESS.to_owned();
        bad.annotations.insert(key, "yes".to_owned());
        assert_eq!(wishes(&[bad], Manage::LoadBalancers), [Wish::AsIs]);
    }

    #[test]
    fn a_load_balancer_that_an_ingress_names_is_used() {
        let services = [unnamed()];
        let subjects = || of(&services, &[], Manage::LoadBalancers);
        let named_by = |ingress: IngressFacts| {
            let seen = of(&services, &[ingress], Manage::LoadBalancers);
            (seen.users.get("lb-abcd1234").cloned(), seen.fingerprint)
        };
        let going = IngressFacts {
            going: true,
            ..front()
        };
        assert_eq!(named_by(going), (None, subjects().fingerprint));
        let (user, fingerprint) = named_by(front());
        assert_eq!(user, Some(front().owner()));
        assert_ne!(fingerprint, subjects().fingerprint);
    }

    #[test]
    fn an_ingress_gets_one_once_it_leads_somewhere() {
        let web = [ServiceFacts {
            annotations: BTreeMap::new(),
            ..service("web")
        }];
        let mut unnamed = front();
        let existing = names::ingress::EXISTING_LOAD_BALANCER;
        unnamed.annotations.remove(existing);
        let claimed = IngressFacts {
            finalizer: true,
            ..unnamed.clone()
        };
        let wish = |services: &[ServiceFacts], ingress: &IngressFacts, manage| {
            let subjects = of(services, std::slice::from_ref(ingress), manage);
            assert!(subjects.all.is_empty() || subjects.uids.contains("uid-front"));
            subjects.all.into_iter().next().map(|one| one.wish)
        };
        let level = Manage::LoadBalancers;
        assert_eq!(wish(&[], &unnamed, level), None);
        assert_eq!(wish(&web, &unnamed, Manage::Listeners), None);
        assert_eq!(wish(&web, &unnamed, level), Some(Wish::Made));
        assert_eq!(wish(&[], &claimed, level), Some(Wish::Made));
        assert_eq!(wish(&[], &claimed, Manage::Backends), Some(Wish::Made));
        assert_eq!(wish(&web, &front(), level), None);
        let mut off = claimed.clone();
        off.annotations.remove(names::ingress::DIRECT_ACCESS);
        assert_eq!(wish(&web, &off, level), Some(Wish::Nothing));
        let going = IngressFacts {
            going: true,
            ..claimed.clone()
        };
        assert_eq!(wish(&web, &going, level), Some(Wish::Nothing));
        let mut named = claimed;
        let pair = (existing.to_owned(), "lb-abcd1234".to_owned());
        named.annotations.extend([pair]);
        let id = "lb-abcd1234".to_owned();
        let other = Wish::Existing { id, show: false };
        assert_eq!(wish(&web, &named, level), Some(other));
    }

    #[test]
    fn the_fingerprint_changes_with_what_matters_and_not_with_the_order() {
        let print = |services: &[ServiceFacts], manage| of(services, &[], manage).fingerprint;
        let level = Manage::LoadBalancers;
        let (a, b) = (service("a"), service("b"));
        let newer = ServiceFacts {
            version: 2,
            ..a.clone()
        };
        let before = print(&[a.clone(), b.clone()], level);
        assert_eq!(before, print(&[b.clone(), a.clone()], level));
        assert_ne!(before, print(&[newer, b.clone()], level));
        assert_ne!(before, print(&[a, b], Manage::Listeners));
        let tuned = |bandwidth: u32| {
            let mut tuned = service("a");
            let key = names::TKE_SERVICE_CONFIG.to_owned();
            tuned.annotations.insert(key, "tuned".to_owned());
            let spec = json!({"loadBalancer": {"internetMaxBandwidthOut": bandwidth}});
            tuned.config = Named::Found(Arc::new(Read::of(&spec)));
            tuned
        };
        assert_ne!(print(&[tuned(5)], level), print(&[tuned(6)], level));
    }
}
