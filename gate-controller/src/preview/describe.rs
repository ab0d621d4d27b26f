//! An operation in words: what, where, for whom and why. Decides nothing.

use std::net::{IpAddr, SocketAddr};

use direct_access::{ObjectRef, Protocol, Slot};

use super::foresee::{NEW, Outlook};
use super::model::{Action, Change};
use crate::desired::{DesiredListener, DesiredTarget, RuleKey};
use crate::plan::{
    Modification, NewListeners, NewRule, ObservedListener, ObservedTarget, Operation, Part, Place,
    Removal, Weighted,
};
use crate::pod::Fate;

/// What an operation is described beside.
pub(super) struct Scene<'a> {
    pub(super) outlook: &'a Outlook<'a>,
    /// As it would be before the operation.
    pub(super) listeners: &'a [ObservedListener],
}

/// One change for everything the operation is about.
pub(super) fn describe(operation: &Operation, scene: &Scene<'_>) -> Vec<Change> {
    match operation {
        Operation::Weigh(all) => all.iter().map(|one| scene.weigh(one)).collect(),
        Operation::Register(all) => all.iter().map(|one| scene.register(one)).collect(),
        Operation::Deregister(all) => {
            let one = |(place, why): &(Place, Removal)| scene.deregister(place, *why);
            all.iter().map(one).collect()
        }
        Operation::CreateListeners(new) => new
            .ports
            .iter()
            .map(|port| scene.create(new, *port))
            .collect(),
        Operation::CreateRules(listener, new) => new
            .iter()
            .map(|rule| scene.create_rule(listener, rule))
            .collect(),
        Operation::DeleteRules(listener, rules) => rules
            .iter()
            .map(|rule| scene.delete_rule(listener, rule))
            .collect(),
        Operation::Modify(modification) => vec![scene.modify(modification)],
        Operation::DeleteListener(id, slot) => vec![scene.delete(id, *slot)],
    }
}

