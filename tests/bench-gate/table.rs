//! The table. Pure.

use std::fmt::Write as _;

use crate::process::Usage;
use crate::report::{PROMISED, Part, Report};

/// What the figures are of, and what they are not.
const FOOT: &str = "\
- The pods are objects: created through the API server, gated by the webhook, bound by clb-gate; but on a node on paper,
  whose Lease is kept and which has no kubelet. Nobody answers at their addresses. What a kubelet would report of
  them was written before the clock started.
- Health is the word of an oracle in the simulator (POST /_sim/forecast), not of probes: each target is Unknown until
  its moment and Alive from that millisecond on. Times count from that moment, by the clock that everybody here has.
- The bare loop asks for the same targets' health once a second by the same call, patches another condition of the
  same pods, 16 at a time, and does nothing else; clb-gate's controllers are stopped meanwhile. It is the floor for
  whoever polls once a second: half a second in the middle, one second at most, and what the API server needs.
- Client, API server, controllers and the CLB share this machine's processors.
";

/// The whole table.
pub(crate) fn print(report: &Report) -> String {
    let scale = report.scale;
    let mut text = format!(
        "{} pods behind {} load balancers turned healthy one after the other within {} s\n\n",
        scale.pods, scale.load_balancers, scale.seconds
    );
    text.push_str("from Alive to True       pods      p50      p90      p99      max\n");
    row(&mut text, "clb-gate", &report.ours);
    row(&mut text, "a bare loop", &report.reference);
    ratios(&mut text, report);
    let _ = writeln!(text, "\npromised: p99 below {PROMISED} ms");
    calls(&mut text, report);
    let writes = report.ours.writes;
    let _ = writeln!(
        text,
        "writes to pods: {writes}, {:.2} a pod",
        f64::from(writes) / f64::from(scale.pods)
    );
    if let Some(usage) = report.controller {
        controller(&mut text, usage, report.ours.seconds);
    }
    text.push('\n');
    text.push_str(FOOT);
    text
}

fn row(text: &mut String, who: &str, part: &Part) {
    let _ = write!(text, "  {who:<20} {:>6}", part.opened);
    for ms in [part.p50_ms, part.p90_ms, part.p99_ms, part.max_ms] {
        let _ = write!(text, " {ms:>5} ms");
    }
    text.push('\n');
}

fn ratios(text: &mut String, report: &Report) {
    let (ours, reference) = (&report.ours, &report.reference);
    let pairs = [
        (ours.p50_ms, reference.p50_ms),
        (ours.p90_ms, reference.p90_ms),
        (ours.p99_ms, reference.p99_ms),
        (ours.max_ms, reference.max_ms),
    ];
    let _ = write!(text, "  {:<20} {:>6}", "ratio", "");
    for (ours, reference) in pairs {
        let ratio = f64::from(ours) / f64::from(reference.max(1));
        let _ = write!(text, " {:>8}", format!("{ratio:.2}x"));
    }
    text.push('\n');
}

fn calls(text: &mut String, report: &Report) {
    let (part, allowed) = (&report.ours, report.calls_allowed());
    let _ = writeln!(
        text,
        "calls that ask for health: {}, {:.2} a second (promised: at most {allowed})",
        part.health_calls, part.health_calls_a_second
    );
}

fn controller(text: &mut String, usage: Usage, seconds: f64) {
    let mib = |kib: u32| f64::from(kib) / 1024.0;
    let _ = writeln!(
        text,
        "the leading controller: {:.1} s of processor time in {seconds:.0} s; {:.0} MiB resident, {:.0} MiB at most",
        usage.seconds,
        mib(usage.resident_kib),
        mib(usage.peak_kib)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::good;

    #[test]
    fn the_table_says_what_was_found() {
        let mut report = good();
        report.reference.p99_ms = 66;
        report.controller = Some(Usage {
            seconds: 3.0,
            resident_kib: 20 * 1024,
            peak_kib: 24 * 1024,
        });
        let text = print(&report);
        let line = |start: &str| {
            let mut lines = text.lines().map(str::trim);
            lines
                .find(|line| line.starts_with(start))
                .unwrap_or_default()
                .to_owned()
        };
        let words = |start: &str| {
            let line = line(start);
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words("clb-gate"), "clb-gate 100 50 ms 90 ms 99 ms 100 ms");
        assert_eq!(words("ratio"), "ratio 1.00x 1.00x 1.50x 1.00x");
        assert_eq!(
            line("calls"),
            "calls that ask for health: 11, 1.00 a second (promised: at most 1)"
        );
        assert_eq!(line("writes"), "writes to pods: 100, 1.00 a pod");
        assert_eq!(
            line("the leading"),
            "the leading controller: 3.0 s of processor time in 15 s; 20 MiB resident, 24 MiB at most"
        );
    }

    #[test]
    fn columns_stand_under_their_titles() {
        let text = print(&good());
        let mut rows = text.lines().skip(2).take(4).map(str::len);
        let width = rows.next().unwrap();
        assert!(rows.all(|row| row == width), "{text}");
    }
}
