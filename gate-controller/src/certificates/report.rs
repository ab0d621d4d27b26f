//! What there is, judged: every line of a report and its verdict. Pure: the time is a parameter, and what
//! comes next is asked of the controller's own plan.

use certs::plan::{Presents, Standing, Step, ca_due, leaf_due};
use certs::{Bundle, CertFacts, Certificate, ServiceNames, verify};
use jiff::Timestamp;

use super::facts::{Chain, chain};
use super::gather::Gathered;
use super::model::{
    CaLine, EntryLine, LeaderLine, LeafLine, NextLine, PendingLine, RegistrationLine, ReplicaLine,
    Report,
};
use super::replicas::Sighted;
use super::request::{What, pending};
use super::verdict::judge;
use crate::heal::decide::{Decision, decide};
use crate::heal::registration::Heal;

/// Judges what was gathered.
pub fn report(gathered: &Gathered, now: Timestamp) -> Report {
    let view = View::new(gathered, now);
    let judgement = judge(&view);
    Report {
        verdict: judgement.verdict,
        headline: judgement.headline,
        reasons: judgement.reasons,
        advice: judgement.advice,
        notes: judgement.notes,
        namespace: gathered.wanted.namespace.clone(),
        at: now,
        cas: cas(&view),
        leaf: view.chain.leaf.as_ref().map(|leaf| leaf_line(leaf, &view)),
        replicas: view.replicas.clone(),
        registration: registration(&view),
        next: view.next(),
        pending: pending_lines(gathered),
        leader: leader(gathered, now),
    }
}

/// What was gathered, looked at from every side that the report shows.
pub(super) struct View<'a> {
    pub(super) gathered: &'a Gathered,
    pub(super) chain: Chain,
    pub(super) decision: Decision,
    pub(super) replicas: Vec<ReplicaLine>,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    pub(super) fn new(gathered: &'a Gathered, now: Timestamp) -> Self {
        let wanted = &gathered.wanted;
        let chain = chain(&gathered.seen);
        let names = ServiceNames::new(&wanted.service_name, &wanted.namespace);
        let lines = gathered.replicas.iter().flatten();
        let lines = lines.map(|one| replica_line(one, &chain, &names, now));
        Self {
            decision: decide(&gathered.seen, wanted, now),
            replicas: lines.collect(),
            gathered,
            chain,
            now,
        }
    }

    pub(super) fn step(&self) -> Option<&Step> {
        self.decision.certificates.as_ref()
    }

    /// Fields of the registration that are to be repaired.
    pub(super) fn differences(&self) -> &[String] {
        match &self.decision.registration {
            Heal::Replace { differences, .. } => differences,
            Heal::Keep | Heal::Create(_) | Heal::Delete { .. } | Heal::Hold(_) => &[],
        }
    }

    fn next(&self) -> NextLine {
        let Some(step) = self.step() else {
            return NextLine {
                step: "none",
                what: "nothing: the Namespace is being deleted".to_owned(),
                at: None,
            };
        };
        let (what, at) = if let Step::Keep { until, .. } = step {
            (self.renewal(*until), Some(*until))
        } else {
            (step.to_string(), None)
        };
        NextLine {
            step: step.name(),
            what,
            at,
        }
    }

    /// What falls due then.
    fn renewal(&self, until: Timestamp) -> String {
        let leaf = self.chain.leaf.as_ref();
        let is_leaf = leaf.is_some_and(|leaf| leaf_due(leaf.facts()) == until);
        let ca = self.chain.newest();
        let is_ca = ca.is_some_and(|ca| ca_due(ca.facts()) == until);
        let what = match (is_leaf, is_ca) {
            (true, _) => "renew the leaf",
            (_, true) => "renew the CA",
            (false, false) => "look again",
        };
        what.to_owned()
    }
}

