//! The table: the columns and rows of Tencent's comparison, with what was found in each cell. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::arm::{Arm, PerArm};
use crate::report::Report;
use crate::tally::{Performance, Persistence, Share};
use crate::update::Update;

/// What the table does not show, and why.
const FOOT: &[&str] = &[
    "Latency is from a connection's first packet to the end of the answer, one request a connection. The CLB is the \
     simulator, a program on the same machine, and its share is in all columns; wires are virtual and have no length. So \
     ratios say less than a real network would. (n x): against direct connection, round by round, the median.",
    "Requests a second are those that two processors carry with client, CLB, nodes and pods on them. Tencent's own run, \
     20 to 80 nodes under wrk, needs machines that are not here; with n nodes (n-1)/n of the requests would cross between \
     nodes, not half.",
    "kube-proxy runs in nftables mode; TKE's nodes use iptables or IPVS, which translate the same addresses. All nodes \
     are bound, as TKE does unless told otherwise.",
    "Not shown: exhausted source ports. That takes some 60,000 connections at a time from one node to one pod; what \
     leads there is shown: how few addresses a pod sees instead of its clients'.",
    "Not shown: conntrack conflicts where the count is 0. They are races between processors, of which there are too few \
     here to provoke them.",
    "Not shown: cluster versions. The host has one Kubernetes; readiness gates need 1.12 and clb-gate needs 1.30. VPC-CNI \
     is Tencent's: here pods have routed addresses of their own, as it gives them; shown is what the API says to others.",
    "Pod update: all pods are replaced, and the only one of its node comes back on the other. Local forwarding loses what \
     the CLB sends to the empty node until its health check (every 3 s, 2 failures) finds out.",
];

/// Lines are broken before this.
const WIDTH: usize = 118;

