//! Waiting for something to become true, with a deadline and the last reason why not.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until `look` says `Ok(Ok(value))`; `Ok(Err(why))` is "not yet", an error ends it. Says what was
/// waited for and why it was not true when the time is up.
pub async fn eventually<T, F>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<std::result::Result<T, String>>>,
{
    let end = Instant::now() + within;
    loop {
        let why = match look().await? {
            Ok(value) => return Ok(value),
            Err(why) => why,
        };
        if Instant::now() >= end {
            bail!("{what}: not within {within:?}; last: {why}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
