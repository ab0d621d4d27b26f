//! From what a load balancer should hold and what it was seen to hold to the next operations. Pure.
//!
//! Order: what drains first (a pod waits for it), then what must be freed, then what is new. A target
//! or listener without our mark is foreign and never touched.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use direct_access::listener::ListenerParameters;
use direct_access::ownership::{ClusterId, Tag};
use direct_access::settings::Manage;

use crate::desired::{Desired, DesiredListener, DesiredTarget};
use crate::pod::Fate;

/// How long a target keeps weight 0 before it is taken away while its pod still runs: what is in
/// flight ends meanwhile. A pod that is gone is taken away at once.
pub const DRAIN: Duration = Duration::from_secs(20);

/// A listener as the CLB has it, with its targets.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedListener {
    /// Its id.
    pub id: String,
    /// Port.
    pub port: u16,
    /// `TCP`, `HTTP`, …
    pub protocol: String,
    /// Name: says whether it is ours.
    pub name: Option<String>,
    /// Its health check.
    pub health: HealthCheck,
    /// Its targets.
    pub targets: Vec<ObservedTarget>,
}

/// What of a listener's health check bears on the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Switched off by configuration.
    pub off: bool,
    /// Time that must pass after registration before an Alive can be this pod's own:
    /// `(HealthNum - 1) x IntervalTime`.
    pub earliest: Duration,
}

/// A target as the CLB has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTarget {
    /// Address and port.
    pub address: (IpAddr, u16),
    /// Weight.
    pub weight: u8,
    /// Whose it is; `None` is foreign.
    pub tag: Option<Tag>,
}

/// Facts for one plan.
pub struct Facts<'a> {
    /// Us.
    pub cluster: &'a ClusterId,
    /// What we may own.
    pub manage: Manage,
    /// What should be there.
    pub desired: &'a Desired,
    /// What is there.
    pub observed: &'a [ObservedListener],
    /// How long each drained target has had weight 0.
    pub drained: &'a HashMap<Place, Duration>,
}

/// A target's place: listener id, address and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Listener id.
    pub listener: String,
    /// Address and port.
    pub address: (IpAddr, u16),
}

/// A target to register or to weigh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// Where.
    pub place: Place,
    /// 0 to 100.
    pub weight: u8,
    /// Whose.
    pub pod_uid: String,
}

/// Something to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Set these weights; 0 drains.
    Weigh(Vec<Weighted>),
    /// Take these away.
    Deregister(Vec<(Place, Removal)>),
    /// Create a listener.
    CreateListener(u16, Box<ListenerParameters>),
    /// Bind these.
    Register(Vec<Weighted>),
    /// Delete a listener that is ours and empty.
    DeleteListener(String, u16),
}

impl Operation {
    /// Its name in logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Weigh(_) => "weigh",
            Self::Deregister(_) => "deregister",
            Self::CreateListener(..) => "create_listener",
            Self::Register(_) => "register",
            Self::DeleteListener(..) => "delete_listener",
        }
    }

    /// How many things it is about.
    pub fn count(&self) -> usize {
        match self {
            Self::Weigh(all) | Self::Register(all) => all.len(),
            Self::Deregister(all) => all.len(),
            Self::CreateListener(..) | Self::DeleteListener(..) => 1,
        }
    }

    /// Whether it takes anything out of service.
    pub fn removes(&self) -> bool {
        match self {
            Self::Weigh(all) => all.iter().any(|target| target.weight == 0),
            Self::Deregister(_) | Self::DeleteListener(..) => true,
            Self::CreateListener(..) | Self::Register(_) => false,
        }
    }

    /// Whether the listeners are others afterwards.
    pub fn changes_listeners(&self) -> bool {
        matches!(self, Self::CreateListener(..) | Self::DeleteListener(..))
    }
}

/// Why a target is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its pod is gone or dead.
    PodGone,
    /// Its pod was drained.
    Drained,
    /// Another pod has its address now.
    AddressReused,
}

