//! How a watch notices that there is nobody at the other end.
//!
//! A watch only listens. Where the network between it and the API server was cut, or the server lost its power,
//! no packet ever says so: the watch stays open and tells nothing, for minutes after everything works again. A
//! webhook would not hear of new Services, a controller of new pods. So the server is asked to end each watch
//! after a while, which it does with a bookmark just before, and whoever hears nothing for longer begins anew.

use std::{fmt::Debug, time::Duration};

use backon::ExponentialBuilder;
use futures::Stream;
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        utils::ResetTimerBackoff,
        watcher::{self, Event, ExponentialBackoff, watcher},
    },
};
use serde::de::DeserializeOwned;

use crate::client::SILENCE;

/// After so many seconds the API server ends a watch; kube gives it 5 more. A watch that is begun where the last
/// one ended costs the server one small request.
const RENEWED_AFTER: u32 = 30;
/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(800);
/// So long after everything works again a watch may still wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Without a failure for so long, the next one begins with the first pause.
const CALM: Duration = Duration::from_mins(1);

// Else a quiet watch would be taken for a dead one.
const _: () = assert!(RENEWED_AFTER as u64 + 10 <= SILENCE.as_secs());

/// A watch that is renewed all the time and tries again soon. Every watch must be one: on any other, our client
/// takes silence for a dead connection.
pub fn events<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times();
    let pauses = ResetTimerBackoff::new(ExponentialBackoff::from(pauses), CALM);
    #[expect(clippy::disallowed_methods, reason = "here it is renewed")]
    let events = watcher(api, config.timeout(RENEWED_AFTER));
    events.backoff(pauses)
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use futures::{StreamExt, stream};
    use http::{Request, Response};
    use http_body_util::{Full, StreamBody, combinators::BoxBody};
    use hyper::body::{Bytes, Frame};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;

    const NOTHING: &str = r#"{"metadata": {"resourceVersion": "1"}, "items": []}"#;

    /// When each watch began.
    type Begun = Arc<Mutex<Vec<Instant>>>;

    /// It lists nothing, and every watch stays open and tells nothing.
    fn mute_server(begun: &Begun) -> Client {
        let begun = Arc::clone(begun);
        let service = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let answer = if query.contains("watch=true") {
                let limit = format!("timeoutSeconds={RENEWED_AFTER}");
                assert!(query.contains(&limit), "{query}");
                begun.lock().push(Instant::now());
                let silence = stream::pending::<Result<Frame<Bytes>, Infallible>>();
                BoxBody::new(StreamBody::new(silence))
            } else {
                BoxBody::new(Full::from(NOTHING))
            };
            async move { Ok::<_, Infallible>(Response::new(answer)) }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_hears_nothing_is_begun_anew() {
        let begun = Begun::default();
        let api: Api<ConfigMap> = Api::all(mute_server(&begun));
        let events = events(api, watcher::Config::default());
        let follow = events.for_each(|event| async move { drop(event.unwrap()) });
        let time = Duration::from_mins(3);
        assert!(tokio::time::timeout(time, follow).await.is_err());
        let begun = begun.lock();
        assert!(begun.len() >= 5, "{begun:?}");
        let longest = begun.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert!(longest <= SILENCE, "{longest:?}");
    }
}
