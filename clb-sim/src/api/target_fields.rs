//! `Target` as it travels, and the rules for its fields that all actions share.

use super::params::port;
use crate::refusal::{Refusal, code};
use crate::state::parts::TargetKey;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

const DEFAULT_WEIGHT: u8 = 10;
const HEAVIEST: u8 = 100;

/// `Target`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TargetFields {
    pub(super) port: i64,
    pub(super) instance_id: Option<String>,
    pub(super) eni_ip: Option<String>,
    pub(super) weight: Option<i64>,
    pub(super) tag: Option<String>,
    /// Output only; accepted and ignored on input, as the API does.
    #[serde(rename = "Type")]
    _kind: Option<String>,
}

impl TargetFields {
    pub(super) fn address(&self) -> Result<SocketAddr, Refusal> {
        address(
            self.instance_id.as_deref(),
            self.eni_ip.as_deref(),
            self.port,
        )
    }
}

/// Exactly one of `InstanceId` and `EniIp`; the fake VPC has no virtual machines to name.
pub(super) fn address(
    instance_id: Option<&str>,
    eni_ip: Option<&str>,
    given: i64,
) -> Result<SocketAddr, Refusal> {
    match (instance_id, eni_ip) {
        (None, Some(text)) => {
            let ip: IpAddr = text
                .parse()
                .map_err(|_| invalid(format!("Targets.EniIp {text:?} is not an IP address")))?;
            Ok(SocketAddr::new(ip, port("Targets.Port", given)?))
        }
        (Some(id), None) => Err(invalid(format!(
            "Targets.InstanceId {id:?} does not exist here: this simulator's VPC has no instances, only addresses (EniIp)"
        ))),
        (None, None) => Err(Refusal::new(
            code::MISSING,
            "Targets needs one of InstanceId and EniIp",
        )),
        (Some(_), Some(_)) => Err(Refusal::new(
            code::INVALID_PARAMETER,
            "Targets takes exactly one of InstanceId and EniIp, both were sent",
        )),
    }
}

/// No target twice in one call.
pub(super) fn distinct(
    keys: impl Iterator<Item = Result<TargetKey, Refusal>>,
) -> Result<Vec<TargetKey>, Refusal> {
    let keys: Vec<TargetKey> = keys.collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    match keys.iter().find(|key| !seen.insert(*key)) {
        None => Ok(keys),
        Some(key) => {
            let message = format!(
                "target {} is named twice for listener {}",
                key.address, key.listener_id
            );
            Err(Refusal::new(code::DUPLICATE, message))
        }
    }
}

pub(super) fn weight(field: &str, given: Option<i64>) -> Result<u8, Refusal> {
    let Some(given) = given else {
        return Ok(DEFAULT_WEIGHT);
    };
    let weight = u8::try_from(given)
        .ok()
        .filter(|weight| *weight <= HEAVIEST);
    weight.ok_or_else(|| {
        invalid(format!(
            "{field} {given} is out of range: accepted are 0 to {HEAVIEST}"
        ))
    })
}

fn invalid(message: String) -> Refusal {
    Refusal::new(code::INVALID_VALUE, message)
}
