//! Performs one step for one Service or Ingress. Decides nothing, but looks again before it deletes.

use clb::{Client, InUse, Kind, LoadBalancerId, ModifyLoadBalancer, NonEmpty};
use direct_access::{Code, Owner};
use runtime::{CallError, News};

use super::adjust::Adjustment;
use super::decide::{Claim, Contents, Step, Unneeded};
use super::holder::Holder;
use super::order::order;
use super::record::{Record, Written};
use super::sight::{contents, made_for};
use crate::cloud::{CALL_TIMEOUT, chain};
use crate::engine::{Shared, reference_to};

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// What was to be written is written.
    Written,
    /// The order was accepted, and its id is not known yet.
    Ordered,
    /// It was deleted.
    Deleted,
    /// This is on it.
    Contents(String, Contents),
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Somebody else was faster: look again.
    #[error("the object has changed meanwhile")]
    Changed,
    /// The lease is not ours for long enough.
    #[error("the leader's lease is not renewed in time")]
    Lease,
    /// The Kubernetes API.
    #[error("{}{}", chain(.0), if .0.is_forbidden() { RBAC } else { "" })]
    Kubernetes(#[from] CallError),
    /// The CLB API.
    #[error("{}{}", chain(.0), if .0.kind() == Kind::Quota { QUOTA } else { "" })]
    Cloud(#[from] clb::Error),
    /// What the user wrote, or what is missing.
    #[error("{0}")]
    Person(String),
}

const RBAC: &str =
    "; the level loadbalancers needs the rights in manifests/components/loadbalancers";
const QUOTA: &str = "; delete CLBs that are not needed, ask Tencent for a larger quota, or share one \
                     (service.kubernetes.io/tke-existed-lbid, kubernetes.io/ingress.existLbId)";

/// Where steps are performed.
pub(super) struct Actor {
    pub(super) shared: Shared,
    pub(super) client: Client,
    pub(super) record: Record,
    pub(super) holder: Holder,
}

impl Actor {
    pub(super) async fn perform(&self, step: &Step) -> Result<Done, Failed> {
        match step {
            Step::Rest | Step::Wait(_) => Ok(Done::Written),
            Step::Claim(claim) => self.claim(claim).await,
            Step::Create => self.create().await,
            Step::Record(id) => {
                self.recorded(id).await?;
                let note = format!("CLB {id}, made for this {} before, is used", self.kind());
                self.tell(News::normal("LoadBalancerAdopted", "Make", note));
                Ok(Done::Written)
            }
            Step::Inspect(id) => {
                let seen = self.contents(&LoadBalancerId::new(id)).await?;
                Ok(Done::Contents(id.clone(), seen))
            }
            Step::Delete(id, why) => self.delete(id, *why).await,
            Step::Adjust(id, change) => self.adjust(&LoadBalancerId::new(id), change).await,
            Step::Show(ingress) => Ok(self.written(self.record.show(&self.holder, ingress).await?)),
            Step::Clear => Ok(self.written(self.record.clear(&self.holder).await?)),
            Step::Unmark => Ok(self.written(self.record.mark(&self.holder, None).await?)),
            Step::Release(left) => self.release(left).await,
        }
    }

    async fn claim(&self, claim: &Claim) -> Result<Done, Failed> {
        let written = self.record.claim(&self.holder, claim).await?;
        if let Some(lost) = &claim.lost {
            let note = format!(
                "CLB {lost} does not exist any more, and not by clb-gate's doing; another one is made"
            );
            self.tell(News::warning("LoadBalancerLost", "Make", note));
        }
        Ok(self.written(written))
    }

    async fn create(&self) -> Result<Done, Failed> {
        let vpc = self.shared.cloud.vpc();
        let order = order(&self.holder, &self.shared.cluster_id, vpc)
            .map_err(|problem| Failed::Person(problem.to_string()))?;
        self.lease()?;
        let created = self.client.create_load_balancer(&order).await?;
        let Some(id) = created.ids.first() else {
            return Ok(Done::Ordered);
        };
        // At once: only this ties the CLB to the Service for everybody to see.
        self.recorded(id.as_str()).await?;
        let note = format!("CLB {id} is made for this {}", self.kind());
        self.tell(News::normal("LoadBalancerMade", "Make", note));
        Ok(Done::Written)
    }

    async fn recorded(&self, id: &str) -> Result<(), Failed> {
        let written = self.record.id(&self.holder, id).await?;
        self.written(written);
        Ok(())
    }

    /// Nothing is deleted on the word of a cache: the object, the tags and what is on the CLB are read
    /// right before.
    async fn delete(&self, id: &str, why: Unneeded) -> Result<Done, Failed> {
        let fresh = self.record.read(&self.holder).await?;
        if fresh.is_none_or(|fresh| fresh.version != self.holder.version) {
            return Err(Failed::Changed);
        }
        let id = LoadBalancerId::new(id);
        let ids = std::slice::from_ref(&id);
        let found = self.client.describe_load_balancers(ids).await?;
        let Some(found) = found.first() else {
            return Ok(Done::Deleted);
        };
        let own = (self.holder.owner.kind, self.holder.uid.as_str());
        let ours = made_for(&self.shared.cluster_id, found) == Some(own);
        if !ours || self.contents(&id).await? != Contents::default() {
            return Err(Failed::Changed);
        }
        self.lease()?;
        let all = NonEmpty::one(&id);
        let task = self.client.delete_load_balancers(all, InUse::Keep).await?;
        self.client.wait_task(&task, CALL_TIMEOUT).await?;
        let reason = match why {
            Unneeded::Unwanted => "does not need it any more",
            Unneeded::Surplus => "has an older one",
        };
        let note = format!("CLB {id} was deleted: this {} {reason}", self.kind());
        self.tell(News::normal("LoadBalancerDeleted", "Delete", note));
        Ok(Done::Deleted)
    }

    async fn adjust(&self, id: &LoadBalancerId, change: &Adjustment) -> Result<Done, Failed> {
        if change.pass_to_target.is_some() || change.internet.is_some() {
            self.lease()?;
            let mut modify = ModifyLoadBalancer::new(id.clone());
            modify.load_balancer_pass_to_target = change.pass_to_target;
            modify.internet_charge_info.clone_from(&change.internet);
            let task = self.client.modify_load_balancer(&modify).await?;
            self.client.wait_task(&task, CALL_TIMEOUT).await?;
        }
        if let Some(groups) = &change.security_groups {
            self.lease()?;
            // Done when it is answered (API reference).
            let _done = self.client.set_security_groups(id, groups).await?;
        }
        let note = format!(
            "CLB {id} was changed as this {} asks: {change}",
            self.kind()
        );
        self.tell(News::normal("LoadBalancerChanged", "Change", note));
        Ok(Done::Written)
    }

    async fn release(&self, left: &[String]) -> Result<Done, Failed> {
        if !left.is_empty() {
            let note = format!(
                "CLB {} was made for this {} and is kept, because somebody else has listeners on it",
                left.join(", "),
                self.kind()
            );
            self.tell(News::warning("LoadBalancerKept", "Delete", note));
        }
        Ok(self.written(self.record.release(&self.holder).await?))
    }

    async fn contents(&self, id: &LoadBalancerId) -> Result<Contents, Failed> {
        Ok(contents(&self.client, &self.shared.cluster_id, id).await?)
    }

    fn written(&self, written: Written) -> Done {
        match written {
            Written::Service(service) => self.shared.cluster.on_service_written(service),
            Written::Ingress(ingress) => self.shared.cluster.on_ingress_written(ingress),
        }
        Done::Written
    }

    const fn kind(&self) -> &'static str {
        self.holder.owner.kind.as_str()
    }

    /// No call may outlive the right to make it.
    fn lease(&self) -> Result<(), Failed> {
        if self.shared.leadership.remaining() >= CALL_TIMEOUT {
            return Ok(());
        }
        Err(Failed::Lease)
    }

    fn tell(&self, news: News) {
        let regarding = reference_to(&self.holder.owner, &self.holder.uid);
        self.shared.recorder.publish(regarding, news);
    }
}

impl Failed {
    /// What to tell on the object; `None` where the next look mends it.
    pub(super) fn problem(&self, owner: &Owner) -> Option<String> {
        match self {
            Self::Changed | Self::Lease => None,
            // A writer of its listeners was faster: one write at a time on a CLB.
            Self::Cloud(error) if error.kind() == Kind::Conflict => None,
            Self::Kubernetes(error) if error.is_conflict() || error.is_not_found() => None,
            Self::Cloud(error) if error.kind() == Kind::Quota => {
                let code = Code::LoadBalancerQuota.as_str();
                Some(format!("{owner}: {self} ({code})"))
            }
            Self::Kubernetes(_) | Self::Cloud(_) => Some(format!("{owner}: {self}")),
            Self::Person(whole) => Some(whole.clone()),
        }
    }

    /// Whether only a person can mend it.
    pub(super) fn needs_a_person(&self) -> bool {
        match self {
            Self::Person(_) => true,
            Self::Cloud(error) => {
                matches!(error.kind(), Kind::Denied | Kind::Invalid | Kind::Quota)
            }
            Self::Kubernetes(error) => error.is_forbidden() || error.is_invalid(),
            Self::Changed | Self::Lease => false,
        }
    }
}
