//! Binding, unbinding, weighing and marking targets.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

use crate::actions::{
    Action, BATCH_DEREGISTER_TARGETS as BATCH_DEREGISTER,
    BATCH_MODIFY_TARGET_TAG as BATCH_MODIFY_TAG, BATCH_MODIFY_TARGET_WEIGHT as BATCH_MODIFY_WEIGHT,
    BATCH_REGISTER_TARGETS as BATCH_REGISTER, DEREGISTER_TARGETS as DEREGISTER,
    MODIFY_TARGET_WEIGHT as MODIFY_WEIGHT, REGISTER_TARGETS as REGISTER,
};
use crate::batch::{BATCH_TARGETS, REGISTER_TARGETS, WEIGHT_ENTRIES, WEIGHT_ENTRY_TARGETS};
use crate::wire::{Empty, null_default};
use crate::{Client, Error, ListenerId, LoadBalancerId, LocationId, Task};

/// A target of one listener or rule, named by its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Target {
    /// The address of the pod's network interface.
    pub eni_ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The share of traffic, 0 to 100. The API's default is 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// A mark that is kept with the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl Target {
    /// A target with the API's default weight and no mark.
    pub fn new(eni_ip: IpAddr, port: u16) -> Self {
        Self {
            eni_ip,
            port,
            weight: None,
            tag: None,
        }
    }

    /// The same with this mark.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Self {
        Self {
            tag: Some(tag.into()),
            ..self
        }
    }

    /// The same with this weight.
    #[must_use]
    pub fn weight(self, weight: u8) -> Self {
        Self {
            weight: Some(weight),
            ..self
        }
    }
}

/// A target of a batch: it names its listener, and on layer 7 its rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchTarget {
    /// The listener.
    pub listener_id: ListenerId,
    /// The rule; required on layer 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The target.
    #[serde(flatten)]
    pub target: Target,
}

impl BatchTarget {
    /// A target of a layer-4 listener.
    pub fn new(listener_id: ListenerId, target: Target) -> Self {
        Self {
            listener_id,
            location_id: None,
            target,
        }
    }

    /// The same under a layer-7 rule.
    #[must_use]
    pub fn location(self, location_id: LocationId) -> Self {
        Self {
            location_id: Some(location_id),
            ..self
        }
    }
}

/// New weights for targets of one listener or rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyWeight {
    /// The listener.
    pub listener_id: ListenerId,
    /// The rule; required on layer 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The targets, each with its weight or without.
    pub targets: Vec<Target>,
    /// The weight of those without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
}

/// New marks for targets of one listener or rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyTag {
    /// The listener.
    pub listener_id: ListenerId,
    /// The rule; required on layer 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The targets, each with its mark or without. Their weights are not changed.
    pub targets: Vec<Target>,
    /// The mark of those without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// What a batch says became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BatchOutcome {
    /// Listeners of which nothing was done. The others are done.
    #[serde(
        rename = "FailListenerIdSet",
        default,
        deserialize_with = "null_default"
    )]
    pub failed_listeners: Vec<ListenerId>,
    /// Why.
    #[serde(default)]
    pub message: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<'a> {
    load_balancer_id: &'a LoadBalancerId,
    targets: &'a [BatchTarget],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Weights<'a> {
    load_balancer_id: &'a LoadBalancerId,
    modify_list: &'a [ModifyWeight],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tags<'a> {
    load_balancer_id: &'a LoadBalancerId,
    modify_list: &'a [ModifyTag],
}

/// The parameters of the three actions about one listener or rule: a change of weights is a
/// registration with nothing new in it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfListener<'a> {
    load_balancer_id: &'a LoadBalancerId,
    #[serde(flatten)]
    change: &'a ModifyWeight,
}

impl Client {
    /// Binds up to 500 targets of any listeners. Done when it answers; read back all the same.
    pub async fn batch_register_targets(
        &self,
        load_balancer: &LoadBalancerId,
        targets: &[BatchTarget],
    ) -> Result<BatchOutcome, Error> {
        self.batch(BATCH_REGISTER, load_balancer, targets).await
    }

    /// Unbinds up to 500 targets of any listeners. Done when it answers; read back all the same.
    pub async fn batch_deregister_targets(
        &self,
        load_balancer: &LoadBalancerId,
        targets: &[BatchTarget],
    ) -> Result<BatchOutcome, Error> {
        self.batch(BATCH_DEREGISTER, load_balancer, targets).await
    }

