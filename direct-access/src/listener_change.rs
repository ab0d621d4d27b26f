//! What has to be changed of a listener or rule that is there, so that it is as declared.
//!
//! Only what is declared is compared: what nobody speaks of stays as it is, also when a declaration is
//! taken back. That is how TKE merges its `TkeServiceConfig`, and a person who tunes a listener in the
//! console keeps what Kubernetes says nothing about.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::listener::{HealthCheck, ListenerParameters};

/// A parameter that is not as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// As the API names it, e.g. `HealthCheck.IntervalTime`.
    pub field: String,
    /// What is there; `null` where the API says nothing.
    pub there: Value,
    /// What is declared.
    pub declared: Value,
}

/// What only an HTTP check has: another kind of check is declared and sent without.
const OF_HTTP_CHECKS: [&str; 5] = [
    "HttpCode",
    "HttpCheckPath",
    "HttpCheckDomain",
    "HttpCheckMethod",
    "HttpVersion",
];
/// What only a check in the user's own words has.
const OF_CUSTOM_CHECKS: [&str; 3] = ["ContextType", "SendContext", "RecvContext"];

impl ListenerParameters {
    /// What of it differs from what is there.
    pub fn differences(&self, there: &Self) -> Vec<Difference> {
        let whole = there.flat();
        let off = self
            .health_check
            .as_ref()
            .and_then(|check| check.health_switch)
            == Some(0);
        let mut declared = self.flat();
        if off {
            // How a check that is off would be done says nothing.
            declared.retain(|field, _| !field.starts_with(CHECK) || field == SWITCH);
        }
        let kind = self.kind(there);
        declared.retain(|field, _| match field.strip_prefix(CHECK) {
            None => true,
            Some(inner) => has(kind.as_deref(), inner),
        });
        let differs = |(field, declared): (String, Value)| {
            let there = whole
                .get(&field)
                .cloned()
                .unwrap_or_else(|| default(&field));
            (there != declared).then_some(Difference {
                field,
                there,
                declared,
            })
        };
        declared.into_iter().filter_map(differs).collect()
    }

    /// What to send so that it is as declared; `None` where it is. The API replaces a health check as a
    /// whole, so what is not declared of it is sent as it is.
    #[must_use]
    pub fn change(&self, there: &Self) -> Option<Self> {
        let differences = self.differences(there);
        if differences.is_empty() {
            return None;
        }
        let touches = |part: &str| differences.iter().any(|one| one.field.starts_with(part));
        let check = self.health_check.as_ref().filter(|_| touches(CHECK));
        Some(Self {
            health_check: check.map(|check| self.merged(check, there)),
            scheduler: self.scheduler.clone().filter(|_| touches("Scheduler")),
            session_expire_time: self
                .session_expire_time
                .filter(|_| touches("SessionExpireTime")),
            certificate: self.certificate.clone().filter(|_| touches("Certificate.")),
            sni_switch: self.sni_switch.filter(|_| touches("SniSwitch")),
            deregister_target_rst: self
                .deregister_target_rst
                .filter(|_| touches("DeregisterTargetRst")),
            forward_type: self.forward_type.clone().filter(|_| touches("ForwardType")),
            http2: self.http2.filter(|_| touches("Http2")),
        })
    }

    /// What is there once the change is made.
    #[must_use]
    pub fn changed(&self, change: &Self) -> Self {
        let change = change.clone();
        let there = self.clone();
        Self {
            health_check: change.health_check.or(there.health_check),
            scheduler: change.scheduler.or(there.scheduler),
            session_expire_time: change.session_expire_time.or(there.session_expire_time),
            certificate: change.certificate.or(there.certificate),
            sni_switch: change.sni_switch.or(there.sni_switch),
            deregister_target_rst: change.deregister_target_rst.or(there.deregister_target_rst),
            forward_type: change.forward_type.or(there.forward_type),
            http2: change.http2.or(there.http2),
        }
    }

    /// What a layer-7 listener itself has: how requests are spread and targets checked is its rules'.
    #[must_use]
    pub fn without_forwarding(&self) -> Self {
        Self {
            health_check: None,
            scheduler: None,
            session_expire_time: None,
            forward_type: None,
            http2: None,
            ..self.clone()
        }
    }

