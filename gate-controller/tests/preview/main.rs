//! Previews and explanations against the simulator in this process and an API server that only knows GET.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected should end"
)]

mod explains;
mod reads;
mod world;
