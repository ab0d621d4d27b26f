//! Extra listener parameters: the annotation `service.kubernetes.io/service.listenerParameters`, a
//! JSON object of Tencent's `CreateListener` fields, checked against the API's documented ranges.
//!
//! A listener of ours that differs is changed in place (see [`crate::listener_change`]); one that
//! somebody else made is left as it is.

use serde::{Deserialize, Serialize};

use crate::slot::Protocol;

/// What may be said about a listener that clb-gate creates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct ListenerParameters {
    /// The health check; absent fields have the CLB's own defaults (5 s, 2 s, 3 and 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// `WRR` or `LEAST_CONN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// Session persistence in seconds: 0 (off) or 30 to 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expire_time: Option<i64>,
    /// The certificate of a `TCP_SSL` or HTTPS listener, or of a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// HTTPS only: 1 for a certificate for each domain, 0 for one for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni_switch: Option<i64>,
    /// Whether clients get a reset when their target is taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_target_rst: Option<bool>,
    /// `HTTP`, `HTTPS` or `GRPC` towards the pods, of a rule; no annotation says it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub forward_type: Option<String>,
    /// Whether clients may use HTTP/2, of all rules of a domain; no annotation says it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
}

/// A certificate as `CreateListener` takes it: by its id in Tencent's SSL service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Certificate {
    /// `UNIDIRECTIONAL`, or `MUTUAL` where clients show a certificate too.
    #[serde(rename = "SSLMode", skip_serializing_if = "Option::is_none")]
    pub ssl_mode: Option<String>,
    /// The server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_id: Option<String>,
    /// The CA of the clients' certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_ca_id: Option<String>,
}

/// A layer-4 health check as `CreateListener` takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct HealthCheck {
    /// 1 on, 0 off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_switch: Option<i64>,
    /// Seconds, 2 to 60, smaller than the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_out: Option<i64>,
    /// Seconds, 2 to 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_time: Option<i64>,
    /// Good checks in a row until healthy, 2 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_num: Option<i64>,
    /// Bad checks in a row until unhealthy, 2 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub un_health_num: Option<i64>,
    /// `TCP` or `HTTP`; `PING` for UDP; `CUSTOM` for both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_type: Option<String>,
    /// Another port than the target's, 1 to 65535; -1 is the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_port: Option<i64>,
    /// Bitmask of accepted status classes, 1 to 31.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_code: Option<i64>,
    /// Path of an HTTP check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_check_path: Option<String>,
    /// Host header of an HTTP check; a TCP listener needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_check_domain: Option<String>,
    /// `HEAD` or `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_check_method: Option<String>,
    /// `HTTP/1.0` or `HTTP/1.1`; a TCP listener with an HTTP check needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_version: Option<String>,
    /// Where checks come from: 0 the VIP, 1 the range 100.64.0.0/10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip_type: Option<i64>,
    /// `TEXT` or `HEX`: how a `CUSTOM` check writes what it sends and expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_type: Option<String>,
    /// What a `CUSTOM` check sends, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_context: Option<String>,
    /// What a `CUSTOM` check expects back, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_context: Option<String>,
}

/// Seconds between two checks where nothing else is said (CLB's default).
const DEFAULT_INTERVAL: i64 = 5;
/// Seconds a check may take where nothing else is said (CLB's default).
const DEFAULT_TIMEOUT: i64 = 2;
/// Characters of what a `CUSTOM` check sends or expects (API reference, `HealthCheck`).
const LONGEST_CONTEXT: usize = 500;

impl ListenerParameters {
    /// Reads the annotation's value; the error says which field, what was read and what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let told = |error| format!("it is not a JSON object of CreateListener fields: {error}");
        // Through a map first: serde would read a struct from a JSON array too.
        let fields: serde_json::Map<_, _> = serde_json::from_str(text).map_err(told)?;
        let parameters: Self = serde_json::from_value(fields.into()).map_err(told)?;
        parameters.check()?;
        Ok(parameters)
    }

    /// What of it a listener of this protocol takes. One annotation speaks for all ports of a Service, and
    /// a check over TCP says nothing of UDP: there the CLB's own default (PING) holds.
    #[must_use]
    pub fn of(&self, protocol: Protocol) -> Self {
        let health_check = self.health_check.as_ref().map(|check| check.of(protocol));
        let encrypted = matches!(protocol, Protocol::TcpSsl | Protocol::Https);
        Self {
            health_check,
            certificate: self.certificate.clone().filter(|_| encrypted),
            sni_switch: self.sni_switch.filter(|_| protocol == Protocol::Https),
            ..self.clone()
        }
    }

    fn check(&self) -> Result<(), String> {
        one_of(
            "Scheduler",
            self.scheduler.as_deref(),
            &["WRR", "LEAST_CONN"],
        )?;
        if self.session_expire_time != Some(0) {
            within("SessionExpireTime", self.session_expire_time, 30, 3600)?;
        }
        within("SniSwitch", self.sni_switch, 0, 1)?;
        self.certificate
            .as_ref()
            .map_or(Ok(()), Certificate::check)?;
        self.health_check
            .as_ref()
            .map_or(Ok(()), HealthCheck::check)
    }
}