    /// What a rule has and can be changed: its certificate and HTTP/2 are its domain's.
    #[must_use]
    pub fn forwarding(&self) -> Self {
        Self {
            certificate: None,
            sni_switch: None,
            deregister_target_rst: None,
            http2: None,
            ..self.clone()
        }
    }

    /// Without a time-out and an interval that the API would refuse together, and everything else with
    /// them: so that one mistake keeps nothing back but itself.
    #[must_use]
    pub fn without_overlap(&self, there: &Self) -> Self {
        let mut parameters = self.clone();
        if let Some(check) = &mut parameters.health_check
            && check.overlaps(there.health_check.as_ref())
        {
            (check.time_out, check.interval_time) = (None, None);
        }
        parameters
    }

    fn merged(&self, check: &HealthCheck, there: &Self) -> HealthCheck {
        let kind = self.kind(there);
        let there = there.health_check.clone().unwrap_or_default();
        let mut all = object(&there);
        all.extend(object(check));
        all.retain(|field, _| has(kind.as_deref(), field));
        // Both parts were read from the same form.
        serde_json::from_value(Value::Object(all)).unwrap_or_else(|_| check.clone())
    }

    /// The kind of check, where anybody says.
    fn kind(&self, there: &Self) -> Option<String> {
        let kind = |of: &Self| of.health_check.as_ref()?.check_type.clone();
        kind(self).or_else(|| kind(there))
    }

    /// By field, as the API names them.
    fn flat(&self) -> BTreeMap<String, Value> {
        let mut flat = BTreeMap::new();
        for (field, value) in object(self) {
            if let Value::Object(part) = value {
                let inner = part.into_iter();
                flat.extend(inner.map(|(inner, value)| (format!("{field}.{inner}"), value)));
            } else {
                flat.insert(field, value);
            }
        }
        flat
    }
}

impl HealthCheck {
    /// With what `more` declares on top.
    pub(crate) fn with(&self, more: &Self) -> Self {
        let mut all = object(self);
        all.extend(object(more));
        let kind = more.check_type.as_deref().or(self.check_type.as_deref());
        all.retain(|field, _| has(kind, field));
        // Both parts are of the same form.
        serde_json::from_value(Value::Object(all)).unwrap_or_else(|_| more.clone())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {}, declared is {}",
            self.field, self.there, self.declared
        )
    }
}

const CHECK: &str = "HealthCheck.";
const SWITCH: &str = "HealthCheck.HealthSwitch";

/// Whether a check of this kind has the field. A rule is checked over HTTP where nobody says otherwise; a
/// listener that is, says so.
fn has(kind: Option<&str>, field: &str) -> bool {
    if OF_HTTP_CHECKS.contains(&field) {
        return kind.is_none_or(|kind| kind == "HTTP");
    }
    !OF_CUSTOM_CHECKS.contains(&field) || kind == Some("CUSTOM")
}

/// What the API does where it shows nothing (API reference, `HealthCheck` and `CreateListener`).
fn default(field: &str) -> Value {
    match field {
        SWITCH => 1.into(),
        "HealthCheck.TimeOut" => 2.into(),
        "HealthCheck.IntervalTime" => 5.into(),
        "HealthCheck.HealthNum" | "HealthCheck.UnHealthNum" => 3.into(),
        "HealthCheck.CheckPort" => (-1).into(),
        "HealthCheck.HttpCode" => 31.into(),
        "HealthCheck.HttpCheckPath" => "/".into(),
        "HealthCheck.HttpCheckMethod" => "HEAD".into(),
        "HealthCheck.SourceIpType" | "SessionExpireTime" | "SniSwitch" => 0.into(),
        "Scheduler" => "WRR".into(),
        "Certificate.SSLMode" => "UNIDIRECTIONAL".into(),
        "DeregisterTargetRst" | "Http2" => false.into(),
        "ForwardType" => "HTTP".into(),
        _ => Value::Null,
    }
}

