//! Sets of labels, each kept once: the pods of a workload have the same ones, and labels are the larger part
//! of what is remembered of a pod. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use crate::pod::{Labels, PodRecord};

/// Sets that no pod has any more are looked for once there are so many more than at the last time.
const NEW: usize = 64;

/// All sets that pods have.
#[derive(Debug, Default)]
pub(super) struct LabelSets {
    all: HashSet<Arc<Labels>>,
    sweep_at: usize,
}

impl LabelSets {
    /// The pod, its labels shared with those who have the same.
    pub(super) fn sharing(&mut self, pod: PodRecord) -> PodRecord {
        if let Some(labels) = self.all.get(&*pod.labels) {
            let labels = Arc::clone(labels);
            return PodRecord { labels, ..pod };
        }
        self.sweep();
        self.all.insert(Arc::clone(&pod.labels));
        pod
    }

    /// Forgets what nobody else has; twice as many sets must come before it looks again, so that each costs
    /// the same.
    fn sweep(&mut self) {
        if self.all.len() < self.sweep_at {
            return;
        }
        self.all.retain(|labels| Arc::strong_count(labels) > 1);
        self.sweep_at = self.all.len() * 2 + NEW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::tests::pod;

    fn labelled(number: usize) -> PodRecord {
        let label = (
            "statefulset.kubernetes.io/pod-name".to_owned(),
            number.to_string(),
        );
        PodRecord {
            labels: Arc::new([label].into()),
            ..pod("a", 1)
        }
    }

    #[test]
    fn pods_with_the_same_labels_share_them() {
        let mut sets = LabelSets::default();
        let [a, b] = ["a", "b"].map(|name| sets.sharing(pod(name, 1)));
        assert!(Arc::ptr_eq(&a.labels, &b.labels));
        assert_eq!(a, pod("a", 1));
        let other = sets.sharing(labelled(1));
        assert!(!Arc::ptr_eq(&a.labels, &other.labels));
        assert_eq!(other, labelled(1));
    }

    #[test]
    fn labels_that_no_pod_has_are_forgotten_in_time() {
        let mut sets = LabelSets::default();
        let stays = sets.sharing(pod("a", 1));
        for number in 0..10 * NEW {
            sets.sharing(labelled(number));
            assert!(sets.all.len() <= 2 * NEW);
        }
        let again = sets.sharing(pod("b", 2));
        assert!(Arc::ptr_eq(&stays.labels, &again.labels));
    }
}
