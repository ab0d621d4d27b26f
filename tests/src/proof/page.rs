//! The page to look at: one file without anything from elsewhere, for light and dark screens, readable
//! without a script. Pure.

use std::fmt::Write as _;

use super::arm::Arm;
use super::blame::unexplained;
use super::chart::svg;
use super::report::{ArmReport, Run};
use super::table::{millis, seconds};

/// Failures shown one by one; all are in the JSON file.
const SHOWN: usize = 40;

const STYLE: &str = include_str!("page.css");

/// All of it.
pub fn html(run: &Run) -> String {
    let mut body = String::new();
    head(&mut body, run);
    summary(&mut body, run);
    for arm in &run.arms {
        section(&mut body, arm);
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>clb-gate: a rollout that nobody notices</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n{body}</body>\n</html>\n"
    )
}

/// A text where markup would be read.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // What XML does not know at all.
            control if control.is_control() && control != '\n' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

fn head(body: &mut String, run: &Run) {
    let _ = writeln!(
        body,
        "<h1>A rollout that nobody notices</h1>\n<p>The same load ({} requests a second and more, on kept and fresh \
         connections from 32 addresses, downloads of some seconds, WebSockets) and the same story ({} pods rolled, scaled, \
         drained from their nodes) for each way from a load balancer to the pods. What clients noticed:</p>",
        run.rate, run.replicas
    );
    if run.missed.is_empty() {
        let _ = writeln!(
            body,
            "<p class=\"verdict kept\">Every promise was kept.</p>"
        );
        return;
    }
    let _ = writeln!(body, "<p class=\"verdict missed\">Missed:</p>");
    for missed in &run.missed {
        let _ = writeln!(body, "<pre>{}</pre>", escape(missed));
    }
}

