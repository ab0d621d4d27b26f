//! Certificates for a person at a terminal, on a laptop or in the cluster: `clb-gate certs`.
//!
//! A report is judged by the controller's own plan. A renewal is only asked for, by an annotation that the
//! leader answers; while nobody leads, the same election and the same healer run here.

mod facts;
mod follow;
mod gather;
mod init;
mod leading;
mod marks;
mod model;
mod replicas;
mod report;
mod request;
pub(crate) mod spell;
mod stand_in;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

pub use follow::{Ending, FollowError, Rotation};
pub use gather::{GatherError, Gathered, Gatherer, Held};
pub use init::{Manifests, manifests};
pub use leading::{Leads, LeaseWatch};
pub use marks::{Mark, Progress, news, progress};
pub use model::{
    CaLine, EntryLine, LeaderLine, LeafLine, NextLine, PendingLine, RegistrationLine, ReplicaLine,
    Report, Verdict,
};
pub use replicas::Sighted;
pub use report::report;
pub use request::{Goal, Requester, What, Wish, decide, new_id};
