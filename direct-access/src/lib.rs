//! Every decision of clb-gate, pure: no tokio, no Kubernetes client, no clock.
//!
//! The webhook asks [`inject()`] whether a pod gets the readiness gate; the gate controller asks
//! [`gate()`] what the gate's condition should say. Both rest on [`exposures()`], the only place that
//! decides what is ours of the Services (and [`ingress_exposures()`] of the Ingresses): a pod gated by one and not bound by the other would never become Ready.

pub mod annotations;
pub mod attributes;
pub mod certificate;
pub mod condition;
mod deadline;
pub mod drain;
pub mod exposure;
pub mod gate;
mod host;
pub mod index;
pub mod ingress;
pub mod inject;
pub mod keep;
pub mod listener;
pub mod listener_change;
pub mod load_balancer;
pub mod names;
pub mod network;
pub mod owner;
pub mod ownership;
pub mod problem;
pub mod service;
pub mod settings;
pub mod slot;
mod specify_protocol;
pub mod tke_service_config;
pub mod words;

pub use certificate::{CertificateId, CertificateRef};
pub use drain::Drain;
pub use exposure::{Exposure, Judgement, Reason, Rule, RulePath, Served, exposures};
pub use gate::{GateFacts, GateValue, gate};
pub use index::ExposureIndex;
pub use ingress::{IngressFacts, IngressJudgement, IngressReason, ingress_exposures};
pub use inject::{Injection, Place, PodFacts, SkipReason, inject, place};
pub use keep::{Keep, Lifecycle, NoSleep, Sleep, keep};
pub use load_balancer::LoadBalancer;
pub use owner::{Kind, Owner};
pub use problem::{Code, Problem};
pub use service::{ObjectRef, ServiceFacts};
pub use settings::Settings;
pub use slot::{Protocol, Slot, Space};
pub use words::{Word, Words};