fn summary(body: &mut String, run: &Run) {
    let _ = writeln!(
        body,
        "<table>\n<tr><th>arm</th><th>what it is</th><th>requests</th><th>failed</th><th>promised</th><th>p50, ms</th>\
         <th>p99, ms</th><th>longest rollout, s</th><th>gate p99, s</th><th>fewest healthy targets</th></tr>"
    );
    for arm in &run.arms {
        let longest = arm.rollouts().into_iter().max_by(f64::total_cmp);
        let fewest = arm
            .lowest()
            .map_or_else(|| "-".to_owned(), |(count, _)| count.to_string());
        let cells = [
            grouped(arm.requests),
            grouped(arm.failures()),
            promise(arm.arm).to_owned(),
            millis(arm.p50_us),
            millis(arm.p99_us),
            seconds(longest),
            seconds(arm.gate(99)),
            fewest,
        ];
        let class = if arm.failures() > 0 {
            " class=\"lossy\""
        } else {
            ""
        };
        let _ = write!(
            body,
            "<tr{class}><td><a href=\"#arm-{0}\">{0}</a></td><td>{1}</td>",
            arm.arm,
            escape(arm.title)
        );
        for cell in cells {
            let _ = write!(body, "<td class=\"figure\">{}</td>", escape(&cell));
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</table>\n");
}

fn promise(arm: Arm) -> &'static str {
    match arm {
        Arm::NodePort | Arm::Local | Arm::Direct | Arm::Gate => "nothing",
        Arm::Drain => "none fails",
        Arm::Crash => "each is explained",
    }
}

fn section(body: &mut String, arm: &ArmReport) {
    let _ = writeln!(
        body,
        "<h2 id=\"arm-{0}\">{0}: {1}</h2>\n<p class=\"count\"><b>{2}</b> of {3} requests failed{4}. {5} were late (the client \
         was busy), {6} WebSockets were told to go on elsewhere (1001).</p>",
        arm.arm,
        escape(arm.title),
        grouped(arm.failures()),
        grouped(arm.requests),
        explained(arm),
        grouped(arm.late),
        grouped(arm.handed_over)
    );
    if let Some(why) = &arm.broken {
        let _ = writeln!(
            body,
            "<p class=\"verdict missed\">The story ended early: {}</p>",
            escape(why)
        );
    }
    let _ = writeln!(
        body,
        "<p class=\"legend\"><i class=\"ready\"></i> ready <i class=\"waiting\"></i> gate closed <i class=\"starting\"></i> \
         starting <i class=\"going\"></i> going <i class=\"failed\"></i> failures <i class=\"rolls\"></i> rollout</p>"
    );
    body.push_str(&svg(arm));
    causes(body, arm);
    story(body, arm);
    wounds(body, arm);
    failures(body, arm);
}

fn explained(arm: &ArmReport) -> String {
    if arm.arm != Arm::Crash {
        return String::new();
    }
    let left = unexplained(&arm.failures).count();
    format!(", {left} of them without a crash that explains it")
}

fn causes(body: &mut String, arm: &ArmReport) {
    if arm.failed.is_empty() {
        return;
    }
    body.push_str("<table>\n<tr><th>cause</th><th>requests</th></tr>\n");
    for (cause, count) in &arm.failed {
        let _ = writeln!(
            body,
            "<tr><td>{}</td><td class=\"figure\">{}</td></tr>",
            escape(cause),
            grouped(*count)
        );
    }
    body.push_str("</table>\n");
}

fn story(body: &mut String, arm: &ArmReport) {
    if arm.marks.is_empty() {
        return;
    }
    body.push_str("<details>\n<summary>The story</summary>\n<table>\n<tr><th>step</th><th>what</th><th>began, s</th><th>took, s</th><th>failed meanwhile</th></tr>\n");
    for (number, mark) in arm.marks.iter().enumerate() {
        let within = |due: f64| mark.from <= due && due < mark.to;
        let all = arm.failures.iter();
        let failed = all
            .filter(|failure| within(failure.due.as_secs_f64()))
            .count();
        let _ = writeln!(
            body,
            "<tr><td class=\"figure\">{}</td><td>{}</td><td class=\"figure\">{:.0}</td><td class=\"figure\">{:.1}</td><td class=\"figure\">{failed}</td></tr>",
            number + 1,
            escape(&mark.what),
            mark.from,
            mark.to - mark.from
        );
    }
    body.push_str("</table>\n</details>\n");
}

fn wounds(body: &mut String, arm: &ArmReport) {
    if arm.wounds.is_empty() {
        return;
    }
    body.push_str("<details>\n<summary>What was killed</summary>\n<table>\n<tr><th>what</th><th>pod</th><th>when, s</th><th>may cost until, s</th><th>failures</th></tr>\n");
    for wound in &arm.wounds {
        let of = |failure: &&super::tally::Failure| {
            failure.target == Some(wound.target) && failure.because.is_some()
        };
        let _ = writeln!(
            body,
            "<tr><td>{}</td><td>{}</td><td class=\"figure\">{:.1}</td><td class=\"figure\">{:.1}</td><td class=\"figure\">{}</td></tr>",
            escape(&wound.what),
            escape(&wound.pod),
            wound.from.as_secs_f64(),
            wound.until.as_secs_f64(),
            arm.failures.iter().filter(of).count()
        );
    }
    body.push_str("</table>\n</details>\n");
}

fn failures(body: &mut String, arm: &ArmReport) {
    if arm.failures.is_empty() {
        return;
    }
    let all = arm.failures.len();
    let _ = writeln!(
        body,
        "<details>\n<summary>Failures one by one ({} of {all}; all are in proof.json)</summary>\n<pre>",
        all.min(SHOWN)
    );
    for failure in arm.failures.iter().take(SHOWN) {
        let _ = writeln!(body, "{}", escape(&arm.tell(failure)));
    }
    body.push_str("</pre>\n</details>\n");
}

/// `1,000,000`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::Mark;
    use super::super::report::tests::{empty, failure};
    use super::*;

    /// Whether every element is closed in its turn and every text is markup's or escaped: XML, but for the
    /// doctype.
    fn well_formed(page: &str) -> Result<(), String> {
        let page = page.strip_prefix("<!DOCTYPE html>").ok_or("no doctype")?;
        let mut open = vec![];
        let mut rest = page;
        while let Some(at) = rest.find('<') {
            let (text, tag) = rest.split_at(at);
            let stray = text.split('&').skip(1).find(|after| {
                let name = after.split(';').next().unwrap_or_default();
                !["amp", "lt", "gt", "quot", "#39"].contains(&name)
            });
            if text.contains('>') && open.last() != Some(&"style") || stray.is_some() {
                return Err(format!("not escaped: {text:?}"));
            }
            let end = tag.find('>').ok_or("a tag without end")?;
            let inside = &tag[1..end];
            let name = inside.trim_start_matches('/').split([' ', '/']).next();
            let name = name.unwrap_or_default();
            if inside.matches('"').count() % 2 != 0 {
                return Err(format!("quotes: {inside}"));
            }
            if inside.starts_with('/') {
                let last = open.pop();
                if last != Some(name) {
                    return Err(format!("</{name}> ends {last:?}"));
                }
            } else if !inside.ends_with('/') {
                open.push(name);
            }
            rest = &tag[end + 1..];
        }
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!("open: {open:?}"))
        }
    }

    fn full() -> Run {
        let mut arms: Vec<_> = Arm::ALL.map(empty).into();
        arms[4] = ArmReport {
            requests: 1_000_123,
            failures: vec![failure(Some("<kill & \"go\">"))],
            marks: vec![Mark {
                from: 0.0,
                to: 3.0,
                what: "a <script> & more".to_owned(),
                rolls: true,
            }],
            broken: Some("it's > 3".to_owned()),
            ..empty(Arm::Drain)
        };
        let missed = super::super::report::missed(&arms, 10);
        Run {
            arms,
            missed,
            ..Run::default()
        }
    }

    #[test]
    fn the_page_is_well_formed_with_and_without_anything_in_it() {
        assert_eq!(well_formed(&html(&full())), Ok(()));
        assert_eq!(well_formed(&html(&Run::default())), Ok(()));
        for broken in ["<p>", "<p></b>", "a & b", "<p class=\"x></p>"] {
            assert!(
                well_formed(&format!("<!DOCTYPE html>{broken}<i></i>")).is_err(),
                "{broken}"
            );
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_no_script_is_needed() {
        let page = html(&full());
        for strange in ["http:", "https:", "<script", "src=", "@import", "url("] {
            assert!(!page.contains(strange), "{strange}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn a_text_cannot_become_markup() {
        let page = html(&full());
        assert!(page.contains("a &lt;script&gt; &amp; more") && page.contains("it&#39;s &gt; 3"));
        assert_eq!(escape("a\u{1}b\nc"), "a b\nc");
    }

    #[test]
    fn every_arm_has_its_section_and_figures_are_grouped() {
        let page = html(&full());
        for arm in Arm::ALL {
            assert!(page.contains(&format!("id=\"arm-{arm}\"")));
        }
        assert!(page.contains("1,000,123"));
        let groups = [0, 12, 123, 1234, 123_456].map(grouped);
        assert_eq!(groups, ["0", "12", "123", "1,234", "123,456"]);
    }
}
