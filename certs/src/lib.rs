//! X.509 for the webhook: issue, parse, verify, bundle, the plan that says what to do next, and the
//! TLS resolver that swaps the leaf in place. The controller writes with it, the webhook serves with
//! it, the CLI reports with it. It knows no Kubernetes client and reads no clock: time is a parameter.

pub mod bundle;
#[cfg(test)]
mod fixtures;
pub mod handshake;
pub mod issue;
pub mod layout;
pub mod parse;
pub mod plan;
pub mod provider;
pub mod resolver;
pub mod served;
pub mod verify;

pub use bundle::Bundle;
pub use layout::{KeyPem, LeafMaterial, ServiceNames};
pub use parse::{CertFacts, Certificate, ParseError};
pub use verify::Problem;
