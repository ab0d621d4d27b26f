//! Fields that the API always sends and that mean little here. They are sent too, with the values of
//! a plain load balancer, because clients that were generated from the API may insist on them.

use crate::state::ids::derived;
use serde_json::{Value, json};

/// `shown`, with those of `unused` that it lacks.
pub(super) fn with(mut shown: Value, unused: Value) -> Value {
    if let (Value::Object(shown), Value::Object(unused)) = (&mut shown, unused) {
        for (name, value) in unused {
            shown.entry(name).or_insert(value);
        }
    }
    shown
}

/// Of `LoadBalancer`.
pub(super) fn of_load_balancer() -> Value {
    with(
        json!({
            "AddressIPv6": null,
            "AnycastZone": "",
            "AttributeFlags": [],
            "BackupZoneSet": null,
            "ChargeType": "POSTPAID_BY_HOUR",
            "ClusterIds": null,
            "ClusterTag": null,
            "ConfigId": "",
            "Domain": "",
            "Egress": "",
            "ExclusiveCluster": { "ClassicalCluster": null, "L4Clusters": null, "L7Clusters": null },
            "ExpireTime": null,
            "ExtraInfo": null,
            "Forward": 1,
            "HealthLogSetId": "",
            "HealthLogTopicId": "",
            "IPv6Mode": null,
            "IsBlock": false,
            "IsBlockTime": "",
            "IsDDos": false,
            "Isolation": 0,
            "IsolatedTime": null,
            "LoadBalancerDomain": "",
            "LocalBgp": false,
        }),
        json!({
            "Log": "",
            "LogSetId": "",
            "LogTopicId": "",
            "MasterZone": null,
            "MixIpTarget": false,
            "NetworkAttributes": null,
            "NfvInfo": "",
            "NumericalVpcId": 0,
            "OpenBgp": 0,
            "PrepaidAttributes": null,
            "ProjectId": 0,
            "SecureGroups": [],
            "SlaType": "",
            "Snat": false,
            "SnatIps": [],
            "SnatPro": false,
            "VipIsp": "BGP",
            "Zones": null,
        }),
    )
}

/// Of `Listener`.
pub(super) fn of_listener() -> Value {
    json!({
        "AttrFlags": [],
        "EndPort": 0,
        "IdleConnectTimeout": null,
        "KeepaliveEnable": 0,
        "MaxConn": -1,
        "MaxCps": -1,
        "SessionType": "NORMAL",
        "TargetGroup": null,
        "TargetGroupList": null,
        "TargetType": "NODE",
        "Toa": false,
    })
}

/// `CertificateOutput` of what was sent as `CertificateInput`: never the key, which may have been
/// sent along. What was sent instead of an id has got one.
pub(super) fn certificate(given: &Value) -> Value {
    let sent = |name: &str| given.get(name).filter(|value| !value.is_null()).cloned();
    let id = || derived("cert", &given.to_string()).into();
    json!({
        "SSLMode": sent("SSLMode").unwrap_or_else(|| "UNIDIRECTIONAL".into()),
        "SSLVerifyClient": sent("SSLVerifyClient").unwrap_or_else(|| "ON".into()),
        "CertId": sent("CertId").unwrap_or_else(id),
        "CertCaId": sent("CertCaId").unwrap_or_else(|| "".into()),
        "ExtCertIds": [],
    })
}

/// Of `RuleOutput`.
pub(super) fn of_rule() -> Value {
    json!({
        "BeAutoCreated": false,
        "HttpGzip": true,
        "QuicStatus": "QUIC_INACTIVE",
        "RewriteTarget": {
            "RewriteCode": 0,
            "RewriteType": "",
            "TakeUrl": false,
            "TargetListenerId": null,
            "TargetLocationId": null,
        },
        "TargetGroup": null,
        "TargetGroupList": null,
        "TargetType": "NODE",
        "TrpcCallee": "",
        "TrpcFunc": "",
        "WafDomainId": "",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_an_id_and_shows_no_key() {
        let named = certificate(&json!({ "SSLMode": "MUTUAL", "CertId": "a", "CertCaId": "b" }));
        assert_eq!(
            (&named["CertId"], &named["CertCaId"]),
            (&json!("a"), &json!("b"))
        );
        let sent = certificate(&json!({ "CertName": "x", "CertKey": "secret" }));
        assert!(
            sent["CertId"]
                .as_str()
                .is_some_and(|id| id.starts_with("cert-"))
        );
        assert!(!sent.to_string().contains("secret"));
    }

    #[test]
    fn what_is_shown_stays() {
        let shown = with(json!({ "AttrFlags": ["Stop"], "Port": 1 }), of_listener());
        assert_eq!(shown["AttrFlags"], json!(["Stop"]));
        assert_eq!((&shown["Port"], &shown["Toa"]), (&json!(1), &json!(false)));
    }
}
