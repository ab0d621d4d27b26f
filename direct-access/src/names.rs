//! Every name that clb-gate shares with Kubernetes, TKE or its own installation: the only place where
//! such a literal lives.

pub mod ingress;

/// The readiness gate and its pod condition, as TKE names it. One gate a pod, shared by all exposures.
pub const GATE: &str = "cloud.tencent.com/load-balancer-backendgroup-ready";

/// Service annotation, `"true"` or `"false"`: the only switch for direct access (TKE's own).
pub const DIRECT_ACCESS: &str = "service.cloud.tencent.com/direct-access";
/// Service annotation that names the existing CLB to use, `lb-xxxxxxxx` (TKE's own).
pub const EXISTING_LOAD_BALANCER: &str = "service.kubernetes.io/tke-existed-lbid";
/// Service annotation with the id of the CLB in use; written by the controller (TKE's own).
pub const LOAD_BALANCER_ID: &str = "service.kubernetes.io/loadbalance-id";
/// Service annotation with the token that makes a repeated `CreateLoadBalancer` the same one; written
/// by the controller before the first call (TKE's own).
pub const CLIENT_TOKEN: &str = "service.cloud.tencent.com/client-token";
/// Service annotation with the address that the controller put into `status.loadBalancer`; written
/// before the status, so that only what we showed is ever taken away again.
pub const SHOWN_ADDRESS: &str = "clb-gate.io/shown-address";
/// Finalizer of Services and Ingresses whose CLB we make: set before the CLB is, removed after it was deleted.
pub const FINALIZER: &str = "clb-gate.io/load-balancer";
/// Service annotation: the subnet of an internal CLB (TKE's own).
pub const INTERNAL_SUBNET: &str = "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid";
/// Service annotation: how a public CLB's traffic is paid for (TKE's own).
pub const CHARGE_TYPE: &str = "service.kubernetes.io/qcloud-loadbalancer-internet-charge-type";
/// Service annotation: Mbit/s of a public CLB (TKE's own).
pub const BANDWIDTH: &str = "service.kubernetes.io/qcloud-loadbalancer-internet-max-bandwidth-out";
/// What [`CHARGE_TYPE`] was called before (TKE's own).
pub const OLDER_CHARGE_TYPE: &str = "kubernetes.io/service.internetChargeType";
/// What [`BANDWIDTH`] was called before (TKE's own).
pub const OLDER_BANDWIDTH: &str = "kubernetes.io/service.internetMaxBandwidthOut";
/// Service annotations with an older name, which counts where the newer one is absent: newer, older.
pub const OLDER: [(&str, &str); 2] = [
    (CHARGE_TYPE, OLDER_CHARGE_TYPE),
    (BANDWIDTH, OLDER_BANDWIDTH),
];
/// Service annotation with extra `CreateLoadBalancer` parameters as a JSON object (TKE's own).
pub const EXTENSIVE_PARAMETERS: &str = "service.kubernetes.io/service.extensiveParameters";
/// Service annotation: the security groups of a CLB that we make, with commas between them (TKE's own).
pub const SECURITY_GROUPS: &str = "service.cloud.tencent.com/security-groups";
/// Service annotation: whether only the CLB's own security groups are asked (TKE's own).
pub const PASS_TO_TARGET: &str = "service.cloud.tencent.com/pass-to-target";
/// `spec.loadBalancerClass` of Services that are ours.
pub const LOAD_BALANCER_CLASS: &str = "clb-gate.io/clb";
/// Tag of a CLB we made: the cluster it was made for.
pub const CLUSTER_TAG: &str = "clb-gate.io/cluster";
/// Tag of a CLB we made: the UID of the Service it was made for.
pub const SERVICE_TAG: &str = "clb-gate.io/service";
/// Tag of a CLB we made: the UID of the Ingress it was made for.
pub const INGRESS_TAG: &str = "clb-gate.io/ingress";
/// Service annotation with extra `CreateListener` parameters as a JSON object (TKE's own).
pub const LISTENER_PARAMETERS: &str = "service.kubernetes.io/service.listenerParameters";
/// Service annotation with the protocols of each port as a JSON object (TKE's own).
pub const SPECIFY_PROTOCOL: &str = "service.cloud.tencent.com/specify-protocol";
/// Service annotation: the `TkeServiceConfig` in the Service's namespace that says how its listeners are
/// set up (TKE's own).
pub const TKE_SERVICE_CONFIG: &str = "service.cloud.tencent.com/tke-service-config";
/// Service annotation; `skip` makes TKE's own controller ignore the object.
pub const MODE: &str = "service.cloud.tencent.com/mode";
/// Pod annotation, `"0"` to `"100"`: the weight of this pod's targets (TKE's own).
pub const CUSTOM_WEIGHT: &str = "service.cloud.tencent.com/custom-weight";
/// Service annotations that matter here; everything else is pruned when a Service is cached.
pub const SERVICE_ANNOTATIONS: [&str; 20] = [
    DIRECT_ACCESS,
    EXISTING_LOAD_BALANCER,
    LISTENER_PARAMETERS,
    SPECIFY_PROTOCOL,
    TKE_SERVICE_CONFIG,
    MODE,
    LOAD_BALANCER_ID,
    CLIENT_TOKEN,
    SHOWN_ADDRESS,
    INTERNAL_SUBNET,
    CHARGE_TYPE,
    OLDER_CHARGE_TYPE,
    BANDWIDTH,
    OLDER_BANDWIDTH,
    EXTENSIVE_PARAMETERS,
    SECURITY_GROUPS,
    PASS_TO_TARGET,
    GATE_DEADLINE,
    GRACE_DELETION,
    DRAIN_SECONDS,
];

