//! An arm as a picture: several panels above each other on one time axis, as SVG. Pure.

use std::fmt::Write as _;

use super::page::escape;
use super::report::{ArmReport, Mark, Sample};

/// The picture's breadth, and where the plots begin and end in it.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 990.0;
/// Between two panels.
const GAP: f64 = 26.0;
/// The strip of steps on top.
const STRIP: f64 = 34.0;
/// The most ticks that the time axis has.
const TICKS: f64 = 12.0;

/// A picture that grows downwards.
struct Picture {
    text: String,
    /// How many seconds it shows.
    seconds: f64,
    /// Where the next panel begins.
    top: f64,
}

/// A panel's place and scale.
#[derive(Clone, Copy)]
struct Panel {
    top: f64,
    height: f64,
    most: f64,
}

/// A line or an area in a panel: its class and its points, as second and value.
type Series = (&'static str, Vec<(f64, f64)>);

/// The arm's picture.
pub(super) fn svg(report: &ArmReport) -> String {
    let mut picture = Picture {
        text: String::new(),
        seconds: lasted(report),
        top: STRIP + 6.0,
    };
    picture.requests(report);
    picture.failures(report);
    picture.pods(report);
    picture.targets(report);
    picture.gates(report);
    let bottom = picture.top - GAP + 8.0;
    let mut steps = String::new();
    picture.steps(report, bottom, &mut steps);
    picture.axis(bottom);
    let title = escape(&format!("Arm {}: {}", report.arm, report.title));
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{title}\">\n{steps}{}</svg>\n",
        bottom + 30.0,
        picture.text
    )
}

/// Up to the last second that anything is known of.
fn lasted(report: &ArmReport) -> f64 {
    let samples = report.samples.iter().map(|sample| seconds(sample.at));
    let load = std::iter::once(whole(report.seconds.len()));
    let marks = report.marks.iter().map(|mark| mark.to);
    samples.chain(load).chain(marks).fold(1.0, f64::max)
}

impl Picture {
    fn x(&self, at: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (at / self.seconds).clamp(0.0, 1.0)
    }

    fn requests(&mut self, report: &ArmReport) {
        let rate = per_second(report, |second| second.requests);
        let late = per_second(report, |second| second.late);
        let all = [("rate", rate), ("late", late)];
        self.lines(&["requests", "a second"], 70.0, &all);
    }

    fn failures(&mut self, report: &ArmReport) {
        let failed = per_second(report, |second| second.failed);
        let panel = self.panel(&["failures", "a second"], 60.0, most(&failed));
        for (at, count) in failed.into_iter().filter(|(_, count)| *count > 0.0) {
            let (x, y) = (self.x(at), panel.y(count));
            let broad = (self.x(at + 1.0) - x).max(1.5);
            let height = panel.top + panel.height - y;
            let _ = writeln!(
                self.text,
                "<rect class=\"failed\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{broad:.1}\" height=\"{height:.1}\"><title>{count:.0} at {at:.0} s</title></rect>"
            );
        }
    }

    fn pods(&mut self, report: &ArmReport) {
        let by = |count: fn(&Sample) -> u32| sampled(report, count);
        // From the bottom up: each holds those below it.
        let stack = [
            (
                "going",
                by(|s| s.pods.ready + s.pods.waiting + s.pods.starting + s.pods.going),
            ),
            (
                "starting",
                by(|s| s.pods.ready + s.pods.waiting + s.pods.starting),
            ),
            ("waiting", by(|s| s.pods.ready + s.pods.waiting)),
            ("ready", by(|s| s.pods.ready)),
        ];
        let highest = stack
            .iter()
            .map(|(_, points)| most(points))
            .fold(1.0, f64::max);
        let names = ["pods: ready,", "gate closed,", "starting, going"];
        let panel = self.panel(&names, 90.0, highest);
        for (class, points) in &stack {
            self.area(panel, class, points);
        }
    }

    fn targets(&mut self, report: &ArmReport) {
        let healthy = sampled(report, |sample| sample.healthy);
        let draining = sampled(report, |sample| sample.draining);
        let fewest = report.lowest();
        let all = [("draining", draining), ("healthy", healthy)];
        let panel = self.lines(&["targets: healthy,", "at weight 0"], 80.0, &all);
        if let Some((count, at)) = fewest {
            let (x, y) = (self.x(seconds(at)), panel.y(f64::from(count)));
            let (anchor, aside) = if x > 800.0 {
                ("end", -7.0)
            } else {
                ("start", 7.0)
            };
            let _ = writeln!(
                self.text,
                "<circle class=\"fewest\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/><text class=\"note\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">fewest: {count}</text>",
                x + aside,
                y - 6.0
            );
        }
    }

