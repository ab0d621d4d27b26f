//! The pod that is never made: as plain as a pod can be, so that few policies mind it.

use direct_access::names;
use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, Pod, PodSecurityContext, PodSpec, ResourceRequirements,
        SeccompProfile, SecurityContext,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

/// A pod that conforms to the restricted Pod Security Standard and names its resources, which quotas ask
/// for.
pub(super) fn canary() -> Pod {
    Pod {
        metadata: ObjectMeta {
            generate_name: Some("canary-".to_owned()),
            labels: Some([(names::CANARY_LABEL.to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            containers: vec![container()],
            enable_service_links: Some(false),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(65_532),
                seccomp_profile: Some(SeccompProfile {
                    localhost_profile: None,
                    type_: "RuntimeDefault".to_owned(),
                }),
                ..PodSecurityContext::default()
            }),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// Whether the pod has the gate.
pub(super) fn has_gate(pod: &Pod) -> bool {
    let gates = pod.spec.iter().flat_map(|spec| &spec.readiness_gates);
    gates
        .flatten()
        .any(|gate| gate.condition_type == names::GATE)
}

/// Its image need not exist: nobody pulls it.
fn container() -> Container {
    let little = [("cpu", "1m"), ("memory", "1Mi")];
    let little = little.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())));
    Container {
        name: "canary".to_owned(),
        image: Some("clb-gate:canary".to_owned()),
        resources: Some(ResourceRequirements {
            limits: Some(little.clone().into()),
            requests: Some(little.into()),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: None,
                drop: Some(vec!["ALL".to_owned()]),
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}
