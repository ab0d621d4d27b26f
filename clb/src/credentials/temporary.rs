//! Keeps credentials that expire, and gets new ones in time: one refresh at a time, and a failed one
//! costs nothing as long as the old ones are valid.

use jiff::Timestamp;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as Turnstile;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Credentials, CredentialsError};
use crate::Clock;

/// Between two attempts to get new credentials, when the last failed or its result was refused: the
/// API is called up to 20 times a second, and who gives credentials is not there for that.
const PAUSE: Duration = Duration::from_secs(10);

/// Credentials that expire.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) credentials: Credentials,
    /// From then on they are to be replaced.
    pub(super) renew: Timestamp,
    /// From then on they are of no use.
    pub(super) expires: Timestamp,
}

pub(super) type Issuing<'a> =
    Pin<Box<dyn Future<Output = Result<Issued, CredentialsError>> + Send + 'a>>;

/// Who gives such credentials.
pub(super) trait Issue: Send + Sync {
    fn issue(&self) -> Issuing<'_>;
}

pub(super) struct Temporary<I> {
    issuer: I,
    now: Clock,
    held: Mutex<Held>,
    refreshing: Turnstile<()>,
}

#[derive(Default)]
struct Held {
    issued: Option<Issued>,
    /// The API refused them.
    refused: bool,
    /// When the last attempt to get new ones ended, and how, if badly.
    tried: Option<(Instant, Option<Arc<CredentialsError>>)>,
}

/// What to do for a caller.
enum Step {
    /// Answer.
    Answer(Result<Credentials, CredentialsError>),
    /// Get new ones, if nobody does so already; these will do meanwhile.
    Renew(Credentials),
    /// Get new ones.
    Wait,
}

impl<I: Issue> Temporary<I> {
    pub(super) fn new(issuer: I, now: Clock) -> Self {
        Self {
            issuer,
            now,
            held: Mutex::default(),
            refreshing: Turnstile::new(()),
        }
    }

