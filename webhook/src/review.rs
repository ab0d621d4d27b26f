//! The AdmissionReview as the API server sends it, read without a copy: what the decision needs is
//! borrowed from the body, everything else is skipped. The pod is never turned into a typed object,
//! so nothing in it can be lost, and what a newer Kubernetes adds to it does not matter.

use std::{borrow::Cow, fmt};

use direct_access::{Lifecycle, PodFacts, network::PodNetwork};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::reach::{Annotations, Containers};

/// A whole review.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review<'a> {
    /// `admission.k8s.io/v1`
    #[serde(borrow, default)]
    pub api_version: Text<'a>,
    /// `AdmissionReview`
    #[serde(borrow, default)]
    pub kind: Text<'a>,
    /// What is asked.
    #[serde(borrow)]
    pub request: Option<Request<'a>>,
}

/// What is asked.
#[derive(Debug, Deserialize)]
pub struct Request<'a> {
    /// To be echoed.
    #[serde(borrow, default)]
    pub uid: Text<'a>,
    /// The kind of the object, as it is sent.
    #[serde(borrow, default)]
    pub kind: Kind<'a>,
    /// `CREATE`, `UPDATE` …
    #[serde(borrow, default)]
    pub operation: Text<'a>,
    /// The object's own `metadata.namespace` may be empty at creation; this one is not.
    #[serde(borrow, default)]
    pub namespace: Text<'a>,
    /// The pod.
    #[serde(borrow)]
    pub object: Option<Pod<'a>>,
}

/// A group, version and kind, of which only the kind is read.
#[derive(Debug, Default, Deserialize)]
pub struct Kind<'a> {
    /// `Pod`
    #[serde(borrow, default)]
    pub kind: Text<'a>,
}

/// A review of which only the uid could be read.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// What is asked.
    #[serde(borrow)]
    pub request: Option<EnvelopeRequest<'a>>,
}

/// What is asked, of which only the uid could be read.
#[derive(Debug, Deserialize)]
pub struct EnvelopeRequest<'a> {
    /// To be echoed.
    #[serde(borrow, default)]
    pub uid: Text<'a>,
}

/// What is read of a pod.
#[derive(Debug, Deserialize)]
pub struct Pod<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    spec: Option<Spec<'a>>,
}

#[derive(Debug, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    labels: Option<Labels<'a>>,
    #[serde(borrow)]
    annotations: Option<Annotations<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    host_network: Option<bool>,
    containers: Option<Containers>,
    termination_grace_period_seconds: Option<i64>,
    #[serde(borrow)]
    readiness_gates: Option<Vec<ReadinessGate<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadinessGate<'a> {
    #[serde(borrow, default)]
    condition_type: Text<'a>,
}

impl PodFacts for Pod<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.labels.as_ref()?.value(key)
    }

    fn network(&self) -> PodNetwork {
        let spec = self.spec.as_ref();
        let metadata = self.metadata.as_ref();
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        let containers = spec.and_then(|spec| spec.containers.as_ref());
        PodNetwork::of(
            spec.and_then(|spec| spec.host_network).unwrap_or_default(),
            annotations.and_then(Annotations::networks),
            containers.is_some_and(|containers| containers.eni_ip),
        )
    }

    fn gates(&self) -> Option<impl Iterator<Item = Cow<'_, str>>> {
        let gates = self.spec.as_ref()?.readiness_gates.as_ref()?;
        Some(
            gates
                .iter()
                .map(|gate| Cow::Borrowed(gate.condition_type.as_str())),
        )
    }

    fn lifecycles(&self) -> &[Lifecycle] {
        let containers = self.spec.as_ref().and_then(|spec| spec.containers.as_ref());
        containers.map_or(&[], |containers| &containers.lifecycles)
    }

    fn grace(&self) -> Option<i64> {
        self.spec.as_ref()?.termination_grace_period_seconds
    }
}

impl Pod<'_> {
    /// Without a spec there is nothing to add a gate to.
    pub fn has_spec(&self) -> bool {
        self.spec.is_some()
    }
}

/// A string, borrowed unless it has escapes in it. Needed because serde borrows a `Cow<str>` only
/// where it is a field of its own, not inside an `Option` or a map.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Labels, sorted: a hostile pod may have a hundred thousand, and an index may ask for many keys.
#[derive(Debug)]
struct Labels<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Labels<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        let after = self.0.partition_point(|(known, _)| known.as_str() <= key);
        let (known, value) = self.0.get(after.checked_sub(1)?)?;
        (known.as_str() == key).then_some(value.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Labels<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                // Stable, so that of two equal keys the last is found, as in Go.
                pairs.sort_by(|(a, _): &(Text<'_>, Text<'_>), (b, _)| a.cmp(b));
                Ok(Labels(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: &str) -> Pod<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn facts_are_borrowed_from_the_text() {
        let pod = pod(
            r#"{"metadata":{"labels":{"b":"2","a":"1","es\u0063aped":"y\n"},"x":[{}]},
            "spec":{"hostNetwork":true,"containers":[{"a":{"b":1}}],"readinessGates":[{"conditionType":"g"}]}}"#,
        );
        assert_eq!((pod.label("a"), pod.label("b")), (Some("1"), Some("2")));
        assert_eq!(pod.label("escaped"), Some("y\n"));
        assert_eq!(
            (pod.label(""), pod.label("aa"), pod.label("z")),
            (None, None, None)
        );
        assert!(pod.network().host_network);
        assert_eq!(pod.gates().unwrap().collect::<Vec<_>>(), ["g"]);
    }

    #[test]
    fn absent_and_null_are_the_same() {
        for json in ["{}", r#"{"metadata":null,"spec":null}"#] {
            let pod = pod(json);
            assert!(pod.label("a").is_none() && pod.gates().is_none());
            assert_eq!(pod.network(), PodNetwork::default());
        }
        let nulls =
            r#"{"metadata":{"labels":null},"spec":{"hostNetwork":null,"readinessGates":null}}"#;
        assert!(pod(nulls).gates().is_none());
        assert_eq!(
            pod(r#"{"spec":{"readinessGates":[]}}"#)
                .gates()
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn what_containers_do_before_they_are_stopped_is_read_of_regular_ones() {
        let pod = pod(
            r#"{"spec":{"terminationGracePeriodSeconds":7,"initContainers":[{"restartPolicy":"Always"}],
            "containers":[{}, {"lifecycle":null}, {"lifecycle":{}}, {"lifecycle":{"postStart":{"exec":{}},"preStop":null}},
            {"lifecycle":{"preStop":{"exec":{"command":["a"]}}}}, {"lifecycle":{"preStop":{"sleep":{"seconds":9}}}}]}}"#,
        );
        assert_eq!(pod.grace(), Some(7));
        assert_eq!(
            pod.lifecycles(),
            [
                Lifecycle::None,
                Lifecycle::None,
                Lifecycle::WithoutPreStop,
                Lifecycle::WithoutPreStop,
                Lifecycle::Own,
                Lifecycle::Sleeps(9)
            ]
        );
    }

    #[test]
    fn of_two_equal_labels_the_last_counts() {
        assert_eq!(
            pod(r#"{"metadata":{"labels":{"a":"1","b":"x","a":"2"}}}"#).label("a"),
            Some("2")
        );
    }
}
