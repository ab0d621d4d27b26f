//! The words are those of Kubernetes 1.36, composed as its code composes them.

use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhook,
    core::v1::{PodReadinessGate, PodSpec},
};
use kube::core::Status;
use rstest::rstest;

use super::*;

fn failed(code: u16, message: &str) -> CallError {
    let status = Status {
        code,
        message: message.to_owned(),
        ..Status::default()
    };
    failure(kube::Error::Api(Box::new(status)))
}

fn failure(error: kube::Error) -> CallError {
    CallError::Api {
        attempt: "create a canary pod".to_owned(),
        source: Box::new(error),
    }
}

/// As the API server puts what its client for our webhook says.
fn calling(reason: &str) -> Verdict {
    let text =
        format!("Internal error occurred: failed calling webhook \"canary.clb-gate.io\": {reason}");
    judge(&Err(failed(500, &text)))
}

fn posting(error: &str) -> Verdict {
    let url = "https://clb-gate-webhook.clb-gate.svc:443/canary?timeout=3s";
    calling(&format!("failed to call webhook: Post \"{url}\": {error}"))
}

fn cause(verdict: Verdict) -> Cause {
    match verdict {
        Verdict::Broken { cause, text } => {
            assert!(text.contains("failed calling webhook"), "{text}");
            cause
        }
        other @ (Verdict::Works | Verdict::Denied { .. } | Verdict::Unknown { .. }) => {
            panic!("{other:?}")
        }
    }
}

#[rstest]
#[case::nobody_listens(
    "dial tcp 10.96.0.12:443: connect: connection refused",
    Cause::CannotReach
)]
#[case::no_route(
    "dial tcp 10.96.0.12:443: connect: no route to host",
    Cause::CannotReach
)]
#[case::unreachable(
    "dial tcp 10.96.0.12:443: connect: network is unreachable",
    Cause::CannotReach
)]
#[case::no_endpoints(
    "no endpoints available for service \"clb-gate-webhook\"",
    Cause::CannotReach
)]
#[case::no_service("service \"clb-gate-webhook\" not found", Cause::CannotReach)]
#[case::no_port(
    "no service port 443 found for service \"clb-gate-webhook\"",
    Cause::CannotReach
)]
#[case::no_name(
    "dial tcp: lookup clb-gate-webhook.clb-gate.svc on 10.0.0.2:53: no such host",
    Cause::CannotReach
)]
#[case::cut("EOF", Cause::CannotReach)]
#[case::reset(
    "read tcp 10.0.0.1:5->10.0.0.2:8443: read: connection reset by peer",
    Cause::CannotReach
)]
#[case::swallowed("context deadline exceeded", Cause::TimedOut)]
#[case::swallowed_dial("dial tcp 10.96.0.12:443: i/o timeout", Cause::TimedOut)]
#[case::slow(
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    Cause::TimedOut
)]
#[case::silent("net/http: TLS handshake timeout", Cause::TimedOut)]
#[case::other_ca(
    "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    Cause::NotTrusted
)]
#[case::older_go(
    "x509: certificate signed by unknown authority (possibly because of \"x509: ECDSA verification failure\")",
    Cause::NotTrusted
)]
#[case::expired(
    "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-21T06:00:00Z is after 2026-11-20T06:00:00Z",
    Cause::NotTrusted
)]
#[case::other_name(
    "tls: failed to verify certificate: x509: certificate is valid for a.b.svc, not clb-gate-webhook.clb-gate.svc",
    Cause::NotTrusted
)]
#[case::no_leaf("remote error: tls: access denied", Cause::NotTrusted)]
#[case::not_tls(
    "tls: first record does not look like a TLS handshake",
    Cause::NotTrusted
)]
fn a_call_that_fails_on_its_way_is_told_by_its_reason(
    #[case] error: &str,
    #[case] expected: Cause,
) {
    assert_eq!(cause(posting(error)), expected);
}