enum Line {
    /// A row of Tencent's table.
    Item(&'static str),
    /// One of its figures.
    Figure(String, [String; 3]),
}

/// The whole table.
pub(crate) fn print(report: &Report) -> String {
    let lines = lines(report);
    let mut widths = [0; 4];
    let titles = Arm::ALL.map(|arm| arm.title().to_owned());
    let head = Line::Figure("Comparison Item".to_owned(), titles);
    for line in std::iter::once(&head).chain(&lines) {
        if let Line::Figure(what, cells) = line {
            let all = std::iter::once(what).chain(cells);
            for (width, cell) in widths.iter_mut().zip(all) {
                *width = cell.chars().count().max(*width);
            }
        }
    }
    let mut text = String::new();
    for line in std::iter::once(&head).chain(&lines) {
        write_line(&mut text, line, widths);
    }
    text.push('\n');
    for note in FOOT {
        wrap(&mut text, note);
    }
    text
}

fn write_line(text: &mut String, line: &Line, [first, one, two, three]: [usize; 4]) {
    let _ = match line {
        Line::Item(item) => writeln!(text, "{item}"),
        Line::Figure(what, [a, b, c]) => {
            writeln!(text, "  {what:<first$}  {a:>one$}  {b:>two$}  {c:>three$}")
        }
    };
}

fn wrap(text: &mut String, note: &str) {
    let mut used = 1;
    text.push('-');
    for word in note.split_whitespace() {
        if used + 1 + word.chars().count() > WIDTH {
            text.push_str("\n ");
            used = 1;
        }
        let _ = write!(text, " {word}");
        used += 1 + word.chars().count();
    }
    text.push('\n');
}

fn lines(report: &Report) -> Vec<Line> {
    let mut lines = vec![Line::Item("Performance")];
    lines.extend(performance(report));
    lines.push(Line::Item("Pod update"));
    lines.push(figure("requests lost in an update", &report.update, lost));
    lines.push(Line::Item("Cluster dependency"));
    lines.push(targets());
    lines.push(reach(report));
    lines.push(Line::Item("Business capability restriction"));
    lines.extend(business(report));
    lines
}

fn performance(report: &Report) -> Vec<Line> {
    let all = &report.performance;
    let several = format!("requests/s, {} at a time", report.at_a_time);
    vec![
        figure("latency p50, one at a time", all, |one| {
            times(&millis(one.p50_us), one.against_direct.p50)
        }),
        figure("latency p99, one at a time", all, |one| {
            times(&millis(one.p99_us), one.against_direct.p99)
        }),
        figure(&several, all, |one| {
            times(
                &format!("{:.0}", one.per_second),
                one.against_direct.per_second,
            )
        }),
        figure("passed on to the other node", all, |one| {
            percent(one.passed_on)
        }),
        figure("bytes between nodes, a request", all, |one| {
            format!("{:.0}", one.wire_bytes_each)
        }),
        figure("destination translated by a node", all, |one| {
            percent(one.to_translated)
        }),
        figure("source translated by a node", all, |one| {
            percent(one.from_translated)
        }),
        figure("conntrack entries, a connection", all, |one| {
            format!("{:.2}", one.entries_each)
        }),
        figure("lost to conntrack conflicts", all, |one| {
            one.conflicts.to_string()
        }),
        figure("share of each pod, node by node", all, |one| {
            spread(&one.spread)
        }),
        figure("busiest pod, of its fair share", all, busiest),
    ]
}

fn business(report: &Report) -> Vec<Line> {
    let (all, kept) = (&report.performance, &report.persistence);
    let returns = |share: fn(&Persistence) -> f64| {
        move |one: &Persistence| format!("{} of {}", percent(share(one)), one.returns)
    };
    vec![
        figure("pod sees the client's address", all, |one| {
            percent(one.source_kept)
        }),
        figure("addresses of clients that pods saw", all, |one| {
            format!("{} for {}", one.seen.len(), one.clients)
        }),
        figure(
            "session: returns to the same pod",
            kept,
            returns(|one| one.same_pod),
        ),
        figure(
            "session: returns to the same node",
            kept,
            returns(|one| one.same_node),
        ),
    ]
}

fn targets() -> Line {
    let cells = Arm::ALL.map(|arm| {
        if arm.policy().is_some() {
            "all nodes"
        } else {
            "the pods"
        }
    });
    Line::Figure("the CLB's targets".to_owned(), cells.map(str::to_owned))
}

fn reach(report: &Report) -> Line {
    let said = report.unknown_address.as_ref();
    let cells = Arm::ALL.map(|arm| match (arm.policy(), said) {
        (Some(_), _) => "does not matter",
        (None, Some(_)) => "refused",
        (None, None) => "taken",
    });
    let what = "pod's address unknown to the VPC".to_owned();
    Line::Figure(what, cells.map(str::to_owned))
}

fn figure<T>(what: &str, all: &PerArm<T>, show: impl Fn(&T) -> String) -> Line {
    Line::Figure(what.to_owned(), Arm::ALL.map(|arm| show(all.get(arm))))
}

fn lost(update: &Update) -> String {
    format!("{} of {}", update.lost, update.requests)
}

/// Nodes apart, so that it shows where pods share a node.
fn spread(shares: &[Share]) -> String {
    let mut nodes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in shares {
        let rounded = format!("{:.0}", one.part * 100.0);
        nodes.entry(&one.node).or_default().push(rounded);
    }
    let nodes: Vec<_> = nodes.values().map(|shares| shares.join("+")).collect();
    format!("{} %", nodes.join(" | "))
}

fn busiest(one: &Performance) -> String {
    let most = one
        .spread
        .iter()
        .map(|share| share.part)
        .fold(0.0, f64::max);
    let pods = u32::try_from(one.spread.len()).unwrap_or(u32::MAX);
    format!("{:.2}x", most * f64::from(pods))
}

fn times(figure: &str, ratio: f64) -> String {
    format!("{figure} ({ratio:.2}x)")
}

fn millis(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Ratios;

    fn report() -> Report {
        let share = |node: &str, part| Share {
            node: node.to_owned(),
            pod: "p".to_owned(),
            part,
        };
        let spread = [
            share("node-1", 0.25),
            share("node-1", 0.25),
            share("node-2", 0.5),
        ];
        Report {
            at_a_time: 8,
            performance: PerArm::new(|_| Performance {
                p50_us: 1_234,
                p99_us: 12_005,
                against_direct: Ratios {
                    p50: 1.255,
                    ..Ratios::default()
                },
                spread: spread.to_vec(),
                ..Performance::default()
            }),
            ..Report::default()
        }
    }

    #[test]
    fn every_row_of_the_article_is_there_under_its_columns() {
        let text = print(&report());
        let head = text.lines().next().unwrap();
        for arm in Arm::ALL {
            assert!(head.contains(arm.title()), "{head}");
        }
        let items = [
            "Performance",
            "Pod update",
            "Cluster dependency",
            "Business capability restriction",
        ];
        let found: Vec<_> = text.lines().filter(|line| items.contains(line)).collect();
        assert_eq!(found, items);
    }

    #[test]
    fn cells_stand_below_each_other() {
        let text = print(&report());
        let table: Vec<_> = text.lines().take_while(|line| !line.is_empty()).collect();
        let rows = table.iter().filter(|line| line.starts_with("  "));
        let ends: std::collections::BTreeSet<_> = rows.map(|line| line.chars().count()).collect();
        assert_eq!(ends.len(), 1, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }

    #[test]
    fn figures_are_shown_as_people_read_them() {
        let text = print(&report());
        for cell in [
            "1.23 ms (1.25x)",
            "12.00 ms",
            "25+25 | 50 %",
            "1.50x",
            "taken",
        ] {
            assert!(text.contains(cell), "{cell}\n{text}");
        }
        let refused = Report {
            unknown_address: Some("no such address".to_owned()),
            ..report()
        };
        assert!(print(&refused).contains("refused"));
    }

    #[test]
    fn the_foot_says_what_is_not_shown() {
        let text = print(&report());
        let (_, foot) = text.split_once("\n\n").unwrap();
        assert_eq!(
            foot.lines().filter(|line| line.starts_with("- ")).count(),
            FOOT.len()
        );
        assert!(foot.contains("Not shown: exhausted source ports."));
    }
}
