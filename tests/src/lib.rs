//! What the demo, the journeys and the benchmarks share: a view of the cluster they run in, of the
//! simulated CLB, and a load that counts what fails.
//!
//! All of it runs inside the test host (or beside an existing cluster), which sets the environment.

pub mod audit;
#[cfg(test)]
mod behaviours;
pub mod chain;
pub mod cli;
pub mod clients;
pub mod creations;
pub mod dial;
pub mod figures;
pub mod foreign;
pub mod frames;
pub mod kubectl;
pub mod load;
pub mod operator;
pub mod ours;
pub mod played;
pub mod power;
pub mod proof;
#[cfg(test)]
mod readmes;
pub mod registration;
pub mod sim;
pub mod stage;
pub mod wait;
pub mod websocket;
pub mod workload;
pub mod world;

pub use world::World;
