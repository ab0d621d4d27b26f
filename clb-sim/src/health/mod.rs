//! Health checks: the pure counting rule, one probe, and the loop that runs them.

pub(crate) mod checker;
pub(crate) mod machine;
mod probe;
