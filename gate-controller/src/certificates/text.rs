//! A report for a terminal: the verdict, the tables, and what to do.

use std::fmt;

use certs::plan::Standing;
use jiff::Timestamp;

use super::model::{
    CaLine, EntryLine, LeaderLine, LeafLine, NextLine, ReplicaLine, Report, Verdict,
};
use super::spell::{day, left, second, short, span};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.verdict.word(), self.headline)?;
        // The first reason is the headline.
        for reason in self.reasons.iter().skip(1) {
            writeln!(f, "  ! {reason}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(f)?;
        write!(f, "{}", Table(self.rows()))?;
        if !self.advice.is_empty() {
            writeln!(f, "\nWhat to do")?;
        }
        for advice in &self.advice {
            writeln!(f, "  - {advice}")?;
        }
        Ok(())
    }
}

impl Report {
    fn rows(&self) -> Vec<Row> {
        let mut rows = vec![];
        let at = self.at;
        titled(&mut rows, "CA", self.cas.iter().map(|ca| ca_row(ca, at)));
        titled(
            &mut rows,
            "leaf",
            self.leaf.iter().flat_map(|leaf| leaf_rows(leaf, at)),
        );
        titled(&mut rows, "replicas", self.replicas.iter().map(replica_row));
        let entries = self.registration.iter().flat_map(|one| &one.entries);
        let none = self.registration.is_none();
        let none = none.then(|| Row::Text("none".to_owned()));
        titled(
            &mut rows,
            "registration",
            entries.map(entry_row).chain(none),
        );
        titled(
            &mut rows,
            "asked for",
            self.pending
                .iter()
                .map(|one| row([&format!("a new {}", noun(one.what)), &one.id])),
        );
        titled(&mut rows, "next", [next_row(&self.next, at, self.verdict)]);
        titled(&mut rows, "leader", [leader_row(&self.leader, at)]);
        rows
    }
}

fn noun(what: &str) -> &str {
    if what == "ca" { "CA" } else { what }
}

fn ca_row(ca: &CaLine, now: Timestamp) -> Row {
    let mut uses: Vec<String> = vec![];
    if ca.signs {
        uses.push("signs".to_owned());
    }
    uses.push(match (ca.in_secret, ca.in_bundle) {
        (true, true) => "in Secret and bundle".to_owned(),
        (true, false) => "in the Secret, not in the bundle".to_owned(),
        (false, _) => "in the bundle, not in the Secret".to_owned(),
    });
    uses.extend(ca.due.map(|due| due_text(due, now)));
    row([
        &generation(ca),
        &short(&ca.fingerprint),
        &dates(ca.not_before, ca.not_after),
        &left(ca.not_after, now),
        &uses.join(", "),
    ])
}

fn generation(ca: &CaLine) -> String {
    match ca.generation {
        Some(number) => format!("generation {number}"),
        None => format!("foreign: {}", ca.subject),
    }
}

fn leaf_rows(leaf: &LeafLine, now: Timestamp) -> Vec<Row> {
    let issuer = match leaf.issuer_generation {
        Some(number) => format!("of generation {number}"),
        None => format!("of {}", leaf.issuer),
    };
    vec![
        row([
            &issuer,
            &short(&leaf.fingerprint),
            &dates(leaf.not_before, leaf.not_after),
            &left(leaf.not_after, now),
            &due_text(leaf.due, now),
        ]),
        Row::Text(format!("for {}", leaf.names.join(", "))),
    ]
}

fn replica_row(one: &ReplicaLine) -> Row {
    let state = match (one.ready, one.going) {
        (_, true) => "going",
        (true, false) => "Ready",
        (false, false) => "not Ready",
    };
    let fingerprint = one.fingerprint.as_deref().map(short);
    let why = one.why.as_deref().unwrap_or_default();
    let serves = match one.serves {
        Standing::Current => "serves the current leaf".to_owned(),
        Standing::Older => "serves another leaf, trusted".to_owned(),
        Standing::Untrusted => format!("NOT TRUSTED: {why}"),
        Standing::Unseen if one.ready => format!("not seen: {why}"),
        Standing::Unseen => format!("does not serve: {why}"),
    };
    let fingerprint = fingerprint.unwrap_or_else(|| "-".to_owned());
    row([&one.pod, &fingerprint, state, &serves])
}

