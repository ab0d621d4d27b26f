//! What was last seen of the load balancers, as the gates read it: one [`View`] a load balancer from
//! its writer, and the health the poller saw.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use clb::HealthState;
use direct_access::gate::BindingState;
use direct_access::{Owner, Slot};
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::desired::RuleKey;
use crate::family::Family;
use crate::plan::{HealthCheck, Held, ObservedListener, Place};

/// What somebody may ask for: a slot, or a rule of the listener there.
pub type Spot = (Slot, Option<RuleKey>);

/// What a writer last saw of its load balancer.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Listeners and their targets, as read back.
    pub listeners: Arc<Vec<ObservedListener>>,
    /// Since when each of our targets has been seen registered for its pod.
    pub registered: Arc<HashMap<Place, (String, Instant)>>,
    /// The load balancer's own address, once it is known.
    pub address: Option<String>,
    /// Who has what.
    pub owners: BTreeMap<Spot, Owner>,
    /// By slot: what waits for a person.
    pub held: BTreeMap<Slot, Vec<Held>>,
    /// By slot: what will go wrong soon if nothing is done.
    pub warnings: BTreeMap<Slot, String>,
    /// By slot: what of a listener is not as declared and is not changed, and why.
    pub unchanged: BTreeMap<Slot, Vec<String>>,
    /// Of which family the addresses are that it binds, once that is known.
    pub family: Option<Family>,
    /// Listeners where a successor's health is awaited before somebody leaves.
    pub awaited: BTreeSet<String>,
    /// What keeps the whole load balancer from being read or written.
    pub problem: Option<String>,
}

/// What the poller last saw of a target.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its health.
    pub state: HealthState,
    /// When the poll was sent.
    pub polled: Instant,
}

/// All views. Cheap to clone; every clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Views {
    views: Arc<RwLock<HashMap<String, Arc<View>>>>,
    health: Arc<RwLock<HashMap<String, HashMap<Place, Seen>>>>,
}

/// A binding that should be: which pod, where.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Load balancer id.
    pub load_balancer: &'a str,
    /// Where the listener sits.
    pub slot: Slot,
    /// The rule there, at layer 7.
    pub rule: Option<&'a RuleKey>,
    /// Who asks for it.
    pub owner: &'a Owner,
    /// The pod's address and port.
    pub address: (IpAddr, u16),
    /// The pod.
    pub pod_uid: &'a str,
}

impl Views {
    /// Replaces a load balancer's view.
    pub fn publish(&self, load_balancer: &str, view: View) {
        self.views
            .write()
            .insert(load_balancer.to_owned(), Arc::new(view));
    }

    /// A load balancer's view.
    pub fn get(&self, load_balancer: &str) -> Option<Arc<View>> {
        self.views.read().get(load_balancer).cloned()
    }

    /// Forgets everything: a new term begins by reading anew.
    pub fn clear(&self) {
        self.views.write().clear();
        self.health.write().clear();
    }

    /// Takes in the health of a load balancer's targets; targets that were not asked for keep theirs.
    pub fn saw(&self, load_balancer: &str, seen: impl IntoIterator<Item = (Place, Seen)>) {
        self.health
            .write()
            .entry(load_balancer.to_owned())
            .or_default()
            .extend(seen);
    }

    /// Drops the health of targets that are not registered any more.
    pub fn forget(&self, load_balancer: &str, keep: &HashMap<Place, (String, Instant)>) {
        if let Some(health) = self.health.write().get_mut(load_balancer) {
            health.retain(|place, _| keep.contains_key(place));
        }
    }

    /// Of which family the addresses are that a load balancer binds.
    pub fn family(&self, load_balancer: &str) -> Option<Family> {
        self.views.read().get(load_balancer)?.family
    }

    /// Listeners where a successor's health is awaited, by load balancer.
    pub fn awaited(&self) -> BTreeMap<String, BTreeSet<String>> {
        let views = self.views.read();
        let awaiting = views.iter().filter(|(_, view)| !view.awaited.is_empty());
        awaiting
            .map(|(id, view)| (id.clone(), view.awaited.clone()))
            .collect()
    }

    /// What the poller last saw of a load balancer's targets.
    pub(crate) fn seen(&self, load_balancer: &str) -> HashMap<Place, Seen> {
        let health = self.health.read();
        health.get(load_balancer).cloned().unwrap_or_default()
    }

