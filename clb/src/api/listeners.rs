//! Listeners and their health checks.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::actions::{
    CREATE_LISTENER as CREATE, DELETE_LISTENER as DELETE,
    DELETE_LOAD_BALANCER_LISTENERS as DELETE_SEVERAL, DESCRIBE_LISTENERS as DESCRIBE,
    MODIFY_LISTENER as MODIFY,
};
use crate::api::filter::NonEmpty;
use crate::api::rules::Rule;
use crate::batch::{CREATE_LISTENERS, DELETE_LISTENERS, LISTENERS};
use crate::client::Answered;
use crate::wire::{Empty, null_default};
use crate::{Client, Error, ListenerId, LoadBalancerId, Task};

/// A listener's protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Protocol {
    /// HTTP, layer 7.
    Http,
    /// HTTPS, layer 7.
    Https,
    /// QUIC.
    Quic,
    /// TCP, layer 4.
    #[default]
    Tcp,
    /// TCP with TLS ended at the load balancer.
    TcpSsl,
    /// UDP, layer 4.
    Udp,
    /// Another.
    Other(String),
}

impl Protocol {
    /// The protocol as the API writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Quic => "QUIC",
            Self::Tcp => "TCP",
            Self::TcpSsl => "TCP_SSL",
            Self::Udp => "UDP",
            Self::Other(name) => name,
        }
    }

    /// Whether targets belong to rules and not to the listener itself.
    pub fn has_rules(&self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for Protocol {
    fn from(name: String) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "HTTP" => Self::Http,
            "HTTPS" => Self::Https,
            "QUIC" => Self::Quic,
            "TCP" => Self::Tcp,
            "TCP_SSL" => Self::TcpSsl,
            "UDP" => Self::Udp,
            _ => Self::Other(name),
        }
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.as_str().to_owned()
    }
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Listener {
    /// Its id.
    pub listener_id: ListenerId,
    /// Its name.
    #[serde(default, deserialize_with = "null_default")]
    pub listener_name: String,
    /// Its protocol.
    #[serde(default, deserialize_with = "null_default")]
    pub protocol: Protocol,
    /// Its port.
    #[serde(default, deserialize_with = "null_default")]
    pub port: u16,
    /// The last port of a range; 0 or absent for none.
    pub end_port: Option<u16>,
    /// Its health check; layer 7 has one for each rule instead.
    pub health_check: Option<HealthCheck>,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// 1 where each domain has its own certificate.
    pub sni_switch: Option<u8>,
    /// How it spreads connections: `WRR`, `LEAST_CONN`.
    pub scheduler: Option<String>,
    /// For how many seconds a client stays with its target; 0 for not.
    pub session_expire_time: Option<u32>,
    /// Its rules; empty on layer 4.
    #[serde(default, deserialize_with = "null_default")]
    pub rules: Vec<Rule>,
    /// `NODE`, or target groups, which this client does not manage.
    pub target_type: Option<String>,
    /// Whether clients get a reset when their target is unbound.
    pub deregister_target_rst: Option<bool>,
    /// `Stop` for a stopped listener.
    #[serde(default, deserialize_with = "null_default")]
    pub attr_flags: Vec<String>,
    /// When it was made, as the API writes it.
    pub create_time: Option<String>,
}

/// A listener's or rule's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
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

impl Certificate {
    /// A server certificate by its id.
    pub fn new(cert_id: impl Into<String>) -> Self {
        Self {
            ssl_mode: Some("UNIDIRECTIONAL".to_owned()),
            cert_id: Some(cert_id.into()),
            cert_ca_id: None,
        }
    }
}

