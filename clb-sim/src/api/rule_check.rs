//! A rule's health check: what layer 7 fills in where layer 4 asks.

use crate::refusal::{Refusal, code};
use crate::state::health_check::{CheckedAs, HealthCheck, HealthCheckFields};

/// Checks what a caller sent for a rule. HTTP is the default, and the rule's own domain is asked.
pub(super) fn validate(
    given: Option<&HealthCheckFields>,
    domain: &str,
) -> Result<HealthCheck, Refusal> {
    let mut fields = given.cloned().unwrap_or_default();
    let kind = fields.check_type.get_or_insert_with(|| "HTTP".to_owned());
    if !["HTTP", "TCP"].contains(&kind.as_str()) {
        return Err(refuse(kind));
    }
    if kind == "HTTP" {
        if fields
            .http_check_domain
            .as_ref()
            .is_none_or(String::is_empty)
        {
            if domain.contains('*') || domain.starts_with('~') {
                let message = format!(
                    "HealthCheck.HttpCheckDomain is required: the rule's Domain {domain:?} is no single domain"
                );
                return Err(Refusal::new(code::INVALID_VALUE, message));
            }
            fields.http_check_domain = Some(domain.to_owned());
        }
        fields
            .http_version
            .get_or_insert_with(|| "HTTP/1.1".to_owned());
    }
    // The API's CheckPort is for layer 4 only.
    fields.check_port = None;
    HealthCheck::validate(&fields, CheckedAs::Stream)
}

fn refuse(kind: &str) -> Refusal {
    if ["HTTPS", "GRPC"].contains(&kind) {
        let message = format!(
            "HealthCheck.CheckType {kind} is valid, but this simulator does not run it for rules"
        );
        return Refusal::new(code::UNSUPPORTED, message);
    }
    let message = format!(
        "HealthCheck.CheckType {kind:?} does not fit a rule: accepted are TCP, HTTP, HTTPS and GRPC"
    );
    Refusal::new(code::INVALID_VALUE, message)
}
