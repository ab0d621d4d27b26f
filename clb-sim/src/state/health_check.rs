//! A listener's health check: the API's `HealthCheck` struct, its defaults and its ranges
//! (API reference of `CreateListener`, struct `HealthCheck`).

use super::custom_check::CustomCheck;
use crate::refusal::{Refusal, code};
use serde::{Deserialize, Serialize};

/// `HealthCheck` as it travels: every field optional, unused ones null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct HealthCheckFields {
    pub(crate) health_switch: Option<i64>,
    pub(crate) time_out: Option<i64>,
    pub(crate) interval_time: Option<i64>,
    pub(crate) health_num: Option<i64>,
    pub(crate) un_health_num: Option<i64>,
    pub(crate) http_code: Option<i64>,
    pub(crate) http_check_path: Option<String>,
    pub(crate) http_check_domain: Option<String>,
    pub(crate) http_check_method: Option<String>,
    pub(crate) check_port: Option<i64>,
    pub(crate) context_type: Option<String>,
    pub(crate) send_context: Option<String>,
    pub(crate) recv_context: Option<String>,
    pub(crate) check_type: Option<String>,
    pub(crate) http_version: Option<String>,
    pub(crate) source_ip_type: Option<i64>,
    pub(crate) extended_code: Option<String>,
}

/// A health check that obeys the API's ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct HealthCheck {
    pub(crate) on: bool,
    pub(crate) timeout_s: u16,
    pub(crate) interval_s: u16,
    /// Good probes in a row that make a target healthy.
    pub(crate) rise: u16,
    /// Bad probes in a row that make a target unhealthy.
    pub(crate) fall: u16,
    /// `None`: the target's own port.
    pub(crate) port: Option<u16>,
    pub(crate) source_ip_type: u8,
    pub(crate) kind: CheckKind,
}

/// What one probe does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum CheckKind {
    Tcp,
    Http(HttpCheck),
    /// An ICMP echo; UDP listeners only.
    Ping,
    Custom(CustomCheck),
}

/// An HTTP probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct HttpCheck {
    pub(crate) path: String,
    pub(crate) domain: String,
    pub(crate) head: bool,
    pub(crate) version_1_0: bool,
    /// Bit n-1 accepts the answers nxx.
    pub(crate) codes: u8,
}

/// The listener protocols whose health check hangs on the listener itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckedAs {
    Stream,
    Datagram,
}

impl HealthCheck {
    /// Checks what a caller sent and fills in the API's defaults.
    pub(crate) fn validate(given: &HealthCheckFields, by: CheckedAs) -> Result<Self, Refusal> {
        let timeout_s = ranged("TimeOut", given.time_out, 2, 2..=60)?;
        let interval_s = ranged("IntervalTime", given.interval_time, 5, 2..=300)?;
        if timeout_s >= interval_s {
            return Err(invalid(format!(
                "HealthCheck.TimeOut {timeout_s} must be less than HealthCheck.IntervalTime {interval_s}"
            )));
        }
        Ok(Self {
            on: ranged("HealthSwitch", given.health_switch, 1, 0..=1)? == 1,
            timeout_s,
            interval_s,
            rise: ranged("HealthNum", given.health_num, 3, 2..=10)?,
            fall: ranged("UnHealthNum", given.un_health_num, 3, 2..=10)?,
            port: check_port(given.check_port)?,
            source_ip_type: u8::from(ranged("SourceIpType", given.source_ip_type, 0, 0..=1)? == 1),
            kind: kind(given, by)?,
        })
    }

    /// The check as `DescribeListeners` shows it: fields that do not apply are null.
    pub(crate) fn to_fields(&self) -> HealthCheckFields {
        let base = HealthCheckFields {
            health_switch: Some(i64::from(self.on)),
            time_out: Some(i64::from(self.timeout_s)),
            interval_time: Some(i64::from(self.interval_s)),
            health_num: Some(i64::from(self.rise)),
            un_health_num: Some(i64::from(self.fall)),
            check_port: self.port.map(i64::from),
            source_ip_type: Some(i64::from(self.source_ip_type)),
            ..HealthCheckFields::default()
        };
        match &self.kind {
            CheckKind::Tcp => HealthCheckFields {
                check_type: Some("TCP".to_owned()),
                ..base
            },
            CheckKind::Ping => HealthCheckFields {
                check_type: Some("PING".to_owned()),
                ..base
            },
            CheckKind::Http(http) => http.to_fields(base),
            CheckKind::Custom(custom) => custom.to_fields(base),
        }
    }
}

