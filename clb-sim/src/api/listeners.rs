//! `DescribeListeners` and `CreateListener`.

use super::Reply;
use super::listener_fields::{check, scheduler, session, within};
use super::params::{Params, at_most, not_empty, port};
use super::{certificates, rules, unused};
use crate::clock::beijing;
use crate::refusal::{Refusal, code};
use crate::state::health_check::{HealthCheck, HealthCheckFields};
use crate::state::parts::{Effect, Listener, LoadBalancer, Protocol, Scheduler, Targets};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const IDS_PER_CALL: usize = 100;
const PORTS_PER_CALL: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Describe {
    load_balancer_id: String,
    listener_ids: Option<Vec<String>>,
    protocol: Option<String>,
    port: Option<i64>,
}

impl Params for Describe {}

pub(super) fn describe(model: &mut Model, _: &Call, params: &Describe) -> Result<Reply, Refusal> {
    let load_balancer = model.load_balancer(&params.load_balancer_id)?;
    let ids = params.listener_ids.as_deref().unwrap_or_default();
    at_most("ListenerIds", ids.len(), IDS_PER_CALL)?;
    let wanted = Wanted {
        ids,
        protocol: params.protocol.as_deref(),
        port: params.port,
    };
    let shown: Vec<Value> = wanted.of(load_balancer).map(show).collect();
    Ok(Reply::now(
        json!({ "TotalCount": shown.len(), "Listeners": shown }),
    ))
}

/// Which listeners a read is about; used by every action that filters them the same way.
pub(super) struct Wanted<'a> {
    pub(super) ids: &'a [String],
    pub(super) protocol: Option<&'a str>,
    pub(super) port: Option<i64>,
}

impl Wanted<'_> {
    pub(super) fn of<'b>(
        &self,
        load_balancer: &'b LoadBalancer,
    ) -> impl Iterator<Item = &'b Listener> {
        load_balancer.listeners.iter().filter(|listener| {
            (self.ids.is_empty() || self.ids.contains(&listener.id))
                && self
                    .protocol
                    .is_none_or(|protocol| protocol == listener.protocol.name())
                && self
                    .port
                    .is_none_or(|port| port == i64::from(listener.port))
        })
    }
}

fn show(listener: &Listener) -> Value {
    let rules = listener.rules.iter();
    let rules = rules.map(|rule| rules::show(listener, rule)).collect();
    let shown = json!({
        "ListenerId": listener.id,
        "ListenerName": listener.name,
        "Protocol": listener.protocol.name(),
        "Port": listener.port,
        "HealthCheck": listener.check.as_ref().map(HealthCheck::to_fields),
        "Certificate": listener.certificate.as_ref().map(unused::certificate),
        "Scheduler": if listener.protocol.has_rules() { None } else { Some(listener.scheduler.name()) },
        "SessionExpireTime": listener.session_expire_s,
        "SniSwitch": i32::from(listener.sni),
        "Rules": if listener.protocol.has_rules() { Value::Array(rules) } else { Value::Null },
        "DeregisterTargetRst": listener.deregister_rst,
        "CreateTime": beijing(listener.created),
    });
    unused::with(shown, unused::of_listener())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    load_balancer_id: String,
    ports: Vec<i64>,
    protocol: String,
    listener_names: Option<Vec<String>>,
    health_check: Option<HealthCheckFields>,
    certificate: Option<Value>,
    session_expire_time: Option<i64>,
    scheduler: Option<String>,
    sni_switch: Option<i64>,
    target_type: Option<String>,
    end_port: Option<i64>,
    deregister_target_rst: Option<bool>,
}

impl Params for Create {
    const IGNORED: &'static [&'static str] = &[
        "DataCompressMode",
        "FullEndPorts",
        "Http2",
        "H2cSwitch",
        "IdleConnectTimeout",
        "KeepaliveEnable",
        "MaxConn",
        "MaxCps",
        "MultiCertInfo",
        "ProxyProtocol",
        "RescheduleExpandTarget",
        "RescheduleInterval",
        "RescheduleStartTime",
        "RescheduleTargetZeroWeight",
        "RescheduleUnhealthy",
        "SessionType",
        "SnatEnable",
        "SslCloseSwitch",
    ];
}

pub(super) fn create(model: &mut Model, call: &Call, params: &Create) -> Result<Reply, Refusal> {
    let template = Template::read(params)?;
    certificates::check(model, params.certificate.as_ref())?;
    let load_balancer = model.writable(call, &params.load_balancer_id)?;
    check_room(load_balancer, &template, model.quotas().listeners)?;
    let listeners: Vec<Listener> = template
        .ports
        .iter()
        .zip(&template.names)
        .map(|(port, name)| template.listener(model.ids.next("lbl"), *port, name, call.now))
        .collect();
    let ids: Vec<String> = listeners
        .iter()
        .map(|listener| listener.id.clone())
        .collect();
    model.begin(
        call,
        &params.load_balancer_id,
        Effect::AddListeners(listeners),
    )?;
    Ok(Reply::now(json!({ "ListenerIds": ids })))
}