impl Scene<'_> {
    fn create(&self, new: &NewListeners, port: u16) -> Change {
        let slot = new.protocol.at(port);
        let service = self.service(slot);
        let asks = self.asks(slot);
        Change {
            action: Action::CreateListener,
            slot: Some(at(new.protocol, port)),
            reason: format!("{asks} asks for it, and there is no listener on this port"),
            service,
            parameters: Some(new.parameters.clone()),
            ..Change::default()
        }
    }

    fn create_rule(&self, listener: &str, new: &NewRule) -> Change {
        Change {
            action: Action::CreateRule,
            rule: Some(shown(&new.key)),
            parameters: Some(new.parameters.clone()),
            reason: "it is asked for, and the listener has no such rule".to_owned(),
            ..self.on(listener)
        }
    }

    fn modify(&self, modification: &Modification) -> Change {
        let Modification {
            listener,
            part,
            change,
        } = modification;
        let (action, rule) = match part {
            Part::Listener => (Action::ModifyListener, None),
            Part::Rule(id) => (Action::ModifyRule, self.rule(listener, id)),
            Part::Domain(domain) | Part::Default(domain) => {
                (Action::ModifyRule, Some(domain.clone()))
            }
        };
        let reason = match part {
            Part::Default(_) => "its host is to get the requests for hosts that have no rule",
            Part::Listener | Part::Rule(_) | Part::Domain(_) => {
                "clb-gate made it, and it is not as declared"
            }
        };
        Change {
            action,
            rule,
            parameters: Some(change.clone()),
            reason: reason.to_owned(),
            ..self.on(listener)
        }
    }

    fn register(&self, new: &Weighted) -> Change {
        let change = self.of(&new.place, Some(&new.pod_uid));
        let slot = self
            .listener(&new.place.listener)
            .map(ObservedListener::slot);
        let asks = slot.map_or_else(|| "a Service".to_owned(), |slot| self.asks(slot));
        let pod = change.pod.as_deref().unwrap_or("its pod");
        Change {
            action: Action::Register,
            weight: Some(new.weight),
            reason: format!(
                "pod {pod} is selected by {asks}, and its containers are or were ready"
            ),
            ..change
        }
    }

    fn weigh(&self, other: &Weighted) -> Change {
        let change = self.of(&other.place, Some(&other.pod_uid));
        let wanted = self.wanted(&other.place).is_some();
        let pod = change.pod.as_deref().unwrap_or("whose name is not known");
        let fates = &self.outlook.desired.others.fates;
        let reason = match fates.get(&other.pod_uid) {
            _ if wanted => format!("pod {pod} asks for weight {}", other.weight),
            Some(Fate::Live) => {
                format!("pod {pod} lives, but nothing asks for it on this listener any more")
            }
            Some(Fate::Going | Fate::Ended) | None => format!("pod {pod} is going"),
        };
        let drains = other.weight == 0 && !wanted;
        Change {
            action: if drains { Action::Drain } else { Action::Weigh },
            weight_before: self.target(&other.place).map(|there| there.weight),
            weight: Some(other.weight),
            reason,
            ..change
        }
    }

    fn deregister(&self, place: &Place, why: Removal) -> Change {
        let uid = self.target(place).and_then(|there| there.tag.as_ref());
        let uid = uid.map(|tag| tag.pod_uid.as_str());
        let change = self.of(place, uid);
        let reason = match (why, &change.pod) {
            (Removal::PodGone, Some(pod)) => format!("pod {pod} has ended"),
            (Removal::PodGone, None) => format!(
                "its pod (UID {}) does not exist any more",
                uid.unwrap_or("not known")
            ),
            (Removal::Drained, _) => {
                format!(
                    "after {} s at weight 0 nothing is in flight",
                    self.outlook
                        .desired
                        .others
                        .drain(uid.unwrap_or_default())
                        .as_secs()
                )
            }
            (Removal::AddressReused, _) => {
                let now = self.wanted(place).map(|target| target.pod.to_string());
                format!(
                    "its address was reused: pod {} has it now, and is bound anew",
                    now.unwrap_or_default()
                )
            }
        };
        Change {
            action: Action::Deregister,
            weight_before: self.target(place).map(|there| there.weight),
            reason,
            ..change
        }
    }

    fn delete_rule(&self, listener: &str, rule: &str) -> Change {
        Change {
            action: Action::DeleteRule,
            rule: self.rule(listener, rule),
            reason: "nothing asks for it any more, its listener is clb-gate's, and it is empty"
                .to_owned(),
            ..self.on(listener)
        }
    }

    fn delete(&self, id: &str, slot: Slot) -> Change {
        let known = self.on(id);
        Change {
            action: Action::DeleteListener,
            slot: known.slot.clone().or_else(|| Some(slot.to_string())),
            reason: "clb-gate made it, nothing asks for it any more, and it is empty".to_owned(),
            ..known
        }
    }

    /// Where a target is or would be.
    fn of(&self, place: &Place, pod_uid: Option<&str>) -> Change {
        let pod = pod_uid.and_then(|uid| self.outlook.pods.get(uid));
        Change {
            rule: place
                .rule
                .as_ref()
                .and_then(|rule| self.rule(&place.listener, rule)),
            target: Some(address(place.address)),
            pod: pod.map(ToString::to_string),
            ..self.on(&place.listener)
        }
    }

    fn on(&self, listener: &str) -> Change {
        let there = self.listener(listener);
        Change {
            slot: there.map(|there| format!("{}:{}", there.protocol, there.port)),
            listener: (!listener.starts_with(NEW)).then(|| listener.to_owned()),
            service: there.and_then(|there| self.service(there.slot())),
            ..Change::default()
        }
    }

    fn listener(&self, id: &str) -> Option<&ObservedListener> {
        self.listeners.iter().find(|one| one.id == id)
    }

    fn rule(&self, listener: &str, rule: &str) -> Option<String> {
        let rules = &self.listener(listener)?.rules;
        let found = rules.iter().find(|one| one.id == rule)?;
        Some(shown(&found.key))
    }

    fn target(&self, place: &Place) -> Option<&ObservedTarget> {
        let mut all = self.listener(&place.listener)?.places();
        all.find(|(there, _)| there == place)
            .map(|(_, target)| target)
    }

    fn service(&self, slot: Slot) -> Option<String> {
        self.desired(slot).map(|wanted| wanted.owner.short())
    }

    /// Who asks for a listener, with its kind.
    fn asks(&self, slot: Slot) -> String {
        let owner = self.desired(slot).map(|wanted| wanted.owner.to_string());
        owner.unwrap_or_else(|| "a Service".to_owned())
    }

    fn desired(&self, slot: Slot) -> Option<&DesiredListener> {
        self.outlook.desired.listeners.get(&slot)
    }

    /// What is wanted at this very address.
    fn wanted(&self, place: &Place) -> Option<&DesiredTarget> {
        let listener = self.listener(&place.listener)?;
        let wanted = self.desired(listener.slot())?;
        let of_rules = wanted.rules.values().flat_map(|rule| &rule.targets);
        let mut all = wanted.targets.iter().chain(of_rules);
        all.find(|target| target.address == place.address)
    }
}

/// `TCP:80`.
pub(super) fn at(protocol: Protocol, port: u16) -> String {
    format!("{protocol}:{port}")
}

/// `address:port`.
pub(super) fn address((ip, port): (IpAddr, u16)) -> String {
    SocketAddr::new(ip, port).to_string()
}

fn shown(key: &RuleKey) -> String {
    format!("{}{}", key.domain, key.url)
}

/// Names of pods, by UID.
pub(super) fn pod_names<'a>(
    pods: impl IntoIterator<Item = &'a crate::pod::PodRecord>,
) -> std::collections::HashMap<&'a str, ObjectRef> {
    pods.into_iter()
        .map(|pod| (pod.uid.as_str(), pod.object()))
        .collect()
}
