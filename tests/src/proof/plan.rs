//! The story: what is done to the workload while the load goes on. Pure.

use std::fmt;

use super::arm::Arm;

/// The nodes, in the order in which they are drained.
const NODES: [&str; 2] = ["node-1", "node-2"];
/// The node that is lost.
const LOST: &str = "node-2";
/// Calm before and after, in seconds: what is normal is in the picture too.
const CALM: u32 = 5;

/// A step of the story. Each ends when all pods that should be there are Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing happens for so many seconds.
    Calm(u32),
    /// `kubectl rollout restart`.
    Roll,
    /// `kubectl scale`.
    Scale(u32),
    /// One pod is evicted.
    Evict,
    /// `kubectl drain` and, when it is through, `kubectl uncordon`.
    DrainNode {
        /// The node.
        node: &'static str,
        /// Everything on it goes, clb-gate too, and not only the workload.
        everything: bool,
    },
    /// clb-gate's two Deployments roll, and the workload too.
    RollOurs,
    /// The workload rolls while the CLB's API is slow and refuses calls.
    SlowCloud,
    /// The process of so many pods is killed.
    Kill(usize),
    /// The leader's process is killed while the workload rolls.
    KillLeader,
    /// So many pods are deleted with `--force`.
    Force(usize),
    /// A node is cut off and comes back.
    LoseNode(&'static str),
}

/// How much of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All of it.
    Whole,
    /// Each kind of step, the quick ones.
    Quick,
    /// What a test can wait for: nothing that disturbs others.
    Short,
}

/// One round of an arm's story for so many replicas.
pub fn round(arm: Arm, size: Size, replicas: u32) -> Vec<Step> {
    let (few, many) = ((replicas / 4).max(1), replicas + replicas / 2);
    let mut steps = vec![Step::Calm(CALM), Step::Roll];
    match (arm, size) {
        (Arm::Crash, _) => steps = crashes(size, replicas),
        (_, Size::Short) => steps.extend([Step::Scale(many), Step::Scale(replicas), Step::Evict]),
        (_, Size::Quick) => {
            steps.extend(scales(few, many, replicas));
            steps.extend(drains(false).into_iter().take(1));
            steps.push(Step::SlowCloud);
        }
        (arm, Size::Whole) => {
            steps.extend(scales(few, many, replicas));
            steps.extend(drains(arm.drains()));
            steps.extend([Step::RollOurs, Step::SlowCloud]);
        }
    }
    steps.push(Step::Calm(CALM));
    steps
}

/// Each size serves for a while before the next.
fn scales(few: u32, many: u32, replicas: u32) -> impl Iterator<Item = Step> {
    [few, many, replicas]
        .into_iter()
        .flat_map(|size| [Step::Scale(size), Step::Calm(CALM)])
}

/// Both nodes in turn. clb-gate's webhook takes a minute and a half to leave a node, which says nothing of
/// arms without it.
fn drains(everything: bool) -> [Step; 2] {
    NODES.map(|node| Step::DrainNode { node, everything })
}

fn crashes(size: Size, replicas: u32) -> Vec<Step> {
    let some = usize::try_from(replicas / 6).unwrap_or(1).max(1);
    let calm = Step::Calm(CALM);
    let mut steps = vec![calm, Step::Kill(some), calm, Step::Force(some), calm];
    steps.push(Step::KillLeader);
    if size != Size::Short {
        steps.extend([calm, Step::LoseNode(LOST), calm, Step::Roll]);
    }
    steps
}

impl Step {
    /// How many pods there should be after it; none if it changes nothing of that.
    pub fn replicas(self) -> Option<u32> {
        match self {
            Self::Scale(replicas) => Some(replicas),
            Self::Calm(_)
            | Self::Roll
            | Self::Evict
            | Self::DrainNode { .. }
            | Self::RollOurs
            | Self::SlowCloud
            | Self::Kill(_)
            | Self::KillLeader
            | Self::Force(_)
            | Self::LoseNode(_) => None,
        }
    }

    /// Whether the Deployment rolls in it: how long that takes is in the report.
    pub fn rolls(self) -> bool {
        matches!(
            self,
            Self::Roll | Self::RollOurs | Self::SlowCloud | Self::KillLeader
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calm(_) => f.write_str("calm"),
            Self::Roll => f.write_str("rollout restart"),
            Self::Scale(replicas) => write!(f, "scale to {replicas}"),
            Self::Evict => f.write_str("evict a pod"),
            Self::DrainNode { node, .. } => write!(f, "drain {node}"),
            Self::RollOurs => f.write_str("roll clb-gate and the pods"),
            Self::SlowCloud => f.write_str("roll, CLB API slow and throttled"),
            Self::Kill(count) => write!(f, "kill -9 {count} pods"),
            Self::KillLeader => f.write_str("roll, kill -9 the leader"),
            Self::Force(count) => write!(f, "delete {count} pods --force"),
            Self::LoseNode(node) => write!(f, "cut {node} off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_as_many_pods_as_it_began_with() {
        for arm in Arm::ALL {
            for size in [Size::Whole, Size::Quick, Size::Short] {
                let mut replicas = 20;
                for step in round(arm, size, 20) {
                    replicas = step.replicas().unwrap_or(replicas);
                }
                assert_eq!(replicas, 20, "{arm} {size:?}");
            }
        }
    }

    #[test]
    fn the_whole_story_scales_as_it_should_and_drains_both_nodes() {
        let steps = round(Arm::Drain, Size::Whole, 20);
        let scales: Vec<_> = steps.iter().filter_map(|step| step.replicas()).collect();
        assert_eq!(scales, [5, 30, 20]);
        for node in NODES {
            let everything = true;
            assert!(steps.contains(&Step::DrainNode { node, everything }));
        }
        assert!(steps.contains(&Step::RollOurs) && steps.contains(&Step::SlowCloud));
        assert!(round(Arm::Direct, Size::Whole, 1).contains(&Step::Scale(1)));
    }

    #[test]
    fn nothing_is_killed_but_where_crashes_are_the_story() {
        let kills = |step: &Step| {
            matches!(
                step,
                Step::Kill(_) | Step::Force(_) | Step::KillLeader | Step::LoseNode(_)
            )
        };
        for arm in Arm::ALL {
            let count = round(arm, Size::Whole, 20)
                .iter()
                .filter(|step| kills(step))
                .count();
            assert_eq!(count, if arm == Arm::Crash { 4 } else { 0 });
        }
    }
}