impl HttpCheck {
    fn validate(given: &HealthCheckFields) -> Result<Self, Refusal> {
        let path = given
            .http_check_path
            .clone()
            .unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/') {
            return Err(invalid(format!(
                "HealthCheck.HttpCheckPath {path:?} must start with /"
            )));
        }
        Ok(Self {
            path,
            domain: required("HttpCheckDomain", given.http_check_domain.as_deref())?,
            head: choice(
                "HttpCheckMethod",
                given.http_check_method.as_deref(),
                "HEAD",
                ["HEAD", "GET"],
            )? == "HEAD",
            version_1_0: choice(
                "HttpVersion",
                Some(&required("HttpVersion", given.http_version.as_deref())?),
                "",
                ["HTTP/1.0", "HTTP/1.1"],
            )? == "HTTP/1.0",
            codes: u8::try_from(ranged("HttpCode", given.http_code, 31, 1..=31)?).unwrap_or(31),
        })
    }

    fn to_fields(&self, base: HealthCheckFields) -> HealthCheckFields {
        let method = if self.head { "HEAD" } else { "GET" };
        let version = if self.version_1_0 {
            "HTTP/1.0"
        } else {
            "HTTP/1.1"
        };
        HealthCheckFields {
            check_type: Some("HTTP".to_owned()),
            http_code: Some(i64::from(self.codes)),
            http_check_path: Some(self.path.clone()),
            http_check_domain: Some(self.domain.clone()),
            http_check_method: Some(method.to_owned()),
            http_version: Some(version.to_owned()),
            ..base
        }
    }

    /// Whether an answer with this status counts as good.
    pub(crate) fn accepts(&self, status: u16) -> bool {
        (1..=5).contains(&(status / 100)) && self.codes & (1 << (status / 100 - 1)) != 0
    }
}

fn kind(given: &HealthCheckFields, by: CheckedAs) -> Result<CheckKind, Refusal> {
    match (by, given.check_type.as_deref()) {
        (CheckedAs::Stream, None | Some("TCP")) => Ok(CheckKind::Tcp),
        (CheckedAs::Stream, Some("HTTP")) => HttpCheck::validate(given).map(CheckKind::Http),
        (CheckedAs::Datagram, None | Some("PING")) => Ok(CheckKind::Ping),
        (_, Some("CUSTOM")) => CustomCheck::validate(given).map(CheckKind::Custom),
        (CheckedAs::Stream, Some(other)) => Err(invalid(format!(
            "HealthCheck.CheckType {other:?} does not fit the listener: accepted are TCP, HTTP and CUSTOM"
        ))),
        (CheckedAs::Datagram, Some(other)) => Err(invalid(format!(
            "HealthCheck.CheckType {other:?} does not fit the listener: accepted are PING and CUSTOM"
        ))),
    }
}

/// -1 is the API's way to say "the target's own port".
fn check_port(given: Option<i64>) -> Result<Option<u16>, Refusal> {
    match given {
        None | Some(-1) => Ok(None),
        port => ranged("CheckPort", port, 1, 1..=65_535).map(Some),
    }
}

fn ranged(
    field: &str,
    given: Option<i64>,
    default: u16,
    accepted: std::ops::RangeInclusive<u16>,
) -> Result<u16, Refusal> {
    let Some(given) = given else {
        return Ok(default);
    };
    u16::try_from(given)
        .ok()
        .filter(|value| accepted.contains(value))
        .ok_or_else(|| {
            invalid(format!(
                "HealthCheck.{field} {given} is out of range: accepted are {} to {}",
                accepted.start(),
                accepted.end()
            ))
        })
}

fn choice<'a>(
    field: &str,
    given: Option<&'a str>,
    default: &'a str,
    accepted: [&str; 2],
) -> Result<&'a str, Refusal> {
    let value = given.unwrap_or(default);
    if accepted.contains(&value) {
        return Ok(value);
    }
    Err(invalid(format!(
        "HealthCheck.{field} {value:?} is not accepted: one of {accepted:?} is"
    )))
}

