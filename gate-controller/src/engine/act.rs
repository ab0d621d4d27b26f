//! Performs one planned operation through the API. Decides nothing.

use std::collections::BTreeMap;

use clb::{
    BATCH_TARGETS, BatchTarget, Client, CreateListener, Error, ListenerId, LoadBalancerId,
    ModifyWeight, Protocol, Target, batches, weight_batches,
};
use direct_access::listener::HealthCheck;
use direct_access::ownership::{ClusterId, Tag};

use crate::cloud::CALL_TIMEOUT;
use crate::plan::{NewListener, Operation, Place, Weighted};

/// Batches are this small while something drains, so that no drain waits behind a long call.
const BATCH_WHILE_DRAINING: usize = 100;

/// Where operations are performed.
pub(super) struct Actor<'a> {
    pub(super) client: &'a Client,
    pub(super) load_balancer: &'a LoadBalancerId,
    pub(super) cluster: &'a ClusterId,
    pub(super) draining: bool,
}

/// Why an operation was not wholly done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error(transparent)]
    Call(#[from] Error),
    #[error("{action} {load_balancer}: the API refused the targets of {listeners}{message}")]
    Partial {
        action: &'static str,
        load_balancer: String,
        listeners: String,
        message: String,
    },
}

impl Actor<'_> {
    pub(super) async fn perform(&self, operation: &Operation) -> Result<(), ActError> {
        match operation {
            Operation::Weigh(targets) => self.weigh(targets).await,
            Operation::Deregister(targets) => {
                let places: Vec<_> = targets
                    .iter()
                    .map(|(place, _)| batch_target(place))
                    .collect();
                self.deregister(&places).await
            }
            Operation::CreateListener(new) => self.create(new).await,
            // No exposure has rules yet.
            Operation::CreateRules(..) | Operation::DeleteRules(..) => Ok(()),
            Operation::Register(targets) => self.register(targets).await,
            Operation::DeleteListener(id, _) => {
                let id = ListenerId::new(id.clone());
                let task = self.client.delete_listener(self.load_balancer, &id).await?;
                Ok(self.client.wait_task(&task, CALL_TIMEOUT).await?)
            }
        }
    }

    async fn weigh(&self, targets: &[Weighted]) -> Result<(), ActError> {
        let mut by_listener: BTreeMap<&str, Vec<Target>> = BTreeMap::new();
        for target in targets {
            let (ip, port) = target.place.address;
            let one = Target::new(ip, port).weight(target.weight);
            by_listener
                .entry(&target.place.listener)
                .or_default()
                .push(one);
        }
        let changes = by_listener
            .into_iter()
            .map(|(listener, targets)| ModifyWeight {
                listener_id: ListenerId::new(listener),
                location_id: None,
                targets,
                weight: None,
            });
        for batch in weight_batches(changes) {
            let task = self
                .client
                .batch_modify_target_weight(self.load_balancer, &batch)
                .await?;
            self.client.wait_task(&task, CALL_TIMEOUT).await?;
        }
        Ok(())
    }

    async fn register(&self, targets: &[Weighted]) -> Result<(), ActError> {
        let all: Vec<_> = targets.iter().map(|target| self.tagged(target)).collect();
        for batch in batches(&all, self.batch_size()) {
            let outcome = self
                .client
                .batch_register_targets(self.load_balancer, batch)
                .await?;
            self.whole("BatchRegisterTargets", &outcome)?;
        }
        Ok(())
    }

    async fn deregister(&self, targets: &[BatchTarget]) -> Result<(), ActError> {
        for batch in batches(targets, self.batch_size()) {
            let outcome = self
                .client
                .batch_deregister_targets(self.load_balancer, batch)
                .await?;
            self.whole("BatchDeregisterTargets", &outcome)?;
        }
        Ok(())
    }

    async fn create(&self, new: &NewListener) -> Result<(), ActError> {
        let NewListener {
            protocol,
            port,
            parameters,
        } = new;
        let protocol = match protocol {
            direct_access::Protocol::Tcp => Protocol::Tcp,
            direct_access::Protocol::Udp => Protocol::Udp,
            direct_access::Protocol::Http => Protocol::Http,
            direct_access::Protocol::Https => Protocol::Https,
        };
        let name = self.cluster.listener_name();
        let id = self.load_balancer.clone();
        let mut create = CreateListener::new(id, protocol, *port, name);
        create.health_check = parameters.health_check.as_ref().map(health_check);
        create.scheduler.clone_from(&parameters.scheduler);
        create.session_expire_time = narrow(parameters.session_expire_time);
        let created = self.client.create_listener(&create).await?;
        Ok(self.client.wait_task(&created.task, CALL_TIMEOUT).await?)
    }

    fn tagged(&self, target: &Weighted) -> BatchTarget {
        let tag = Tag {
            cluster: self.cluster.clone(),
            pod_uid: target.pod_uid.clone(),
        };
        let mut batch = batch_target(&target.place);
        batch.target.weight = Some(target.weight);
        batch.target.tag = Some(tag.to_string());
        batch
    }

    fn batch_size(&self) -> usize {
        if self.draining {
            BATCH_WHILE_DRAINING
        } else {
            BATCH_TARGETS
        }
    }

    /// Some listeners may have failed while others were done; reading back tells which.
    fn whole(&self, action: &'static str, outcome: &clb::BatchOutcome) -> Result<(), ActError> {
        if outcome.failed_listeners.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = outcome
            .failed_listeners
            .iter()
            .map(ListenerId::as_str)
            .collect();
        Err(ActError::Partial {
            action,
            load_balancer: self.load_balancer.to_string(),
            listeners: ids.join(", "),
            message: outcome
                .message
                .as_ref()
                .map(|text| format!(": {text}"))
                .unwrap_or_default(),
        })
    }
}

fn batch_target(place: &Place) -> BatchTarget {
    let (ip, port) = place.address;
    BatchTarget {
        listener_id: ListenerId::new(place.listener.clone()),
        location_id: None,
        target: Target::new(ip, port),
    }
}

/// The annotation's numbers were checked against the API's ranges, so every one fits.
fn narrow<T: TryFrom<i64>>(number: Option<i64>) -> Option<T> {
    number.and_then(|number| T::try_from(number).ok())
}

fn health_check(check: &HealthCheck) -> clb::HealthCheck {
    clb::HealthCheck {
        health_switch: narrow(check.health_switch),
        time_out: narrow(check.time_out),
        interval_time: narrow(check.interval_time),
        health_num: narrow(check.health_num),
        un_health_num: narrow(check.un_health_num),
        check_type: check.check_type.clone(),
        check_port: narrow(check.check_port),
        http_code: narrow(check.http_code),
        http_check_path: check.http_check_path.clone(),
        http_check_domain: check.http_check_domain.clone(),
        http_check_method: check.http_check_method.clone(),
        http_version: check.http_version.clone(),
        source_ip_type: narrow(check.source_ip_type),
        ..clb::HealthCheck::default()
    }
}
