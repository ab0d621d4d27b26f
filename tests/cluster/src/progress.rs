//! One line a step, saying what was done and how long it took; on stderr, so that the command's own
//! output stays clean.

use std::io::{IsTerminal, Write as _, stderr};
use std::time::{Duration, Instant};

/// A slow step that is under way.
#[derive(Debug)]
#[must_use = "call done()"]
pub(crate) struct Step {
    what: String,
    since: Instant,
}

impl Step {
    /// Starts the clock of a step that takes seconds: one line, when it is done.
    pub(crate) fn start(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            since: Instant::now(),
        }
    }

    /// Announces a step that may take minutes.
    pub(crate) fn announce(what: impl Into<String>) -> Self {
        let step = Self::start(what);
        note(&format!("{} ...", step.what));
        step
    }

    /// How far an announced step is.
    pub(crate) fn at(&self, progress: &str) {
        note(&format!(
            "{}: {progress}  {}",
            self.what,
            seconds(self.since.elapsed())
        ));
    }

    /// Says that the step is done.
    pub(crate) fn done(self) {
        line(&format!(
            "{} {:<44} {:>7}",
            tick(),
            self.what,
            seconds(self.since.elapsed())
        ));
    }
}

/// One line of information.
pub(crate) fn note(text: &str) {
    line(&format!("  {text}"));
}

/// A terminal that has gone must not keep us from cleaning up.
pub(crate) fn line(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

fn tick() -> &'static str {
    if stderr().is_terminal() { "✓" } else { "ok" }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}
