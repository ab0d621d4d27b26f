//! A CLB on your machine: the control plane of Tencent Cloud's CLB API (version 2018-03-17), real
//! health checks and real forwarding. It shares no code with the client it is used to test.
//!
//! Where the API's documentation is silent, this simulator does as follows:
//! - A write takes effect when its task is done, not when it is accepted (`--bind-visible at-once`:
//!   then); a batch call answers when the work is done, and the load balancer is busy for as long.
//!   `DescribeTaskStatus` knows batch calls too (`--batch-without-task`: not).
//! - Registering a bound target again succeeds and overwrites weight and tag; its health is kept
//!   (`--on-reregister duplicate|keep`: refused; changes nothing).
//! - Deregistering a target that is not bound succeeds (`--on-absent-deregister error`: refused);
//!   changing its weight or tag is an error.
//! - The tags of targets are kept (`--ignore-tags`: not).
//! - `CreateLoadBalancer` answers ids at once (`--create-without-ids`: when they are ready), and a
//!   load balancer has a VIP (`--domain-for-vip`: a domain and no VIP in any answer).
//! - The first rule of a listener makes its domain the default; the default domain goes only with
//!   the last rule, or with `NewDefaultServerDomain`.
//! - Writes to a classic load balancer are refused as `UnsupportedOperation`; one in another VPC
//!   takes no target until `TargetRegionInfo` names the VPC known here.
//! - A batch names listeners it cannot serve in `FailListenerIdSet`; if it can serve none, it is
//!   refused with the first reason.
//! - With the health check off, `HealthStatus` is false and the detail is `Close`.
//! - A target that was never judged (`Unknown`) gets no traffic, also when all others are dead.
//! - Temporary credentials share their role's rate limit.
//! - A certificate id that nobody uploaded is accepted, and handshakes that need it fail
//!   (`--check-certificates`: refused).
//! - A request on layer 7 is not tried again at another target.
//! - Targets at weight 0 do not count when it is asked whether all targets are dead.

mod accounts;
mod admin;
mod admin_edits;
mod api;
mod calls;
mod certificates_door;
mod cidr;
mod clock;
mod faults;
mod forecast_door;
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
mod visits;

pub use accounts::AccountsError;
pub use cidr::{BadCidr, Cidr};
pub use faults::FaultsError;
pub use in_process::InProcess;
pub use start::{Config, Handle, InitialLoadBalancer, StartError, TlsConfig, start};
pub use state::{Behaviour, Delays, OnAbsent, OnReregister, Quotas, Visible};
pub use store::StoreError;
pub use tls::TlsError;
