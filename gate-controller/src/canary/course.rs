//! What of a row of verdicts is news. Pure.

use super::verdict::{Cause, Verdict};

/// An Event needs this many looks in a row that agree: one may hit a replica that is just being killed.
const CONFIRMED: u32 = 2;

/// The verdicts so far, as far as they matter.
#[derive(Debug, Default)]
pub(super) struct Course {
    last: Option<&'static str>,
    /// Looks in a row that found it broken. One that found nothing out neither counts nor resets.
    failures: u32,
    worked: bool,
    announced: bool,
}

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// For the log: it is not as it was at the last look.
    Changed,
    /// For an Event: it is broken, beyond doubt.
    Broke,
    /// For an Event: what was announced as broken works again.
    Mended,
}

impl Course {
    pub(super) fn take_in(&mut self, verdict: &Verdict) -> Vec<Turn> {
        let kind = verdict.kind();
        let changed = self.last.replace(kind) != Some(kind);
        let announcement = match verdict {
            Verdict::Works => self.works(),
            Verdict::Broken { cause, .. } => self.broken(*cause),
            Verdict::Denied { .. } | Verdict::Unknown { .. } => None,
        };
        let changed = changed.then_some(Turn::Changed);
        changed.into_iter().chain(announcement).collect()
    }

    fn works(&mut self) -> Option<Turn> {
        self.worked = true;
        self.failures = 0;
        std::mem::take(&mut self.announced).then_some(Turn::Mended)
    }

    fn broken(&mut self, cause: Cause) -> Option<Turn> {
        self.failures = self.failures.saturating_add(1);
        // An installation that is still starting has no registration, and that is right.
        let starting = cause == Cause::NotRegistered && !self.worked;
        let news = !self.announced && !starting && self.failures >= CONFIRMED;
        self.announced |= news;
        news.then_some(Turn::Broke)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::verdict::Denial;

    fn broken(cause: Cause) -> Verdict {
        let text = String::new();
        Verdict::Broken { cause, text }
    }

    fn denied() -> Verdict {
        let (by, text) = (Denial::Quota, String::new());
        Verdict::Denied { by, text }
    }

    fn told(verdicts: &[Verdict]) -> Vec<Vec<Turn>> {
        let mut course = Course::default();
        verdicts.iter().map(|v| course.take_in(v)).collect()
    }

    #[test]
    fn only_changes_are_told_and_only_confirmed_ones_as_events() {
        use Turn::{Broke, Changed, Mended};
        let broken = broken(Cause::TimedOut);
        let row = [
            (Verdict::Works, vec![Changed]),
            (Verdict::Works, vec![]),
            (broken.clone(), vec![Changed]),
            (broken.clone(), vec![Broke]),
            (broken.clone(), vec![]),
            (Verdict::Works, vec![Changed, Mended]),
            (Verdict::Works, vec![]),
            (broken.clone(), vec![Changed]),
            (Verdict::Works, vec![Changed]),
        ];
        let (verdicts, turns): (Vec<_>, Vec<_>) = row.into_iter().unzip();
        assert_eq!(told(&verdicts), turns);
    }

    #[test]
    fn a_look_that_finds_nothing_out_is_no_confirmation_and_no_denial() {
        use Turn::{Broke, Changed};
        let broken = broken(Cause::CannotReach);
        let turns = told(&[broken.clone(), denied(), broken]);
        assert_eq!(turns, [vec![Changed], vec![Changed], vec![Changed, Broke]]);
    }

    #[test]
    fn an_installation_that_is_starting_is_not_broken() {
        let unregistered = broken(Cause::NotRegistered);
        let starting = [const { Cause::NotRegistered }; 5].map(broken);
        assert!(told(&starting).concat().iter().all(|t| *t == Turn::Changed));
        let lost = [Verdict::Works, unregistered.clone(), unregistered];
        assert_eq!(told(&lost).concat().last(), Some(&Turn::Broke));
    }
}
