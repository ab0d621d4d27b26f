//! The simulator from outside: signed calls, real backends, connections through the VIP.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail"
)]

mod accounts;
mod control;
mod data;
mod data_checks;
mod data_http;
mod data_https;
mod data_security;
mod data_udp;
mod forecast;
mod in_process;
mod objects;
mod support;
mod tls;
mod web;
