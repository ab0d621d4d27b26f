//! A preview for people: by load balancer, every change with its reason, and one line in the end.

use std::fmt::{self, Write as _};

use super::model::{Action, Change, Held, LoadBalancer, Preview, Summary, Verdict};

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            region,
            endpoint,
            manage,
            ..
        } = self;
        writeln!(
            f,
            "cluster {cluster}, region {region} at {endpoint}, manage: {manage}"
        )?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for load_balancer in &self.load_balancers {
            write!(f, "\n{load_balancer}")?;
        }
        if !self.problems.is_empty() {
            writeln!(f, "\nTo mend")?;
            for told in &self.problems {
                writeln!(f, "  ! {}", told.problem)?;
            }
        }
        if !self.not_ours.is_empty() {
            writeln!(f, "\nServices left alone")?;
            for one in &self.not_ours {
                writeln!(f, "  . {}: {}", one.service, one.why)?;
            }
        }
        writeln!(f, "\n{}", self.summary)
    }
}

impl fmt::Display for LoadBalancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title())?;
        if let Some(why) = &self.unknown {
            writeln!(f, "  ? not known: {why}")?;
        }
        if let Some(why) = &self.problem {
            writeln!(f, "  ! {why}")?;
        }
        if self.confirmed_first {
            writeln!(
                f,
                "  ! safety brake: this takes away more than pods that were seen going; the controller would read the \
                 cluster once more before it does"
            )?;
        }
        for change in &self.changes {
            writeln!(f, "  {change}")?;
        }
        for held in &self.held {
            writeln!(f, "  ! held{held}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "  ! soon{warning}")?;
        }
        for kept in &self.kept {
            let target = kept
                .target
                .as_ref()
                .map(|target| format!("target {target} on "));
            let target = target.unwrap_or_else(|| "listener ".to_owned());
            writeln!(f, "  = {target}{} stays: {}", kept.slot, kept.reason)?;
        }
        self.rest(f)
    }
}

impl LoadBalancer {
    fn title(&self) -> String {
        let service = object(self.made_for.as_deref().unwrap_or_default());
        let Some(id) = &self.id else {
            return format!("a CLB for {service}, which is not there yet");
        };
        let mut title = id.clone();
        for part in [&self.name, &self.address].into_iter().flatten() {
            let _ = write!(title, " {part}");
        }
        if self.made_for.is_some() {
            let _ = write!(title, ", made for {service}");
        } else if !self.services.is_empty() {
            let _ = write!(title, ", for {}", self.services.join(", "));
        }
        title
    }

    fn rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.unknown.is_some() || self.problem.is_some();
        if self.changes.is_empty() && self.held.is_empty() && !told {
            writeln!(
                f,
                "  = nothing to do; {} of clb-gate's are there",
                things(self.ours)
            )?;
        }
        if self.foreign.targets + self.foreign.listeners > 0 {
            writeln!(f, "  = {} of others are left alone", things(self.foreign))?;
        }
        Ok(())
    }
}

fn things(count: super::Count) -> String {
    let listeners = plural(count.listeners, "listener");
    format!("{listeners} and {}", plural(count.targets, "target"))
}