#[rstest]
#[case::bundle(
    "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block",
    Cause::NotTrusted
)]
#[case::http_400(
    "failed to call webhook: the server rejected our request for an unknown reason",
    Cause::Answered
)]
#[case::http_404(
    "failed to call webhook: the server could not find the requested resource",
    Cause::Answered
)]
#[case::http_500(
    "failed to call webhook: an error on the server (\"\") has prevented the request from succeeding",
    Cause::Answered
)]
#[case::http_503(
    "failed to call webhook: the server is currently unable to handle the request",
    Cause::Answered
)]
#[case::http_413(
    "failed to call webhook: the server responded with the status code 413 but did not return more information",
    Cause::Answered
)]
#[case::other_uid(
    "received invalid webhook response: expected response.uid=\"a\", got \"b\"",
    Cause::Answered
)]
#[case::patch(
    "received undecodable patch in webhook response: invalid JSON Document",
    Cause::Answered
)]
#[case::nothing(
    "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
    Cause::Answered
)]
fn an_answer_that_is_none_is_told_from_none_at_all(#[case] reason: &str, #[case] expected: Cause) {
    assert_eq!(cause(calling(reason)), expected);
}

#[test]
fn a_denial_in_our_name_is_not_ours() {
    let text = "admission webhook \"canary.clb-gate.io\" denied the request without explanation";
    let verdict = judge(&Err(failed(400, text)));
    assert_eq!(verdict, Cause::Answered.with(text));
}

#[rstest]
#[case::quota(
    403,
    "pods \"canary-x7k2p\" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0",
    Denial::Quota
)]
#[case::quota_wants_more(
    403,
    "pods \"canary-x7k2p\" is forbidden: failed quota: compute: must specify limits.ephemeral-storage for: canary",
    Denial::Quota
)]
#[case::minimum(
    403,
    "pods \"canary-x7k2p\" is forbidden: minimum cpu usage per Container is 100m, but request is 1m",
    Denial::LimitRange
)]
#[case::ratio(
    403,
    "pods \"canary-x7k2p\" is forbidden: cpu max limit to request ratio per Container is 0, but provided ratio is 1.000000",
    Denial::LimitRange
)]
#[case::pod_security(
    403,
    "pods \"canary-x7k2p\" is forbidden: violates PodSecurity \"restricted:latest\": unrestricted capabilities (container \"canary\" must set securityContext.capabilities.drop=[\"ALL\"])",
    Denial::PodSecurity
)]
#[case::policy(
    422,
    "pods \"canary-x7k2p\" is forbidden: ValidatingAdmissionPolicy 'images' with binding 'all' denied request: only images of ours",
    Denial::Policy
)]
#[case::policy_403(
    403,
    "pods \"canary-x7k2p\" is forbidden: ValidatingAdmissionPolicy 'images' denied request: failed expression: false",
    Denial::Policy
)]
#[case::changing_policy(
    403,
    "pods \"canary-x7k2p\" is forbidden: policy 'sidecars' with binding 'all' denied request: composition failed",
    Denial::Policy
)]
#[case::webhook(
    403,
    "admission webhook \"validate.kyverno.svc-fail\" denied the request: resource Pod/clb-gate-canary was blocked",
    Denial::Webhook
)]
#[case::webhook_400(
    400,
    "admission webhook \"x.example.com\" does not support dry run",
    Denial::Webhook
)]
#[case::webhook_500(
    500,
    "admission webhook \"x.example.com\" denied the request: panic",
    Denial::Webhook
)]
#[case::webhook_down(
    500,
    "Internal error occurred: failed calling webhook \"x.example.com\": failed to call webhook: Post \"https://x.y.svc:443/?timeout=10s\": context deadline exceeded",
    Denial::Webhook
)]
#[case::rbac(
    403,
    "pods is forbidden: User \"system:serviceaccount:clb-gate:clb-gate-controller\" cannot create resource \"pods\" in API group \"\" in the namespace \"clb-gate-canary\"",
    Denial::Rbac
)]
#[case::no_namespace(404, "namespaces \"clb-gate-canary\" not found", Denial::Namespace)]
#[case::namespace_goes(
    403,
    "pods \"canary-x7k2p\" is forbidden: unable to create new content in namespace clb-gate-canary because it is being terminated",
    Denial::Namespace
)]
#[case::no_account(
    403,
    "pods \"canary-x7k2p\" is forbidden: error looking up service account clb-gate-canary/default: serviceaccount \"default\" not found",
    Denial::ServiceAccount
)]
#[case::invalid(
    422,
    "Pod \"canary-x7k2p\" is invalid: spec.containers[0].image: Required value",
    Denial::Other
)]
fn a_refusal_by_others_proves_nothing(
    #[case] code: u16,
    #[case] text: &str,
    #[case] expected: Denial,
) {
    assert_eq!(judge(&Err(failed(code, text))), expected.with(text));
}