/// Why a port waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A listener of another protocol has the port.
    OtherProtocol(String),
    /// There is no listener, and this level may not create one.
    NoListener,
    /// Somebody else bound these addresses.
    Foreign(Vec<(IpAddr, u16)>),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherProtocol(protocol) => write!(
                f,
                "a listener of protocol {protocol} has this port; TCP is what is accepted, or choose another port"
            ),
            Self::NoListener => f.write_str(
                "there is no TCP listener on this port, and the setting manage: backends may not create one",
            ),
            Self::Foreign(addresses) => {
                let shown: Vec<_> = addresses.iter().take(3).map(|(ip, port)| format!("{ip}:{port}")).collect();
                write!(
                    f,
                    "{} was bound by somebody else (no tag of this cluster); deregister it there, and it is bound anew",
                    shown.join(", ")
                )
            }
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub operations: Vec<Operation>,
    /// By port: what waits for a person.
    pub held: BTreeMap<u16, Held>,
    /// When to look again, if something ripens by itself.
    pub again: Option<Duration>,
    /// How many targets of live pods would be weighed 0 or removed.
    pub live_removals: usize,
    /// How many targets would be removed because their pod is not known any more.
    pub gone: usize,
    /// How many of the targets are ours.
    pub ours: usize,
}

impl Plan {
    /// Whether it takes away more than pods that were seen going: then only a second, fresh read of the
    /// cluster may confirm it. A cache that lost objects looks just like a cluster that did.
    pub fn shrinks_suspiciously(&self) -> bool {
        self.live_removals > 0 || (self.gone > 1 && self.gone * 2 > self.ours)
    }
}

/// Plans the next operations for one load balancer.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let mut builder = Builder {
        facts,
        plan: Plan::default(),
        weigh: vec![],
        remove: vec![],
        add: vec![],
    };
    for listener in facts.observed {
        builder.listener(listener);
    }
    for (port, wanted) in &facts.desired.listeners {
        builder.missing(*port, wanted);
    }
    builder.finish()
}

struct Builder<'a> {
    facts: &'a Facts<'a>,
    plan: Plan,
    weigh: Vec<Weighted>,
    remove: Vec<(Place, Removal)>,
    add: Vec<Weighted>,
}

impl<'a> Builder<'a> {
    fn listener(&mut self, listener: &'a ObservedListener) {
        let desired = self.facts.desired.listeners.get(&listener.port);
        let wanted = desired.filter(|_| listener.protocol == "TCP");
        if wanted.is_none() && !shares_ports_with_tcp(&listener.protocol) {
            return;
        }
        if desired.is_some() && wanted.is_none() {
            let held = Held::OtherProtocol(listener.protocol.clone());
            self.plan.held.insert(listener.port, held);
            return;
        }
        let targets = wanted.map_or(&[][..], |wanted| &wanted.targets[..]);
        self.additions(listener, targets);
        self.leftovers(listener, targets);
        self.retire(listener, wanted);
    }

    /// What is wanted and missing, or has another weight, or stands in the way.
    fn additions(&mut self, listener: &ObservedListener, targets: &[DesiredTarget]) {
        let present: HashMap<_, _> = listener.targets.iter().map(|t| (t.address, t)).collect();
        let mut foreign = Vec::new();
        for target in targets {
            let weighted = || Weighted {
                place: place(listener, target.address),
                weight: target.weight,
                pod_uid: target.pod_uid.clone(),
            };
            match present.get(&target.address) {
                None => self.add.push(weighted()),
                Some(there) => match self.owner(there) {
                    None => foreign.push(target.address),
                    Some(uid) if uid != target.pod_uid => {
                        self.remove
                            .push((place(listener, target.address), Removal::AddressReused));
                    }
                    Some(_) if there.weight != target.weight => self.weigh.push(weighted()),
                    Some(_) => {}
                },
            }
        }
        if !foreign.is_empty() {
            self.plan.held.insert(listener.port, Held::Foreign(foreign));
        }
    }

