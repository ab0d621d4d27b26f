//! Health checks: the pure counting rule, one probe of each kind, and the loop that runs them.

pub(crate) mod checker;
mod custom;
mod http;
pub(crate) mod machine;
mod ping;
mod probe;
