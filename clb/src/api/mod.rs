//! The API's actions, by what they are about. Names are the API's, in Rust's case.

pub(crate) mod binding;
pub(crate) mod filter;
pub(crate) mod health;
pub(crate) mod listeners;
pub(crate) mod load_balancer_writes;
pub(crate) mod load_balancers;
pub(crate) mod quotas;
pub(crate) mod rules;
pub(crate) mod targets;
pub(crate) mod tasks;
