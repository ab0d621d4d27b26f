//! How long the published bundle has stood. Pure, and counted by our own clock: nothing is stored, so a
//! new leader, who does not know when its predecessor published, counts from its own start.

use std::time::Duration;

use tokio::time::Instant;

/// "The API server may take a few seconds to honor the new configuration" (Kubernetes, Dynamic Admission
/// Control); it acknowledges nothing that could be waited for.
const SETTLE: Duration = Duration::from_secs(3);

/// The published bundle and since when we know of it.
#[derive(Debug, Default)]
pub(super) struct Settling {
    known: Option<(Vec<u8>, Instant)>,
}

impl Settling {
    /// Takes in what is published now.
    pub(super) fn observe(&mut self, published: Option<Vec<u8>>, now: Instant) {
        let since = match (&published, &self.known) {
            (Some(text), Some((known, since))) if text == known => *since,
            _ => now,
        };
        self.known = published.map(|text| (text, since));
    }

    /// How long until every API server knows the bundle, if that is not yet so.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let (_, since) = self.known.as_ref()?;
        let left = (*since + SETTLE).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_settles_from_when_it_was_first_seen_and_a_change_starts_anew() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut settling = Settling::default();
        assert_eq!(settling.left(start), None, "nobody calls");
        settling.observe(Some(vec![1]), start);
        settling.observe(Some(vec![1]), start + second);
        assert_eq!(settling.left(start + second), SETTLE.checked_sub(second));
        assert_eq!(settling.left(start + SETTLE), None);
        settling.observe(Some(vec![2]), start + SETTLE);
        assert_eq!(settling.left(start + SETTLE), Some(SETTLE));
        settling.observe(None, start + SETTLE);
        assert_eq!(settling.left(start + SETTLE), None);
    }
}
