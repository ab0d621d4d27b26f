//! A watch of a kind that the API server may not have: a custom resource whose definition somebody else
//! installs, perhaps later, perhaps never.
//!
//! Discovery says whether the kind is there, so that its absence is no failing watch: nothing is logged
//! as an error and nobody waits for a list that cannot come.

use std::{fmt::Debug, time::Duration};

use futures::StreamExt;
use kube::{Client, Resource, runtime::watcher};
use serde::de::DeserializeOwned;

use super::{Change, Fold, Watch};
use crate::{
    client::{CALL_DEADLINE, CallError, call},
    ready::ReadyHandle,
    supervise::{BoxError, Supervisor},
};

/// How often it is asked whether the kind is there by now: one small answer. Whoever installs it waits
/// this long at most.
const LOOK: Duration = Duration::from_secs(10);

/// What happened to a kind that may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered<P> {
    /// The API server has no such kind, or not any more.
    Absent,
    /// It has, and this changed.
    Change(Change<P>),
}

/// Starts a watch like [`super::spawn`] of a kind that may not be there. `ready` reports after the first
/// look that had an outcome: a kind that cannot be read keeps nobody from working.
pub fn spawn_offered<K, P>(
    supervisor: &Supervisor,
    (client, watch): (Client, Watch<K>),
    prune: impl FnMut(K) -> P + Send + 'static,
    handle: impl FnMut(Offered<P>) + Send + 'static,
    ready: ReadyHandle,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    P: Send + 'static,
{
    let name = watch.name;
    let follower = Follower {
        client,
        watch,
        prune,
        handle,
        ready,
    };
    supervisor.spawn_support(name, follower.run());
}

struct Follower<K, F, H> {
    client: Client,
    watch: Watch<K>,
    prune: F,
    handle: H,
    ready: ReadyHandle,
}

impl<K, F, H> Follower<K, F, H>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    async fn run<P>(mut self) -> Result<(), BoxError>
    where
        F: FnMut(K) -> P,
        H: FnMut(Offered<P>),
    {
        let mut absent = false;
        loop {
            match self.is_there().await {
                Ok(true) => {
                    absent = false;
                    self.follow().await;
                }
                Ok(false) if !absent => {
                    absent = true;
                    tracing::debug!(watch = self.watch.name, "the API server has no such kind");
                    (self.handle)(Offered::Absent);
                }
                Ok(false) => {}
                // What was known holds.
                Err(error) => {
                    tracing::debug!(watch = self.watch.name, %error, "not known whether there is such a kind");
                }
            }
            self.ready.ready();
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn is_there(&mut self) -> Result<bool, CallError> {
        let version = K::api_version(&());
        let asked = self.client.list_api_group_resources(&version);
        match call(CALL_DEADLINE, format!("look for {version}"), asked).await {
            Ok(found) => Ok(found.resources.iter().any(|one| one.name == K::plural(&()))),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Until the kind is gone.
    async fn follow<P>(&mut self)
    where
        F: FnMut(K) -> P,
        H: FnMut(Offered<P>),
    {
        let events = super::events(self.watch.api.clone(), self.watch.config.clone());
        let mut events = std::pin::pin!(events);
        let mut fold = Fold {
            name: self.watch.name,
            list: Vec::new(),
            failing: false,
        };
        while let Some(event) = events.next().await {
            if let Err(error) = &event {
                self.ready.ready();
                if is_gone(error) {
                    return;
                }
            }
            if let Some(change) = fold.step(event, &mut self.prune) {
                let whole = matches!(change, Change::Restarted(_));
                (self.handle)(Offered::Change(change));
                if whole {
                    self.ready.ready();
                }
            }
        }
    }
}

fn is_gone(error: &watcher::Error) -> bool {
    let code = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            let kube::Error::Api(status) = error else {
                return false;
            };
            status.code
        }
        watcher::Error::WatchError(status) => status.code,
        watcher::Error::NoResourceVersion => return false,
    };
    code == 404
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use http::{Request, Response};
    use k8s_openapi::api::coordination::v1::Lease;
    use kube::{ResourceExt, client::Body};
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio::time::{Instant, sleep};
    use tower::BoxError as Error;

    use super::*;
    use crate::ready::Readiness;
    use crate::watch::Key;

    const KIND: &str = "/apis/coordination.k8s.io/v1";
    const OBJECTS: &str = "/apis/coordination.k8s.io/v1/leases";

    /// An API server that answers from a table; a watch is never answered.
    #[derive(Clone, Default)]
    struct Server {
        answers: Arc<Mutex<BTreeMap<&'static str, (u16, Value)>>>,
        asked: Arc<AtomicUsize>,
    }

    impl Server {
        fn say(&self, path: &'static str, code: u16, answer: Value) {
            self.answers.lock().insert(path, (code, answer));
        }

        fn with_kind(&self) {
            let kind = json!({"groupVersion": "coordination.k8s.io/v1", "resources": [
                {"name": "leases", "singularName": "", "namespaced": true, "kind": "Lease", "verbs": ["list"]}]});
            self.say(KIND, 200, kind);
            let one = json!({"metadata": {"namespace": "ns", "name": "a"}});
            let list = json!({"metadata": {"resourceVersion": "1"}, "items": [one]});
            self.say(OBJECTS, 200, list);
        }

        fn without_kind(&self) {
            self.answers.lock().clear();
        }

        fn client(&self) -> Client {
            let server = self.clone();
            let answer = move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    server.asked.fetch_add(1, Ordering::SeqCst);
                    let watches = request
                        .uri()
                        .query()
                        .is_some_and(|query| query.contains("watch=true"));
                    let known = server.answers.lock().get(request.uri().path()).cloned();
                    if watches && known.is_some() {
                        // It ends now and then, as watches do.
                        sleep(Duration::from_mins(1)).await;
                        return Ok::<_, Error>(Response::new(Body::from(Vec::new())));
                    }
                    let gone = json!({"kind": "Status", "metadata": {}, "code": 404, "reason": "NotFound", "message": ""});
                    let (code, body) = known.unwrap_or((404, gone));
                    let body = Body::from(serde_json::to_vec(&body)?);
                    Ok(Response::builder().status(code).body(body)?)
                }
            };
            Client::new(tower::service_fn(answer), "default")
        }
    }

    type Seen = Arc<Mutex<Vec<Offered<String>>>>;

    fn follow(server: &Server) -> (Seen, Readiness, impl Future<Output = Result<(), BoxError>>) {
        let (seen, set) = (Seen::default(), Readiness::new());
        let (told, client) = (Arc::clone(&seen), server.client());
        let follower = Follower {
            watch: Watch::<Lease>::all("leases", client.clone()),
            client,
            prune: |lease: Lease| lease.name_any(),
            handle: move |news| told.lock().push(news),
            ready: set.handle("leases"),
        };
        (seen, set, follower.run())
    }

    async fn during<T>(
        work: impl Future<Output = Result<(), BoxError>>,
        story: impl Future<Output = T>,
    ) -> T {
        tokio::select! {
            _ = work => panic!("it ended"),
            told = story => told,
        }
    }

    fn list() -> Offered<String> {
        Offered::Change(Change::Restarted(vec![(
            Key::new("ns", "a"),
            "a".to_owned(),
        )]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_comes_is_followed_and_one_that_goes_is_told() {
        let server = Server::default();
        let (seen, set, work) = follow(&server);
        assert!(!set.is_ready());
        during(work, async {
            sleep(LOOK * 3).await;
            assert_eq!(*seen.lock(), [Offered::Absent], "told once");
            assert!(set.is_ready(), "nobody waits for what is not there");
            let start = Instant::now();
            server.with_kind();
            while seen.lock().len() < 2 {
                sleep(Duration::from_millis(100)).await;
            }
            assert!(start.elapsed() <= LOOK, "{:?}", start.elapsed());
            assert_eq!(*seen.lock(), [Offered::Absent, list()]);
            server.without_kind();
            sleep(LOOK * 20).await;
            assert_eq!(*seen.lock(), [Offered::Absent, list(), Offered::Absent]);
            server.with_kind();
            sleep(LOOK * 2).await;
            assert_eq!(seen.lock().last(), Some(&list()));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_is_there_is_listed_before_anybody_is_ready() {
        let server = Server::default();
        server.with_kind();
        let (seen, set, work) = follow(&server);
        during(work, async {
            while !set.is_ready() {
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(*seen.lock(), [list()]);
        })
        .await;
    }

    /// Another kind of the group is there, discovery is in trouble, or RBAC says no: what is known holds
    /// and everybody else works.
    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_keeps_nobody_waiting_and_takes_nothing_back() {
        let server = Server::default();
        server.say(
            KIND,
            200,
            json!({"groupVersion": "coordination.k8s.io/v1", "resources": []}),
        );
        let (seen, set, work) = follow(&server);
        during(work, async {
            sleep(LOOK * 2).await;
            assert_eq!((seen.lock().clone(), set.is_ready()), (vec![Offered::Absent], true));
            server.with_kind();
            let denied = json!({"kind": "Status", "metadata": {}, "code": 403, "reason": "Forbidden", "message": ""});
            server.say(OBJECTS, 403, denied.clone());
            sleep(LOOK * 30).await;
            assert_eq!(*seen.lock(), [Offered::Absent]);
            server.with_kind();
            sleep(LOOK * 30).await;
            assert_eq!(*seen.lock(), [Offered::Absent, list()]);
            server.say(KIND, 503, denied);
            sleep(LOOK * 30).await;
            assert!(!seen.lock()[2..].contains(&Offered::Absent));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn looking_for_it_costs_one_call_now_and_then() {
        let server = Server::default();
        let (_, _, work) = follow(&server);
        during(work, sleep(LOOK * 100)).await;
        let asked = server.asked.load(Ordering::SeqCst);
        assert!((90..=101).contains(&asked), "{asked} calls");
    }
}
