//! Load balancers of our own: made for a Service or an Ingress, shown on it, and deleted with it.
//!
//! [`decide`](decide::decide()) says what to do next for one of them; [`Lifecycle`] looks, asks it, and has the step
//! done. Listeners and targets stay the writer's.

mod act;
mod adjust;
pub mod decide;
mod holder;
mod made;
pub(crate) mod order;
mod record;
mod run;
mod sight;
mod subject;

pub use holder::Holder;
pub use made::Made;
pub use run::Lifecycle;
pub(crate) use sight::Sight;
pub(crate) use subject::{Subject, Subjects};
