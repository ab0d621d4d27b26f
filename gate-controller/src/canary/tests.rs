//! The loop against an API server in memory.

use std::{convert::Infallible, sync::Arc};

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use runtime::Readiness;
use serde_json::{Value, json};

use super::*;

/// Creates pods as the real one would for a dry run, and remembers what was asked.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Instead of a pod with the gate.
    refusal: Option<(StatusCode, &'static str)>,
    ungated: bool,
    /// Method, path and query of everything that is no watch, and when.
    calls: Vec<(Instant, String)>,
}

const REFUSED: &str = "Internal error occurred: failed calling webhook \"canary.clb-gate.io\": failed to call webhook: Post \"https://clb-gate-webhook.clb-gate.svc:443/canary?timeout=3s\": dial tcp 10.96.0.12:443: connect: connection refused";
const LOOK: &str = "POST /api/v1/namespaces/clb-gate-canary/pods?&dryRun=All&fieldManager=clb-gate";

impl State {
    fn answer(&mut self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        if *method != Method::POST {
            return status(StatusCode::NOT_FOUND, "not found");
        }
        if let Some((code, text)) = self.refusal {
            return status(code, text);
        }
        let mut pod: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(pod["metadata"]["labels"]["clb-gate.io/canary"], "true");
        if !self.ungated {
            pod["spec"]["readinessGates"] = json!([{ "conditionType": names::GATE }]);
        }
        (StatusCode::CREATED, pod)
    }
}

fn status(code: StatusCode, message: &str) -> (StatusCode, Value) {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": message,
    });
    (code, status)
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let mut state = server.0.lock();
                let asked = head.uri.path_and_query().unwrap().as_str();
                // The watch lists first.
                if !asked.contains("fieldSelector") {
                    let call = format!("{} {asked}", head.method);
                    state.calls.push((Instant::now(), call));
                }
                let (code, answer) = state.answer(&head.method, &body);
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "clb-gate")
    }

    /// Lets a leader look for so long, and returns when it asked what.
    async fn watched_for(&self, canary: &mut Canary, time: Duration) -> Vec<(u64, String)> {
        let start = Instant::now();
        self.0.lock().calls.clear();
        tokio::time::timeout(time, canary.lead()).await.unwrap_err();
        let calls = std::mem::take(&mut self.0.lock().calls);
        let calls = calls.into_iter();
        calls
            .map(|(at, call)| ((at - start).as_secs(), call))
            .collect()
    }
}

fn canary(server: &Server, readiness: &Readiness) -> Canary {
    let ready = readiness.handle("canary");
    ready.ready();
    Canary::new(CanaryContext {
        client: server.client(),
        recorder: Recorder::silent(),
        metrics: CanaryMetrics::default(),
        ready,
    })
}

fn times(calls: &[(u64, String)]) -> Vec<u64> {
    assert!(calls.iter().all(|(_, call)| call == LOOK), "{calls:?}");
    calls.iter().map(|(at, _)| *at).collect()
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_works_costs_one_dry_run_a_minute_and_nothing_else() {
    let (server, readiness) = (Server::default(), Readiness::new());
    let mut canary = canary(&server, &readiness);
    let calls = server
        .watched_for(&mut canary, Duration::from_mins(4))
        .await;
    assert_eq!(times(&calls), [3, 63, 123, 183]);
    assert!(readiness.is_ready() && readiness.remarks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_registration_is_looked_at_soon_and_a_storm_of_changes_not_more_often() {
    let (server, readiness) = (Server::default(), Readiness::new());
    let mut canary = canary(&server, &readiness);
    let start = Instant::now();
    let at = |second: f64| start + Duration::from_secs_f64(second);
    let storm = (0..100_u32).map(|number| at(20.0 + f64::from(number) / 10.0));
    let changes = futures::stream::iter([at(10.0)].into_iter().chain(storm));
    let changes = changes.then(sleep_until);
    let mut changes = pin!(changes.chain(futures::stream::pending()));
    let following = canary.follow(changes.as_mut());
    let minute = Duration::from_mins(1);
    tokio::time::timeout(minute, following).await.unwrap_err();
    let calls = server.0.lock().calls.clone();
    let seconds = calls.iter().map(|(at, _)| (*at - start).as_secs());
    assert_eq!(seconds.collect::<Vec<_>>(), [3, 13, 23, 26, 29, 32]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_chain_is_looked_at_more_often_remarked_and_makes_nothing_unready() {
    let (server, readiness) = (Server::default(), Readiness::new());
    let mut canary = canary(&server, &readiness);
    server.0.lock().refusal = Some((StatusCode::INTERNAL_SERVER_ERROR, REFUSED));
    let calls = server
        .watched_for(&mut canary, Duration::from_secs(30))
        .await;
    assert_eq!(times(&calls), [3, 13, 23]);
    assert!(readiness.is_ready());
    let remarks = readiness.remarks();
    assert!(
        remarks[0]
            .1
            .starts_with("the API server cannot reach the webhook: ")
    );

    server.0.lock().refusal = None;
    server
        .watched_for(&mut canary, Duration::from_secs(5))
        .await;
    assert!(readiness.remarks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_remarked_and_not_hurried() {
    let (server, readiness) = (Server::default(), Readiness::new());
    let mut canary = canary(&server, &readiness);
    let text = "pods \"canary-a\" is forbidden: exceeded quota: none, requested: pods=1";
    server.0.lock().refusal = Some((StatusCode::FORBIDDEN, text));
    let calls = server
        .watched_for(&mut canary, Duration::from_mins(2))
        .await;
    assert_eq!(times(&calls), [3, 63]);
    assert!(
        readiness.remarks()[0]
            .1
            .contains("a quota refused the canary")
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_its_gate_makes_it_look_at_the_registration() {
    let (server, readiness) = (Server::default(), Readiness::new());
    let mut canary = canary(&server, &readiness);
    server.0.lock().ungated = true;
    let calls = server
        .watched_for(&mut canary, Duration::from_secs(5))
        .await;
    let asked: Vec<_> = calls.iter().map(|(_, call)| call.as_str()).collect();
    let get = "GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/clb-gate";
    assert_eq!(asked, [LOOK, get]);
    assert!(
        readiness.remarks()[0]
            .1
            .contains("does not know the webhook")
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_lead_does_not_look_and_says_nothing() {
    let (server, readiness) = (Server::default(), Readiness::new());
    let waiting = canary(&server, &readiness);
    let draining = CancellationToken::new();
    let running = run(waiting.context, Leadership::never(), draining.clone());
    tokio::join!(async { running.await.unwrap() }, async {
        tokio::time::sleep(Duration::from_mins(5)).await;
        draining.cancel();
    });
    assert!(server.0.lock().calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_leader_no_more_takes_its_word_back() {
    let (server, readiness) = (Server::default(), Readiness::new());
    let mut canary = canary(&server, &readiness);
    server.0.lock().refusal = Some((StatusCode::INTERNAL_SERVER_ERROR, REFUSED));
    server
        .watched_for(&mut canary, Duration::from_secs(5))
        .await;
    assert!(!readiness.remarks().is_empty());
    canary.step_down();
    assert!(readiness.remarks().is_empty());
}
