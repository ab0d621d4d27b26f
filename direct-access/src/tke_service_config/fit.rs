//! How what an object declares of a layer-4 listener fits what the Service's own annotation says of it, and
//! what it declares of a rule fits the rule's listener, field by field: what cannot be meant together is left
//! out, and named.

use crate::listener::{HealthCheck, ListenerParameters};
use crate::slot::Protocol;

use super::{L4Listener, L7Rule, NotApplied};

/// The annotation's parameters with the object's on top, and what of the object's is left out or doubtful.
pub(super) fn fit(
    base: &ListenerParameters,
    declared: &L4Listener,
) -> (ListenerParameters, Vec<NotApplied>) {
    let mut told = Told {
        field: format!("{}.healthCheck", declared.field),
        all: Vec::new(),
    };
    let mut more = declared.parameters.clone();
    let below = base.health_check.clone().unwrap_or_default();
    if let Some(check) = &mut more.health_check
        && !is_off(check)
    {
        told.kind(check, &below, declared.protocol);
        told.time(check, &below);
    }
    (base.with(&more), told.all)
}

/// What an object declares of a rule of this protocol, and what of it is left out.
pub(super) fn fit_rule(
    declared: &L7Rule,
    protocol: Protocol,
) -> (ListenerParameters, Vec<NotApplied>) {
    let mut told = Told {
        field: format!("{}.healthCheck", declared.field),
        all: Vec::new(),
    };
    let mut parameters = ListenerParameters {
        forward_type: declared.forward_type.clone(),
        http2: declared.http2,
        ..declared.parameters.clone()
    };
    if let Some(check) = &mut parameters.health_check
        && !is_off(check)
        && check.check_type.as_deref() == Some("TCP")
    {
        told.other_kind(http_fields(check), "HTTP");
        without_http(check);
    }
    if protocol != Protocol::Https && parameters.http2.take() == Some(true) {
        let domain = declared.field.split(".rules").next().unwrap_or_default();
        domain.clone_into(&mut told.field);
        told.tell("http2", "true", "it is of HTTPS listeners");
    }
    (parameters, told.all)
}

/// Whether a check is switched off. How it would be done is left out then: the CLB keeps what it has, and
/// refuses nothing.
fn is_off(check: &mut HealthCheck) -> bool {
    let off = check.health_switch == Some(0);
    if off {
        *check = HealthCheck {
            health_switch: Some(0),
            ..HealthCheck::default()
        };
    }
    off
}

/// Why a time-out is doubtful.
pub(super) fn too_long(interval: i64) -> String {
    format!(
        "it must be smaller than intervalTime {interval}, or the CLB refuses it; it is sent as it is, after everything else"
    )
}

struct Told {
    field: String,
    all: Vec<NotApplied>,
}

impl Told {
    /// What other kinds of checks have does not belong; what this kind needs must be there.
    fn kind(&mut self, check: &mut HealthCheck, below: &HealthCheck, protocol: Protocol) {
        let default = if protocol == Protocol::Udp {
            "PING"
        } else {
            "TCP"
        };
        let named = check
            .check_type
            .clone()
            .or_else(|| below.check_type.clone());
        let kind = named.as_deref().unwrap_or(default);
        if kind != "HTTP" {
            self.other_kind(http_fields(check), "HTTP");
            without_http(check);
        }
        if kind != "CUSTOM" {
            self.other_kind(custom_fields(check), "CUSTOM");
            without_custom(check);
        }
        if kind == "PING"
            && let Some(port) = check.check_port.take()
        {
            self.tell(
                "checkPort",
                &port.to_string(),
                "a PING has no port; leave it out, or check in your own words: checkType CUSTOM",
            );
        }
        let both = below.with(check);
        let lacking = match kind {
            "HTTP" => both.lacks_for_http(),
            "CUSTOM" => both.lacks_for_custom(),
            _ => None,
        };
        if let Some(field) = lacking {
            let accepted = format!(
                "checkType {kind} needs it on a layer-4 listener; until it is there the kind of check stays as it is"
            );
            self.tell(&lower(field), "absent", &accepted);
            check.check_type = None;
            without_http(check);
            without_custom(check);
        }
    }

    fn other_kind(&mut self, fields: Vec<(&'static str, String)>, kind: &str) {
        for (name, value) in fields {
            let accepted =
                format!("it is of checks of another kind; accepted is checkType: {kind} beside it");
            self.tell(name, &value, &accepted);
        }
    }

    /// The documentation's own sample has it so: told, and the API judges.
    fn time(&mut self, check: &HealthCheck, below: &HealthCheck) {
        let timeout = check.time_out.or(below.time_out);
        let interval = check.interval_time.or(below.interval_time);
        if let (Some(timeout), Some(interval)) = (timeout, interval)
            && timeout >= interval
        {
            self.tell("timeout", &timeout.to_string(), &too_long(interval));
        }
    }

    fn tell(&mut self, name: &str, value: &str, why: &str) {
        self.all.push(NotApplied {
            field: format!("{}.{name}", self.field),
            value: value.to_owned(),
            why: why.to_owned(),
        });
    }
}

fn http_fields(check: &HealthCheck) -> Vec<(&'static str, String)> {
    let fields = [
        ("httpCode", check.http_code.map(|code| code.to_string())),
        ("httpCheckPath", check.http_check_path.clone()),
        ("httpCheckDomain", check.http_check_domain.clone()),
        ("httpCheckMethod", check.http_check_method.clone()),
        ("httpVersion", check.http_version.clone()),
    ];
    there(fields)
}

fn custom_fields(check: &HealthCheck) -> Vec<(&'static str, String)> {
    let fields = [
        ("contextType", check.context_type.clone()),
        ("sendContext", check.send_context.clone()),
        ("recvContext", check.recv_context.clone()),
    ];
    there(fields)
}

fn there<const N: usize>(
    fields: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn without_http(check: &mut HealthCheck) {
    check.http_code = None;
    check.http_check_path = None;
    check.http_check_domain = None;
    check.http_check_method = None;
    check.http_version = None;
}

fn without_custom(check: &mut HealthCheck) {
    check.context_type = None;
    check.send_context = None;
    check.recv_context = None;
}

/// As the object spells what the API names.
fn lower(field: &str) -> String {
    let mut letters = field.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
