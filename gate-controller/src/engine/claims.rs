//! Whose targets are where the CLB does not keep their tags: what we bound, on record before the call.
//!
//! The API documents a tag on every target, and ours names the pod. Should a CLB drop it, a target that
//! we bound would look foreign and could never be taken away. So what is about to be bound is recorded
//! until the first tag of ours has been read back; from then on the tags alone decide.

use std::collections::{BTreeMap, HashSet};

use direct_access::ownership::{ClusterId, Tag};
use serde::{Deserialize, Serialize};

use super::memory::Registered;
use crate::plan::{ObservedListener, Operation, Place};

/// What we bound on one load balancer, as far as the tags do not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    tags: Tags,
    /// Listener, rule at layer 7, address -> pod UID.
    targets: BTreeMap<String, String>,
}

/// What the CLB does with tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tags {
    /// Not seen yet.
    #[default]
    Unknown,
    /// It keeps them.
    Kept,
}

impl Claims {
    /// Reads the record. What cannot be read claims nothing: then an untagged target is foreign.
    pub(super) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Writes the record.
    pub(super) fn record(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        // A map of strings always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Claims what is about to be bound.
    pub(super) fn before(&mut self, operation: &Operation) {
        if let (Operation::Register(all), Tags::Unknown) = (operation, self.tags) {
            let claimed = all
                .iter()
                .map(|target| (key(&target.place), target.pod_uid.clone()));
            self.targets.extend(claimed);
        }
    }

    /// Gives claimed targets their tags back, and learns whether that is needed at all.
    pub(super) fn recognise(&mut self, listeners: &mut [ObservedListener], us: &ClusterId) {
        let tagged = |listener: &ObservedListener| {
            let mut places = listener.places();
            places.any(|(_, target)| target.tag.as_ref().is_some_and(|tag| tag.cluster == *us))
        };
        if listeners.iter().any(tagged) {
            self.tags = Tags::Kept;
            self.targets.clear();
        }
        if self.targets.is_empty() {
            return;
        }
        for listener in listeners {
            listener.for_each_target(|place, target| {
                if let (None, Some(uid)) = (&target.tag, self.targets.get(&key(place))) {
                    target.tag = Some(Tag {
                        cluster: us.clone(),
                        pod_uid: uid.clone(),
                    });
                }
            });
        }
    }

    /// Lets go of what is not there, when nothing is under way.
    pub(super) fn prune(&mut self, registered: &Registered) {
        if !self.targets.is_empty() {
            let there: HashSet<_> = registered.keys().map(key).collect();
            self.targets.retain(|key, _| there.contains(key));
        }
    }
}

fn key(place: &Place) -> String {
    let (ip, port) = place.address;
    match &place.rule {
        None => format!("{} {ip}:{port}", place.listener),
        Some(rule) => format!("{}/{rule} {ip}:{port}", place.listener),
    }
}

#[cfg(test)]
mod tests {
    use direct_access::listener::ListenerParameters;

    use super::*;
    use crate::plan::{HealthCheck, ObservedTarget, Weighted};

    fn us() -> ClusterId {
        ClusterId::new("us")
    }

    fn place() -> Place {
        Place {
            listener: "lbl-1".to_owned(),
            rule: None,
            address: ([198, 18, 1, 1].into(), 80),
        }
    }

    fn register() -> Operation {
        Operation::Register(vec![Weighted {
            place: place(),
            weight: 10,
            pod_uid: "uid-a".to_owned(),
        }])
    }

    fn there(tags: &[Option<&str>]) -> Vec<ObservedListener> {
        let target = |(number, uid): (u8, Option<&str>)| ObservedTarget {
            address: ([198, 18, 1, number].into(), 80),
            weight: 10,
            tag: uid.map(|uid| Tag {
                cluster: us(),
                pod_uid: uid.to_owned(),
            }),
        };
        vec![ObservedListener {
            id: "lbl-1".to_owned(),
            port: 80,
            protocol: "TCP".to_owned(),
            name: None,
            health: HealthCheck::default(),
            parameters: ListenerParameters::default(),
            targets: (1..).zip(tags.iter().copied()).map(target).collect(),
            rules: vec![],
        }]
    }

    fn owners(listeners: &[ObservedListener]) -> Vec<Option<&str>> {
        let targets = listeners.iter().flat_map(|listener| &listener.targets);
        targets
            .map(|target| target.tag.as_ref().map(|tag| tag.pod_uid.as_str()))
            .collect()
    }

    #[test]
    fn without_tags_what_was_recorded_is_ours_also_after_a_crash() {
        let mut claims = Claims::default();
        claims.before(&register());
        let mut after_crash = Claims::parse(&claims.record());
        let mut read = there(&[None, None]);
        after_crash.recognise(&mut read, &us());
        assert_eq!(owners(&read), [Some("uid-a"), None]);
        after_crash.prune(&Registered::new());
        assert_eq!(after_crash.record(), "");
    }

    #[test]
    fn where_tags_are_kept_they_alone_decide() {
        let mut claims = Claims::default();
        claims.before(&register());
        let mut read = there(&[None, Some("uid-b")]);
        claims.recognise(&mut read, &us());
        assert_eq!(owners(&read), [None, Some("uid-b")]);
        claims.before(&register());
        assert_eq!(claims.record(), r#"{"tags":"kept","targets":{}}"#);
    }

    #[test]
    fn an_unreadable_record_claims_nothing() {
        assert_eq!(Claims::parse("{"), Claims::default());
        assert_eq!(Claims::parse(""), Claims::default());
    }
}
