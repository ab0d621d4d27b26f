//! From what clients and nodes saw to the figures of an arm. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use clb_gate_tests::figures::Figures;
use serde::Serialize;

use crate::client::{Answer, Load};
use crate::conntrack::Tracked;

/// Where an arm's pods are, and which addresses are a node's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    /// Node by pod.
    pub(crate) pods: BTreeMap<String, String>,
    /// Node by address.
    pub(crate) addresses: BTreeMap<IpAddr, String>,
}

/// An arm's part of a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// One request at a time: how long it takes.
    pub(crate) alone: Load,
    /// Several at a time: how many get through.
    pub(crate) busy: Load,
    /// Bytes that came to a node from the other.
    pub(crate) wire: u64,
    /// What the nodes kept track of.
    pub(crate) tracked: Tracked,
}

/// An arm's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Performance {
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// Requests that were not, by cause.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Microseconds, one request at a time.
    pub(crate) p50_us: u64,
    /// The same of the slowest hundredth.
    pub(crate) p99_us: u64,
    /// Requests a second, several at a time; the median of all rounds.
    pub(crate) per_second: f64,
    /// Against direct connection, round by round; the median of all rounds.
    pub(crate) against_direct: Ratios,
    /// Share of requests that went from the node they were sent to, to another.
    pub(crate) passed_on: f64,
    /// Bytes from node to node.
    pub(crate) wire_bytes: u64,
    /// Of a request.
    pub(crate) wire_bytes_each: f64,
    /// Connections that nodes kept track of, for each that a client opened.
    pub(crate) entries_each: f64,
    /// Share of clients' connections whose destination a node translated.
    pub(crate) to_translated: f64,
    /// The same of sources.
    pub(crate) from_translated: f64,
    /// Entries that could not be inserted, and packets lost by it.
    pub(crate) conflicts: u64,
    /// How the requests were spread: pods by node, then name.
    pub(crate) spread: Vec<Share>,
    /// Share of requests in which the pod saw the client's address.
    pub(crate) source_kept: f64,
    /// How many addresses clients had.
    pub(crate) clients: usize,
    /// How many of them pods saw, or instead of them.
    pub(crate) seen: BTreeSet<IpAddr>,
}

/// A figure divided by that of direct connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Ratios {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) per_second: f64,
}

/// A pod's share of the requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) node: String,
    pub(crate) pod: String,
    pub(crate) part: f64,
}

/// Whether clients come back to where they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Persistence {
    /// Clients.
    pub(crate) clients: usize,
    /// Connections after each client's first.
    pub(crate) returns: usize,
    /// Share of them that the pod of the first answered.
    pub(crate) same_pod: f64,
    /// Share of them that went to the node of the first.
    pub(crate) same_node: f64,
}

impl Map {
    /// The node that the CLB sent a request to. A source that is a node's own shows who passed it on.
    fn entered(&self, answer: &Answer) -> Option<&String> {
        let passed_on = self.addresses.get(&answer.seen);
        passed_on.or_else(|| self.pods.get(&answer.pod))
    }

    fn was_passed_on(&self, answer: &Answer) -> bool {
        self.entered(answer) != self.pods.get(&answer.pod)
    }
}

impl Part {
    fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.alone.answers.iter().chain(&self.busy.answers)
    }

    fn percentile(&self, percent: usize) -> f64 {
        let figures = Figures::new(self.alone.took.clone());
        figures.percentile(percent).as_secs_f64()
    }

    fn per_second(&self) -> f64 {
        ratio(
            share_of(self.busy.answers.len(), 1),
            self.busy.lasted.as_secs_f64(),
        )
    }
}

/// The figures of an arm whose parts these are; `direct` are the other one's, round by round.
pub(crate) fn performance(parts: &[Part], direct: &[Part], map: &Map) -> Performance {
    let answers: Vec<_> = parts.iter().flat_map(Part::answers).collect();
    let all = answers.len();
    let count = |what: &dyn Fn(&Answer) -> bool| {
        share_of(answers.iter().filter(|answer| what(answer)).count(), all)
    };
    let alone: Vec<Duration> = parts
        .iter()
        .flat_map(|part| part.alone.took.clone())
        .collect();
    let alone = Figures::new(alone);
    let sum = parts.iter().map(|part| part.tracked);
    let tracked = sum.fold(Tracked::default(), Tracked::plus);
    let wire_bytes = parts.iter().map(|part| part.wire).sum();
    Performance {
        answered: all as u64,
        failures: failures(parts),
        p50_us: micros(alone.percentile(50)),
        p99_us: micros(alone.percentile(99)),
        per_second: median(parts.iter().map(Part::per_second).collect()),
        against_direct: ratios(parts, direct),
        passed_on: count(&|answer| map.was_passed_on(answer)),
        wire_bytes,
        wire_bytes_each: ratio(float(wire_bytes), share_of(all, 1)),
        entries_each: ratio(float(tracked.entries), share_of(all, 1)),
        to_translated: ratio(float(tracked.to_translated), float(tracked.from_clients)),
        from_translated: ratio(float(tracked.from_translated), float(tracked.from_clients)),
        conflicts: tracked.conflicts,
        spread: spread(&answers, map),
        source_kept: count(&|answer| answer.seen == answer.client),
        clients: answers
            .iter()
            .map(|answer| answer.client)
            .collect::<BTreeSet<_>>()
            .len(),
        seen: answers.iter().map(|answer| answer.seen).collect(),
    }
}

/// How well clients were kept, from their answers in the order in which they asked.
pub(crate) fn persistence(answers: &[Answer], map: &Map) -> Persistence {
    let mut firsts: BTreeMap<IpAddr, &Answer> = BTreeMap::new();
    let (mut returns, mut same_pod, mut same_node) = (0, 0, 0);
    for answer in answers {
        let Some(first) = firsts.get(&answer.client) else {
            firsts.insert(answer.client, answer);
            continue;
        };
        returns += 1;
        same_pod += usize::from(first.pod == answer.pod);
        same_node += usize::from(map.entered(first) == map.entered(answer));
    }
    Persistence {
        clients: firsts.len(),
        returns,
        same_pod: share_of(same_pod, returns),
        same_node: share_of(same_node, returns),
    }
}

fn failures(parts: &[Part]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let loads = parts.iter().flat_map(|part| [&part.alone, &part.busy]);
    for (cause, count) in loads.flat_map(|load| &load.failures) {
        *all.entry(cause.clone()).or_default() += count;
    }
    all
}

fn spread(answers: &[&Answer], map: &Map) -> Vec<Share> {
    let mut shares: Vec<_> = map
        .pods
        .iter()
        .map(|(pod, node)| {
            let its = answers.iter().filter(|answer| answer.pod == *pod).count();
            Share {
                node: node.clone(),
                pod: pod.clone(),
                part: share_of(its, answers.len()),
            }
        })
        .collect();
    shares.sort_by(|a, b| (&a.node, &a.pod).cmp(&(&b.node, &b.pod)));
    shares
}

fn ratios(parts: &[Part], direct: &[Part]) -> Ratios {
    let each = |figure: &dyn Fn(&Part) -> f64| {
        let pairs = parts.iter().zip(direct);
        median(
            pairs
                .map(|(ours, theirs)| ratio(figure(ours), figure(theirs)))
                .collect(),
        )
    };
    Ratios {
        p50: each(&|part| part.percentile(50)),
        p99: each(&|part| part.percentile(99)),
        per_second: each(&Part::per_second),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// 0 where there is nothing to divide by.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

fn share_of(part: usize, whole: usize) -> f64 {
    ratio(float(part as u64), float(whole as u64))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
