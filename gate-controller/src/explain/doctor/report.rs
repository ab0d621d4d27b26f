//! A check-up as it is printed. Its JSON is stable: fields are only added.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::finding::{Finding, Health};

/// A whole check-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The worst that was found.
    pub health: Health,
    /// When.
    pub at: Timestamp,
    /// Every check, in the order in which they should be mended.
    pub checks: Vec<Line>,
    /// What to know about this look.
    pub notes: Vec<String>,
}

/// One check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What was checked.
    pub check: &'static str,
    /// How it ended.
    pub health: Health,
    /// The finding's name, which does not change.
    pub code: &'static str,
    /// What it is, and why.
    pub says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Line {
    /// In words.
    pub fn of(check: &'static str, finding: &Finding) -> Self {
        Self {
            check,
            health: finding.health(),
            code: finding.code(),
            says: finding.says(),
            cure: finding.cure(),
        }
    }
}

impl Report {
    /// 1 where somebody must do something.
    pub const fn exit_code(&self) -> u8 {
        match self.health {
            Health::Ok | Health::Unknown => 0,
            Health::Problem => 1,
        }
    }

    /// As JSON, for programs.
    pub fn json(&self) -> String {
        // Maps with keys that are no strings would fail; there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn count(&self, health: Health) -> usize {
        self.checks
            .iter()
            .filter(|one| one.health == health)
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.checks.iter().map(|one| one.check.len()).max();
        let widest = widest.unwrap_or_default();
        for one in &self.checks {
            let health = match one.health {
                Health::Ok => "ok",
                Health::Unknown => "?",
                Health::Problem => "PROBLEM",
            };
            writeln!(f, "{:<widest$}  {health:<7}  {}", one.check, one.says)?;
            if let Some(cure) = &one.cure {
                writeln!(f, "{:<widest$}           do: {cure}", "")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let problems = match self.count(Health::Problem) {
            0 => "no problem".to_owned(),
            1 => "1 problem".to_owned(),
            more => format!("{more} problems"),
        };
        let unknown = match self.count(Health::Unknown) {
            0 => String::new(),
            some => format!(", {some} not known"),
        };
        writeln!(f, "\n{problems}{unknown}")
    }
}