fn plural(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{s}")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action.sign(), self.action.thing())?;
        for part in [&self.target, &self.rule].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        let whole = self.target.is_none() && self.rule.is_none();
        if let Some(slot) = &self.slot {
            write!(f, "{}{slot}", if whole { " " } else { " on " })?;
        }
        let named = match self.action {
            Action::UpdateService => self.service.as_deref(),
            Action::UpdateIngress => self.service.as_deref().map(bare),
            Action::DeleteListener | Action::ModifyListener => self.listener.as_deref(),
            Action::CreateLoadBalancer
            | Action::CreateListener
            | Action::CreateRule
            | Action::ModifyLoadBalancer
            | Action::ModifyRule
            | Action::Register
            | Action::Weigh
            | Action::Drain
            | Action::Deregister
            | Action::DeleteRule
            | Action::DeleteLoadBalancer => None,
        };
        if let Some(name) = named {
            write!(f, " {name}")?;
        }
        match (self.action, self.weight_before, self.weight) {
            (Action::Weigh | Action::Drain, Some(before), Some(weight)) => {
                write!(f, ", weight {before} -> {weight}")?;
            }
            (_, _, Some(weight)) => write!(f, ", weight {weight}")?,
            (_, _, None) => {}
        }
        if let Some(parameters) = &self.parameters {
            let json = serde_json::to_string(parameters).map_err(|_| fmt::Error)?;
            let json = if json == "{}" {
                "the CLB's defaults"
            } else {
                &json
            };
            write!(f, " with {json}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// With its kind, which an Ingress has already.
fn object(name: &str) -> String {
    if name.starts_with("Ingress ") {
        return name.to_owned();
    }
    format!("Service {name}")
}

/// Without its kind, which is told already.
fn bare(ingress: &str) -> &str {
    ingress.strip_prefix("Ingress ").unwrap_or(ingress)
}

impl Action {
    /// What a reader sees first: something comes, changes or goes.
    const fn sign(self) -> char {
        match self {
            Self::CreateLoadBalancer | Self::CreateListener | Self::CreateRule | Self::Register => {
                '+'
            }
            Self::UpdateService
            | Self::UpdateIngress
            | Self::ModifyLoadBalancer
            | Self::ModifyListener
            | Self::ModifyRule
            | Self::Weigh
            | Self::Drain => '~',
            Self::Deregister
            | Self::DeleteRule
            | Self::DeleteListener
            | Self::DeleteLoadBalancer => '-',
        }
    }

    const fn thing(self) -> &'static str {
        match self {
            Self::CreateLoadBalancer | Self::ModifyLoadBalancer | Self::DeleteLoadBalancer => "CLB",
            Self::UpdateService => "Service",
            Self::UpdateIngress => "Ingress",
            Self::CreateListener | Self::ModifyListener | Self::DeleteListener => "listener",
            Self::CreateRule | Self::ModifyRule | Self::DeleteRule => "rule",
            Self::Register | Self::Weigh | Self::Drain | Self::Deregister => "target",
        }
    }

    /// As in "12 targets to register".
    const fn verb(self) -> &'static str {
        match self {
            Self::CreateLoadBalancer | Self::CreateListener | Self::CreateRule => "create",
            Self::UpdateService | Self::UpdateIngress => "update",
            Self::ModifyLoadBalancer | Self::ModifyListener | Self::ModifyRule => "change",
            Self::Register => "register",
            Self::Weigh => "weigh",
            Self::Drain => "drain",
            Self::Deregister => "deregister",
            Self::DeleteRule | Self::DeleteListener | Self::DeleteLoadBalancer => "delete",
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(slot) = &self.slot {
            write!(f, " {slot}")?;
        }
        if let Some(service) = &self.service {
            write!(f, " of {}", object(service))?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = self.changes.iter().map(|(action, count)| {
            let things = match (action, count) {
                (
                    Action::CreateLoadBalancer
                    | Action::ModifyLoadBalancer
                    | Action::DeleteLoadBalancer,
                    2..,
                ) => {
                    format!("{count} CLBs")
                }
                _ => plural(*count, action.thing()),
            };
            format!("{things} to {}", action.verb())
        });
        let rest = [
            (self.held, "held"),
            (self.problems, "to mend"),
            (self.warnings, "to watch"),
            (self.unknown, "not known"),
        ];
        let rest = rest.into_iter().filter(|(count, _)| *count > 0);
        let mut parts: Vec<_> = changes.collect();
        parts.extend(rest.map(|(count, what)| format!("{count} {what}")));
        if self.verdict == Verdict::Nothing && parts.is_empty() {
            parts.push("nothing to do".to_owned());
        }
        write!(
            f,
            "{}: {}",
            plural(self.load_balancers, "load balancer"),
            parts.join(", ")
        )
    }
}
