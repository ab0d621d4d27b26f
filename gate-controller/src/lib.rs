//! The gate controller: binds pods to the CLB, watches the CLB's health checks, flips the gates, drains
//! pods before they go, and keeps the webhook's registration and certificates whole.
//!
//! The pure parts decide: [`desired`] what the CLB should hold, [`plan`] what to do about the
//! difference, [`judge`] what the gates should say. The rest gathers facts for them and performs what
//! they return. Only the leader writes.

pub mod ask;
pub mod canary;
pub mod certificates;
pub mod cloud;
pub mod cluster;
pub mod configs;
mod departed;
pub mod desired;
pub mod director;
pub mod engine;
pub mod explain;
pub mod family;
pub mod fresh;
pub mod gates;
pub mod heal;
pub mod health;
mod ingress_status;
pub mod judge;
pub mod ledger;
pub mod lifecycle;
mod met;
pub mod metrics;
mod pace;
mod pauses;
pub mod plan;
pub mod pod;
pub mod preview;
pub mod reach;
pub mod secrets;
mod start;
pub mod status;
pub mod uninstall;
pub mod view;

pub use kube::Client;
pub use start::{Config, StartError, run};
