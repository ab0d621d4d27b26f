//! What `conntrack` prints: the connections that a node keeps track of, and what went wrong with them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

/// A tracked TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As its first packet came.
    asked: Tuple,
    /// As the answers come: not the reverse of the former where an address is translated.
    answered: Tuple,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuple {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
}

/// What the nodes kept track of for an arm's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tracked {
    /// Entries, on all nodes.
    pub(crate) entries: u64,
    /// Of those that came from a client: destination translated.
    pub(crate) to_translated: u64,
    /// Of those: source translated.
    pub(crate) from_translated: u64,
    /// Those that came from a client.
    pub(crate) from_clients: u64,
    /// Entries that could not be inserted, and packets lost by it.
    pub(crate) conflicts: u64,
}

impl Tracked {
    /// Both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            to_translated: self.to_translated + other.to_translated,
            from_translated: self.from_translated + other.from_translated,
            from_clients: self.from_clients + other.from_clients,
            conflicts: self.conflicts + other.conflicts,
        }
    }
}

/// Whose connections count on a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    /// The arm's pods.
    pub(crate) pods: &'a BTreeSet<IpAddr>,
    /// The other nodes' own addresses: what a `NodePort` passes on comes from there.
    pub(crate) others: &'a BTreeSet<IpAddr>,
    /// Whether an address is a client's.
    pub(crate) is_client: fn(IpAddr) -> bool,
}

/// The entries in what `conntrack -L -p tcp` printed; a line that is none is left out.
pub(crate) fn entries(listing: &str) -> Vec<Entry> {
    listing.lines().filter_map(entry).collect()
}

/// Of a node's entries, those that an arm's clients caused. Probes of kubelet and CLB are not theirs.
pub(crate) fn tracked(entries: &[Entry], whose: Whose<'_>) -> Tracked {
    let mut tracked = Tracked::default();
    let of_pods = entries
        .iter()
        .filter(|entry| whose.pods.contains(&entry.answered.from.0));
    for entry in of_pods {
        let source = entry.asked.from.0;
        if (whose.is_client)(source) {
            tracked.entries += 1;
            tracked.from_clients += 1;
            tracked.to_translated += u64::from(entry.asked.to != entry.answered.from);
            tracked.from_translated += u64::from(entry.asked.from.0 != entry.answered.to.0);
        } else if whose.others.contains(&source) {
            tracked.entries += 1;
        }
    }
    tracked
}

/// The sum over all processors of what `conntrack -S` counts as lost: entries that another one was in
/// the way of, and packets dropped with them.
pub(crate) fn conflicts(statistics: &str) -> u64 {
    let words = statistics.split_whitespace();
    let counts = words.filter_map(|word| {
        let (name, count) = word.split_once('=')?;
        let counts = matches!(name, "insert_failed" | "drop");
        counts.then(|| count.parse::<u64>().ok()).flatten()
    });
    counts.sum()
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split_whitespace();
    (words.next()? == "tcp").then_some(())?;
    let mut tuples = Words(words);
    Some(Entry {
        asked: tuples.tuple()?,
        answered: tuples.tuple()?,
    })
}

/// `name=value` words, in the order that conntrack prints them in.
struct Words<I>(I);

impl<'a, I: Iterator<Item = &'a str>> Words<I> {
    fn tuple(&mut self) -> Option<Tuple> {
        let from = self.value("src=")?.parse().ok()?;
        let to = self.value("dst=")?.parse().ok()?;
        let from_port = self.value("sport=")?.parse().ok()?;
        let to_port = self.value("dport=")?.parse().ok()?;
        Some(Tuple {
            from: (from, from_port),
            to: (to, to_port),
        })
    }

    /// Skips the state before and flags like `[UNREPLIED]` between.
    fn value(&mut self, name: &str) -> Option<&'a str> {
        self.0.find_map(|word| word.strip_prefix(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTERED: &str = "\
tcp      6 117 TIME_WAIT src=203.0.113.5 dst=198.18.0.11 sport=20101 dport=31022 src=198.18.2.7 dst=198.18.0.11 sport=8080 dport=4711 [ASSURED] mark=3099 use=1
tcp      6 431999 ESTABLISHED src=198.18.1.1 dst=198.18.1.9 sport=40000 dport=8080 src=198.18.1.9 dst=198.18.1.1 sport=8080 dport=40000 [ASSURED] mark=0 use=1
tcp      6 3 SYN_SENT src=203.0.113.6 dst=198.18.1.9 sport=20102 dport=8080 [UNREPLIED] src=198.18.1.9 dst=203.0.113.6 sport=8080 dport=20102 mark=3099 use=1
tcp      6 100 TIME_WAIT src=100.64.0.1 dst=198.18.0.11 sport=1 dport=31022 src=198.18.1.9 dst=198.18.1.1 sport=8080 dport=2 [ASSURED] mark=3099 use=1
udp      17 20 src=203.0.113.5 dst=198.18.1.9 sport=1 dport=8080 src=198.18.1.9 dst=203.0.113.5 sport=8080 dport=1 mark=0 use=1
conntrack v1.4.7 (conntrack-tools): 5 flow entries have been shown.
";
    const PASSED_ON: &str = "tcp 6 117 TIME_WAIT src=198.18.0.11 dst=198.18.2.7 sport=4711 dport=8080 src=198.18.2.7 dst=198.18.0.11 sport=8080 dport=4711 [ASSURED] mark=0 use=1\n";

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn count(listing: &str, pods: &[&str], others: &[&str]) -> Tracked {
        let (pods, others) = (set(pods), set(others));
        let whose = Whose {
            pods: &pods,
            others: &others,
            is_client: |address| address.to_string().starts_with("203.0.113."),
        };
        tracked(&entries(listing), whose)
    }

    #[test]
    fn clients_connections_count_where_they_enter_and_where_they_are_passed_on() {
        let pods = ["198.18.1.9", "198.18.2.7"];
        let entered = count(ENTERED, &pods, &["198.18.0.12"]);
        let wanted = Tracked {
            entries: 2,
            to_translated: 1,
            from_translated: 1,
            from_clients: 2,
            conflicts: 0,
        };
        assert_eq!(entered, wanted);
        let passed_on = count(PASSED_ON, &pods, &["198.18.0.11"]);
        assert_eq!((passed_on.entries, passed_on.from_clients), (1, 0));
        assert_eq!(entered.plus(passed_on).entries, 3);
    }

    #[test]
    fn other_pods_connections_do_not_count() {
        assert_eq!(
            count(ENTERED, &["198.18.1.77"], &["198.18.0.12"]),
            Tracked::default()
        );
    }

    #[test]
    fn destination_alone_is_translated_where_the_source_is_kept() {
        let local = "tcp 6 9 TIME_WAIT src=203.0.113.5 dst=198.18.0.11 sport=9 dport=31023 src=198.18.1.9 dst=203.0.113.5 sport=8080 dport=9 use=1";
        let tracked = count(local, &["198.18.1.9"], &[]);
        assert_eq!((tracked.to_translated, tracked.from_translated), (1, 0));
    }

    #[test]
    fn what_is_lost_is_summed_over_processors() {
        let statistics = "cpu=0   found=4 invalid=3 insert=0 insert_failed=2 drop=1 early_drop=0 error=0 search_restart=9 clash_resolve=5
cpu=1   found=0 invalid=0 insert=0 insert_failed=1 drop=0 early_drop=0 error=0 search_restart=0";
        assert_eq!(conflicts(statistics), 4);
        assert_eq!(conflicts(""), 0);
    }
}
