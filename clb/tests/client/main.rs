//! The client against a server of the test's own making. (Against the simulator it is held
//! elsewhere: the two share nothing, so each can find the other's mistakes.)

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod actions;
mod advice;
mod credentials;
mod local;
mod metadata;
mod parts;
mod policies;
mod samples;
mod support;
mod tls;
mod transport;