    /// Weighs up to 500 targets of any listeners; [`weight_batches`](crate::weight_batches) cuts
    /// them to size.
    pub async fn batch_modify_target_weight(
        &self,
        load_balancer: &LoadBalancerId,
        changes: &[ModifyWeight],
    ) -> Result<Task, Error> {
        let (action, lb) = (BATCH_MODIFY_WEIGHT, Some(load_balancer));
        self.check_size(action, lb, ("entries", changes.len(), WEIGHT_ENTRIES))?;
        for change in changes {
            self.check_size(
                action,
                lb,
                (
                    "targets of one entry",
                    change.targets.len(),
                    WEIGHT_ENTRY_TARGETS,
                ),
            )?;
        }
        let targets = changes.iter().map(|change| change.targets.len()).sum();
        self.check_size(action, lb, ("targets", targets, BATCH_TARGETS))?;
        let weights = Weights {
            load_balancer_id: load_balancer,
            modify_list: changes,
        };
        Ok(self.call::<_, Empty>(action, lb, &weights).await?.into())
    }

    /// Marks up to 500 targets of any listeners. Done when it answers; read back all the same.
    pub async fn batch_modify_target_tag(
        &self,
        load_balancer: &LoadBalancerId,
        changes: &[ModifyTag],
    ) -> Result<(), Error> {
        let (action, lb) = (BATCH_MODIFY_TAG, Some(load_balancer));
        let targets = changes.iter().map(|change| change.targets.len()).sum();
        self.check_size(action, lb, ("targets", targets, BATCH_TARGETS))?;
        let tags = Tags {
            load_balancer_id: load_balancer,
            modify_list: changes,
        };
        self.call::<_, Empty>(action, lb, &tags).await.map(drop)
    }

    /// Binds up to 20 targets of one listener or rule; their weights are those in `change`.
    pub async fn register_targets(
        &self,
        load_balancer: &LoadBalancerId,
        change: &ModifyWeight,
    ) -> Result<Task, Error> {
        self.of_listener(REGISTER, load_balancer, change).await
    }

    /// Unbinds up to 20 targets of one listener or rule.
    pub async fn deregister_targets(
        &self,
        load_balancer: &LoadBalancerId,
        change: &ModifyWeight,
    ) -> Result<Task, Error> {
        self.of_listener(DEREGISTER, load_balancer, change).await
    }

    /// Weighs up to 20 targets of one listener or rule.
    pub async fn modify_target_weight(
        &self,
        load_balancer: &LoadBalancerId,
        change: &ModifyWeight,
    ) -> Result<Task, Error> {
        self.of_listener(MODIFY_WEIGHT, load_balancer, change).await
    }

    async fn batch(
        &self,
        action: Action,
        load_balancer: &LoadBalancerId,
        targets: &[BatchTarget],
    ) -> Result<BatchOutcome, Error> {
        self.check_size(
            action,
            Some(load_balancer),
            ("targets", targets.len(), BATCH_TARGETS),
        )?;
        let batch = Batch {
            load_balancer_id: load_balancer,
            targets,
        };
        let mut outcome: BatchOutcome = self.call(action, Some(load_balancer), &batch).await?.value;
        outcome.message = outcome.message.filter(|text| !text.is_empty());
        Ok(outcome)
    }

    async fn of_listener(
        &self,
        action: Action,
        load_balancer: &LoadBalancerId,
        change: &ModifyWeight,
    ) -> Result<Task, Error> {
        self.check_size(
            action,
            Some(load_balancer),
            ("targets", change.targets.len(), REGISTER_TARGETS),
        )?;
        let parameters = OfListener {
            load_balancer_id: load_balancer,
            change,
        };
        Ok(self
            .call::<_, Empty>(action, Some(load_balancer), &parameters)
            .await?
            .into())
    }

    /// Refuses what the API would refuse, and an empty list, which some actions read as "all".
    pub(crate) fn check_size(
        &self,
        action: Action,
        load_balancer: Option<&LoadBalancerId>,
        (what, given, most): (&'static str, usize, usize),
    ) -> Result<(), Error> {
        if (1..=most).contains(&given) {
            return Ok(());
        }
        let site = Box::new(self.site(action, load_balancer));
        Err(Error::Size {
            site,
            what,
            most,
            given,
        })
    }
}
