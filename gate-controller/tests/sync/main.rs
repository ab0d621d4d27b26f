//! The engine, whole, against the simulator in this process and in virtual time: hours pass in moments.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected should end"
)]

mod api;
mod by_host;
mod changes;
mod configs;
mod contract;
mod drains;
mod faults;
mod hamlet;
mod ingress_configs;
mod levels;
mod ownership;
mod rules;
mod settles;
mod stale;
mod town;
mod whole;
#[allow(dead_code, reason = "shared with the bench")]
mod wire;
mod words;
#[allow(dead_code, reason = "shared with the bench")]
mod world;
