//! Why a call is refused, in the API's own codes. One type for the model and the API, so that a
//! rule and the answer it gives stand side by side.

/// An error answer: a documented code and a sentence for a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

/// The codes used here, as the API reference of `clb` 2018-03-17 spells them.
pub(crate) mod code {
    pub(crate) const AUTH_INVALID: &str = "AuthFailure.InvalidAuthorization";
    pub(crate) const AUTH_SECRET_ID: &str = "AuthFailure.SecretIdNotFound";
    pub(crate) const AUTH_EXPIRED: &str = "AuthFailure.SignatureExpire";
    pub(crate) const AUTH_SIGNATURE: &str = "AuthFailure.SignatureFailure";
    pub(crate) const AUTH_TOKEN: &str = "AuthFailure.TokenFailure";
    pub(crate) const BUSY: &str = "FailedOperation.ResourceInOperating";
    pub(crate) const CLIENT_TOKEN: &str = "InvalidParameter.ClientTokenLimitExceeded";
    pub(crate) const DELETES_TOO_FAST: &str = "FailedOperation.FrequencyCheckRisk";
    pub(crate) const DELETES_TARGETS: &str = "FailedOperation.TargetNumCheckRisk";
    pub(crate) const DELETES_TRAFFIC: &str = "FailedOperation.TrafficCheckRisk";
    pub(crate) const DENIED: &str = "OperationDenied";
    pub(crate) const DUPLICATE: &str = "InvalidParameterValue.Duplicate";
    pub(crate) const INTERNAL: &str = "InternalError";
    pub(crate) const INVALID_ACTION: &str = "InvalidAction";
    pub(crate) const INVALID_FILTER: &str = "InvalidParameterValue.InvalidFilter";
    pub(crate) const INVALID_PARAMETER: &str = "InvalidParameter";
    pub(crate) const INVALID_REQUEST: &str = "InvalidRequest";
    pub(crate) const INVALID_VALUE: &str = "InvalidParameterValue";
    pub(crate) const LB_NOT_FOUND: &str = "InvalidParameter.LBIdNotFound";
    pub(crate) const LENGTH: &str = "InvalidParameterValue.Length";
    pub(crate) const LIMIT_EXCEEDED: &str = "LimitExceeded";
    pub(crate) const LISTENER_NOT_FOUND: &str = "InvalidParameter.ListenerIdNotFound";
    pub(crate) const LOCATION_NOT_FOUND: &str = "InvalidParameter.LocationNotFound";
    pub(crate) const MISSING: &str = "MissingParameter";
    pub(crate) const NO_SUCH_VERSION: &str = "NoSuchVersion";
    pub(crate) const PORT_CHECK: &str = "InvalidParameter.PortCheckFailed";
    pub(crate) const PROTOCOL_CHECK: &str = "InvalidParameter.ProtocolCheckFailed";
    pub(crate) const RANGE: &str = "InvalidParameterValue.Range";
    pub(crate) const RATE: &str = "RequestLimitExceeded";
    pub(crate) const RESOURCE_INSUFFICIENT: &str = "ResourceInsufficient";
    pub(crate) const ROLE_NOT_FOUND: &str = "ResourceNotFound.RoleNotFound";
    pub(crate) const SIZE: &str = "RequestSizeLimitExceeded";
    pub(crate) const UNAUTHORIZED: &str = "UnauthorizedOperation";
    pub(crate) const UNKNOWN_PARAMETER: &str = "UnknownParameter";
    pub(crate) const UNSUPPORTED: &str = "UnsupportedOperation";
    pub(crate) const UNSUPPORTED_REGION: &str = "UnsupportedRegion";
    pub(crate) const WEB_IDENTITY: &str = "InvalidParameter.WebIdentityTokenError";
}
