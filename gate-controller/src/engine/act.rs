//! Performs one planned call through the API. Decides nothing.

use std::collections::BTreeMap;

use clb::{
    BatchTarget, Client, CreateListener, Error, Kind, ListenerId, LoadBalancerId, LocationId,
    ModifyDomain, ModifyListener, ModifyRule, ModifyWeight, NonEmpty, Protocol, Target, Task,
    weight_batches,
};
use direct_access::listener::{Certificate, HealthCheck};
use direct_access::ownership::{ClusterId, Tag};

use crate::plan::{Modification, NewListeners, NewRule, Operation, Part, Place, Weighted};

/// Where calls are made.
pub(super) struct Actor<'a> {
    pub(super) client: &'a Client,
    pub(super) load_balancer: &'a LoadBalancerId,
    pub(super) cluster: &'a ClusterId,
    /// Its own address: the domain of rules that name none.
    pub(super) address: Option<&'a str>,
}

/// What a call left behind.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Ids of what was made, in the order asked for.
    pub(super) created: Vec<String>,
    /// The task that finishes it.
    pub(super) task: Option<Task>,
}

/// Why a call was not wholly done.
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

impl ActError {
    /// What it means.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Partial { .. } => Kind::Invalid,
            Self::Call(error) => error.kind(),
        }
    }

    /// Whether a quota is used up.
    pub(super) fn is_quota(&self) -> bool {
        matches!(self, Self::Call(error) if error.kind() == Kind::Quota)
    }

    /// Whether what it was about does not exist.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Call(error) if error.kind() == Kind::Gone)
    }

    /// Whether the API refused what was asked, so that asking for something else may succeed.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Partial { .. } => true,
            Self::Call(error) => match error.kind() {
                Kind::Invalid | Kind::Quota => true,
                // One action is not allowed; wrong credentials (`AuthFailure`) concern every call.
                Kind::Denied => error
                    .code()
                    .is_some_and(|code| code.starts_with("UnauthorizedOperation")),
                Kind::Conflict
                | Kind::Gone
                | Kind::Throttled
                | Kind::Transient
                | Kind::UnknownOutcome => false,
            },
        }
    }
}

