//! What of an Ingress is ours: [`ingress_exposures()`] judges one beside the Services it names. Webhook
//! and controller ask nobody else.

mod annotations;
#[cfg(test)]
mod config_tests;
mod facts;
mod judge;
mod listen;
mod mix;
mod route;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod work;

pub use annotations::ANNOTATIONS;
pub use facts::{Backend, BackendPort, IngressFacts, RouteFacts, TlsFacts};
pub use judge::{IngressJudgement, IngressReason, IngressServed, ingress_exposures};
pub use listen::DEFAULT_PORTS;