impl Certificate {
    fn check(&self) -> Result<(), String> {
        let mode = self.ssl_mode.as_deref();
        one_of("Certificate.SSLMode", mode, &["UNIDIRECTIONAL", "MUTUAL"])?;
        let named = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.is_empty());
        if !named(&self.cert_id) {
            return Err(
                "Certificate.CertId is needed: the certificate's id in Tencent's SSL service"
                    .to_owned(),
            );
        }
        if mode == Some("MUTUAL") && !named(&self.cert_ca_id) {
            return Err("Certificate.CertCaId is needed by SSLMode MUTUAL".to_owned());
        }
        Ok(())
    }
}

impl HealthCheck {
    /// Whether it can be done of a wildcard domain: over HTTP it asks for one host, which nobody can guess.
    pub(crate) fn fits_a_wildcard(&self) -> bool {
        self.http_check_domain.is_some() || self.check_type.as_deref() == Some("TCP")
    }

    fn of(&self, protocol: Protocol) -> Self {
        if !protocol.has_own_targets() {
            return self.of_rule();
        }
        let udp = protocol == Protocol::Udp;
        match self.check_type.as_deref() {
            Some("CUSTOM") => self.clone(),
            Some("PING") if udp => self.clone(),
            Some("PING") => Self {
                check_type: None,
                ..self.clone()
            },
            _ if udp => Self {
                check_type: None,
                check_port: None,
                http_code: None,
                http_check_path: None,
                http_check_domain: None,
                http_check_method: None,
                http_version: None,
                ..self.clone()
            },
            _ => self.clone(),
        }
    }

    /// A rule is checked over HTTP or TCP, at the target's own port; its own host is asked where none is
    /// named.
    fn of_rule(&self) -> Self {
        let kind = self.check_type.clone();
        Self {
            check_type: kind.filter(|kind| matches!(kind.as_str(), "HTTP" | "TCP")),
            check_port: None,
            http_version: None,
            context_type: None,
            send_context: None,
            recv_context: None,
            ..self.clone()
        }
    }

    /// Whether a check may take as long as the pause between two, which the API refuses; what is not
    /// declared is as it is there, or as the CLB has it by itself.
    pub(crate) fn overlaps(&self, there: Option<&Self>) -> bool {
        let of_there = |field: fn(&Self) -> Option<i64>| there.and_then(field);
        let interval = self
            .interval_time
            .or_else(|| of_there(|one| one.interval_time));
        let timeout = self.time_out.or_else(|| of_there(|one| one.time_out));
        timeout.unwrap_or(DEFAULT_TIMEOUT) >= interval.unwrap_or(DEFAULT_INTERVAL)
    }

