//! The table on stdout: an arm in a column's breadth, a fact in a row. Pure.

use std::fmt::Write as _;

use super::arm::Arm;
use super::blame::unexplained;
use super::report::{ArmReport, Run};

/// How broad the first column is, and the others.
const FIRST: usize = 34;
const COLUMN: usize = 12;

/// The whole table and what is to be said below it.
pub fn print(run: &Run) -> String {
    let mut text = String::new();
    row(&mut text, "", run, |arm| arm.arm.to_string());
    row(&mut text, "requests", run, |arm| arm.requests.to_string());
    row(&mut text, "failed", run, |arm| arm.failures().to_string());
    for cause in causes(run) {
        let count = |arm: &ArmReport| arm.failed.get(&cause).copied().unwrap_or(0).to_string();
        row(&mut text, &format!("  {cause}"), run, count);
    }
    row(&mut text, "failed, not explained by a crash", run, |arm| {
        let left = unexplained(&arm.failures).count();
        if arm.arm == Arm::Crash {
            left.to_string()
        } else {
            dash()
        }
    });
    row(&mut text, "late (client busy)", run, |arm| {
        arm.late.to_string()
    });
    row(&mut text, "WebSockets told 1001", run, |arm| {
        arm.handed_over.to_string()
    });
    row(&mut text, "p50, ms", run, |arm| millis(arm.p50_us));
    row(&mut text, "p99, ms", run, |arm| millis(arm.p99_us));
    row(&mut text, "rollouts", run, |arm| {
        arm.rollouts().len().to_string()
    });
    row(&mut text, "  shortest, s", run, |arm| {
        seconds(arm.rollouts().into_iter().min_by(f64::total_cmp))
    });
    row(&mut text, "  longest, s", run, |arm| {
        seconds(arm.rollouts().into_iter().max_by(f64::total_cmp))
    });
    row(&mut text, "gate, p50, s", run, |arm| seconds(arm.gate(50)));
    row(&mut text, "gate, p99, s", run, |arm| seconds(arm.gate(99)));
    row(&mut text, "pods that answered", run, |arm| {
        arm.pods_that_answered.to_string()
    });
    row(&mut text, "fewest healthy targets", run, |arm| {
        arm.lowest()
            .map_or_else(dash, |(count, _)| count.to_string())
    });
    text.push('\n');
    for arm in &run.arms {
        let _ = writeln!(text, "  {:<3}{}", arm.arm, arm.title);
    }
    text
}

/// All causes of all arms.
fn causes(run: &Run) -> Vec<String> {
    let all = run.arms.iter().flat_map(|arm| arm.failed.keys().cloned());
    let mut causes: Vec<_> = all.collect();
    causes.sort();
    causes.dedup();
    causes
}

fn row(text: &mut String, name: &str, run: &Run, cell: impl Fn(&ArmReport) -> String) {
    let _ = write!(text, "  {name:<FIRST$}");
    for arm in &run.arms {
        let _ = write!(text, "{:>COLUMN$}", cell(arm));
    }
    text.push('\n');
}

/// Where there is nothing to say.
fn dash() -> String {
    "-".to_owned()
}

/// Microseconds as milliseconds.
pub(crate) fn millis(micros: u32) -> String {
    format!("{:.1}", f64::from(micros) / 1000.0)
}

/// Seconds, or a dash for none.
pub(crate) fn seconds(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{empty, failure};
    use super::*;

    #[test]
    fn every_arm_has_a_column_and_every_cause_a_row() {
        let failures = vec![failure(None)];
        let lossy = ArmReport {
            requests: 70,
            failed: super::super::tally::by_cause(&failures),
            failures,
            ..empty(Arm::Direct)
        };
        let run = Run {
            arms: vec![lossy, empty(Arm::Crash)],
            ..Run::default()
        };
        let table = print(&run);
        let line = |name: &str| {
            let line = table.lines().find(|line| line.trim().starts_with(name));
            let cells = line.unwrap().split_whitespace().rev().take(2);
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(line("requests"), ["0", "70"]);
        assert_eq!(line("refused"), ["0", "1"]);
        assert_eq!(line("failed, not"), ["0", "-"]);
        assert_eq!(line("gate, p50"), ["-", "-"]);
        assert!(table.contains("direct, no gate"));
    }
}
