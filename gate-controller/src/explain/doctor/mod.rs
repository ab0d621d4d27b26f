//! Is the installation well? One line for each thing that can be wrong: `clb-gate doctor`.
//!
//! Facts in, one [`Finding`] a check out, all of it pure but for [`Doctor`], which reads. What certificates,
//! settings, load balancers and gates need is asked of the parts that look after them.

mod answers;
mod checks;
mod facts;
mod finding;
mod gather;
mod report;
#[cfg(test)]
pub(crate) mod tests;

pub use answers::Answer;
pub use checks::examine;
pub use facts::{Nodes, OurPod, Patient};
pub use finding::{Finding, Health, Installation, Work};
pub use gather::Doctor;
pub use report::{Line, Report};
