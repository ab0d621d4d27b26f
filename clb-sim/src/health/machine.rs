//! When a target is healthy: the CLB's counting rule, as a pure function of probe results.
//!
//! A new target is `Unknown`. `rise` good probes in a row make it `Alive`, `fall` bad ones in a row
//! make it `Dead`; every probe to the other side starts the count anew. The weight plays no part:
//! a target at weight 0 is probed like any other.

use serde::{Deserialize, Serialize};

/// What the CLB thinks of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// Not enough probes yet; gets no traffic.
    #[default]
    Unknown,
    Alive,
    Dead,
}

/// A target's verdict and the run of equal probes it has seen last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) verdict: Verdict,
    last_good: bool,
    run: u16,
}

impl Health {
    /// The health of a target that one good probe was enough for.
    pub(crate) fn alive() -> Self {
        Self::default().after(true, 1, 1)
    }

    /// The health after one more probe.
    #[must_use]
    pub(crate) fn after(self, good: bool, rise: u16, fall: u16) -> Self {
        let run = if good == self.last_good {
            self.run.saturating_add(1)
        } else {
            1
        };
        let verdict = match good {
            true if run >= rise => Verdict::Alive,
            false if run >= fall => Verdict::Dead,
            true | false => self.verdict,
        };
        Self {
            verdict,
            last_good: good,
            run,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(probes: &[bool], rise: u16, fall: u16) -> Verdict {
        let start = Health::default();
        probes
            .iter()
            .fold(start, |health, good| health.after(*good, rise, fall))
            .verdict
    }

    #[rstest::rstest]
    #[case(&[], Verdict::Unknown)]
    #[case(&[true, true], Verdict::Unknown)]
    #[case(&[true, true, true], Verdict::Alive)]
    #[case(&[false, false, false], Verdict::Dead)]
    #[case(&[true, true, false, true, true], Verdict::Unknown)]
    #[case(&[true, true, true, false, false], Verdict::Alive)]
    #[case(&[true, true, true, false, false, false], Verdict::Dead)]
    #[case(&[false, false, false, true, true], Verdict::Dead)]
    #[case(&[false, false, false, true, true, true], Verdict::Alive)]
    fn three_in_a_row_decide(#[case] probes: &[bool], #[case] verdict: Verdict) {
        assert_eq!(run(probes, 3, 3), verdict);
    }

    /// The rule said another way: look for the last run long enough to decide.
    fn oracle(probes: &[bool], rise: u16, fall: u16) -> Verdict {
        let decided = |end: usize| {
            let seen = &probes[..end];
            let good = *seen.last()?;
            let run = seen
                .iter()
                .rev()
                .take_while(|probe| **probe == good)
                .count();
            match good {
                true if run >= usize::from(rise) => Some(Verdict::Alive),
                false if run >= usize::from(fall) => Some(Verdict::Dead),
                true | false => None,
            }
        };
        (1..=probes.len())
            .rev()
            .find_map(decided)
            .unwrap_or_default()
    }

    proptest! {
        #[test]
        fn agrees_with_the_rule_read_backwards(
            probes in prop::collection::vec(any::<bool>(), 0..80), rise in 2_u16..=10, fall in 2_u16..=10,
        ) {
            prop_assert_eq!(run(&probes, rise, fall), oracle(&probes, rise, fall));
        }

        #[test]
        fn a_verdict_never_goes_back_to_unknown(probes in prop::collection::vec(any::<bool>(), 0..80)) {
            let mut health = Health::default();
            for good in probes {
                let before = health.verdict;
                health = health.after(good, 2, 2);
                prop_assert!(before == Verdict::Unknown || health.verdict != Verdict::Unknown);
            }
        }
    }
}
