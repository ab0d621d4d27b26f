//! Why is this pod not ready, what of this Service is served, is the installation well: `clb-gate explain`
//! and `clb-gate doctor`.
//!
//! Facts are gathered by reads only, findings are made of them by pure functions, and each finding says
//! what it is, why, and what to do. What is exposed, how a binding stands and what the CLB cannot do is
//! asked of the controller's own judgement, planner and views, so that an explanation cannot differ from
//! what the controller does. Without credentials for the CLB, what the controller wrote to the pod counts.

mod binding;
mod detail;
pub mod doctor;
mod facts;
mod finding;
mod gather;
mod judged;
mod leaving;
mod object;
mod pod;
mod probe;
mod report;
#[cfg(test)]
pub(crate) mod tests;

pub use detail::{Asks, PodDetail, Port, Waits};
pub use facts::{Asked, Clb, Facts, Looked};
pub use finding::{At, Finding, OfBinding, OfObject, OfPod, Weight};
pub use gather::{ExplainError, Explainer, Object};
pub use leaving::{Left, Stands};
pub use object::explain_object;
pub use pod::{PodFacts, explain_pod};
pub use probe::Probed;
pub use report::{BindingLine, GateLine, Report, Told, Verdict};
