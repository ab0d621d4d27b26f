//! From what was read to what would be done. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use direct_access::settings::Manage;
use direct_access::{Judgement, ObjectRef, Owner, exposures};

use super::describe::{address, pod_names};
use super::foresee::{Foreseen, Outlook};
use super::model::{Count, Held, Kept, LoadBalancer, Preview, Summary, Told};
use super::new_load_balancers::{Life, Lives, follow};
use super::not_ours::not_ours;
use super::reader::{Look, Seen, Sighting};
use super::{Scope, World};
use crate::desired::{Asked, Desired, DesiredListener, Wanted, by_namespace, wanted};
use crate::engine::unusable;
use crate::plan::{ObservedListener, ObservedTarget};
use crate::secrets::Certificates;

/// Says what the controller would do, and what of it was asked for.
pub fn preview(world: &World, sighting: &Sighting, scope: &Scope) -> Preview {
    let mut lives = follow(world, sighting);
    let pods = by_namespace(&world.pods);
    let ledger = world.ledger.keys().cloned().collect();
    // A preview may not read Secrets, and takes every certificate for known.
    let certificates = Certificates::assumed();
    let asked = Asked {
        services: lives.services.iter().collect(),
        ingresses: lives.ingresses.iter().collect(),
        certificates: Some(&certificates),
    };
    let wanted = wanted(&asked, &pods, &world.settings, &ledger, &lives.made);
    let composer = Composer {
        world,
        sighting,
        wanted: &wanted,
        pods: pod_names(&world.pods),
    };
    let mut preview = Preview {
        cluster: world.cluster.to_string(),
        region: sighting.region.clone(),
        endpoint: sighting.endpoint.clone(),
        manage: level(world.settings.manage),
        notes: composer.notes(&mut lives),
        load_balancers: composer.load_balancers(&mut lives),
        problems: composer.problems(&mut lives),
        ..Preview::default()
    };
    for service in &world.services {
        if let Judgement::NotOurs(reason) = exposures(service, &world.settings) {
            preview.not_ours.extend(not_ours(service, &reason));
        }
    }
    preview.not_ours.sort_by(|a, b| a.service.cmp(&b.service));
    scope.narrow(&mut preview);
    preview.summary = Summary::of(&preview);
    preview
}

fn services(desired: &Desired) -> Vec<String> {
    let all = desired.listeners.values().flat_map(DesiredListener::owners);
    let all: BTreeSet<_> = all.map(Owner::short).collect();
    all.into_iter().collect()
}

fn level(manage: Manage) -> &'static str {
    match manage {
        Manage::Backends => "backends",
        Manage::Listeners => "listeners",
        Manage::LoadBalancers => "loadbalancers",
    }
}

struct Composer<'a> {
    world: &'a World,
    sighting: &'a Sighting,
    wanted: &'a Wanted,
    pods: HashMap<&'a str, ObjectRef>,
}

