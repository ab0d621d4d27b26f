//! The API's actions, by what they are about. Names are the API's, in Rust's case.

pub(crate) mod health;
pub(crate) mod listeners;
pub(crate) mod load_balancers;
pub(crate) mod targets;
pub(crate) mod tasks;
