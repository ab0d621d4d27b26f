//! How much of the time goes into looking at everything. Pure.

use std::time::Duration;

/// Between two looks pass so many times what one takes.
const REST: u32 = 4;

/// How long to gather changes before everything is looked at again: `least`, or so long that however many
/// objects there are, looks take a fifth of the time at most, and the rest is for acting.
pub(crate) fn gather(least: Duration, look_took: Duration) -> Duration {
    least.max(look_took * REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_take_a_fifth_of_the_time_at_most() {
        let (least, milli) = (Duration::from_millis(20), Duration::from_millis(1));
        assert_eq!(gather(least, milli), least);
        let took = milli * 300;
        assert!(gather(least, took) + took >= took * 5);
    }
}