/// Pod label; `"false"` opts the pod out of the gate. A label, so that the registration's
/// `objectSelector` spares the call.
pub const INJECT_LABEL: &str = "clb-gate.io/inject";
/// Service annotation: how long its pods wait for the CLB at most, e.g. `10m`.
pub const GATE_DEADLINE: &str = "clb-gate.io/gate-deadline";
/// Service annotation, `"true"` or `"false"`: whether pods serve on until the CLB sends them nothing new (TKE's own).
pub const GRACE_DELETION: &str = "service.cloud.tencent.com/enable-grace-deletion";
/// Annotation of Services and Ingresses: how many seconds a going pod's targets keep weight 0.
pub const DRAIN_SECONDS: &str = "clb-gate.io/drain-seconds";
/// Pod annotation that keeps the address for which the gate was latched; written with the condition.
pub const LATCHED_IP: &str = "clb-gate.io/latched-ip";

/// The Service in front of the webhook pods.
pub const WEBHOOK_SERVICE: &str = "clb-gate-webhook";
/// The `MutatingWebhookConfiguration`.
pub const REGISTRATION: &str = "clb-gate";
/// The registration's entry for pods.
pub const REGISTRATION_ENTRY: &str = "pods.clb-gate.io";
/// The registration's entry for the canary's pods.
pub const CANARY_ENTRY: &str = "canary.clb-gate.io";
/// The namespace in which the canary creates pods, always as a dry run: nothing ever runs in it.
pub const CANARY_NAMESPACE: &str = "clb-gate-canary";
/// Label of the canary's pods, `"true"`: the only pods [`CANARY_ENTRY`] asks for.
pub const CANARY_LABEL: &str = "clb-gate.io/canary";
/// The `ConfigMap` that holds the settings.
pub const SETTINGS: &str = "clb-gate-settings";
/// The `ConfigMap` in which the controller keeps the load balancers it has written to.
pub const LEDGER: &str = "clb-gate-ledger";
/// The controller's leader election lease.
pub const LEASE: &str = "clb-gate-controller";
/// Field manager of every write to the Kubernetes API.
pub const FIELD_MANAGER: &str = "clb-gate";

/// TKE's `ConfigMap` in `kube-system` that names the cluster's region and VPC.
pub const TKE_CONFIG: &str = "tke-config";
/// Key of the region in [`TKE_CONFIG`].
pub const TKE_REGION: &str = "TKE_REGION";
/// Key of the VPC id in [`TKE_CONFIG`].
pub const TKE_VPC_ID: &str = "TKE_VPC_ID";
/// The namespace of TKE's own `ConfigMap`s.
pub const KUBE_SYSTEM: &str = "kube-system";
/// The `ConfigMap` in `kube-system` with the switches of TKE's own service controller: only TKE has it.
pub const TKE_SERVICE_CONTROLLER: &str = "tke-service-controller-config";
/// Key in [`TKE_SERVICE_CONTROLLER`], `"true"` or `"false"`: whether a CLB may forward to pods of
/// `GlobalRouter`.
pub const GLOBAL_ROUTE_DIRECT_ACCESS: &str = "GlobalRouteDirectAccess";
/// Key in [`TKE_SERVICE_CONTROLLER`], `"true"` or `"false"`: what holds where [`GRACE_DELETION`] is absent.
pub const POD_GRACEFUL_DELETION: &str = "EnablePodGracefulDeletion";
/// Pod annotation: the networks the pod is in, with commas between them (TKE's own).
pub const NETWORKS: &str = "tke.cloud.tencent.com/networks";
/// Values of [`NETWORKS`] that give the pod an ENI.
pub const ENI_NETWORKS: [&str; 2] = ["tke-route-eni", "tke-direct-eni"];
/// Extended resource: addresses of ENIs that a node has for pods (TKE's own).
pub const ENI_IP: &str = "tke.cloud.tencent.com/eni-ip";
/// Node label with the sort of machine it is.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// Value of [`INSTANCE_TYPE`] on TKE's super nodes.
pub const SUPER_NODE: &str = "eklet";
