//! From 100 to 10,000 pods at once, over one load balancer or many that share one account's limits.

use std::collections::BTreeMap;
use std::time::Duration;

use direct_access::listener::ListenerParameters;
use direct_access::{Owner, Protocol};
use gate_controller::desired::{Desired, DesiredListener};
use tokio::time::Instant;

use super::arms::{beside, rest_after, until_bound};
use super::rows::{alive, config, create_listener, register, shop, target};
use super::wire::{busiest_second, by_action};
use super::world::{World, wanted};

/// Pods before and after.
pub(crate) const PODS: (u32, u32) = (100, 10_000);
/// Over how many load balancers.
pub(crate) const LOAD_BALANCERS: [u32; 3] = [1, 10, 100];
/// How long the writers have been at rest when the change comes.
const REST: Duration = Duration::from_mins(2);

/// What became of it.
pub(crate) struct Surge {
    pub(crate) load_balancers: u32,
    pub(crate) bound: Duration,
    pub(crate) rested: Duration,
    pub(crate) calls: BTreeMap<String, usize>,
    /// The most calls of one action within any second.
    pub(crate) busiest: usize,
    /// Calls refused as over the limit.
    pub(crate) throttled: u64,
}

/// One surge.
pub(crate) async fn surge(load_balancers: u32, delays: clb_sim::Delays) -> Surge {
    let ids: Vec<_> = (0..load_balancers).map(id).collect();
    let world = World::of(config(delays), &ids, Duration::ZERO);
    let share = |pods: u32, number: u32| desired(number, pods / load_balancers);
    for (number, id) in (0..).zip(&ids) {
        let listener = create_listener(&world, id, "TCP");
        let before = share(PODS.0, number);
        let targets = &before.listeners[&Protocol::Tcp.at(80)].targets;
        register(&world, id, (&listener, None), targets);
        world.want_on(id, before);
    }
    let story = async {
        tokio::time::sleep(REST).await;
        let start = Instant::now();
        let mut all = BTreeMap::new();
        for (number, id) in (0..).zip(&ids) {
            let after = share(PODS.1, number);
            all.extend(wanted(id, &after));
            world.want_on(id, after);
        }
        let bound = until_bound(&world, delays, || all).await - start;
        tokio::time::sleep(rest_after(delays)).await;
        summed(&world, start, load_balancers, bound)
    };
    beside(&world, story).await
}

fn summed(world: &World, start: Instant, load_balancers: u32, bound: Duration) -> Surge {
    let calls = world.wire.since(start);
    let last = calls.iter().filter_map(|call| call.ended).max();
    let counted = by_action(&calls).into_iter();
    let outcomes = world.clb.calls();
    let outcomes = outcomes["calls"].as_object().unwrap().values();
    Surge {
        load_balancers,
        bound,
        rested: last.map_or(Duration::ZERO, |last| last - start),
        calls: counted
            .map(|(action, count)| (action.to_owned(), count))
            .collect(),
        busiest: busiest_second(&calls),
        throttled: outcomes
            .filter_map(|by_code| by_code["RequestLimitExceeded"].as_u64())
            .sum(),
    }
}

fn id(number: u32) -> String {
    format!("lb-{number:08}")
}

fn desired(load_balancer: u32, pods: u32) -> Desired {
    let first = load_balancer * PODS.1;
    let targets: Vec<_> = (first..first + pods).map(target).collect();
    let listener = DesiredListener {
        owner: Owner::service(shop("web")),
        protocol: Protocol::Tcp,
        parameters: ListenerParameters::default(),
        targets: targets.clone(),
        rules: BTreeMap::new(),
    };
    alive(listener, &targets)
}
