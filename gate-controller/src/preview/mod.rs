//! What the controller would do, without doing it: `clb-gate plan` and `clb-gate controller --dry-run`.
//!
//! The same pure judgement, planner and lifecycle that the controller acts by are asked here, and what
//! they say is told instead of done. Nothing can be written: [`Kubernetes`] and [`Reader`] only offer
//! reads, [`get_only`] lets no request through but GET, and [`DescribeOnly`] no action but `Describe…`.

mod compose;
mod describe;
mod describe_only;
pub mod dry_run;
mod foresee;
mod get_only;
mod kubernetes;
mod model;
mod new_load_balancers;
pub(crate) mod not_ours;
mod reader;
mod scope;
#[cfg(test)]
mod tests;
mod text;

pub use compose::preview;
pub use describe_only::DescribeOnly;
pub use get_only::{Refused, get_only};
pub use kubernetes::{Kubernetes, LookError, World};
pub use model::{
    Action, Change, Count, Held, Kept, LoadBalancer, NotOurs, Preview, Summary, Told, Verdict,
};
pub use reader::{Look, Reader, Seen, Sighting};
pub use scope::{ParseScopeError, Scope};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cloud::{Cloud, Sources};

/// What to look at, and as what.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The namespace clb-gate is or will be installed in.
    pub namespace: String,
    /// Settings that replace those of the ConfigMap, by key.
    pub settings: BTreeMap<String, String>,
    /// What of it is asked for.
    pub scope: Scope,
    /// Where credentials and the like come from.
    pub sources: Sources,
}

/// Looks once, at everything the controller would look at, and says what it would do.
pub async fn look(client: kube::Client, question: &Question) -> Result<Preview, LookError> {
    let kubernetes = Kubernetes::new(client, &question.namespace);
    let world = kubernetes.world(&question.settings).await?;
    let cloud = Cloud::reading(question.sources.clone(), Arc::new(clb::NoObserver));
    cloud.rebuild(&world.settings, &world.tke);
    if cloud.client().is_err() {
        // On a machine of Tencent Cloud the metadata service knows the region.
        cloud.ask().await;
    }
    see(&cloud, &world, &question.scope).await
}

/// The same where the cluster was read already.
pub async fn see(cloud: &Cloud, world: &World, scope: &Scope) -> Result<Preview, LookError> {
    scope.check(world)?;
    let sighting = Sighting::take(cloud, world, scope).await?;
    Ok(preview(world, &sighting, scope))
}