fn replica_line(
    sighted: &Sighted,
    chain: &Chain,
    names: &ServiceNames,
    now: Timestamp,
) -> ReplicaLine {
    let nobody = Bundle::default();
    let published = chain.published().unwrap_or(&nobody);
    let replica = &sighted.replica;
    let (facts, why) = match &replica.presents {
        Presents::Leaf(leaf) => (
            Some(leaf.facts()),
            match chain.published() {
                None => Some("there is no bundle to trust it by".to_owned()),
                Some(bundle) => verify::trust(bundle, leaf, names, now)
                    .err()
                    .as_deref()
                    .map(list),
            },
        ),
        Presents::Nothing(why) => (None, Some(why.clone())),
    };
    let refused = sighted.refused.as_ref();
    ReplicaLine {
        pod: replica.name.clone(),
        node: sighted.node.clone(),
        ready: replica.ready,
        going: sighted.going,
        serves: replica.standing(chain.leaf.as_ref(), published, names, now),
        fingerprint: facts.map(|facts| facts.fingerprint.clone()),
        issuer: facts.map(|facts| facts.issuer.clone()),
        why,
        refused: refused
            .map(|refused| refused.problems.clone())
            .unwrap_or_default(),
    }
}

fn cas(view: &View<'_>) -> Vec<CaLine> {
    let nobody = Bundle::default();
    let published = view.chain.published().unwrap_or(&nobody);
    let all = view.chain.cas.clone().union(published.clone());
    let line = |ca: &Certificate| {
        let facts = ca.facts();
        let signs = view.chain.newest() == Some(ca);
        CaLine {
            generation: facts.generation,
            subject: facts.subject.clone(),
            fingerprint: facts.fingerprint.clone(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            days_left: days_left(facts, view.now),
            due: signs.then(|| ca_due(facts)),
            in_secret: view.chain.cas.contains(ca),
            in_bundle: published.contains(ca),
            signs,
        }
    };
    all.iter().map(line).collect()
}

fn leaf_line(leaf: &Certificate, view: &View<'_>) -> LeafLine {
    let facts = leaf.facts();
    let known = view.chain.cas.clone();
    let known = known.union(view.chain.published().cloned().unwrap_or_default());
    LeafLine {
        issuer: facts.issuer.clone(),
        issuer_generation: known.issuer_of(leaf).and_then(|ca| ca.facts().generation),
        fingerprint: facts.fingerprint.clone(),
        names: facts.dns_names.clone(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        days_left: days_left(facts, view.now),
        due: leaf_due(facts),
    }
}

fn registration(view: &View<'_>) -> Option<RegistrationLine> {
    view.gathered.seen.registration.as_ref()?;
    let wanted = view.step().map(Step::bundle);
    let entry = |entry: &super::facts::Entry| EntryLine {
        name: entry.name.clone(),
        failure_policy: entry.failure_policy.clone(),
        bundle: entry
            .bundle
            .iter()
            .map(|ca| ca.facts().subject.clone())
            .collect(),
        agrees: wanted == Some(&entry.bundle),
    };
    Some(RegistrationLine {
        entries: view.chain.entries.iter().map(entry).collect(),
        differences: view.differences().to_vec(),
    })
}

fn pending_lines(gathered: &Gathered) -> Vec<PendingLine> {
    let pending = pending(&gathered.seen).into_iter();
    let line = |(what, id)| PendingLine {
        what: match what {
            What::Ca => "ca",
            What::Leaf => "leaf",
        },
        id,
    };
    pending.map(line).collect()
}

fn leader(gathered: &Gathered, now: Timestamp) -> LeaderLine {
    let held = gathered.lease.as_ref();
    LeaderLine {
        holder: held.and_then(|held| held.record.holder.clone()),
        renewed: held.and_then(|held| held.renewed),
        leads: held.is_some_and(|held| held.looks_alive(now)),
    }
}

fn days_left(facts: &CertFacts, now: Timestamp) -> i64 {
    now.duration_until(facts.not_after)
        .as_hours()
        .div_euclid(24)
}

fn list(problems: &[verify::Problem]) -> String {
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Whether a pod presents what the Secret holds.
pub(super) fn is_current(line: &ReplicaLine) -> bool {
    line.serves == Standing::Current
}
