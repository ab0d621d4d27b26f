//! What of a preview is asked for.

use std::collections::BTreeSet;

use direct_access::{
    IngressJudgement, Judgement, Kind, ObjectRef, Owner, ServiceFacts, exposures, ingress_exposures,
};

use super::{LookError, Preview, World};

/// What of it is asked for; nothing named is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only what is done for this Service.
    pub service: Option<ObjectRef>,
    /// Only this load balancer.
    pub load_balancer: Option<String>,
}

/// A text that names no Service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME, as in shop/web")]
pub struct ParseScopeError(String);

impl Scope {
    /// Reads `NAMESPACE/NAME` and a load balancer's id.
    pub fn parse(
        service: Option<&str>,
        load_balancer: Option<&str>,
    ) -> Result<Self, ParseScopeError> {
        let named = |text: &str| match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(ObjectRef {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(ParseScopeError(text.to_owned())),
        };
        Ok(Self {
            service: service.map(named).transpose()?,
            load_balancer: load_balancer.map(str::to_owned),
        })
    }

    /// A Service that is asked for must exist.
    pub(super) fn check(&self, world: &World) -> Result<(), LookError> {
        match &self.service {
            Some(service) if !world.services.iter().any(|one| one.object() == *service) => {
                Err(LookError::NoSuchService(service.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the object is asked for.
    pub(super) fn has(&self, owner: &Owner) -> bool {
        let asked = self.service.as_ref();
        asked.is_none_or(|asked| owner.kind == Kind::Service && *asked == owner.object)
    }

    /// The load balancers to read for it.
    pub(super) fn load_balancers(&self, world: &World) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for service in world.services.iter().filter(|one| self.has(&one.owner())) {
            if let Judgement::Served(served) = exposures(service, &world.settings) {
                let named = served.exposures.iter();
                ids.extend(named.filter_map(|one| one.load_balancer.id().map(str::to_owned)));
            }
        }
        if self.service.is_none() {
            ids.extend(world.ledger.keys().cloned());
            ids.extend(of_ingresses(world));
        }
        if let Some(only) = &self.load_balancer {
            ids.retain(|id| id == only);
            ids.insert(only.clone());
        }
        ids
    }

    /// Leaves out what is not asked for.
    pub(super) fn narrow(&self, preview: &mut Preview) {
        if let Some(id) = &self.load_balancer {
            let all = &mut preview.load_balancers;
            all.retain(|one| one.id.as_ref() == Some(id));
            let on_it: Vec<_> = all.iter().flat_map(|one| one.services.clone()).collect();
            preview.problems.retain(|told| match &told.service {
                None => true,
                Some(service) => on_it.contains(service) || told.problem.contains(id),
            });
            preview.not_ours.clear();
        }
        let Some(service) = self.service.as_ref().map(ToString::to_string) else {
            return;
        };
        let of = |named: &Option<String>| named.as_ref() == Some(&service);
        preview
            .problems
            .retain(|one| one.service.is_none() || of(&one.service));
        preview.not_ours.retain(|one| one.service == service);
        for one in &mut preview.load_balancers {
            one.changes.retain(|change| of(&change.service));
            one.held
                .retain(|held| held.service.is_none() || of(&held.service));
            one.warnings.retain(|warning| of(&warning.service));
            one.kept.clear();
        }
    }
}

/// The load balancers that Ingresses of ours are on.
fn of_ingresses(world: &World) -> impl Iterator<Item = String> + '_ {
    world.ingresses.iter().filter_map(|ingress| {
        let in_namespace = |one: &&ServiceFacts| one.namespace == ingress.namespace;
        let find = |name: &str| {
            let mut all = world.services.iter().filter(in_namespace);
            all.find(|one| one.name == name)
        };
        match ingress_exposures(ingress, &find, &world.settings) {
            IngressJudgement::Served(served) => served.load_balancer.id().map(str::to_owned),
            IngressJudgement::NotOurs(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_its_namespace() {
        let scope = Scope::parse(Some("shop/web"), None).unwrap();
        assert_eq!(scope.service.unwrap().to_string(), "shop/web");
        for bad in ["web", "/web", "shop/"] {
            let told = Scope::parse(Some(bad), None).unwrap_err().to_string();
            assert!(told.contains("NAMESPACE/NAME"), "{told}");
        }
    }
}