impl Composer<'_> {
    fn notes(&self, lives: &mut Lives) -> Vec<String> {
        let mut notes = self.world.notes.clone();
        notes.extend(self.sighting.notes.iter().cloned());
        notes.append(&mut lives.notes);
        if self.sighting.vpc.is_none() {
            notes.push(
                "the pods' VPC is not known here (setting vpcId), so it was not compared with the CLBs'".to_owned(),
            );
        }
        notes
    }

    fn problems(&self, lives: &mut Lives) -> Vec<Told> {
        let settings = self.world.settings_problems.iter().map(|problem| Told {
            service: None,
            problem: problem.clone(),
        });
        let standing = self.wanted.problems.iter().chain(&self.wanted.conflicts);
        let of_services = standing.flat_map(|(service, problems)| {
            problems.iter().map(|problem| Told {
                service: Some(service.short()),
                problem: problem.to_string(),
            })
        });
        let mixed = self.wanted.mixed.iter().map(|(service, mixture)| Told {
            service: Some(service.to_string()),
            problem: mixture.problem.to_string(),
        });
        let mut all: Vec<_> = settings.chain(of_services).chain(mixed).collect();
        all.append(&mut lives.told);
        all
    }

    fn load_balancers(&self, lives: &mut Lives) -> Vec<LoadBalancer> {
        let mut all = Vec::new();
        for (id, look) in &self.sighting.load_balancers {
            let life = lives.all.remove(id).unwrap_or_default();
            all.extend(self.load_balancer(id, look, life));
        }
        // What is left does not exist yet.
        for (id, life) in std::mem::take(&mut lives.all) {
            if life.new {
                all.push(self.to_come(&id, life));
            }
        }
        all
    }

    fn load_balancer(&self, id: &str, look: &Look, life: Life) -> Option<LoadBalancer> {
        let desired = self.desired(id);
        let entry = LoadBalancer {
            id: Some(id.to_owned()),
            made_for: life.made.then(|| life.service.clone()),
            services: services(&desired),
            ..LoadBalancer::default()
        };
        let seen = match look {
            Look::Unknown(why) => {
                return Some(LoadBalancer {
                    unknown: Some(why.clone()),
                    ..entry
                });
            }
            Look::Missing if desired.listeners.is_empty() => return None,
            Look::Missing => None,
            Look::There(seen) => Some(seen.as_ref()),
        };
        let found = seen.map(|seen| &seen.found);
        let entry = self.about(seen, entry);
        if !desired.listeners.is_empty()
            && let Some(problem) = unusable(id, found, self.sighting.vpc.as_deref())
        {
            return Some(LoadBalancer {
                problem: Some(problem),
                ..entry
            });
        }
        let listeners = seen.map_or(&[][..], |seen| &seen.listeners);
        let untouched = !self.wanted.load_balancers.contains_key(id);
        if desired.hold || untouched {
            return Some(let_be(&desired, life, entry));
        }
        Some(self.planned(&desired, listeners, life, entry))
    }

    /// One that would be made.
    fn to_come(&self, id: &str, life: Life) -> LoadBalancer {
        let desired = self.desired(id);
        let entry = LoadBalancer {
            made_for: Some(life.service.clone()),
            services: services(&desired),
            ..LoadBalancer::default()
        };
        self.planned(&desired, &[], life, entry)
    }

    fn planned(
        &self,
        desired: &Desired,
        listeners: &[ObservedListener],
        life: Life,
        entry: LoadBalancer,
    ) -> LoadBalancer {
        let outlook = Outlook {
            cluster: &self.world.cluster,
            manage: self.world.settings.manage,
            desired,
            quota: self.sighting.quota,
            pods: &self.pods,
        };
        let foreseen = outlook.foresee(listeners);
        let owner = |slot| desired.listeners.get(slot).map(|one| one.owner.short());
        let held = foreseen.held.iter().flat_map(|(slot, all)| {
            all.iter().map(|held| Held {
                slot: Some(slot.to_string()),
                service: owner(slot),
                reason: held.to_string(),
            })
        });
        let warnings = foreseen.warnings.iter().map(|(slot, warning)| Held {
            slot: Some(slot.to_string()),
            service: owner(slot),
            reason: warning.clone(),
        });
        let unchanged = foreseen.unchanged.iter().flat_map(|(slot, all)| {
            all.iter().map(|reason| Held {
                slot: Some(slot.to_string()),
                service: owner(slot),
                reason: reason.clone(),
            })
        });
        LoadBalancer {
            confirmed_first: foreseen.brake,
            held: held.collect(),
            warnings: warnings.chain(unchanged).collect(),
            kept: self.kept(desired, &foreseen),
            changes: life
                .before
                .into_iter()
                .chain(foreseen.changes)
                .chain(life.after)
                .collect(),
            ..entry
        }
    }

    fn about(&self, seen: Option<&Seen>, entry: LoadBalancer) -> LoadBalancer {
        let Some(seen) = seen else { return entry };
        let found = &seen.found;
        let domains = [&found.domain, &found.load_balancer_domain];
        let addresses = found
            .load_balancer_vips
            .iter()
            .chain(domains.into_iter().flatten());
        let mut addresses = addresses.filter(|address| !address.is_empty());
        let (mut ours, mut foreign) = (Count::default(), Count::default());
        for listener in &seen.listeners {
            let own = self.world.cluster.owns_listener(listener.name.as_deref());
            let side = if own { &mut ours } else { &mut foreign };
            side.listeners += 1;
            for (_, target) in listener.places() {
                let side = if self.owns(target) {
                    &mut ours
                } else {
                    &mut foreign
                };
                side.targets += 1;
            }
        }
        LoadBalancer {
            name: Some(found.load_balancer_name.clone()).filter(|name| !name.is_empty()),
            address: addresses.next().cloned(),
            ours,
            foreign,
            ..entry
        }
    }

    /// What stays although nothing asks for it, and why.
    fn kept(&self, desired: &Desired, foreseen: &Foreseen) -> Vec<Kept> {
        let mut kept = Vec::new();
        for listener in &foreseen.left {
            let slot = listener.slot();
            let shown = format!("{}:{}", listener.protocol, listener.port);
            let wanted = desired.listeners.get(&slot);
            let targets = wanted.into_iter().flat_map(|wanted| {
                let of_rules = wanted.rules.values().flat_map(|rule| &rule.targets);
                wanted.targets.iter().chain(of_rules)
            });
            let wanted_here: Vec<_> = targets.map(|target| target.address).collect();
            for (place, target) in listener.places() {
                let Some(tag) = target.tag.as_ref().filter(|_| self.owns(target)) else {
                    continue;
                };
                if wanted_here.contains(&place.address) {
                    continue;
                }
                let held = desired.others.held_pods.contains(&tag.pod_uid);
                let unreachable = desired.others.unreachable.contains(&tag.pod_uid);
                let reason = if held {
                    "a Service that selects its pod cannot be read: mend that first"
                } else if unreachable {
                    "its pod would not be bound today, by what is known of the network: see the setting network"
                } else {
                    "it is the last that serves here, and goes when its pod is gone"
                };
                kept.push(Kept {
                    slot: shown.clone(),
                    target: Some(address(place.address)),
                    reason: reason.to_owned(),
                });
            }
            let own = self.world.cluster.owns_listener(listener.name.as_deref());
            if own && wanted.is_none() && desired.others.held_slots.contains(&slot) {
                kept.push(Kept {
                    slot: shown,
                    target: None,
                    reason: "a Service that has this port cannot be read: mend that first"
                        .to_owned(),
                });
            }
        }
        kept
    }

    fn owns(&self, target: &ObservedTarget) -> bool {
        let tag = target.tag.as_ref();
        tag.is_some_and(|tag| tag.cluster == self.world.cluster)
    }

    fn desired(&self, id: &str) -> Desired {
        let known = self.wanted.load_balancers.get(id).cloned();
        known.unwrap_or_else(|| Desired {
            others: Arc::clone(&self.wanted.others),
            ..Desired::default()
        })
    }
}

/// Nobody asks for it, or it is not known yet for whom it was made.
fn let_be(desired: &Desired, life: Life, entry: LoadBalancer) -> LoadBalancer {
    let held = desired.hold.then(|| Held {
        reason: "a Service says that it was made for it, which its tags do not show: nothing is done to it".to_owned(),
        ..Held::default()
    });
    LoadBalancer {
        held: held.into_iter().collect(),
        changes: life.before.into_iter().chain(life.after).collect(),
        ..entry
    }
}