fn entry_row(entry: &EntryLine) -> Row {
    let bundle = if entry.agrees {
        "bundle as it should be".to_owned()
    } else if entry.bundle.is_empty() {
        "BUNDLE EMPTY".to_owned()
    } else {
        format!("bundle to be changed: {}", entry.bundle.join("; "))
    };
    row([&entry.name, &entry.failure_policy, &bundle])
}

fn next_row(next: &NextLine, now: Timestamp, verdict: Verdict) -> Row {
    match next.at {
        Some(at) => row([&next.what, &second(at), &in_time(at, now)]),
        None if verdict == Verdict::Broken => Row::Text(next.what.clone()),
        None => Row::Text(format!("{}, now", next.what)),
    }
}

fn leader_row(leader: &LeaderLine, now: Timestamp) -> Row {
    let renewed = leader.renewed.map(|at| {
        let ago = at.duration_until(now);
        let ago = if ago.as_secs() < 2 {
            "just now".to_owned()
        } else {
            format!("{} ago", span(ago))
        };
        format!("renewed its lease {ago}, by its clock")
    });
    match &leader.holder {
        Some(holder) => row([holder, &renewed.unwrap_or_default()]),
        None => Row::Text("nobody".to_owned()),
    }
}

fn dates(from: Timestamp, until: Timestamp) -> String {
    format!("{} to {}", day(from), day(until))
}

fn due_text(due: Timestamp, now: Timestamp) -> String {
    if due <= now {
        "due now".to_owned()
    } else {
        format!("due {}", day(due))
    }
}

fn in_time(at: Timestamp, now: Timestamp) -> String {
    format!("in {}", span(now.duration_until(at)))
}

/// A line of the table.
enum Row {
    /// In columns, aligned with the other lines of its title.
    Cells(Vec<String>),
    /// In one piece.
    Text(String),
    /// What the next lines are about.
    Title(&'static str),
}

fn row<const N: usize>(cells: [&str; N]) -> Row {
    Row::Cells(cells.map(str::to_owned).into())
}

fn titled(rows: &mut Vec<Row>, title: &'static str, lines: impl IntoIterator<Item = Row>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        rows.push(Row::Title(title));
        rows.extend(lines);
    }
}

struct Table(Vec<Row>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = self.0.iter().filter_map(|row| match row {
            Row::Title(title) => Some(title.len()),
            Row::Cells(_) | Row::Text(_) => None,
        });
        let margin = titles.max().unwrap_or(0);
        let parts = self.0.chunk_by(|_, next| !matches!(next, Row::Title(_)));
        for part in parts {
            section(f, part, margin)?;
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, rows: &[Row], margin: usize) -> fmt::Result {
    let widths = widths(rows);
    let mut heading = "";
    for row in rows {
        let line = match row {
            Row::Title(title) => {
                heading = title;
                continue;
            }
            Row::Text(text) => text.clone(),
            Row::Cells(cells) => {
                let padded = cells.iter().zip(&widths);
                let padded: Vec<_> = padded
                    .map(|(cell, width)| format!("{cell:<width$}"))
                    .collect();
                padded.join("  ")
            }
        };
        writeln!(f, "{heading:<margin$}  {}", line.trim_end())?;
        heading = "";
    }
    Ok(())
}

fn widths(rows: &[Row]) -> Vec<usize> {
    let mut widths: Vec<usize> = vec![];
    for row in rows {
        let Row::Cells(cells) = row else { continue };
        widths.resize(widths.len().max(cells.len()), 0);
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}