/// A health check. What is absent is the API's default when given, and unused when read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// 1 on, 0 off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_switch: Option<u8>,
    /// Seconds to wait for an answer, 2 to 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_out: Option<u32>,
    /// Seconds between two probes, 2 to 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_time: Option<u32>,
    /// Good probes in a row that make a target healthy, 2 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_num: Option<u32>,
    /// Bad probes in a row that make a target unhealthy, 2 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub un_health_num: Option<u32>,
    /// TCP, HTTP, HTTPS, GRPC, PING or CUSTOM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_type: Option<String>,
    /// The probed port; -1 for the target's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_port: Option<i32>,
    /// Which HTTP statuses are good: the sum of 1 (1xx), 2 (2xx), 4, 8 and 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_code: Option<u32>,
    /// The probed path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_check_path: Option<String>,
    /// The probe's host name; required for HTTP probes of a TCP listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_check_domain: Option<String>,
    /// HEAD or GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_check_method: Option<String>,
    /// HTTP/1.0 or HTTP/1.1; required for HTTP probes of a TCP listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_version: Option<String>,
    /// Where probes come from: 0 the VIP, 1 the range 100.64.0.0/10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip_type: Option<u8>,
    /// HEX or TEXT, for CUSTOM probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_type: Option<String>,
    /// What a CUSTOM probe sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_context: Option<String>,
    /// What it expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_context: Option<String>,
    /// Which GRPC statuses are good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended_code: Option<String>,
}

impl HealthCheck {
    /// Whether it is switched off. Absent means on, the API's default.
    pub fn is_off(&self) -> bool {
        self.health_switch == Some(0)
    }
}

/// Which listeners to read; an empty query asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListenerQuery {
    /// Only these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listener_ids: Vec<ListenerId>,
    /// Only those of this protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Only those on this port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// New listeners: one for each port, all alike but for their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateListener {
    /// The load balancer.
    pub load_balancer_id: LoadBalancerId,
    /// Their ports.
    pub ports: Vec<u16>,
    /// Their protocol.
    pub protocol: Protocol,
    /// Their names, in the order of the ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listener_names: Vec<String>,
    /// Their health check; layer 4 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Its certificate; HTTPS, `TCP_SSL` and QUIC only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// 1 for a certificate for each domain; HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni_switch: Option<u8>,
    /// `WRR` or `LEAST_CONN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// 0, or 30 to 3600 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expire_time: Option<u32>,
    /// Whether clients get a reset when their target is unbound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_target_rst: Option<bool>,
}

impl CreateListener {
    /// One listener with the API's defaults.
    pub fn new(
        load_balancer_id: LoadBalancerId,
        protocol: Protocol,
        port: u16,
        name: impl Into<String>,
    ) -> Self {
        Self {
            load_balancer_id,
            ports: vec![port],
            protocol,
            listener_names: vec![name.into()],
            health_check: None,
            certificate: None,
            sni_switch: None,
            scheduler: None,
            session_expire_time: None,
            deregister_target_rst: None,
        }
    }
}

/// Changes to a listener. What is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyListener {
    /// The load balancer.
    pub load_balancer_id: LoadBalancerId,
    /// The listener.
    pub listener_id: ListenerId,
    /// Its new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_name: Option<String>,
    /// Its new health check; layer 4 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Its new certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// 1 for a certificate for each domain from now on; there is no way back. HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni_switch: Option<u8>,
    /// `WRR` or `LEAST_CONN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// 0, or 30 to 3600 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expire_time: Option<u32>,
    /// Whether clients get a reset when their target is unbound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_target_rst: Option<bool>,
}

impl ModifyListener {
    /// No change yet.
    pub fn new(load_balancer_id: LoadBalancerId, listener_id: ListenerId) -> Self {
        Self {
            load_balancer_id,
            listener_id,
            listener_name: None,
            health_check: None,
            certificate: None,
            sni_switch: None,
            scheduler: None,
            session_expire_time: None,
            deregister_target_rst: None,
        }
    }
}