    /// How a binding stands, and the listener to poll where its health is awaited.
    pub fn state(&self, sought: &Sought<'_>) -> (BindingState, Option<String>) {
        let Some(view) = self.get(sought.load_balancer) else {
            return (BindingState::Missing, None);
        };
        let Some((place, check, since)) = view.registration(sought) else {
            return (view.unregistered(sought), None);
        };
        if check.off {
            return (BindingState::Unchecked, None);
        }
        let health = self.health.read();
        let seen = health
            .get(sought.load_balancer)
            .and_then(|all| all.get(&place));
        let state = judge(seen, since, since + check.earliest);
        let poll = (state != BindingState::Healthy).then_some(place.listener);
        (state, poll)
    }
}

/// An Alive counts only from a poll sent after the registration was read back, and late enough that
/// this pod, not one that had the address before, passed the checks.
pub(crate) fn judge(seen: Option<&Seen>, registered: Instant, earliest: Instant) -> BindingState {
    let Some(seen) = seen.filter(|seen| seen.polled >= registered) else {
        return BindingState::Registered("nothing yet");
    };
    match seen.state {
        HealthState::Alive if seen.polled >= earliest => BindingState::Healthy,
        HealthState::Alive => BindingState::Registered("Alive, too early to be this pod's own"),
        HealthState::Dead => BindingState::Registered("Dead"),
        HealthState::Unknown => BindingState::Registered("Unknown"),
        HealthState::Close => BindingState::Registered("Close (listener stopped)"),
    }
}

impl Sought<'_> {
    fn spot(&self) -> Spot {
        (self.slot, self.rule.cloned())
    }
}

impl View {
    fn registration(&self, sought: &Sought<'_>) -> Option<(Place, HealthCheck, Instant)> {
        if self.owners.get(&sought.spot()) != Some(sought.owner) {
            return None;
        }
        let listener = self.listeners.iter().find(|l| l.slot() == sought.slot)?;
        let rule = sought.rule.map(|key| {
            let mut rules = listener.rules.iter();
            rules.find(|rule| rule.key == *key)
        });
        let (rule, check) = match rule {
            None => (None, listener.health),
            Some(rule) => rule.map(|rule| (Some(rule.id.clone()), rule.health))?,
        };
        let place = Place {
            listener: listener.id.clone(),
            rule,
            address: sought.address,
        };
        let (uid, since) = self.registered.get(&place)?;
        (uid == sought.pod_uid).then_some((place, check, *since))
    }