impl Actor<'_> {
    /// Makes the one call that the operation, cut to size, is.
    pub(super) async fn perform(&self, operation: &Operation) -> Result<Done, ActError> {
        match operation {
            Operation::Weigh(targets) => self.weigh(targets).await,
            Operation::Deregister(targets) => {
                let places = targets.iter().map(|(place, _)| batch_target(place));
                self.deregister(&places.collect::<Vec<_>>()).await
            }
            Operation::CreateListeners(new) => self.create_listeners(new).await,
            Operation::CreateRules(listener, new) => self.create_rules(listener, new).await,
            Operation::Register(targets) => self.register(targets).await,
            // Rare and large: it does not have to make every step of a writer so.
            Operation::Modify(modification) => Box::pin(self.modify(modification)).await,
            Operation::DeleteRules(listener, rules) => self.delete_rules(listener, rules).await,
            Operation::DeleteListener(id, _) => {
                let id = ListenerId::new(id.clone());
                let task = self.client.delete_listener(self.load_balancer, &id).await?;
                Ok(task.into())
            }
        }
    }

    async fn weigh(&self, targets: &[Weighted]) -> Result<Done, ActError> {
        let mut groups: BTreeMap<(&str, Option<&str>), Vec<Target>> = BTreeMap::new();
        for target in targets {
            let (ip, port) = target.place.address;
            let one = Target::new(ip, port).weight(target.weight);
            let group = (target.place.listener.as_str(), target.place.rule.as_deref());
            groups.entry(group).or_default().push(one);
        }
        let changes = groups
            .into_iter()
            .map(|((listener, rule), targets)| ModifyWeight {
                listener_id: ListenerId::new(listener),
                location_id: rule.map(LocationId::new),
                targets,
                weight: None,
            });
        let mut done = Done::default();
        for batch in weight_batches(changes) {
            let modified = self
                .client
                .batch_modify_target_weight(self.load_balancer, &batch);
            done = modified.await?.into();
        }
        Ok(done)
    }

    async fn register(&self, targets: &[Weighted]) -> Result<Done, ActError> {
        let all: Vec<_> = targets.iter().map(|target| self.tagged(target)).collect();
        let registered = self.client.batch_register_targets(self.load_balancer, &all);
        self.whole("BatchRegisterTargets", &registered.await?)
    }

    async fn deregister(&self, targets: &[BatchTarget]) -> Result<Done, ActError> {
        let gone = self
            .client
            .batch_deregister_targets(self.load_balancer, targets);
        self.whole("BatchDeregisterTargets", &gone.await?)
    }

    async fn create_listeners(&self, new: &NewListeners) -> Result<Done, ActError> {
        let NewListeners {
            protocol,
            ports,
            parameters,
        } = new;
        let name = self.cluster.listener_name();
        let protocol = match protocol {
            direct_access::Protocol::Tcp => Protocol::Tcp,
            direct_access::Protocol::Udp => Protocol::Udp,
            direct_access::Protocol::TcpSsl => Protocol::TcpSsl,
            direct_access::Protocol::Http => Protocol::Http,
            direct_access::Protocol::Https => Protocol::Https,
        };
        let mut create = CreateListener::new(self.load_balancer.clone(), protocol, 0, "");
        create.ports.clone_from(ports);
        create.listener_names = vec![name; ports.len()];
        create.health_check = parameters.health_check.as_ref().map(health_check);
        create.scheduler.clone_from(&parameters.scheduler);
        create.session_expire_time = narrow(parameters.session_expire_time);
        create.certificate = parameters.certificate.as_ref().map(certificate);
        create.sni_switch = narrow(parameters.sni_switch);
        create.deregister_target_rst = parameters.deregister_target_rst;
        let created = self.client.create_listener(&create).await?;
        Ok(Done {
            created: created.ids.iter().map(ToString::to_string).collect(),
            task: Some(created.task),
        })
    }

    async fn modify(&self, modification: &Modification) -> Result<Done, ActError> {
        let change = &modification.change;
        let check = change.health_check.as_ref().map(health_check);
        let listener = ListenerId::new(modification.listener.clone());
        let default = matches!(modification.part, Part::Default(_));
        let task = match &modification.part {
            Part::Listener => {
                let mut modify = ModifyListener::new(self.load_balancer.clone(), listener);
                modify.health_check = check;
                modify.scheduler.clone_from(&change.scheduler);
                modify.session_expire_time = narrow(change.session_expire_time);
                modify.certificate = change.certificate.as_ref().map(certificate);
                modify.sni_switch = narrow(change.sni_switch);
                modify.deregister_target_rst = change.deregister_target_rst;
                self.client.modify_listener(&modify).await?
            }
            Part::Rule(rule) => {
                let (clb, rule) = (self.load_balancer.clone(), LocationId::new(rule.clone()));
                let mut modify = ModifyRule::new(clb, listener, rule);
                modify.health_check = check;
                modify.scheduler.clone_from(&change.scheduler);
                modify.session_expire_time = narrow(change.session_expire_time);
                modify.forward_type.clone_from(&change.forward_type);
                self.client.modify_rule(&modify).await?
            }
            Part::Domain(domain) | Part::Default(domain) => {
                let (clb, domain) = (self.load_balancer.clone(), self.domain(domain));
                let mut modify = ModifyDomain::new(clb, listener, domain);
                modify.certificate = change.certificate.as_ref().map(certificate);
                modify.http2 = change.http2;
                modify.default_server = default.then_some(true);
                self.client.modify_domain(&modify).await?
            }
        };
        Ok(task.into())
    }

    async fn create_rules(&self, listener: &str, new: &[NewRule]) -> Result<Done, ActError> {
        let rules: Vec<_> = new.iter().map(|new| self.rule(new)).collect();
        let Some(rules) = NonEmpty::new(&rules) else {
            return Ok(Done::default());
        };
        let listener = ListenerId::new(listener);
        let made = self
            .client
            .create_rules(self.load_balancer, &listener, rules);
        let created = made.await?;
        Ok(Done {
            created: created.ids.iter().map(ToString::to_string).collect(),
            task: Some(created.task),
        })
    }

    async fn delete_rules(&self, listener: &str, rules: &[String]) -> Result<Done, ActError> {
        let ids: Vec<_> = rules.iter().map(LocationId::new).collect();
        let Some(ids) = NonEmpty::new(&ids) else {
            return Ok(Done::default());
        };
        let listener = ListenerId::new(listener);
        let gone = self.client.delete_rules(self.load_balancer, &listener, ids);
        Ok(gone.await?.into())
    }

    fn rule(&self, new: &NewRule) -> clb::NewRule {
        let mut rule = clb::NewRule::new(self.domain(&new.key.domain), &new.key.url);
        rule.health_check = new.parameters.health_check.as_ref().map(health_check);
        rule.scheduler.clone_from(&new.parameters.scheduler);
        rule.session_expire_time = narrow(new.parameters.session_expire_time);
        rule.forward_type.clone_from(&new.parameters.forward_type);
        rule.http2 = new.parameters.http2;
        rule.default_server = new.default.then_some(true);
        rule.certificate = new.parameters.certificate.as_ref().map(certificate);
        rule
    }

    /// As the API names it.
    fn domain<'d>(&'d self, domain: &'d str) -> &'d str {
        match domain {
            "" => self.address.unwrap_or_default(),
            named => named,
        }
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

    /// Some listeners may have failed while others were done; reading back tells which.
    fn whole(&self, action: &'static str, outcome: &clb::BatchOutcome) -> Result<Done, ActError> {
        if outcome.failed_listeners.is_empty() {
            return Ok(Done::default());
        }
        let ids: Vec<_> = outcome
            .failed_listeners
            .iter()
            .map(ListenerId::as_str)
            .collect();
        let message = outcome.message.as_ref();
        Err(ActError::Partial {
            action,
            load_balancer: self.load_balancer.to_string(),
            listeners: ids.join(", "),
            message: message.map(|text| format!(": {text}")).unwrap_or_default(),
        })
    }
}

impl From<Task> for Done {
    fn from(task: Task) -> Self {
        Self {
            created: vec![],
            task: Some(task),
        }
    }
}

fn batch_target(place: &Place) -> BatchTarget {
    let (ip, port) = place.address;
    let listener = ListenerId::new(place.listener.clone());
    let target = BatchTarget::new(listener, Target::new(ip, port));
    match &place.rule {
        Some(rule) => target.location(LocationId::new(rule.clone())),
        None => target,
    }
}

/// The annotation's numbers were checked against the API's ranges, so every one fits.
fn narrow<T: TryFrom<i64>>(number: Option<i64>) -> Option<T> {
    number.and_then(|number| T::try_from(number).ok())
}

fn certificate(certificate: &Certificate) -> clb::Certificate {
    let Certificate {
        ssl_mode,
        cert_id,
        cert_ca_id,
    } = certificate.clone();
    clb::Certificate {
        ssl_mode: ssl_mode.or_else(|| Some("UNIDIRECTIONAL".to_owned())),
        cert_id,
        cert_ca_id,
    }
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
        context_type: check.context_type.clone(),
        send_context: check.send_context.clone(),
        recv_context: check.recv_context.clone(),
        ..clb::HealthCheck::default()
    }
}