    /// What a check over HTTP on a layer-4 listener still lacks.
    pub(crate) fn lacks_for_http(&self) -> Option<&'static str> {
        let needed = [
            ("HttpCheckDomain", &self.http_check_domain),
            ("HttpVersion", &self.http_version),
        ];
        needed
            .into_iter()
            .find_map(|(field, value)| value.is_none().then_some(field))
    }

    /// What a check in the user's own words still lacks.
    pub(crate) fn lacks_for_custom(&self) -> Option<&'static str> {
        let needed = [
            ("ContextType", &self.context_type),
            ("SendContext", &self.send_context),
            ("RecvContext", &self.recv_context),
        ];
        needed
            .into_iter()
            .find_map(|(field, value)| value.is_none().then_some(field))
    }

    fn check(&self) -> Result<(), String> {
        within("HealthCheck.HealthSwitch", self.health_switch, 0, 1)?;
        within("HealthCheck.TimeOut", self.time_out, 2, 60)?;
        within("HealthCheck.IntervalTime", self.interval_time, 2, 300)?;
        within("HealthCheck.HealthNum", self.health_num, 2, 10)?;
        within("HealthCheck.UnHealthNum", self.un_health_num, 2, 10)?;
        within("HealthCheck.HttpCode", self.http_code, 1, 31)?;
        within("HealthCheck.SourceIpType", self.source_ip_type, 0, 1)?;
        if self.check_port != Some(-1) {
            within("HealthCheck.CheckPort", self.check_port, 1, 65535)?;
        }
        one_of(
            "HealthCheck.CheckType",
            self.check_type.as_deref(),
            &["TCP", "HTTP", "PING", "CUSTOM"],
        )?;
        one_of(
            "HealthCheck.HttpCheckMethod",
            self.http_check_method.as_deref(),
            &["HEAD", "GET"],
        )?;
        one_of(
            "HealthCheck.HttpVersion",
            self.http_version.as_deref(),
            &["HTTP/1.0", "HTTP/1.1"],
        )?;
        self.check_timeout()?;
        self.check_kind()
    }

    fn check_timeout(&self) -> Result<(), String> {
        if !self.overlaps(None) {
            return Ok(());
        }
        let interval = self.interval_time.unwrap_or(DEFAULT_INTERVAL);
        let timeout = self.time_out.unwrap_or(DEFAULT_TIMEOUT);
        Err(format!(
            "HealthCheck.TimeOut {timeout} s must be smaller than HealthCheck.IntervalTime {interval} s"
        ))
    }

    fn check_kind(&self) -> Result<(), String> {
        let lacks = |lacking: Option<&str>, what: &str| match lacking {
            None => Ok(()),
            Some(field) => Err(format!("HealthCheck.{field} is needed by {what}")),
        };
        match self.check_type.as_deref() {
            Some("HTTP") => lacks(self.lacks_for_http(), "an HTTP check of a TCP listener"),
            Some("CUSTOM") => {
                lacks(self.lacks_for_custom(), "CheckType CUSTOM")?;
                self.check_context()
            }
            _ => Ok(()),
        }
    }

    fn check_context(&self) -> Result<(), String> {
        let kind = self.context_type.as_deref();
        one_of("HealthCheck.ContextType", kind, &["TEXT", "HEX"])?;
        let hex = kind == Some("HEX");
        let both = [
            ("SendContext", &self.send_context),
            ("RecvContext", &self.recv_context),
        ];
        for (field, value) in both {
            let value = value.as_deref().unwrap_or_default();
            context(value, hex).map_err(|why| format!("HealthCheck.{field} {value:?}: {why}"))?;
        }
        Ok(())
    }
}

/// Whether a `CUSTOM` check can send or expect this (API reference, `HealthCheck`).
pub(crate) fn context(text: &str, hex: bool) -> Result<(), &'static str> {
    let visible = |b: u8| (b' '..=b'~').contains(&b);
    let digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    if text.is_empty() || text.len() > LONGEST_CONTEXT {
        return Err("accepted are 1 to 500 characters");
    }
    if hex && !(text.len().is_multiple_of(2) && text.bytes().all(digit)) {
        return Err("accepted with HEX is an even number of the digits 0-9 and A-F");
    }
    if !text.bytes().all(visible) {
        return Err("accepted are visible ASCII characters; write others with HEX");
    }
    Ok(())
}

fn within(field: &str, value: Option<i64>, low: i64, high: i64) -> Result<(), String> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(format!("{field} {value} is outside {low} to {high}"))
        }
        _ => Ok(()),
    }
}