#[rstest]
#[case::busy(
    429,
    "the server has received too many requests and has asked us to try again later"
)]
#[case::token(401, "Unauthorized")]
#[case::etcd(500, "Internal error occurred: etcdserver: leader changed")]
#[case::starting(503, "apiserver not ready")]
#[case::late(
    504,
    "Timeout: request did not complete within requested timeout - context deadline exceeded"
)]
fn an_api_server_in_trouble_says_nothing_about_the_webhook(#[case] code: u16, #[case] text: &str) {
    let text = text.to_owned();
    assert_eq!(judge(&Err(failed(code, &text))), Verdict::Unknown { text });
}

#[test]
fn silence_of_the_api_server_says_nothing_about_the_webhook() {
    let timeout = CallError::Timeout {
        attempt: "create a canary pod".to_owned(),
        after: std::time::Duration::from_secs(10),
    };
    for error in [timeout, failure(kube::Error::TlsRequired)] {
        let verdict = judge(&Err(error));
        assert_eq!(verdict.label(), "unknown");
        assert!(verdict.to_string().contains("create a canary pod"));
    }
}

fn pod(gates: Option<&[&str]>) -> Pod {
    let gate = |name: &&str| PodReadinessGate {
        condition_type: (*name).to_owned(),
    };
    let readiness_gates = gates.map(|gates| gates.iter().map(gate).collect());
    let spec = PodSpec {
        readiness_gates,
        ..PodSpec::default()
    };
    Pod {
        spec: Some(spec),
        ..Pod::default()
    }
}

#[test]
fn only_the_gate_itself_proves_anything() {
    assert_eq!(
        judge(&Ok(pod(Some(&["other", names::GATE])))),
        Verdict::Works
    );
    for ungated in [
        pod(None),
        pod(Some(&[])),
        pod(Some(&["other"])),
        Pod::default(),
    ] {
        let Verdict::Broken { cause, .. } = judge(&Ok(ungated)) else {
            panic!("not broken")
        };
        assert_eq!(cause, Cause::NotInjected);
    }
    assert_eq!(judge(&Ok(pod::canary())).label(), "broken");
}

#[test]
fn without_the_gate_the_registration_says_why() {
    let entry = |name: &str| MutatingWebhook {
        name: name.to_owned(),
        ..MutatingWebhook::default()
    };
    let cause = |webhooks: Option<Vec<MutatingWebhook>>| {
        let registration = MutatingWebhookConfiguration {
            webhooks,
            ..MutatingWebhookConfiguration::default()
        };
        match without_gate(Ok(&Some(registration))) {
            Verdict::Broken { cause, .. } => cause,
            other @ (Verdict::Works | Verdict::Denied { .. } | Verdict::Unknown { .. }) => {
                panic!("{other:?}")
            }
        }
    };
    assert_eq!(cause(None), Cause::NotRegistered);
    assert_eq!(
        cause(Some(vec![entry("pods.clb-gate.io")])),
        Cause::NotRegistered
    );
    assert_eq!(
        cause(Some(vec![entry("canary.clb-gate.io")])),
        Cause::NotInjected
    );
    assert_eq!(
        without_gate(Ok(&None)),
        Cause::NotRegistered.with("there is no MutatingWebhookConfiguration clb-gate")
    );
    let unread = failed(503, "apiserver not ready");
    assert_eq!(without_gate(Err(&unread)).kind(), Cause::NotInjected.kind());
}

#[test]
fn a_note_says_what_where_to_look_and_fits() {
    let long = "x".repeat(5_000);
    let causes = [
        Cause::CannotReach,
        Cause::NotTrusted,
        Cause::TimedOut,
        Cause::Answered,
        Cause::NotInjected,
        Cause::NotRegistered,
    ];
    for cause in causes {
        let note = cause.with(&long).note();
        assert!(note.len() <= 1_024, "{}", note.len());
        assert!(
            note.starts_with(cause.kind()) && note.ends_with(cause.advice()),
            "{note}"
        );
    }
    assert_eq!(Verdict::Works.note(), "the canary gets its gate");
}