/// What was made, and the task that finishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created<Id> {
    /// The new ids, in the order asked for.
    pub ids: Vec<Id>,
    /// The task.
    pub task: Task,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Query<'a> {
    load_balancer_id: &'a LoadBalancerId,
    #[serde(flatten)]
    query: ListenerQuery,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default, deserialize_with = "null_default")]
    listeners: Vec<Listener>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewIds {
    #[serde(default, deserialize_with = "null_default")]
    listener_ids: Vec<ListenerId>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Delete<'a> {
    load_balancer_id: &'a LoadBalancerId,
    listener_id: &'a ListenerId,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteSeveral<'a> {
    load_balancer_id: &'a LoadBalancerId,
    listener_ids: NonEmpty<'a, ListenerId>,
}

impl Client {
    /// The load balancer's listeners that match the query.
    pub async fn describe_listeners(
        &self,
        load_balancer: &LoadBalancerId,
        query: &ListenerQuery,
    ) -> Result<Vec<Listener>, Error> {
        let lb = Some(load_balancer);
        let part = |ids: &[ListenerId]| Query {
            load_balancer_id: load_balancer,
            query: ListenerQuery {
                listener_ids: ids.to_vec(),
                ..query.clone()
            },
        };
        let ids = query.listener_ids.as_slice();
        if ids.is_empty() {
            let all: Answered<Found> = self.call(DESCRIBE, lb, &part(ids)).await?;
            return Ok(all.value.listeners);
        }
        let found: Vec<Found> = self
            .call_in_parts(DESCRIBE, lb, (ids, LISTENERS), part)
            .await?;
        Ok(found.into_iter().flat_map(|part| part.listeners).collect())
    }

    /// The ids of the load balancer's listeners that match the query.
    pub(crate) async fn listener_ids(
        &self,
        load_balancer: &LoadBalancerId,
        query: &ListenerQuery,
    ) -> Result<Vec<ListenerId>, Error> {
        let listeners = self.describe_listeners(load_balancer, query).await?;
        Ok(listeners
            .into_iter()
            .map(|listener| listener.listener_id)
            .collect())
    }

    /// Makes up to 50 listeners. Their ids come at once; they work when the task is done.
    pub async fn create_listener(
        &self,
        create: &CreateListener,
    ) -> Result<Created<ListenerId>, Error> {
        self.check_size(
            CREATE,
            Some(&create.load_balancer_id),
            ("ports", create.ports.len(), CREATE_LISTENERS),
        )?;
        let answered: Answered<NewIds> = self
            .call(CREATE, Some(&create.load_balancer_id), create)
            .await?;
        Ok(Created {
            ids: answered.value.listener_ids,
            task: Task::new(answered.request_id),
        })
    }

    /// Deletes a listener and unbinds its targets.
    pub async fn delete_listener(
        &self,
        load_balancer: &LoadBalancerId,
        listener: &ListenerId,
    ) -> Result<Task, Error> {
        let delete = Delete {
            load_balancer_id: load_balancer,
            listener_id: listener,
        };
        Ok(self
            .call::<_, Empty>(DELETE, Some(load_balancer), &delete)
            .await?
            .into())
    }

    /// Changes a listener.
    pub async fn modify_listener(&self, modify: &ModifyListener) -> Result<Task, Error> {
        let lb = Some(&modify.load_balancer_id);
        Ok(self.call::<_, Empty>(MODIFY, lb, modify).await?.into())
    }

    /// Deletes up to 20 listeners and unbinds their targets. The API reads an empty list as all
    /// listeners, hence [`NonEmpty`].
    pub async fn delete_listeners(
        &self,
        load_balancer: &LoadBalancerId,
        listeners: NonEmpty<'_, ListenerId>,
    ) -> Result<Task, Error> {
        let lb = Some(load_balancer);
        let given = listeners.as_slice().len();
        self.check_size(DELETE_SEVERAL, lb, ("listeners", given, DELETE_LISTENERS))?;
        let delete = DeleteSeveral {
            load_balancer_id: load_balancer,
            listener_ids: listeners,
        };
        Ok(self
            .call::<_, Empty>(DELETE_SEVERAL, lb, &delete)
            .await?
            .into())
    }
}