/// What all listeners of one call share.
struct Template {
    protocol: Protocol,
    ports: Vec<u16>,
    names: Vec<String>,
    check: Option<HealthCheck>,
    scheduler: Scheduler,
    session_expire_s: u16,
    sni: bool,
    deregister_rst: bool,
    certificate: Option<Value>,
}

impl Template {
    fn read(params: &Create) -> Result<Self, Refusal> {
        let protocol = protocol(params)?;
        refuse_unsupported(params)?;
        let ports = ports(&params.ports)?;
        Ok(Self {
            protocol,
            names: names(params.listener_names.as_deref(), ports.len())?,
            ports,
            check: check(protocol, params.health_check.as_ref())?,
            scheduler: scheduler(params.scheduler.as_deref())?.unwrap_or(Scheduler::Wrr),
            session_expire_s: session(params.session_expire_time)?.unwrap_or(0),
            sni: params.sni_switch == Some(1),
            deregister_rst: params.deregister_target_rst.unwrap_or(false),
            certificate: params.certificate.clone(),
        })
    }

    fn listener(&self, id: String, port: u16, name: &str, created: i64) -> Listener {
        Listener {
            id,
            name: name.to_owned(),
            protocol: self.protocol,
            port,
            check: self.check.clone(),
            scheduler: self.scheduler,
            session_expire_s: self.session_expire_s,
            sni: self.sni,
            deregister_rst: self.deregister_rst,
            certificate: self.certificate.clone(),
            created,
            targets: Targets::new(),
            rules: Vec::new(),
        }
    }
}

fn protocol(params: &Create) -> Result<Protocol, Refusal> {
    // The API's own examples write it in small letters too.
    let protocol = Protocol::parse(&params.protocol.to_uppercase()).ok_or_else(|| {
        invalid(format!(
            "Protocol {:?} is not accepted: TCP, UDP, HTTP, HTTPS, TCP_SSL and QUIC are",
            params.protocol
        ))
    })?;
    if protocol.has_certificate() && params.certificate.is_none() && params.sni_switch != Some(1) {
        let message = format!("Certificate is required for Protocol {}", protocol.name());
        return Err(Refusal::new(code::MISSING, message));
    }
    Ok(protocol)
}

fn refuse_unsupported(params: &Create) -> Result<(), Refusal> {
    let target_type = params.target_type.as_deref().unwrap_or("NODE");
    if target_type != "NODE" {
        let message = format!("TargetType {target_type:?}: this simulator has no target groups");
        return Err(Refusal::new(code::UNSUPPORTED, message));
    }
    if params.end_port.is_some_and(|port| port != 0) {
        let message = "EndPort: this simulator has no port ranges";
        return Err(Refusal::new(code::UNSUPPORTED, message));
    }
    Ok(())
}

fn ports(given: &[i64]) -> Result<Vec<u16>, Refusal> {
    not_empty("Ports", given.len())?;
    at_most("Ports", given.len(), PORTS_PER_CALL)?;
    let mut seen = BTreeSet::new();
    for given in given {
        let port = port("Ports", *given)?;
        if !seen.insert(port) {
            return Err(Refusal::new(
                code::DUPLICATE,
                format!("Ports names {port} twice"),
            ));
        }
    }
    given.iter().map(|given| port("Ports", *given)).collect()
}

fn names(given: Option<&[String]>, ports: usize) -> Result<Vec<String>, Refusal> {
    let names = given.unwrap_or_default();
    if names.is_empty() {
        return Ok(vec![String::new(); ports]);
    }
    if names.len() != ports {
        let message = format!(
            "ListenerNames has {} items, Ports has {ports}: one name for each port",
            names.len()
        );
        return Err(Refusal::new(code::LENGTH, message));
    }
    for name in names {
        within("ListenerNames", name, 1..=80)?;
    }
    Ok(names.to_vec())
}

fn check_room(load_balancer: &LoadBalancer, new: &Template, quota: usize) -> Result<(), Refusal> {
    let present = load_balancer.listeners.len();
    if present + new.ports.len() > quota {
        let message = format!(
            "{} has {present} listeners; {} more exceed the quota of {quota} (TOTAL_LISTENER_QUOTA)",
            load_balancer.id,
            new.ports.len()
        );
        return Err(Refusal::new(code::LIMIT_EXCEEDED, message));
    }
    let taken = load_balancer.listeners.iter().find(|listener| {
        listener.protocol.is_datagram() == new.protocol.is_datagram()
            && new.ports.contains(&listener.port)
    });
    let Some(taken) = taken else {
        return Ok(());
    };
    let message = format!(
        "Port check failed: port {} of {} is taken by the {} listener {}",
        taken.port,
        load_balancer.id,
        taken.protocol.name(),
        taken.id
    );
    Err(Refusal::new(code::PORT_CHECK, message))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(code::INVALID_VALUE, message)
}