    pub(super) async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let _turn = match self.step() {
            Step::Answer(answer) => return answer,
            Step::Renew(current) => match self.refreshing.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(current),
            },
            Step::Wait => self.refreshing.lock().await,
        };
        // Who waited finds what the one before got.
        match self.step() {
            Step::Answer(answer) => answer,
            Step::Renew(_) | Step::Wait => self.refresh().await,
        }
    }

    pub(super) fn refused(&self, credentials: &Credentials) {
        let mut held = self.held();
        let current = held.issued.as_ref();
        held.refused |= current.is_some_and(|issued| issued.credentials.same(credentials));
    }

    fn step(&self) -> Step {
        self.held().step((self.now)(), Instant::now())
    }

    async fn refresh(&self) -> Result<Credentials, CredentialsError> {
        let issued = self.issuer.issue().await;
        let (now, mut held) = ((self.now)(), self.held());
        match issued {
            Ok(issued) => {
                debug!(expires = %issued.expires, "new temporary credentials");
                let credentials = issued.credentials.clone();
                *held = Held {
                    issued: Some(issued),
                    refused: false,
                    tried: Some((Instant::now(), None)),
                };
                Ok(credentials)
            }
            Err(error) => {
                let error = Arc::new(error);
                held.tried = Some((Instant::now(), Some(Arc::clone(&error))));
                let Some(current) = held.valid(now) else {
                    return Err(CredentialsError::Still(error));
                };
                warn!(%error, expires = %current.expires, "the credentials in use could not be renewed yet");
                Ok(current.credentials.clone())
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What a poisoned lock guards is replaced whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn valid(&self, now: Timestamp) -> Option<&Issued> {
        self.issued.as_ref().filter(|issued| now < issued.expires)
    }

    fn step(&self, now: Timestamp, instant: Instant) -> Step {
        let current = self.valid(now);
        let recent = self
            .tried
            .as_ref()
            .filter(|(at, _)| instant.duration_since(*at) < PAUSE);
        match (current, recent) {
            (Some(issued), _) if now < issued.renew && !self.refused => {
                Step::Answer(Ok(issued.credentials.clone()))
            }
            (Some(issued), Some(_)) => Step::Answer(Ok(issued.credentials.clone())),
            (None, Some((_, Some(error)))) => {
                Step::Answer(Err(CredentialsError::Still(Arc::clone(error))))
            }
            (Some(issued), None) if !self.refused => Step::Renew(issued.credentials.clone()),
            (Some(_), None) | (None, _) => Step::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
    use tokio::task::JoinSet;

    /// Gives credentials of an hour, to be renewed ten minutes before, after a second; fails while
    /// told so.
    #[derive(Default)]
    struct Issuer {
        now: AtomicI64,
        asked: AtomicUsize,
        broken: Mutex<bool>,
    }

    impl Issue for Arc<Issuer> {
        fn issue(&self) -> Issuing<'_> {
            Box::pin(async move {
                let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                if *self.broken.lock().unwrap() {
                    return Err(CredentialsError::Unreachable {
                        place: "STS".to_owned(),
                        problem: "broken".to_owned(),
                    });
                }
                let now = self.now.load(Ordering::Relaxed);
                let at = |second| Timestamp::from_second(second).unwrap();
                Ok(Issued {
                    credentials: Credentials {
                        secret_id: number.to_string(),
                        secret_key: "key".into(),
                        token: None,
                    },
                    renew: at(now + 3000),
                    expires: at(now + 3600),
                })
            })
        }
    }

    fn temporary() -> (Arc<Issuer>, Arc<Temporary<Arc<Issuer>>>) {
        let issuer = Arc::new(Issuer::default());
        let clock = issuer.clone();
        let now: Clock =
            Arc::new(move || Timestamp::from_second(clock.now.load(Ordering::Relaxed)).unwrap());
        (issuer.clone(), Arc::new(Temporary::new(issuer, now)))
    }

    async fn id(temporary: &Temporary<Arc<Issuer>>) -> Result<String, String> {
        let got = temporary.credentials().await;
        got.map(|one| one.secret_id)
            .map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_cost_one_request() {
        let (issuer, temporary) = temporary();
        let mut calls = JoinSet::new();
        for _ in 0..50 {
            let temporary = temporary.clone();
            calls.spawn(async move { id(&temporary).await });
        }
        assert!(
            calls
                .join_all()
                .await
                .iter()
                .all(|got| *got == Ok("1".to_owned()))
        );
        assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_renewed_before_they_expire_and_nobody_but_one_waits() {
        let (issuer, temporary) = temporary();
        id(&temporary).await.unwrap();
        issuer.now.store(2999, Ordering::Relaxed);
        assert_eq!(id(&temporary).await.unwrap(), "1");
        issuer.now.store(3000, Ordering::Relaxed);
        tokio::time::advance(PAUSE).await;
        let renewing = temporary.clone();
        let mut call = JoinSet::new();
        call.spawn(async move { id(&renewing).await });
        tokio::task::yield_now().await;
        let before = Instant::now();
        assert_eq!(id(&temporary).await.unwrap(), "1");
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(call.join_all().await, [Ok("2".to_owned())]);
        assert_eq!(id(&temporary).await.unwrap(), "2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_renewal_keeps_valid_ones_and_is_tried_again_after_a_pause() {
        let (issuer, temporary) = temporary();
        id(&temporary).await.unwrap();
        *issuer.broken.lock().unwrap() = true;
        issuer.now.store(3000, Ordering::Relaxed);
        tokio::time::advance(PAUSE).await;
        for _ in 0..5 {
            assert_eq!(id(&temporary).await.unwrap(), "1");
        }
        assert_eq!(issuer.asked.load(Ordering::Relaxed), 2);
        issuer.now.store(3600, Ordering::Relaxed);
        assert_eq!(id(&temporary).await.unwrap_err(), "STS: broken");
        *issuer.broken.lock().unwrap() = false;
        tokio::time::advance(PAUSE).await;
        assert_eq!(id(&temporary).await.unwrap(), "3");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_ones_are_replaced_but_not_at_every_call() {
        let (issuer, temporary) = temporary();
        let first = temporary.credentials().await.unwrap();
        temporary.refused(&first);
        assert_eq!(id(&temporary).await.unwrap(), "1", "just issued");
        tokio::time::advance(PAUSE).await;
        let second = temporary.credentials().await.unwrap();
        assert_eq!(second.secret_id, "2");
        // An answer that comes late speaks of the old ones.
        temporary.refused(&first);
        tokio::time::advance(PAUSE).await;
        assert_eq!(id(&temporary).await.unwrap(), "2");
        assert_eq!(issuer.asked.load(Ordering::Relaxed), 2);
    }
}
