//! A CLB on your machine: the control plane of Tencent Cloud's CLB API (version 2018-03-17), real
//! health checks and real forwarding. It shares no code with the client it is used to test.
//!
//! Where the API's documentation is silent, this simulator does as follows:
//! - A write takes effect when its task is done, not when it is accepted; a batch call answers
//!   when the work is done, and the load balancer is busy for as long.
//! - Registering a bound target again succeeds and overwrites weight and tag; its health is kept.
//! - Deregistering a target that is not bound succeeds; changing its weight is an error.
//! - A batch names listeners it cannot serve in `FailListenerIdSet`; if it can serve none, it is
//!   refused with the first reason.
//! - With the health check off, `HealthStatus` is false and the detail is `Close`.
//! - A target that was never judged (`Unknown`) gets no traffic, also when all others are dead.
//! - Targets at weight 0 do not count when it is asked whether all targets are dead.

mod admin;
mod api;
mod calls;
mod cidr;
mod clock;
mod faults;
mod forward;
mod health;
mod in_process;
mod open_files;
mod outgoing;
mod refusal;
mod security_door;
mod server;
mod shared;
mod start;
mod state;
mod store;
mod tls;

pub use cidr::{BadCidr, Cidr};
pub use faults::FaultsError;
pub use in_process::InProcess;
pub use start::{Config, Handle, InitialLoadBalancer, StartError, TlsConfig, start};
pub use state::{Behaviour, Delays, OnAbsent, OnReregister, Quotas, Visible};
pub use store::StoreError;
pub use tls::TlsError;
