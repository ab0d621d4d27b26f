//! Which Services have a load balancer to look after, and what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use direct_access::settings::Manage;
use direct_access::{
    IngressFacts, Judgement, LoadBalancer, Owner, ServiceFacts, Settings, exposures, names,
};

use super::decide::Wish;

/// A Service whose load balancer or whose status is looked after.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    pub(crate) service: ServiceFacts,
    pub(crate) wish: Wish,
}

/// All of them, and what bears on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Subjects {
    pub(crate) all: Vec<Subject>,
    /// Who names an existing load balancer, by its id.
    pub(crate) users: BTreeMap<String, Owner>,
    /// UIDs of all Services there are.
    pub(crate) uids: BTreeSet<String>,
    pub(crate) may_create: bool,
    /// Changes with anything that a decision rests on.
    pub(crate) fingerprint: u64,
}

impl Subjects {
    pub(crate) fn of<'a>(
        services: impl Iterator<Item = &'a ServiceFacts>,
        settings: &Settings,
    ) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut subjects = Self {
            may_create: settings.manage >= Manage::LoadBalancers,
            ..Self::default()
        };
        subjects.fingerprint = hasher.hash_one(subjects.may_create);
        let mut uids = BTreeSet::new();
        for service in services {
            uids.insert(service.uid.clone());
            let touched = service.finalizer || shown(service);
            if !subjects.may_create && !touched {
                continue;
            }
            let wish = wish(service, settings);
            if let Wish::Existing { id, .. } = &wish {
                subjects.users.insert(id.clone(), service.owner());
            }
            if touched || matches!(wish, Wish::Made | Wish::Existing { show: true, .. }) {
                // Whatever order the Services come in.
                let version = (&service.uid, service.version, format!("{wish:?}"));
                subjects.fingerprint ^= hasher.hash_one(version);
                let service = service.clone();
                subjects.all.push(Subject { service, wish });
            }
        }
        if !subjects.all.is_empty() {
            subjects.uids = uids;
        }
        subjects
    }

    /// Ingresses have none made for them, but use the one they name: it stays while they do.
    #[must_use]
    pub(crate) fn used_by<'a>(mut self, ingresses: impl Iterator<Item = &'a IngressFacts>) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        for ingress in ingresses {
            if let Some(id) = used(ingress) {
                self.fingerprint ^= hasher.hash_one((&ingress.uid, id));
                let user = self.users.entry(id.to_owned());
                user.or_insert_with(|| ingress.owner());
            }
        }
        self
    }

    /// The load balancers that Services name, by either annotation.
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
                let id = self.service.annotation(names::LOAD_BALANCER_ID);
                id.filter(|id| direct_access::load_balancer::well_formed(id))
            }
        }
    }
}

fn used(ingress: &IngressFacts) -> Option<&str> {
    let direct = ingress.annotation(names::ingress::DIRECT_ACCESS) == Some("true");
    let id = ingress.annotation(names::ingress::EXISTING_LOAD_BALANCER);
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

#[cfg(test)]
mod tests {
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

    fn wishes(services: &[ServiceFacts], manage: Manage) -> Vec<Wish> {
        let subjects = Subjects::of(services.iter(), &at(manage));
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
        let level = at(Manage::LoadBalancers);
        let services = [unnamed()];
        let subjects = || Subjects::of(services.iter(), &level);
        let named_by = |ingress: IngressFacts| {
            let seen = subjects().used_by([ingress].iter());
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
    fn the_fingerprint_changes_with_what_matters_and_not_with_the_order() {
        let print = |services: &[ServiceFacts], manage| {
            Subjects::of(services.iter(), &at(manage)).fingerprint
        };
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
    }
}
