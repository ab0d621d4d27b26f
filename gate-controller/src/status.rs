//! The one write to a pod: the gate's condition, with UID and resource version as preconditions.

use std::time::Duration;

use direct_access::condition::{Condition, Observed, Status};
use direct_access::names;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use runtime::CallError;
use serde_json::{Value, json};

use crate::pod::PodRecord;

/// A status patch is small; an API server that needs longer is in trouble, and the watch tells us when
/// to try again.
const DEADLINE: Duration = Duration::from_secs(5);

/// Writes the condition and returns the pod as the API server has it then.
pub async fn write(
    client: &Client,
    pod: &PodRecord,
    condition: &Condition,
    now: Timestamp,
) -> Result<PodRecord, CallError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let patch = Patch::Strategic(patch(pod, condition, now));
    let params = PatchParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let attempt = format!("patch the status of Pod {}", pod.object());
    let written = runtime::call(
        DEADLINE,
        attempt,
        api.patch_status(&pod.name, &params, &patch),
    )
    .await?;
    Ok(PodRecord::prune(written))
}

fn patch(pod: &PodRecord, condition: &Condition, now: Timestamp) -> Value {
    let none = Observed::default();
    let transition = pod
        .condition
        .as_ref()
        .unwrap_or(&none)
        .transition(condition, now);
    let latched = match condition.status {
        Status::True => pod.ip.map(|ip| ip.to_string()),
        Status::False => None,
    };
    json!({
        "metadata": {
            "uid": pod.uid,
            "resourceVersion": pod.version.to_string(),
            // The address for which the gate is latched; null takes it away again.
            "annotations": {(names::LATCHED_IP): latched},
        },
        "status": {"conditions": [{
            "type": names::GATE,
            "status": condition.status.as_str(),
            "reason": condition.reason.as_str(),
            "message": condition.message,
            "lastProbeTime": null,
            "lastTransitionTime": transition.to_string(),
        }]},
    })
}

#[cfg(test)]
mod tests {
    use direct_access::condition::ConditionReason;

    use super::*;
    use crate::pod::tests::pod;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn condition(status: Status) -> Condition {
        Condition {
            status,
            reason: ConditionReason::Healthy,
            message: "why".to_owned(),
        }
    }

    #[test]
    fn the_patch_is_for_this_very_pod_and_latches_its_address() {
        let patch = patch(&pod("a", 5), &condition(Status::True), at(7));
        assert_eq!(patch["metadata"]["uid"], "uid-a");
        assert_eq!(patch["metadata"]["resourceVersion"], "1");
        assert_eq!(
            patch["metadata"]["annotations"][names::LATCHED_IP],
            "198.18.1.5"
        );
        let written = &patch["status"]["conditions"][0];
        assert_eq!(
            (&written["type"], &written["status"]),
            (&json!(names::GATE), &json!("True"))
        );
        assert_eq!(written["lastTransitionTime"], "1970-01-01T00:00:07Z");
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let before = Observed {
            status: "False".to_owned(),
            last_transition: Some(at(3)),
            ..Observed::default()
        };
        let pod = PodRecord {
            condition: Some(before),
            ..pod("a", 5)
        };
        let time = |status| {
            patch(&pod, &condition(status), at(7))["status"]["conditions"][0]["lastTransitionTime"]
                .clone()
        };
        assert_eq!(time(Status::False), "1970-01-01T00:00:03Z");
        assert_eq!(time(Status::True), "1970-01-01T00:00:07Z");
        let patch = patch(&pod, &condition(Status::False), at(7));
        assert_eq!(
            patch["metadata"]["annotations"][names::LATCHED_IP],
            Value::Null
        );
    }
}
