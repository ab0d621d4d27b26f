//! Notices when a connection has stood still for too long.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When something last moved.
#[derive(Clone)]
pub(super) struct Pulse {
    last: Arc<Mutex<Instant>>,
    patience: Duration,
}

impl Pulse {
    /// Begins to beat now.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            patience,
        }
    }

    /// Something moves.
    pub(super) fn beat(&self) {
        *self.last.lock() = Instant::now();
    }

    /// Ends when nothing has moved for as long as there is patience.
    pub(super) async fn stopped(&self) {
        loop {
            let ends = *self.last.lock() + self.patience;
            if ends <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(ends).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_stops_after_patience_since_the_last_beat() {
        let second = Duration::from_secs(1);
        let pulse = Pulse::new(3 * second);
        let start = Instant::now();
        let beats = async {
            tokio::time::sleep(2 * second).await;
            pulse.beat();
        };
        tokio::join!(pulse.stopped(), beats);
        assert!(start.elapsed() >= 5 * second && start.elapsed() < 6 * second);
    }
}