fn object(of: &impl serde::Serialize) -> serde_json::Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn read(text: &str) -> ListenerParameters {
        serde_json::from_str(text).unwrap()
    }

    /// As the API shows a plain TCP listener.
    const PLAIN: &str = r#"{"HealthCheck":{"HealthSwitch":1,"TimeOut":2,"IntervalTime":5,"HealthNum":3,
        "UnHealthNum":3,"CheckType":"TCP","SourceIpType":0},"Scheduler":"WRR","SessionExpireTime":0}"#;

    #[rstest]
    #[case::absent("{}", PLAIN, None)]
    #[case::same(PLAIN, PLAIN, None)]
    #[case::defaults_that_are_not_shown(PLAIN, r#"{"HealthCheck":{"CheckType":"TCP"}}"#, None)]
    #[case::own_port(r#"{"HealthCheck":{"CheckPort":-1}}"#, PLAIN, None)]
    #[case::session(
        r#"{"SessionExpireTime":60}"#,
        PLAIN,
        Some(r#"{"SessionExpireTime":60}"#)
    )]
    #[case::scheduler(
        r#"{"Scheduler":"LEAST_CONN"}"#,
        PLAIN,
        Some(r#"{"Scheduler":"LEAST_CONN"}"#)
    )]
    #[case::part_of_a_check(
        r#"{"HealthCheck":{"HealthNum":2}}"#,
        PLAIN,
        Some(r#"{"HealthCheck":{"HealthSwitch":1,"TimeOut":2,"IntervalTime":5,"HealthNum":2,"UnHealthNum":3,
            "CheckType":"TCP","SourceIpType":0}}"#)
    )]
    #[case::what_only_http_has_says_nothing_of_tcp(
        r#"{"HealthCheck":{"HttpCode":2}}"#,
        PLAIN,
        None
    )]
    #[case::off_says_nothing_of_how(
        r#"{"HealthCheck":{"HealthSwitch":0,"IntervalTime":9}}"#,
        r#"{"HealthCheck":{"HealthSwitch":0}}"#,
        None
    )]
    #[case::from_http_to_tcp(
        r#"{"HealthCheck":{"CheckType":"TCP"}}"#,
        r#"{"HealthCheck":{"CheckType":"HTTP","HttpCode":2,"TimeOut":3}}"#,
        Some(r#"{"HealthCheck":{"CheckType":"TCP","TimeOut":3}}"#)
    )]
    #[case::from_http_to_own_words(
        r#"{"HealthCheck":{"CheckType":"CUSTOM","ContextType":"TEXT","SendContext":"a","RecvContext":"b"}}"#,
        r#"{"HealthCheck":{"CheckType":"HTTP","HttpCode":2,"TimeOut":3}}"#,
        Some(r#"{"HealthCheck":{"CheckType":"CUSTOM","ContextType":"TEXT","SendContext":"a","RecvContext":"b","TimeOut":3}}"#)
    )]
    #[case::another_certificate(
        r#"{"Certificate":{"CertId":"b"}}"#,
        r#"{"Certificate":{"SSLMode":"UNIDIRECTIONAL","CertId":"a"}}"#,
        Some(r#"{"Certificate":{"CertId":"b"}}"#)
    )]
    #[case::a_rule(
        r#"{"HealthCheck":{"HttpCode":2},"Scheduler":"IP_HASH"}"#,
        "{}",
        Some(r#"{"HealthCheck":{"HttpCode":2},"Scheduler":"IP_HASH"}"#)
    )]
    fn only_what_is_declared_and_differs_is_changed(
        #[case] declared: &str,
        #[case] there: &str,
        #[case] change: Option<&str>,
    ) {
        let (declared, there) = (read(declared), read(there));
        assert_eq!(declared.change(&there), change.map(read));
        if let Some(change) = declared.change(&there) {
            assert_eq!(declared.change(&there.changed(&change)), None);
        }
    }

    /// What only a rule or its domain has is declared by objects alone, and changed with its part.
    #[test]
    fn how_pods_and_clients_are_spoken_to_is_of_rules_and_domains() {
        let text = [r#"{"ForwardType":"GRPC"}"#, r#"{"Http2":true}"#];
        assert!(
            text.iter()
                .all(|text| ListenerParameters::parse(text).is_err())
        );
        let declared = ListenerParameters {
            forward_type: Some("GRPC".to_owned()),
            http2: Some(true),
            ..ListenerParameters::default()
        };
        let plain = ListenerParameters::default();
        assert_eq!(declared.change(&plain), Some(declared.clone()));
        assert_eq!(declared.change(&plain.changed(&declared)), None);
        assert_eq!(declared.without_forwarding(), plain);
        assert_eq!(declared.forwarding().http2, None);
        let default = ListenerParameters {
            forward_type: Some("HTTP".to_owned()),
            http2: Some(false),
            ..plain.clone()
        };
        assert_eq!(default.change(&plain), None);
    }

    #[test]
    fn a_difference_names_the_field_and_both_values() {
        let declared = read(r#"{"HealthCheck":{"IntervalTime":9}}"#);
        let told = declared.differences(&read(PLAIN))[0].to_string();
        assert_eq!(told, "HealthCheck.IntervalTime is 5, declared is 9");
    }

    #[rstest]
    #[case(
        r#"{"HealthCheck":{"TimeOut":4,"IntervalTime":4,"HealthNum":2}}"#,
        PLAIN,
        r#"{"HealthCheck":{"HealthNum":2}}"#
    )]
    #[case(r#"{"HealthCheck":{"TimeOut":5}}"#, PLAIN, r#"{"HealthCheck":{}}"#)]
    #[case(
        r#"{"HealthCheck":{"TimeOut":5}}"#,
        r#"{"HealthCheck":{"IntervalTime":6}}"#,
        r#"{"HealthCheck":{"TimeOut":5}}"#
    )]
    #[case(
        r#"{"HealthCheck":{"TimeOut":4}}"#,
        "{}",
        r#"{"HealthCheck":{"TimeOut":4}}"#
    )]
    #[case(r#"{"Scheduler":"WRR"}"#, PLAIN, r#"{"Scheduler":"WRR"}"#)]
    fn a_check_that_takes_too_long_keeps_back_itself_alone(
        #[case] declared: &str,
        #[case] there: &str,
        #[case] without: &str,
    ) {
        assert_eq!(read(declared).without_overlap(&read(there)), read(without));
    }

    fn check() -> impl Strategy<Value = HealthCheck> {
        let number = |low: i64, high: i64| prop::option::of(low..high);
        (
            number(0, 2),
            number(2, 9),
            number(2, 9),
            number(1, 4),
            number(0, 2),
            0..4_usize,
        )
            .prop_map(
                |(health_switch, time_out, health_num, http_code, source_ip_type, kind)| {
                    HealthCheck {
                        health_switch,
                        time_out,
                        health_num,
                        http_code,
                        source_ip_type,
                        send_context: http_code.map(|code| code.to_string()),
                        check_type: [None, Some("TCP"), Some("HTTP"), Some("CUSTOM")][kind]
                            .map(str::to_owned),
                        ..HealthCheck::default()
                    }
                },
            )
    }

    fn parameters() -> impl Strategy<Value = ListenerParameters> {
        (
            prop::option::of(check()),
            prop::option::of("WRR|LEAST_CONN"),
            prop::option::of(0..3_i64),
        )
            .prop_map(|(health_check, scheduler, session_expire_time)| {
                ListenerParameters {
                    health_check,
                    scheduler,
                    session_expire_time,
                    ..ListenerParameters::default()
                }
            })
    }

    proptest! {
        /// However a listener is and whatever is declared: one change makes it so, and there is no second.
        #[test]
        fn one_change_is_enough(declared in parameters(), there in parameters()) {
            if let Some(change) = declared.change(&there) {
                let after = there.changed(&change);
                prop_assert_eq!(declared.differences(&after), vec![]);
                let undeclared = ListenerParameters::default().change(&after);
                prop_assert_eq!(undeclared, None);
            } else {
                prop_assert_eq!(declared.differences(&there), vec![]);
            }
        }
    }
}
