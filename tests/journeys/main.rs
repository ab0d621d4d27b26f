//! Journeys: what users do and what must then be so, on a real cluster with the simulated CLB.
//!
//! One boot of the test host serves all of them, a namespace and a listener port each. Those that
//! disturb clb-gate itself take the stage alone.

mod bad_input;
mod config;
mod created;
mod created_ingress;
mod data_path;
mod drain;
mod explain;
mod foreign;
mod guides;
mod healing;
mod host;
mod ingress;
mod injection;
mod install;
mod leader;
mod many;
mod never;
mod preview;
mod proof;
mod rebuilt;
mod reload;
mod reuse;
mod rights;
mod rollout;
mod split;
mod tampering;
mod tke;
mod traffic;

use clb_gate_tests::stage;
