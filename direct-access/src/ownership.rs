//! Ownership that lives in the CLB itself: the tag on every target we bind and the name of every
//! listener we create. What does not carry them is foreign and is never touched.

use std::fmt;

/// First part of every tag and name, so that a person in Tencent's console sees whose it is.
const PREFIX: &str = "clb-gate";

/// The identity of a cluster: the UID of its `kube-system` namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// Takes the UID of `kube-system`.
    pub fn new(uid: impl Into<String>) -> Self {
        Self(uid.into())
    }

    /// The name of the listeners this cluster creates.
    ///
    /// It names no Service: the listener's port is what ties it to one, and a port can change hands.
    pub fn listener_name(&self) -> String {
        format!("{PREFIX}:{}", self.0)
    }

    /// Whether a listener of that name was created by this cluster.
    pub fn owns_listener(&self, name: Option<&str>) -> bool {
        name == Some(self.listener_name().as_str())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tag of a target: which cluster bound it, for which pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// The cluster.
    pub cluster: ClusterId,
    /// The pod's UID.
    pub pod_uid: String,
}

impl Tag {
    /// Reads a target's tag. `None`: the target is foreign.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (prefix, cluster, pod_uid) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && prefix == PREFIX;
        (whole && !cluster.is_empty() && !pod_uid.is_empty()).then(|| Self {
            cluster: ClusterId::new(cluster),
            pod_uid: pod_uid.to_owned(),
        })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}:{}:{}", self.cluster, self.pod_uid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tag_survives_the_round_trip(cluster in "[a-f0-9-]{1,36}", pod in "[a-f0-9-]{1,36}") {
            let tag = Tag { cluster: ClusterId::new(cluster), pod_uid: pod };
            prop_assert_eq!(Tag::parse(&tag.to_string()), Some(tag));
        }

        #[test]
        fn anything_else_is_foreign(text in ".*") {
            if let Some(tag) = Tag::parse(&text) {
                prop_assert_eq!(tag.to_string(), text);
            }
        }
    }

    #[test]
    fn another_cluster_and_no_name_are_foreign() {
        let ours = ClusterId::new("a");
        assert!(ours.owns_listener(Some("clb-gate:a")));
        assert!(!ours.owns_listener(Some("clb-gate:b")));
        assert!(!ours.owns_listener(None));
        assert_eq!(Tag::parse("clb-gate:a"), None);
        assert_eq!(Tag::parse("clb-gate:a:b:c"), None);
        assert_eq!(Tag::parse("clb-gate::b"), None);
    }
}
