//! What is said of a pod, Service or Ingress. Its JSON is stable: fields are only added.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::finding::{Finding, Weight};

/// What is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of what, as `Pod shop/web-1`.
    pub object: String,
    /// In one word.
    pub verdict: Verdict,
    /// When this was read.
    pub at: Timestamp,
    /// The gate of a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateLine>,
    /// What a pod should have on load balancers, or an object for each of its pods.
    pub bindings: Vec<BindingLine>,
    /// What was found, the worst first.
    pub findings: Vec<Told>,
    /// What to know about this look.
    pub notes: Vec<String>,
    /// The latest of clb-gate's Events on it, oldest first.
    pub events: Vec<String>,
}

/// How it stands, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    #[default]
    Fine,
    /// It passes by itself.
    Waits,
    /// Somebody must mend something.
    Mend,
}

/// The gate's condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateLine {
    /// Whether the pod has the gate in its spec.
    pub gated: bool,
    /// The condition's status; none where it was not written yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when it has that status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A binding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingLine {
    /// Who asks for it, as `Service shop/web`.
    #[serde(rename = "for")]
    pub for_object: String,
    /// The load balancer; none where it is being made.
    pub load_balancer: Option<String>,
    /// Protocol and port, as `TCP:80`.
    pub listener: String,
    /// The listener's id, where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_id: Option<String>,
    /// Host and path, at layer 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Address and port of the pod, once it has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether it is registered; none where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<bool>,
    /// Since when, in the API's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_since: Option<String>,
    /// What the health check says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// A finding in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its name, which does not change.
    pub code: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// Which binding it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What it is, and why.
    pub says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Told {
    /// In words.
    pub fn of(finding: &Finding) -> Self {
        Self {
            code: finding.code(),
            weight: finding.weight(),
            place: finding.at().map(|at| at.place.clone()),
            says: finding.says(),
            cure: finding.cure(),
        }
    }
}

impl Verdict {
    /// The exit code for scripts.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Waits => 2,
            Self::Mend => 3,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Waits => "waits",
            Self::Mend => "to mend",
        }
    }

    fn of(worst: Weight) -> Self {
        match worst {
            Weight::Fine => Self::Fine,
            Weight::Waits => Self::Waits,
            Weight::Mend => Self::Mend,
        }
    }
}

impl Report {
    /// With its findings, the worst first.
    #[must_use]
    pub(super) fn finding(mut self, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight()));
        let worst = findings.first().map(Finding::weight);
        self.verdict = Verdict::of(worst.unwrap_or_default());
        self.findings = findings.iter().map(Told::of).collect();
        self
    }

    /// As JSON, for programs.
    pub fn json(&self) -> String {
        // Maps with keys that are no strings would fail; there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.findings.first().map(|told| told.says.as_str());
        let verdict = self.verdict.word();
        writeln!(
            f,
            "{} {verdict}: {}",
            self.object,
            first.unwrap_or_default()
        )?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        if let Some(gate) = &self.gate {
            writeln!(f, "\ngate      {gate}")?;
        }
        if !self.bindings.is_empty() {
            writeln!(f)?;
        }
        for (number, binding) in self.bindings.iter().enumerate() {
            let heading = if number == 0 { "bindings" } else { "" };
            writeln!(f, "{heading:<8}  {binding}")?;
        }
        if !self.findings.is_empty() {
            writeln!(f)?;
        }
        for told in &self.findings {
            write!(f, "{told}")?;
        }
        if !self.events.is_empty() {
            writeln!(f, "\nEvents")?;
        }
        for event in &self.events {
            writeln!(f, "  {event}")?;
        }
        Ok(())
    }
}

impl fmt::Display for GateLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.gated {
            return f.write_str("none");
        }
        let Some(status) = &self.status else {
            return f.write_str("no condition written yet");
        };
        f.write_str(status)?;
        if let Some(since) = self.since {
            write!(f, " since {since}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BindingLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load_balancer = self.load_balancer.as_deref();
        write!(
            f,
            "{} {}",
            load_balancer.unwrap_or("a CLB to be made"),
            self.listener
        )?;
        if let Some(id) = &self.listener_id {
            write!(f, " ({id})")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, " {rule}")?;
        }
        if let Some(target) = &self.target {
            write!(f, " -> {target}")?;
        }
        write!(f, "  for {}  ", self.for_object)?;
        f.write_str(match self.bound {
            Some(true) => "bound",
            Some(false) => "not bound",
            None => "not known",
        })?;
        if let Some(since) = &self.bound_since {
            write!(f, " since {since}")?;
        }
        if let Some(health) = &self.health {
            write!(f, ", health check says {health}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.weight {
            Weight::Fine => '.',
            Weight::Waits => '~',
            Weight::Mend => '!',
        };
        write!(f, "  {sign} ")?;
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        writeln!(f, "{}", self.says)?;
        if let Some(cure) = &self.cure {
            writeln!(f, "    do: {cure}")?;
        }
        Ok(())
    }
}