    fn unregistered(&self, sought: &Sought<'_>) -> BindingState {
        let taken = self.owners.get(&sought.spot());
        let taken = taken.or_else(|| self.owners.get(&(sought.slot, None)));
        if let Some(owner) = taken.filter(|owner| *owner != sought.owner) {
            return BindingState::Held(format!("its place belongs to the older {owner}"));
        }
        if let Some(problem) = &self.problem {
            return BindingState::Held(problem.clone());
        }
        let held = self.held.get(&sought.slot).into_iter().flatten();
        match held
            .into_iter()
            .find(|held| held.covers(sought.address, sought.rule))
        {
            Some(held) => BindingState::Held(held.to_string()),
            None => BindingState::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use direct_access::listener::ListenerParameters;
    use rstest::rstest;

    use super::*;

    const SLOT: Slot = direct_access::Protocol::Tcp.at(80);

    const EARLIEST: Duration = Duration::from_secs(10);

    fn service(name: &str) -> Owner {
        Owner::service(direct_access::ObjectRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        })
    }

    fn place() -> Place {
        Place {
            listener: "lbl-1".to_owned(),
            rule: None,
            address: ([198, 18, 1, 1].into(), 8080),
        }
    }

    fn view(now: Instant) -> View {
        View {
            listeners: Arc::new(vec![ObservedListener {
                id: "lbl-1".to_owned(),
                port: 80,
                protocol: "TCP".to_owned(),
                name: None,
                health: HealthCheck {
                    off: false,
                    earliest: EARLIEST,
                },
                parameters: ListenerParameters::default(),
                targets: vec![],
                rules: vec![],
            }]),
            registered: Arc::new([(place(), ("uid-a".to_owned(), now))].into()),
            owners: [((SLOT, None), service("web"))].into(),
            ..View::default()
        }
    }

    fn state(view: View, seen: Option<Seen>, asker: &str, pod_uid: &str) -> BindingState {
        let views = Views::default();
        views.publish("lb-1", view);
        views.saw("lb-1", seen.map(|seen| (place(), seen)));
        let owner = service(asker);
        let address = place().address;
        let sought = Sought {
            load_balancer: "lb-1",
            slot: SLOT,
            rule: None,
            owner: &owner,
            address,
            pod_uid,
        };
        views.state(&sought).0
    }

    #[rstest]
    #[case(HealthState::Alive, EARLIEST, BindingState::Healthy)]
    #[case(HealthState::Dead, EARLIEST, BindingState::Registered("Dead"))]
    #[case(HealthState::Unknown, EARLIEST, BindingState::Registered("Unknown"))]
    #[case(
        HealthState::Alive,
        Duration::from_secs(9),
        BindingState::Registered("Alive, too early to be this pod's own")
    )]
    fn health_counts_once_it_can_be_the_pods_own(
        #[case] state_: HealthState,
        #[case] after: Duration,
        #[case] expected: BindingState,
    ) {
        let now = Instant::now();
        let seen = Seen {
            state: state_,
            polled: now + after,
        };
        assert_eq!(state(view(now), Some(seen), "web", "uid-a"), expected);
    }

    #[test]
    fn health_from_before_the_registration_is_somebody_elses() {
        let now = Instant::now() + EARLIEST;
        let seen = Seen {
            state: HealthState::Alive,
            polled: now.checked_sub(EARLIEST).unwrap(),
        };
        let early = View {
            listeners: view(now).listeners,
            ..view(now)
        };
        assert_eq!(
            state(early, Some(seen), "web", "uid-a"),
            BindingState::Registered("nothing yet")
        );
    }

    #[test]
    fn another_pods_registration_does_not_count() {
        assert_eq!(
            state(view(Instant::now()), None, "web", "uid-b"),
            BindingState::Missing
        );
    }

    #[test]
    fn what_waits_for_a_person_says_so() {
        let now = Instant::now();
        let broken = View {
            problem: Some("no such CLB".to_owned()),
            ..view(now)
        };
        assert_eq!(
            state(broken, None, "web", "uid-b"),
            BindingState::Held("no such CLB".to_owned())
        );
        let BindingState::Held(why) = state(view(now), None, "other", "uid-b") else {
            panic!()
        };
        assert!(why.contains("shop/web"));
    }

    #[test]
    fn a_rule_has_its_own_owner_targets_and_check() {
        let now = Instant::now();
        let key = RuleKey {
            domain: "a.example".to_owned(),
            url: "/".to_owned(),
        };
        let of_rule = Place {
            rule: Some("loc-1".to_owned()),
            ..place()
        };
        let mut seen = view(now);
        Arc::make_mut(&mut seen.listeners)[0].health.off = true;
        Arc::make_mut(&mut seen.listeners)[0]
            .rules
            .push(crate::plan::ObservedRule {
                id: "loc-1".to_owned(),
                key: key.clone(),
                health: HealthCheck {
                    off: false,
                    earliest: EARLIEST,
                },
                parameters: ListenerParameters::default(),
                default: false,
                targets: vec![],
            });
        Arc::make_mut(&mut seen.registered).insert(of_rule.clone(), ("uid-a".to_owned(), now));
        seen.owners
            .insert((SLOT, Some(key.clone())), service("api"));
        let other = RuleKey {
            url: "/other".to_owned(),
            ..key.clone()
        };
        let held = Held::Rule(other.clone(), "no certificate".to_owned());
        seen.held.insert(SLOT, vec![held]);
        let views = Views::default();
        views.publish("lb-1", seen);
        let state = |rule: &RuleKey, owner: &str| {
            let owner = service(owner);
            let sought = Sought {
                load_balancer: "lb-1",
                slot: SLOT,
                rule: Some(rule),
                owner: &owner,
                address: place().address,
                pod_uid: "uid-a",
            };
            views.state(&sought).0
        };
        assert_eq!(state(&key, "api"), BindingState::Registered("nothing yet"));
        let polled = now + EARLIEST;
        let alive = HealthState::Alive;
        views.saw(
            "lb-1",
            [(
                of_rule,
                Seen {
                    state: alive,
                    polled,
                },
            )],
        );
        assert_eq!(state(&key, "api"), BindingState::Healthy);
        assert!(matches!(state(&key, "web"), BindingState::Held(why) if why.contains("shop/api")));
        let other = state(&other, "web");
        assert!(matches!(other, BindingState::Held(why) if why.contains("no certificate")));
    }

    #[test]
    fn a_check_that_is_off_is_read_from_the_configuration() {
        let mut off = view(Instant::now());
        Arc::make_mut(&mut off.listeners)[0].health.off = true;
        assert_eq!(state(off, None, "web", "uid-a"), BindingState::Unchecked);
    }
}
