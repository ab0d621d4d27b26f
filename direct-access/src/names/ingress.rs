//! Names that an Ingress shares with TKE (its documentation of CLB-type Ingresses).

/// The class that is ours: by annotation, by `ingressClassName`, or by naming none at all.
pub const CLASS: &str = "qcloud";
/// Annotation with the class; it counts before `spec.ingressClassName`.
pub const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// `"true"` or `"false"`: the only switch for direct access.
pub const DIRECT_ACCESS: &str = "ingress.cloud.tencent.com/direct-access";
/// `skip` makes TKE's own controller ignore the Ingress.
pub const MODE: &str = "ingress.cloud.tencent.com/mode";
/// The existing CLB to use, `lb-xxxxxxxx`.
pub const EXISTING_LOAD_BALANCER: &str = "kubernetes.io/ingress.existLbId";
/// The id of the CLB in use; written by the controller.
pub const LOAD_BALANCER_ID: &str = "kubernetes.io/ingress.qcloud-loadbalance-id";
/// The token that makes a repeated `CreateLoadBalancer` the same one; written by the controller before the
/// first call.
pub const CLIENT_TOKEN: &str = "ingress.cloud.tencent.com/client-token";
/// The subnet of an internal CLB.
pub const INTERNAL_SUBNET: &str = "kubernetes.io/ingress.subnetId";
/// How a public CLB's traffic is paid for.
pub const CHARGE_TYPE: &str = "kubernetes.io/ingress.internetChargeType";
/// Mbit/s of a public CLB.
pub const BANDWIDTH: &str = "kubernetes.io/ingress.internetMaxBandwidthOut";
/// Extra `CreateLoadBalancer` parameters as a JSON object.
pub const EXTENSIVE_PARAMETERS: &str = "kubernetes.io/ingress.extensiveParameters";
/// The security groups of a CLB that we make, with commas between them.
pub const SECURITY_GROUPS: &str = "ingress.cloud.tencent.com/security-groups";
/// Whether only the CLB's own security groups are asked.
pub const PASS_TO_TARGET: &str = "ingress.cloud.tencent.com/pass-to-target";
/// The listeners: `[{"HTTP":80},{"HTTPS":443}]`.
pub const LISTEN_PORTS: &str = "ingress.cloud.tencent.com/listen-ports";
/// `"true"`: the rules are spread over HTTP and HTTPS by the next two.
pub const RULE_MIX: &str = "kubernetes.io/ingress.rule-mix";
/// `"true"`: every rule is on HTTP and on HTTPS.
pub const RULE_MIX_BOTH: &str = "kubernetes.io/ingress.rule-mix-both";
/// Which rules are on HTTP.
pub const HTTP_RULES: &str = "kubernetes.io/ingress.http-rules";
/// Which rules are on HTTPS.
pub const HTTPS_RULES: &str = "kubernetes.io/ingress.https-rules";
/// Certificates by host: `[{"hosts":["a.com"],"qcloud_cert_id":["abcd1234"]}]`.
pub const CERTIFICATE: &str = "ingress.cloud.tencent.com/certificate";
/// The `TkeServiceConfig` in the Ingress's namespace that says how its rules are set up.
pub const TKE_SERVICE_CONFIG: &str = "ingress.cloud.tencent.com/tke-service-config";
/// `"true"`: HTTP answers with a redirect to HTTPS.
pub const AUTO_REWRITE: &str = "ingress.cloud.tencent.com/auto-rewrite";

/// `"true"` or `"false"`: whether pods serve on until the CLB sends them nothing new.
pub const GRACE_DELETION: &str = "ingress.cloud.tencent.com/enable-grace-deletion";

/// On a pod: the weight of its targets under rules, 0 to 100.
pub const CUSTOM_WEIGHT: &str = "ingress.cloud.tencent.com/custom-weight";

/// Key of a Secret with the id of a certificate in Tencent's SSL Certificate Service.
pub const CERTIFICATE_KEY: &str = "qcloud_cert_id";
/// Key of a Secret with the id of the CA that clients' certificates must be signed by.
pub const CA_CERTIFICATE_KEY: &str = "qcloud_ca_cert_id";

/// The annotations that matter here; everything else is pruned when an Ingress is cached.
pub const ANNOTATIONS: [&str; 22] = [
    CLASS_ANNOTATION,
    DIRECT_ACCESS,
    MODE,
    EXISTING_LOAD_BALANCER,
    LOAD_BALANCER_ID,
    CLIENT_TOKEN,
    INTERNAL_SUBNET,
    CHARGE_TYPE,
    BANDWIDTH,
    EXTENSIVE_PARAMETERS,
    SECURITY_GROUPS,
    PASS_TO_TARGET,
    LISTEN_PORTS,
    RULE_MIX,
    RULE_MIX_BOTH,
    HTTP_RULES,
    HTTPS_RULES,
    CERTIFICATE,
    TKE_SERVICE_CONFIG,
    AUTO_REWRITE,
    GRACE_DELETION,
    super::DRAIN_SECONDS,
];
