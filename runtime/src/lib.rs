//! What the webhook and the gate controller share: the Kubernetes client with its deadlines, pruned
//! watches, leader election, readiness, the admin port and a shutdown that loses nothing.
//!
//! It knows Kubernetes and nothing of load balancers, certificates or exposures.

pub mod admin;
pub mod build;
pub mod client;
pub mod clock;
pub mod events;
pub mod lease;
pub mod ready;
pub mod supervise;
pub mod telemetry;
pub mod version;
pub mod watch;

pub use client::{CallError, call, connect};
pub use events::{News, Recorder, Reporter};
pub use lease::{Leadership, Term};
pub use ready::{Readiness, ReadyHandle};
pub use supervise::{BoxError, Supervisor};
pub use watch::{Change, Key, Watch};