    /// What is ours and not wanted: weight 0 first, away when nobody can be using it any more.
    fn leftovers(&mut self, listener: &ObservedListener, targets: &[DesiredTarget]) {
        let wanted: HashSet<_> = targets.iter().map(|target| target.address).collect();
        let serving = serving(listener, targets);
        for target in &listener.targets {
            let Some(uid) = self.owner(target) else {
                continue;
            };
            self.plan.ours += 1;
            if wanted.contains(&target.address) || self.facts.desired.others.held_pods.contains(uid)
            {
                continue;
            }
            let (uid, fate) = (
                uid.to_owned(),
                self.facts.desired.others.fates.get(uid).copied(),
            );
            self.leftover(
                place(listener, target.address),
                target,
                (uid, fate),
                serving,
            );
        }
    }

    fn leftover(
        &mut self,
        place: Place,
        target: &ObservedTarget,
        (pod_uid, fate): (String, Option<Fate>),
        serving: bool,
    ) {
        self.plan.live_removals += usize::from(fate == Some(Fate::Live));
        self.plan.gone += usize::from(fate.is_none());
        if matches!(fate, None | Some(Fate::Ended)) {
            self.remove.push((place, Removal::PodGone));
            return;
        }
        if target.weight > 0 {
            // The last one that serves keeps its weight: somebody may still get an answer from it.
            if serving || fate == Some(Fate::Live) {
                self.weigh.push(Weighted {
                    place,
                    weight: 0,
                    pod_uid,
                });
            }
            return;
        }
        let drained = self.facts.drained.get(&place).copied().unwrap_or_default();
        match DRAIN.checked_sub(drained) {
            Some(rest) if !rest.is_zero() => self.again(rest),
            _ => self.remove.push((place, Removal::Drained)),
        }
    }

    /// A listener of ours that nothing wants goes once it is empty.
    fn retire(&mut self, listener: &ObservedListener, wanted: Option<&DesiredListener>) {
        let ours = self.facts.cluster.owns_listener(listener.name.as_deref());
        let held = self
            .facts
            .desired
            .others
            .held_ports
            .contains(&listener.port);
        if wanted.is_none() && ours && !held && listener.targets.is_empty() {
            let delete = Operation::DeleteListener(listener.id.clone(), listener.port);
            self.plan.operations.push(delete);
        }
    }

    fn missing(&mut self, port: u16, wanted: &DesiredListener) {
        let there = |l: &&ObservedListener| l.port == port && shares_ports_with_tcp(&l.protocol);
        if self.facts.observed.iter().any(|listener| there(&listener)) {
            return;
        }
        if self.facts.manage < Manage::Listeners {
            self.plan.held.insert(port, Held::NoListener);
            return;
        }
        let create = Operation::CreateListener(port, Box::new(wanted.parameters.clone()));
        self.plan.operations.push(create);
    }

    /// The pod's UID where the target is ours.
    fn owner<'t>(&self, target: &'t ObservedTarget) -> Option<&'t str> {
        let tag = target
            .tag
            .as_ref()
            .filter(|tag| tag.cluster == *self.facts.cluster)?;
        Some(&tag.pod_uid)
    }

    fn again(&mut self, rest: Duration) {
        let sooner = self.plan.again.map_or(rest, |known| known.min(rest));
        self.plan.again = Some(sooner);
    }

    fn finish(mut self) -> Plan {
        let (creates, deletes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.plan.operations)
            .into_iter()
            .partition(|operation| matches!(operation, Operation::CreateListener(..)));
        let mut all = Vec::new();
        push(&mut all, self.weigh, Operation::Weigh);
        push(&mut all, self.remove, Operation::Deregister);
        all.extend(creates);
        push(&mut all, self.add, Operation::Register);
        all.extend(deletes);
        self.plan.operations = all;
        self.plan
    }
}

fn push<T>(all: &mut Vec<Operation>, items: Vec<T>, operation: fn(Vec<T>) -> Operation) {
    if !items.is_empty() {
        all.push(operation(items));
    }
}

fn place(listener: &ObservedListener, address: (IpAddr, u16)) -> Place {
    Place {
        listener: listener.id.clone(),
        address,
    }
}

/// Whether some target would still take new connections once the leftovers have weight 0.
fn serving(listener: &ObservedListener, targets: &[DesiredTarget]) -> bool {
    let wanted: HashSet<_> = targets.iter().map(|target| target.address).collect();
    listener
        .targets
        .iter()
        .any(|t| t.weight > 0 && (wanted.contains(&t.address) || t.tag.is_none()))
}