fn required(field: &str, given: Option<&str>) -> Result<String, Refusal> {
    given
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| {
            invalid(format!(
                "HealthCheck.{field} is required when a TCP listener is checked by HTTP"
            ))
        })
}

fn invalid(message: String) -> Refusal {
    Refusal::new(code::INVALID_VALUE, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> HealthCheckFields {
        serde_json::from_str(text).expect("fields")
    }

    fn stream(text: &str) -> Result<HealthCheck, Refusal> {
        HealthCheck::validate(&fields(text), CheckedAs::Stream)
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let check = stream("{}").unwrap();
        assert_eq!(
            (check.interval_s, check.timeout_s, check.rise, check.fall),
            (5, 2, 3, 3)
        );
        assert!(check.on && check.port.is_none() && check.kind == CheckKind::Tcp);
    }

    #[rstest::rstest]
    #[case(r#"{"TimeOut":5,"IntervalTime":5}"#, "less than")]
    #[case(r#"{"TimeOut":1}"#, "TimeOut 1")]
    #[case(r#"{"TimeOut":61,"IntervalTime":300}"#, "TimeOut 61")]
    #[case(r#"{"IntervalTime":301}"#, "IntervalTime 301")]
    #[case(r#"{"HealthNum":1}"#, "HealthNum 1")]
    #[case(r#"{"UnHealthNum":11}"#, "UnHealthNum 11")]
    #[case(r#"{"CheckPort":0}"#, "CheckPort 0")]
    #[case(r#"{"HealthSwitch":2}"#, "HealthSwitch 2")]
    #[case(r#"{"CheckType":"PING"}"#, "CheckType")]
    #[case(
        r#"{"CheckType":"HTTP","HttpVersion":"HTTP/1.1"}"#,
        "HttpCheckDomain is required"
    )]
    #[case(
        r#"{"CheckType":"HTTP","HttpCheckDomain":"a.com"}"#,
        "HttpVersion is required"
    )]
    #[case(
        r#"{"CheckType":"HTTP","HttpCheckDomain":"a.com","HttpVersion":"HTTP/2"}"#,
        "HttpVersion"
    )]
    #[case(
        r#"{"CheckType":"HTTP","HttpCheckDomain":"a.com","HttpVersion":"HTTP/1.1","HttpCode":32}"#,
        "HttpCode 32"
    )]
    #[case(r#"{"CheckType":"HTTP","HttpCheckDomain":"a.com","HttpVersion":"HTTP/1.1","HttpCheckPath":"x"}"#, "start with /")]
    fn out_of_range_is_refused_by_name(#[case] text: &str, #[case] says: &str) {
        let refusal = stream(text).unwrap_err();
        assert_eq!(refusal.code, code::INVALID_VALUE);
        assert!(refusal.message.contains(says), "{}", refusal.message);
    }

    #[test]
    fn the_bitmask_picks_status_classes() {
        let check = stream(
            r#"{"CheckType":"HTTP","HttpCheckDomain":"a","HttpVersion":"HTTP/1.0","HttpCode":6}"#,
        )
        .unwrap();
        let CheckKind::Http(http) = check.kind else {
            panic!("an HTTP check")
        };
        let good: Vec<u16> = [99, 100, 200, 299, 301, 404, 500, 600]
            .into_iter()
            .filter(|status| http.accepts(*status))
            .collect();
        assert_eq!(good, [200, 299, 301]);
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_sent_back(timeout in 2_i64..=60, interval in 2_i64..=300, rise in 2_i64..=10) {
            let given = HealthCheckFields {
                time_out: Some(timeout), interval_time: Some(interval), health_num: Some(rise), ..Default::default()
            };
            let checked = HealthCheck::validate(&given, CheckedAs::Stream);
            prop_assert_eq!(checked.is_ok(), timeout < interval);
            if let Ok(check) = checked {
                prop_assert_eq!(HealthCheck::validate(&check.to_fields(), CheckedAs::Stream).unwrap(), check);
            }
        }
    }
}
