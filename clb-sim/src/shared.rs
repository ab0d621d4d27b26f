//! The model behind one lock, and the signal that tells followers it changed.

use crate::clock::{Clock, Millis};
use crate::state::{Model, Revision};
use crate::visits::Visits;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tracing::info;

/// What every part of the simulator shares.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    model: Mutex<Model>,
    changed: watch::Sender<Revision>,
    /// Listener id -> why its port could not be opened.
    pub(crate) bind_errors: Mutex<BTreeMap<String, String>>,
    /// Where connections of layer 4 went.
    pub(crate) visits: Mutex<Visits>,
}

impl Shared {
    pub(crate) fn new(model: Model, clock: Clock) -> Self {
        let (changed, _) = watch::channel(model.revision());
        Self {
            clock,
            model: Mutex::new(model),
            changed,
            bind_errors: Mutex::new(BTreeMap::new()),
            visits: Mutex::new(Visits::default()),
        }
    }

    /// Works on the model as it is now, prints what happened and wakes the followers.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Model, Millis) -> R) -> R {
        let now = self.clock.now();
        let (result, events, revision) = {
            let mut model = self.model.lock();
            model.settle(now);
            let result = work(&mut model, now);
            (result, model.take_events(), model.revision())
        };
        for event in events {
            info!("{event}");
        }
        self.changed.send_if_modified(|known| {
            let newer = (revision.structure, revision.health) > (known.structure, known.health);
            if newer {
                *known = revision;
            }
            newer
        });
        result
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Revision> {
        self.changed.subscribe()
    }

    /// Lets due writes take effect also when nobody calls.
    pub(crate) async fn settle_when_due(&self) {
        let mut changes = self.follow();
        loop {
            let wait = self.with(|model, now| model.next_due().map(|due| due - now));
            match wait {
                None => {
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
                Some(millis) => {
                    let millis = u64::try_from(millis).unwrap_or(0).max(1);
                    let _ = tokio::time::timeout(Duration::from_millis(millis), changes.changed())
                        .await;
                }
            }
        }
    }
}
