//! Client for Tencent Cloud's load balancer (CLB) API v3, version 2018-03-17.
//!
//! It knows how to ask, not what to want: signing, credentials, limits, retries, tasks and batch
//! sizes live here; what to bind and when is the gate controller's business. Three habits shape it:
//!
//! - A write whose answer was lost is never sent again. It returns [`Kind::UnknownOutcome`], and the
//!   caller reads what the load balancer really has.
//! - Every call has a deadline that covers its wait for the limiter, its retries and its answer.
//! - Every optional field of the API is an `Option`; `null` and absent are the same thing.
//!
//! TLS uses the process-wide rustls crypto provider, which the program installs at its start.

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
pub use api::rules::{ModifyRule, NewRule, Rule};
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