    fn gates(&mut self, report: &ArmReport) {
        if report.gates.is_empty() {
            return;
        }
        let points: Vec<_> = report
            .gates
            .iter()
            .map(|gate| (gate.at, gate.took))
            .collect();
        let panel = self.panel(
            &["gate, seconds from", "containers ready"],
            60.0,
            most(&points),
        );
        for (at, took) in points {
            let (x, y) = (self.x(at), panel.y(took));
            let _ = writeln!(
                self.text,
                "<circle class=\"gate\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>"
            );
        }
    }

    /// The story: a strip on top, and where each step begins a line through all panels.
    fn steps(&self, report: &ArmReport, bottom: f64, text: &mut String) {
        for (number, mark) in report.marks.iter().enumerate() {
            let (x, to) = (self.x(mark.from), self.x(mark.to));
            let (broad, middle) = ((to - x).max(1.0), f64::midpoint(x, to));
            let told = escape(&format!("{}: {:.1} s", mark.what, mark.to - mark.from));
            let class = class(mark);
            let _ = writeln!(
                text,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"4\" width=\"{broad:.1}\" height=\"20\"><title>{told}</title></rect>\
                 <line class=\"begins\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"4\" y2=\"{bottom:.1}\"/>"
            );
            if broad > 14.0 {
                let _ = writeln!(
                    text,
                    "<text class=\"number\" x=\"{middle:.1}\" y=\"18\" text-anchor=\"middle\">{}</text>",
                    number + 1
                );
            }
        }
        let _ = writeln!(
            text,
            "<text class=\"name\" x=\"4\" y=\"18\">story (steps below)</text>"
        );
    }

    fn axis(&mut self, bottom: f64) {
        let step = tick(self.seconds);
        let mut at = 0.0;
        while at <= self.seconds {
            let x = self.x(at);
            let _ = writeln!(
                self.text,
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\"/><text class=\"scale\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 5.0,
                bottom + 18.0,
                clock(at)
            );
            at += step;
        }
    }

    /// A panel below the others, with its names and its scale.
    fn panel(&mut self, names: &[&str], height: f64, most: f64) -> Panel {
        let panel = Panel {
            top: self.top,
            height,
            most: nice(most),
        };
        self.top += height + GAP;
        for (line, name) in (0_u8..).zip(names) {
            let y = panel.top + 12.0 + 14.0 * f64::from(line);
            let name = escape(name);
            let _ = writeln!(
                self.text,
                "<text class=\"name\" x=\"4\" y=\"{y:.1}\">{name}</text>"
            );
        }
        for value in [0.0, panel.most] {
            let y = panel.y(value);
            let _ = writeln!(
                self.text,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"scale\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                LEFT - 5.0,
                y + 4.0
            );
        }
        panel
    }

    fn lines(&mut self, names: &[&str], height: f64, all: &[Series]) -> Panel {
        let highest = all
            .iter()
            .map(|(_, points)| most(points))
            .fold(1.0, f64::max);
        let panel = self.panel(names, height, highest);
        for (class, points) in all.iter().filter(|(_, points)| !points.is_empty()) {
            let points = self.points(panel, points);
            let _ = writeln!(
                self.text,
                "<polyline class=\"{class}\" points=\"{points}\"/>"
            );
        }
        panel
    }

    fn area(&mut self, panel: Panel, class: &str, points: &[(f64, f64)]) {
        let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
            return;
        };
        let ground = panel.y(0.0);
        let (from, to) = (self.x(*first), self.x(*last));
        let line = self.points(panel, points);
        let _ = writeln!(
            self.text,
            "<polygon class=\"{class}\" points=\"{from:.1},{ground:.1} {line} {to:.1},{ground:.1}\"/>"
        );
    }

    fn points(&self, panel: Panel, points: &[(f64, f64)]) -> String {
        let place = |(at, value): &(f64, f64)| format!("{:.1},{:.1}", self.x(*at), panel.y(*value));
        points.iter().map(place).collect::<Vec<_>>().join(" ")
    }
}

