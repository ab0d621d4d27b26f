//! The metadata service of a virtual machine, `/latest/meta-data/...`: its role's credentials, its
//! region and network.

use super::sts::{Issued, rfc3339};
use super::{Accounts, LIFE_S};
use crate::clock::Millis;
use serde_json::json;

/// The path below which everything is the metadata service's.
pub(crate) const PREFIX: &str = "/latest/meta-data/";
const MAC: &str = "52:54:00:00:00:01";
const CREDENTIALS: &str = "cam/security-credentials/";

/// Where the machine is.
#[derive(Clone, Copy)]
pub(crate) struct Machine<'a> {
    pub(crate) region: &'a str,
    pub(crate) vpc_id: &'a str,
}

impl Accounts {
    /// The text under a path; none is a 404.
    pub(crate) fn metadata(
        &mut self,
        path: &str,
        machine: Machine<'_>,
        now: Millis,
    ) -> Option<String> {
        let path = path.strip_prefix(PREFIX)?;
        if let Some(role) = path.strip_prefix(CREDENTIALS) {
            return self.machine_credentials(role, now);
        }
        let vpc = format!("network/interfaces/macs/{MAC}/vpc-id");
        match path {
            "placement/region" => Some(machine.region.to_owned()),
            "placement/zone" => Some(format!("{}-1", machine.region)),
            "instance-id" => Some("ins-demo0001".to_owned()),
            "mac" => Some(MAC.to_owned()),
            "network/interfaces/macs/" => Some(format!("{MAC}/")),
            path if path == vpc => Some(machine.vpc_id.to_owned()),
            _ => None,
        }
    }

    fn machine_credentials(&mut self, asked: &str, now: Millis) -> Option<String> {
        let role = self.machine_role.clone()?;
        if asked.is_empty() {
            return Some(role);
        }
        if asked != role {
            return None;
        }
        let issued = self.machine_issued(&role, now)?;
        let answer = json!({
            "TmpSecretId": issued.id,
            "TmpSecretKey": issued.key,
            "ExpiredTime": issued.expires_at,
            "Expiration": rfc3339(issued.expires_at),
            "Token": issued.token,
            "Code": "Success",
        });
        Some(answer.to_string())
    }

    /// The same for everyone until nine tenths of their life are over.
    fn machine_issued(&mut self, role: &str, now: Millis) -> Option<Issued> {
        let fresh = |issued: &&Issued| {
            let life = issued.expires_at - issued.made_at;
            now / 1000 < issued.made_at + life * 9 / 10
        };
        if let Some(issued) = self.machine.as_ref().filter(fresh) {
            return Some(issued.clone());
        }
        let arn = self
            .roles
            .keys()
            .find(|arn| arn.ends_with(&format!("/{role}")));
        let policy = arn.and_then(|arn| self.roles.get(arn)?.policy.clone());
        self.machine = self.issue((role, policy), LIFE_S, now).ok();
        self.machine.clone()
    }
}
