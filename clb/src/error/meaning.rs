//! What the API's codes and texts, and HTTP's statuses, mean for the caller. Pure.

use crate::{Access, Kind};

/// A sent write without an answer may have been done.
pub(super) fn in_doubt(access: Access) -> Kind {
    match access {
        Access::Read => Kind::Transient,
        Access::Write => Kind::UnknownOutcome,
    }
}

/// A long answer comes from whoever has done the work.
pub(super) fn too_large(access: Access) -> Kind {
    match access {
        Access::Read => Kind::Invalid,
        Access::Write => Kind::UnknownOutcome,
    }
}

/// The API answers everything, errors too, with status 200. Another status is a proxy's or a wrong
/// host's: 4xx refuses before anything is done, 5xx may come after it.
pub(super) fn status_kind(access: Access, status: u16) -> Kind {
    match status {
        408 => in_doubt(access),
        429 => Kind::Throttled,
        300..=499 => Kind::Invalid,
        _ => in_doubt(access),
    }
}

pub(super) fn task_kind(message: Option<&str>) -> Kind {
    match message {
        Some(text) if says_busy(text) => Kind::Conflict,
        Some(text) if says_gone(text) => Kind::Gone,
        Some(_) | None => Kind::Transient,
    }
}

/// The codes are those of the CLB API's reference and those common to all of Tencent Cloud's APIs.
pub(super) fn api_kind(access: Access, code: &str, message: &str) -> Kind {
    let (family, detail) = code.split_once('.').unwrap_or((code, ""));
    match (family, detail) {
        ("RequestLimitExceeded", _) => Kind::Throttled,
        ("FailedOperation", "ResourceInOperating" | "ResourceInCloning") | ("ResourceInUse", _) => {
            Kind::Conflict
        }
        ("AuthFailure" | "UnauthorizedOperation" | "OperationDenied", _) => Kind::Denied,
        ("LimitExceeded" | "ResourceInsufficient", _) => Kind::Quota,
        ("ResourceNotFound", _)
        | ("InvalidParameter", "LBIdNotFound" | "ListenerIdNotFound" | "LocationNotFound")
        | ("FailedOperation", "NoListenerInLB") => Kind::Gone,
        ("FailedOperation", _) if says_busy(message) => Kind::Conflict,
        ("FailedOperation", _) | ("InvalidParameter" | "InvalidParameterValue", "")
            if says_gone(message) =>
        {
            Kind::Gone
        }
        // The server broke while at it: a write may have been done.
        ("InternalError", _) => in_doubt(access),
        (
            "ActionOffline"
            | "InvalidAction"
            | "InvalidParameter"
            | "InvalidParameterValue"
            | "InvalidRequest"
            | "MissingParameter"
            | "NoSuchVersion"
            | "RequestSizeLimitExceeded"
            | "ResponseSizeLimitExceeded"
            | "UnknownParameter"
            | "UnsupportedOperation"
            | "UnsupportedProtocol"
            | "UnsupportedRegion",
            _,
        ) => Kind::Invalid,
        // `FailedOperation`, `ServiceUnavailable`, and the codes of next year: wait and try.
        _ => Kind::Transient,
    }
}

/// `Loadbalancer(lb-x) is not in normal desState, maybe some tasks are being processed, please try
/// later.` comes with `FailedOperation.ResourceInOperating`, and with plain `FailedOperation` too.
fn says_busy(message: &str) -> bool {
    let text = message.to_lowercase();
    [
        "not in normal desstate",
        "tasks are being processed",
        "in operating",
    ]
    .iter()
    .any(|part| text.contains(part))
}

/// `LB not exist`, `LoadBalancer not exist` and `some ListenerId ... not found` come with codes that
/// do not say so.
fn says_gone(message: &str) -> bool {
    let text = message.to_lowercase();
    ["not exist", "not found"]
        .iter()
        .any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("RequestLimitExceeded", "", Kind::Throttled)]
    #[case("RequestLimitExceeded.UinLimitExceeded", "", Kind::Throttled)]
    #[case("FailedOperation.ResourceInOperating", "", Kind::Conflict)]
    #[case(
        "FailedOperation",
        "maybe some Tasks are being processed",
        Kind::Conflict
    )]
    #[case("FailedOperation", "bind failed", Kind::Transient)]
    #[case("FailedOperation", "some ListenerId lbl-x not found", Kind::Gone)]
    #[case("InvalidParameter.LBIdNotFound", "", Kind::Gone)]
    #[case("InvalidParameter.ListenerIdNotFound", "", Kind::Gone)]
    #[case("InvalidParameter", "LB not exist", Kind::Gone)]
    #[case("InvalidParameter", "Port is bad", Kind::Invalid)]
    #[case("InvalidParameter.RegionNotFound", "region not found", Kind::Invalid)]
    #[case("InvalidParameter.ClientTokenLimitExceeded", "", Kind::Invalid)]
    #[case("InvalidParameterValue.Length", "", Kind::Invalid)]
    #[case("LimitExceeded", "", Kind::Quota)]
    #[case("ResourceInsufficient", "", Kind::Quota)]
    #[case("AuthFailure.SecretIdNotFound", "not found", Kind::Denied)]
    #[case("UnauthorizedOperation", "", Kind::Denied)]
    #[case("ServiceUnavailable", "", Kind::Transient)]
    #[case("Brand.New", "", Kind::Transient)]
    #[case("", "", Kind::Transient)]
    fn codes_and_texts_have_a_meaning(
        #[case] code: &str,
        #[case] message: &str,
        #[case] kind: Kind,
    ) {
        assert_eq!(api_kind(Access::Read, code, message), kind);
        assert_eq!(api_kind(Access::Write, code, message), kind);
    }

    #[test]
    fn a_server_that_broke_leaves_a_write_in_doubt() {
        assert_eq!(api_kind(Access::Read, "InternalError", ""), Kind::Transient);
        assert_eq!(
            api_kind(Access::Write, "InternalError.X", ""),
            Kind::UnknownOutcome
        );
    }

    #[rstest]
    #[case(200, Kind::UnknownOutcome)]
    #[case(302, Kind::Invalid)]
    #[case(404, Kind::Invalid)]
    #[case(429, Kind::Throttled)]
    #[case(503, Kind::UnknownOutcome)]
    fn a_status_tells_whether_a_write_can_have_been_done(#[case] status: u16, #[case] kind: Kind) {
        assert_eq!(status_kind(Access::Write, status), kind);
    }
}
