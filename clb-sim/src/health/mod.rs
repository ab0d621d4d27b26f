//! Health checks: the pure counting rule, one probe, and the loop that runs them.

pub(crate) mod machine;
