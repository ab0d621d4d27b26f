//! Client for Tencent Cloud's load balancer (CLB) API v3, version 2018-03-17.
//!
//! It knows how to ask, not what to want: signing, credentials, limits, retries, tasks and batch
//! sizes live here; what to bind and when is the gate controller's business. Three habits shape it:
//!
//! - A write whose answer was lost is never sent again. It returns [`Kind::UnknownOutcome`], and the
//!   caller reads what the load balancer really has.
//! - Every call has a deadline that covers its wait for the limiter, its retries and its answer.
//! - Every optional field of the API is an `Option` or an empty list; `null` and absent are the same.
//!
//! # Example
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use clb::{
//!     BatchTarget, ChainConfig, Client, Config, ListenerQuery, LoadBalancerId, Priority, Target,
//! };
//!
//! # async fn bind(now: clb::Clock) -> Result<(), Box<dyn std::error::Error>> {
//! // Where Tencent's own programs look: environment, a pod's identity, file, machine's role.
//! let env: clb::Lookup = Arc::new(|name: &str| std::env::var(name).ok());
//! let credentials = ChainConfig::new(env, now.clone()).build()?;
//! let config = Config::new(
//!     "internal".parse()?,
//!     "ap-guangzhou".parse()?,
//!     Arc::new(credentials),
//!     now,
//! );
//! let client = Client::new(config)?;
//!
//! // Bind a pod to the first listener, before whatever else waits for its turn.
//! let balancer = LoadBalancerId::new("lb-0123abcd");
//! let listeners = client
//!     .describe_listeners(&balancer, &ListenerQuery::default())
//!     .await?;
//! let listener = listeners.first().ok_or("it has no listener")?;
//! let pod = Target::new("172.16.0.12".parse()?, 8080).weight(10);
//! let outcome = client
//!     .with_priority(Priority::Young)
//!     .batch_register_targets(&balancer, &[BatchTarget::new(listener.listener_id.clone(), pod)])
//!     .await;
//! if let Err(error) = outcome {
//!     // The message ends with what to do; `advice` says which setting is meant.
//!     eprintln!("{error}");
//!     return Err(error.into());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! TLS uses the process-wide rustls crypto provider, which the program installs at its start.

mod actions;
mod api;
mod batch;
mod client;
mod config;
mod credentials;
mod endpoint;
mod error;
mod exchange;
mod ids;
mod limit;
mod metadata;
mod observe;
mod retry;
mod sign;
mod transport;
mod wire;

pub use actions::{Action, Level, actions};
pub use api::binding::{BatchOutcome, BatchTarget, ModifyTag, ModifyWeight, Target};
pub use api::filter::{Filter, NonEmpty};
pub use api::health::{
    HealthQuery, HealthState, ListenerHealth, LoadBalancerHealth, RuleHealth, TargetHealth,
};
pub use api::listeners::{
    Certificate, CreateListener, Created, HealthCheck, Listener, ListenerQuery, ModifyListener,
    Protocol,
};
pub use api::load_balancer_writes::{
    CreateLoadBalancer, CreatedLoadBalancers, InUse, InternetAccessible, LoadBalancerType,
    ModifyLoadBalancer,
};
pub use api::load_balancers::{LoadBalancer, LoadBalancerQuery, ResourceTag, TargetRegion};
pub use api::quotas::{Quota, QuotaId};
pub use api::rules::{ModifyDomain, ModifyRule, NewRule, Rule};
pub use api::targets::{Backend, ListenerTargets, RuleTargets, TargetQuery};
pub use api::tasks::{Task, TaskStatus};
pub use batch::{BATCH_TARGETS, REGISTER_TARGETS, batches, weight_batches};
pub use client::Client;
pub use config::{BuildError, Clock, Config, Language, Random};
pub use credentials::{
    ChainConfig, Credentials, CredentialsChain, CredentialsError, DirectoryCredentials,
    EnvCredentials, FileCredentials, Lookup, Obtaining, ProvideCredentials, RoleCredentials,
    SECRET_ID, SECRET_KEY, StaticCredentials, TOKEN, WebIdentity, WebIdentityCredentials,
};
pub use endpoint::{Endpoint, ParseEndpointError, ParseRegionError, Region};
pub use error::{About, Advice, Error, Kind, Site};
pub use exchange::{Answer, Cause, Exchange, Exchanging, Failure};
pub use ids::{ListenerId, LoadBalancerId, LocationId};
pub use limit::Priority;
pub use metadata::{Metadata, MetadataError};
pub use observe::{Called, NoObserver, Observer};
pub use retry::{Access, Retry, retry};
pub use transport::Transport;