/// UDP and QUIC listeners have ports of their own; all others share one space on a load balancer.
fn shares_ports_with_tcp(protocol: &str) -> bool {
    !matches!(protocol, "UDP" | "QUIC")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::desired::tests::{compute, service};
    use crate::pod::PodRecord;
    use crate::pod::tests::pod;

    fn us() -> ClusterId {
        ClusterId::new("us")
    }

    fn address(number: u8) -> (IpAddr, u16) {
        ([198, 18, 1, number].into(), 8080)
    }

    fn target(number: u8, weight: u8, tag: Option<&str>) -> ObservedTarget {
        let tag = tag.map(|uid| Tag {
            cluster: us(),
            pod_uid: uid.to_owned(),
        });
        ObservedTarget {
            address: address(number),
            weight,
            tag,
        }
    }

    fn listener(targets: Vec<ObservedTarget>) -> ObservedListener {
        ObservedListener {
            id: "lbl-1".to_owned(),
            port: 80,
            protocol: "TCP".to_owned(),
            name: Some(us().listener_name()),
            health: HealthCheck {
                off: false,
                earliest: Duration::ZERO,
            },
            targets,
        }
    }

    fn place(number: u8) -> Place {
        Place {
            listener: "lbl-1".to_owned(),
            address: address(number),
        }
    }

    fn desired(pods: &[PodRecord]) -> Desired {
        compute(&[service("web")], pods).load_balancers["lb-abcd1234"].clone()
    }

    fn planned(desired: &Desired, observed: &[ObservedListener]) -> Plan {
        planned_with(desired, observed, &HashMap::new(), Manage::Listeners)
    }

    fn planned_with(
        desired: &Desired,
        observed: &[ObservedListener],
        drained: &HashMap<Place, Duration>,
        manage: Manage,
    ) -> Plan {
        plan(&Facts {
            cluster: &us(),
            manage,
            desired,
            observed,
            drained,
        })
    }

    #[test]
    fn what_is_missing_is_made_in_two_steps() {
        let desired = desired(&[pod("a", 1)]);
        let first = planned(&desired, &[]);
        assert!(matches!(
            first.operations[..],
            [Operation::CreateListener(80, _)]
        ));
        let second = planned(&desired, &[listener(vec![])]);
        let [Operation::Register(added)] = &second.operations[..] else {
            panic!("{second:?}")
        };
        assert_eq!(
            (added[0].place.clone(), added[0].pod_uid.as_str()),
            (place(1), "uid-a")
        );
        let last = planned(&desired, &[listener(vec![target(1, 10, Some("uid-a"))])]);
        assert_eq!(last.operations, []);
    }

    #[test]
    fn a_going_pod_drains_and_leaves_after_its_time() {
        let going = PodRecord {
            fate: Fate::Going,
            ..pod("a", 1)
        };
        let desired = desired(&[going, pod("b", 2)]);
        let b = target(2, 10, Some("uid-b"));
        let serving = [listener(vec![target(1, 10, Some("uid-a")), b.clone()])];
        let first = planned(&desired, &serving);
        let [Operation::Weigh(weighed)] = &first.operations[..] else {
            panic!("{first:?}")
        };
        assert_eq!((weighed[0].place.clone(), weighed[0].weight), (place(1), 0));
        assert!(!first.shrinks_suspiciously());

        let drained = [listener(vec![target(1, 0, Some("uid-a")), b])];
        let waiting = planned(&desired, &drained);
        assert_eq!((waiting.operations.len(), waiting.again), (0, Some(DRAIN)));
        let ripe = HashMap::from([(place(1), DRAIN)]);
        let last = planned_with(&desired, &drained, &ripe, Manage::Listeners);
        assert_eq!(
            last.operations,
            [Operation::Deregister(vec![(place(1), Removal::Drained)])]
        );
    }

    #[test]
    fn the_last_serving_target_keeps_its_weight() {
        let going = PodRecord {
            fate: Fate::Going,
            ..pod("a", 1)
        };
        let last = [listener(vec![target(1, 10, Some("uid-a"))])];
        assert_eq!(planned(&desired(&[going]), &last).operations, []);
    }

    #[rstest]
    #[case(None)]
    #[case(Some(Fate::Ended))]
    fn a_pod_that_is_gone_leaves_at_once(#[case] fate: Option<Fate>) {
        let pods: Vec<_> = fate
            .map(|fate| PodRecord {
                fate,
                ..pod("a", 1)
            })
            .into_iter()
            .collect();
        let there = [listener(vec![target(1, 10, Some("uid-a"))])];
        let plan = planned(&desired(&pods), &there);
        assert_eq!(
            plan.operations,
            [Operation::Deregister(vec![(place(1), Removal::PodGone)])]
        );
    }

    #[test]
    fn a_reused_address_is_freed_before_it_is_bound_anew() {
        let desired = desired(&[pod("b", 1)]);
        let stale = [listener(vec![target(1, 10, Some("uid-a"))])];
        let first = planned(&desired, &stale);
        let freed = Operation::Deregister(vec![(place(1), Removal::AddressReused)]);
        assert_eq!(first.operations, [freed]);
        let second = planned(&desired, &[listener(vec![])]);
        assert!(matches!(second.operations[..], [Operation::Register(_)]));
    }

    #[test]
    fn what_is_not_ours_is_never_touched() {
        let other = ObservedTarget {
            tag: Some(Tag {
                cluster: ClusterId::new("them"),
                pod_uid: "uid-x".to_owned(),
            }),
            ..target(3, 10, None)
        };
        let there = [listener(vec![target(1, 10, None), other])];
        let plan = planned(&desired(&[pod("a", 1)]), &there);
        assert_eq!(plan.operations, []);
        assert_eq!(plan.held[&80], Held::Foreign(vec![address(1)]));
    }

    #[test]
    fn an_unwanted_listener_goes_only_when_it_is_ours_and_empty() {
        let nothing = Desired::default();
        let empty = [listener(vec![])];
        let delete = Operation::DeleteListener("lbl-1".to_owned(), 80);
        assert_eq!(planned(&nothing, &empty).operations, [delete]);
        let foreign = [ObservedListener {
            name: Some("mine".to_owned()),
            ..listener(vec![])
        }];
        assert_eq!(planned(&nothing, &foreign).operations, []);
        let used = [listener(vec![target(1, 10, None)])];
        assert_eq!(planned(&nothing, &used).operations, []);
    }

    #[test]
    fn another_protocol_on_the_port_is_held() {
        let http = [ObservedListener {
            protocol: "HTTP".to_owned(),
            ..listener(vec![])
        }];
        let plan = planned(&desired(&[pod("a", 1)]), &http);
        assert_eq!(plan.held[&80], Held::OtherProtocol("HTTP".to_owned()));
        assert_eq!(plan.operations, []);
        let udp = [ObservedListener {
            protocol: "UDP".to_owned(),
            ..listener(vec![])
        }];
        let plan = planned(&desired(&[pod("a", 1)]), &udp);
        assert!(matches!(
            plan.operations[..],
            [Operation::CreateListener(80, _)]
        ));
    }

    #[test]
    fn the_lower_level_creates_no_listener() {
        let desired = desired(&[pod("a", 1)]);
        let plan = planned_with(&desired, &[], &HashMap::new(), Manage::Backends);
        assert_eq!(
            (plan.operations.len(), &plan.held[&80]),
            (0, &Held::NoListener)
        );
    }

    #[test]
    fn a_service_that_lets_go_of_live_pods_needs_a_second_look() {
        let pods = [pod("a", 1), pod("b", 2)];
        let nothing = compute(&[], &pods);
        assert!(nothing.load_balancers.is_empty());
        let mut empty = desired(&pods);
        empty.listeners.clear();
        let there = [listener(vec![
            target(1, 10, Some("uid-a")),
            target(2, 10, Some("uid-b")),
        ])];
        let plan = planned(&empty, &there);
        assert!(plan.shrinks_suspiciously());
        assert!(matches!(&plan.operations[..], [Operation::Weigh(all)] if all.len() == 2));
    }

    #[test]
    fn held_pods_stay_as_they_are() {
        let mut bad = service("web");
        bad.annotations.insert(
            direct_access::names::DIRECT_ACCESS.to_owned(),
            "yes".to_owned(),
        );
        let pods = [pod("a", 1)];
        let grouped = crate::desired::by_namespace(&pods);
        let ledger = ["lb-abcd1234".to_owned()].into();
        let settings = direct_access::Settings::default();
        let wanted = crate::desired::wanted([&bad], &grouped, &settings, &ledger);
        let there = [listener(vec![target(1, 10, Some("uid-a"))])];
        assert_eq!(
            planned(&wanted.load_balancers["lb-abcd1234"], &there).operations,
            []
        );
    }

    /// A CLB that does what it is told, to see where plans lead.
    fn perform(listeners: &mut Vec<ObservedListener>, operation: &Operation) {
        let find = |listeners: &mut Vec<ObservedListener>, place: &Place| {
            listeners
                .iter_mut()
                .position(|l| l.id == place.listener)
                .unwrap()
        };
        match operation {
            Operation::CreateListener(..) => listeners.push(listener(vec![])),
            Operation::DeleteListener(id, _) => listeners.retain(|l| l.id != *id),
            Operation::Register(all) => {
                for new in all {
                    let at = find(listeners, &new.place);
                    let tag = Some(Tag {
                        cluster: us(),
                        pod_uid: new.pod_uid.clone(),
                    });
                    let address = new.place.address;
                    listeners[at].targets.push(ObservedTarget {
                        address,
                        weight: new.weight,
                        tag,
                    });
                }
            }
            Operation::Deregister(all) => {
                for (place, _) in all {
                    let at = find(listeners, place);
                    listeners[at].targets.retain(|t| t.address != place.address);
                }
            }
            Operation::Weigh(all) => {
                for new in all {
                    let at = find(listeners, &new.place);
                    let targets = listeners[at].targets.iter_mut();
                    targets
                        .filter(|t| t.address == new.place.address)
                        .for_each(|t| t.weight = new.weight);
                }
            }
        }
    }

    proptest! {
        /// From any state, plans lead in a few rounds to exactly the live pods plus what is foreign.
        #[test]
        fn plans_converge_and_never_touch_what_is_foreign(
            live in prop::collection::btree_set(1u8..12, 0..8),
            there in prop::collection::btree_map(1u8..12, (0u8..3, 0u8..4), 0..8),
            wanted in any::<bool>(),
        ) {
            let pods: Vec<_> = live.iter().map(|n| pod(&format!("p{n}"), *n)).collect();
            let mut desired = desired(&pods);
            if !wanted {
                desired.listeners.clear();
            }
            let targets: Vec<_> = there.iter().map(|(number, (weight, owner))| match owner {
                0 => target(*number, *weight * 5, None),
                1 => target(*number, *weight * 5, Some("uid-gone")),
                _ => target(*number, *weight * 5, Some(&format!("uid-p{number}"))),
            }).collect();
            let foreign: Vec<_> = targets.iter().filter(|t| t.tag.is_none()).cloned().collect();
            let mut clb = vec![listener(targets)];
            let all_ripe: HashMap<_, _> = (1..12).map(|n| (place(n), DRAIN)).collect();
            for _ in 0..5 {
                for operation in planned_with(&desired, &clb, &all_ripe, Manage::Listeners).operations {
                    perform(&mut clb, &operation);
                }
            }
            let left = planned_with(&desired, &clb, &all_ripe, Manage::Listeners);
            prop_assert_eq!(left.operations, vec![]);
            let mut now: Vec<_> = clb.iter().flat_map(|l| l.targets.clone()).collect();
            for target in &foreign {
                prop_assert!(now.contains(target));
            }
            now.retain(|t| t.tag.is_some());
            let expected = if wanted {
                live.iter().filter(|n| !foreign.iter().any(|t| t.address == address(**n))).count()
            } else { 0 };
            prop_assert_eq!(now.len(), expected);
        }
    }
}