fn one_of(field: &str, value: Option<&str>, accepted: &[&str]) -> Result<(), String> {
    match value {
        Some(value) if !accepted.contains(&value) => Err(format!(
            "{field} {value:?} is not one of {}",
            accepted.join(", ")
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("{}")]
    #[case(r#"{"HealthCheck":{"IntervalTime":3,"TimeOut":2,"HealthNum":2,"UnHealthNum":2}}"#)]
    #[case(r#"{"HealthCheck":{"HealthSwitch":0},"Scheduler":"LEAST_CONN","SessionExpireTime":0}"#)]
    #[case(r#"{"HealthCheck":{"CheckType":"HTTP","HttpCheckDomain":"a","HttpVersion":"HTTP/1.1","CheckPort":-1}}"#)]
    #[case(r#"{"Certificate":{"SSLMode":"UNIDIRECTIONAL","CertId":"abcd1234"},"DeregisterTargetRst":true}"#)]
    #[case(r#"{"HealthCheck":{"CheckType":"CUSTOM","ContextType":"HEX","SendContext":"0A","RecvContext":"FF00"}}"#)]
    #[case(r#"{"Certificate":{"SSLMode":"MUTUAL","CertId":"abcd1234","CertCaId":"efgh5678"},"SniSwitch":1}"#)]
    fn accepts(#[case] text: &str) {
        let parameters = ListenerParameters::parse(text).unwrap();
        let again = serde_json::to_string(&parameters).unwrap();
        assert_eq!(ListenerParameters::parse(&again), Ok(parameters));
    }

    #[rstest]
    #[case(
        Protocol::Tcp,
        r#"{"CheckType":"HTTP","HttpCode":2}"#,
        Some("HTTP"),
        Some(2)
    )]
    #[case(Protocol::Udp, r#"{"CheckType":"HTTP","HttpCode":2}"#, None, None)]
    #[case(Protocol::Udp, r#"{"CheckType":"PING"}"#, Some("PING"), None)]
    #[case(Protocol::Udp, r#"{"CheckType":"CUSTOM"}"#, Some("CUSTOM"), None)]
    #[case(Protocol::Tcp, r#"{"CheckType":"CUSTOM"}"#, Some("CUSTOM"), None)]
    #[case(Protocol::Tcp, r#"{"CheckType":"PING"}"#, None, None)]
    #[case(
        Protocol::Http,
        r#"{"CheckType":"HTTP","HttpCode":2}"#,
        Some("HTTP"),
        Some(2)
    )]
    #[case(Protocol::Https, r#"{"CheckType":"TCP"}"#, Some("TCP"), None)]
    #[case(Protocol::Http, r#"{"CheckType":"CUSTOM"}"#, None, None)]
    #[case(Protocol::Http, r#"{"HttpCode":2,"CheckPort":81}"#, None, Some(2))]
    fn each_protocol_takes_what_it_knows(
        #[case] protocol: Protocol,
        #[case] check: &str,
        #[case] kind: Option<&str>,
        #[case] code: Option<i64>,
    ) {
        let mut check: HealthCheck = serde_json::from_str(check).unwrap();
        check.interval_time = Some(7);
        let health_check = Some(check);
        let whole = ListenerParameters {
            health_check,
            ..ListenerParameters::default()
        };
        let of = whole.of(protocol).health_check.unwrap();
        assert_eq!((of.check_type.as_deref(), of.http_code), (kind, code));
        assert_eq!(of.interval_time, Some(7));
    }

    #[test]
    fn a_certificate_belongs_to_what_is_encrypted() {
        let text = r#"{"Certificate":{"CertId":"abcd1234"},"SniSwitch":1}"#;
        let whole = ListenerParameters::parse(text).unwrap();
        let of = |protocol| {
            let of = whole.of(protocol);
            (of.certificate.is_some(), of.sni_switch.is_some())
        };
        assert_eq!(of(Protocol::Tcp), (false, false));
        assert_eq!(of(Protocol::TcpSsl), (true, false));
        assert_eq!(of(Protocol::Https), (true, true));
    }

    #[rstest]
    #[case("fast", "JSON object")]
    #[case("[]", "JSON object")]
    #[case(r#"{"Healthcheck":{}}"#, "Healthcheck")]
    #[case(
        r#"{"HealthCheck":{"IntervalTime":1}}"#,
        "IntervalTime 1 is outside 2 to 300"
    )]
    #[case(r#"{"HealthCheck":{"IntervalTime":2}}"#, "must be smaller")]
    #[case(r#"{"HealthCheck":{"HealthNum":11}}"#, "HealthNum 11")]
    #[case(r#"{"HealthCheck":{"CheckType":"GRPC"}}"#, "GRPC")]
    #[case(
        r#"{"HealthCheck":{"CheckType":"HTTP","HttpVersion":"HTTP/1.1"}}"#,
        "HttpCheckDomain"
    )]
    #[case(
        r#"{"HealthCheck":{"CheckType":"CUSTOM","ContextType":"TEXT","SendContext":"a"}}"#,
        "RecvContext is needed"
    )]
    #[case(r#"{"HealthCheck":{"CheckType":"CUSTOM","ContextType":"B64","SendContext":"a","RecvContext":"b"}}"#, "B64")]
    #[case(r#"{"HealthCheck":{"CheckType":"CUSTOM","ContextType":"HEX","SendContext":"0a","RecvContext":"FF"}}"#, "A-F")]
    #[case(r#"{"SessionExpireTime":10}"#, "SessionExpireTime 10")]
    #[case(r#"{"Certificate":{}}"#, "CertId")]
    #[case(r#"{"Certificate":{"CertId":"a","SSLMode":"NONE"}}"#, "NONE")]
    #[case(r#"{"Certificate":{"CertId":"a","SSLMode":"MUTUAL"}}"#, "CertCaId")]
    #[case(r#"{"SniSwitch":2}"#, "SniSwitch 2")]
    #[case(r#"{"Scheduler":"RANDOM"}"#, "RANDOM")]
    fn refuses_and_names_the_field(#[case] text: &str, #[case] named: &str) {
        let error = ListenerParameters::parse(text).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}
