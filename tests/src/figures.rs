//! Durations in the few figures that a reader wants.

use std::fmt;
use std::time::Duration;

/// Sorted durations.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// Of any durations.
    pub fn new(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// The smallest that at least `percent` of all do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let at = self.0.get(rank.saturating_sub(1));
        at.copied().unwrap_or_default()
    }

    /// The verdict on a promise that `percent` of all stay within `bound`.
    pub fn verdict(&self, percent: usize, bound: Duration) -> String {
        let kept = if self.percentile(percent) <= bound {
            "kept"
        } else {
            "BROKEN"
        };
        format!("p{percent} within {bound:?}: {kept}")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tries: p50 {:.0?}, p99 {:.0?}, max {:.0?}",
            self.0.len(),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let figures = Figures::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(figures.percentile(50), Duration::from_millis(50));
        assert_eq!(figures.percentile(99), Duration::from_millis(99));
        assert_eq!(figures.percentile(100), Duration::from_millis(100));
        let one = Figures::new(vec![Duration::from_secs(2)]);
        assert_eq!(one.percentile(50), Duration::from_secs(2));
        assert!(one.verdict(99, Duration::from_secs(1)).ends_with("BROKEN"));
    }
}