/// Rollouts stand out, and calm does not.
fn class(mark: &Mark) -> &'static str {
    match mark.what.as_str() {
        _ if mark.rolls => "step rolls",
        "calm" => "step calm",
        _ => "step",
    }
}

impl Panel {
    fn y(self, value: f64) -> f64 {
        self.top + self.height * (1.0 - (value / self.most).clamp(0.0, 1.0))
    }
}

fn per_second(report: &ArmReport, count: fn(&super::tally::Second) -> u32) -> Vec<(f64, f64)> {
    let all = report.seconds.iter().enumerate();
    all.map(|(at, second)| (whole(at), f64::from(count(second))))
        .collect()
}

fn sampled(report: &ArmReport, count: impl Fn(&Sample) -> u32) -> Vec<(f64, f64)> {
    let all = report.samples.iter();
    all.map(|sample| (seconds(sample.at), f64::from(count(sample))))
        .collect()
}

fn most(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
}

/// The next 1, 2, 3 or 5 with zeros behind that is not smaller; 1 at least.
fn nice(most: f64) -> f64 {
    let mut unit = 1.0;
    loop {
        for one in [1.0, 2.0, 3.0, 5.0] {
            if one * unit >= most {
                return one * unit;
            }
        }
        if unit > 1e12 {
            return most;
        }
        unit *= 10.0;
    }
}

/// Seconds between ticks, so that there are few.
fn tick(seconds: f64) -> f64 {
    let steps = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
    let few = steps.into_iter().find(|step| seconds / step <= TICKS);
    few.unwrap_or(seconds / TICKS)
}

/// `90` as `1:30`.
fn clock(at: f64) -> String {
    let minutes = (at / 60.0).floor();
    format!("{minutes:.0}:{:02.0}", at - minutes * 60.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of a run, far below 2^52"
)]
fn seconds(at: u64) -> f64 {
    at as f64
}

fn whole(count: usize) -> f64 {
    seconds(count as u64)
}

#[cfg(test)]
mod tests {
    use super::super::arm::Arm;
    use super::super::report::Gate;
    use super::super::report::tests::empty;
    use super::super::tally::Second;
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (most, end) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (4.0, 5.0),
            (24.0, 30.0),
            (1501.0, 2000.0),
        ] {
            assert!((nice(most) - end).abs() < 1e-9, "{most}: {}", nice(most));
        }
    }

    #[test]
    fn the_time_axis_has_few_ticks_in_minutes_and_seconds() {
        for seconds in [1.0, 47.0, 300.0, 3600.0, 40_000.0] {
            assert!(seconds / tick(seconds) <= TICKS, "{seconds}");
        }
        assert_eq!(
            [clock(0.0), clock(90.0), clock(605.0)],
            ["0:00", "1:30", "10:05"]
        );
    }

    #[test]
    fn an_arm_of_which_nothing_is_known_has_a_picture_without_lines() {
        let svg = svg(&empty(Arm::Gate));
        assert!(
            svg.contains("viewBox") && !svg.contains("polyline"),
            "{svg}"
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn all_panels_share_the_time_axis() {
        let second = Second {
            requests: 10,
            failed: 2,
            late: 0,
        };
        let report = ArmReport {
            seconds: vec![second; 100],
            samples: vec![Sample {
                at: 50,
                healthy: 4,
                ..Sample::default()
            }],
            gates: vec![Gate {
                at: 50.0,
                took: 6.0,
            }],
            marks: vec![Mark {
                from: 50.0,
                to: 100.0,
                what: "<roll>".to_owned(),
                rolls: true,
            }],
            ..empty(Arm::Drain)
        };
        let svg = svg(&report);
        let middle = format!("{:.1}", f64::midpoint(LEFT, RIGHT));
        for shape in [
            "rect class=\"step rolls\" x",
            "circle class=\"fewest\" cx",
            "circle class=\"gate\" cx",
        ] {
            assert!(
                svg.contains(&format!("<{shape}=\"{middle}\"")),
                "{shape}: {svg}"
            );
        }
        assert_eq!(svg.matches("class=\"failed\"").count(), 100);
        assert!(svg.contains("&lt;roll&gt;: 50.0 s"));
    }
}
