//! The boring part of an uninstall: one object after the other, each until it is really gone.

use std::time::Duration;

use direct_access::{Kind as OwnerKind, names};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Facts, Found, Held, Kind, NETWORKING, Object, Uninstall, facts, right};
use crate::ask::{AskError, Right, ask};

/// Between looks at something that should go away.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The registration must be absent for so long: a healer that has looked before the Namespace was deleted
/// may still write once.
const ABSENT_FOR: Duration = Duration::from_secs(2);
/// A conflict is answered by reading again, this often.
const TRIES: usize = 5;

/// Why an uninstall is not finished. Run again, it goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// A call failed.
    #[error("{0}; what was deleted so far stays deleted, run this again to go on")]
    Ask(#[from] AskError),
    /// Something does not go away.
    #[error("after {after:?} {what} is still there{hint}; run this again to go on")]
    Timeout {
        /// How long was waited.
        after: Duration,
        /// What is still there.
        what: String,
        /// What may hold it.
        hint: &'static str,
    },
}

impl Uninstall {
    /// Removes what `found` holds, telling each step.
    pub async fn run(
        &self,
        found: &Facts,
        mut tell: impl FnMut(String),
    ) -> Result<(), UninstallError> {
        let ends = Instant::now() + self.timeout;
        for one in &found.objects {
            match one.object.kind {
                Kind::Registration => self.until_gone(one, ends, &mut tell).await?,
                Kind::Namespace
                | Kind::ClusterRoleBinding
                | Kind::ClusterRole
                | Kind::RoleBinding
                | Kind::Role => self.delete(one, &mut tell).await?,
            }
        }
        if self.keep_load_balancers && !found.holders.is_empty() {
            self.controllers_gone(ends).await?;
            self.release(&found.holders, &mut tell).await?;
        }
        if self.wait {
            let namespaces = found.objects.iter();
            for one in namespaces.filter(|one| one.object.kind == Kind::Namespace) {
                self.gone(&one.object, ends).await?;
                tell(format!("{} is gone", one.object));
            }
        }
        Ok(())
    }

    async fn delete(
        &self,
        one: &Found,
        tell: &mut impl FnMut(String),
    ) -> Result<(), UninstallError> {
        if one.going {
            return Ok(());
        }
        let exactly = DeleteParams {
            preconditions: Some(Preconditions {
                uid: one.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let told = if self.delete_by_name(&one.object, &exactly).await? {
            format!("deleted {}", one.object)
        } else {
            format!("{} is gone already", one.object)
        };
        tell(told);
        Ok(())
    }

    /// Whether there was anything to delete.
    async fn delete_by_name(
        &self,
        object: &Object,
        how: &DeleteParams,
    ) -> Result<bool, UninstallError> {
        let api = self.api(object);
        let request = api.delete(&object.name, how);
        match ask(right(object, "delete"), request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes whatever bears the name, until nothing has for a while.
    async fn until_gone(
        &self,
        one: &Found,
        ends: Instant,
        tell: &mut impl FnMut(String),
    ) -> Result<(), UninstallError> {
        let mut absent_since: Option<Instant> = None;
        loop {
            let there = self
                .delete_by_name(&one.object, &DeleteParams::default())
                .await?;
            let now = Instant::now();
            absent_since = (!there).then(|| absent_since.unwrap_or(now));
            if absent_since.is_some_and(|since| since + ABSENT_FOR <= now) {
                tell(format!("deleted {}", one.object));
                return Ok(());
            }
            self.pause(ends, &one.object.to_string()).await?;
        }
    }

    async fn gone(&self, object: &Object, ends: Instant) -> Result<(), UninstallError> {
        while self.find(object.clone()).await?.is_some() {
            self.pause(ends, &object.to_string()).await?;
        }
        Ok(())
    }

    /// A controller that still runs would put its finalizer back.
    async fn controllers_gone(&self, ends: Instant) -> Result<(), UninstallError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let ours = ListParams::default()
            .labels("app.kubernetes.io/name=clb-gate,app.kubernetes.io/component=controller");
        loop {
            let list = Right::core("list", "pods", (&self.namespace, ""));
            let left = ask(list, pods.list(&ours)).await?;
            let Some(one) = left.items.first() else {
                return Ok(());
            };
            let name = one.metadata.name.as_deref().unwrap_or_default();
            let what = format!("the controller's pod {}/{name}", self.namespace);
            self.pause(ends, &what).await?;
        }
    }

    async fn release(
        &self,
        holders: &[Held],
        tell: &mut impl FnMut(String),
    ) -> Result<(), UninstallError> {
        for held in holders {
            let had = match held.owner.kind {
                OwnerKind::Service => {
                    let of = ("", "services");
                    self.remove_finalizer::<Service>(held, of).await?
                }
                OwnerKind::Ingress => {
                    let of = (NETWORKING, "ingresses");
                    self.remove_finalizer::<Ingress>(held, of).await?
                }
            };
            if had {
                let id = held.load_balancer.as_deref().unwrap_or("it had none yet");
                tell(format!(
                    "{} is free; its CLB stays in your account: {id}",
                    held.owner
                ));
            }
        }
        Ok(())
    }

    /// Whether it had one.
    async fn remove_finalizer<K>(
        &self,
        held: &Held,
        (group, plural): (&str, &str),
    ) -> Result<bool, AskError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let name = held.owner.object.name.as_str();
        let place = (held.owner.object.namespace.as_str(), name);
        let right = |verb| Right {
            group,
            ..Right::core(verb, plural, place)
        };
        let api: Api<K> = Api::namespaced(self.client.clone(), place.0);
        let mut tries = 0;
        loop {
            let read = ask(right("get"), api.get_opt(name)).await?;
            let ours = |object: &K| facts::held(held.owner.kind, object).is_some();
            let Some(object) = read.filter(ours) else {
                return Ok(false);
            };
            let patch = Patch::Merge(without_finalizer(&object));
            let how = PatchParams::default();
            let request = api.patch(name, &how, &patch);
            match ask(right("patch"), request).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn pause(&self, ends: Instant, what: &str) -> Result<(), UninstallError> {
        if Instant::now() + LOOK_EVERY > ends {
            return Err(UninstallError::Timeout {
                after: self.timeout,
                what: what.to_owned(),
                hint: if what.starts_with("Namespace") {
                    "; kubectl get namespace -o yaml says in status.conditions what holds it"
                } else {
                    ""
                },
            });
        }
        sleep(LOOK_EVERY).await;
        Ok(())
    }
}

/// All finalizers but ours, and only over what was read.
fn without_finalizer<K: Resource>(object: &K) -> serde_json::Value {
    let all = object.meta().finalizers.iter().flatten();
    let left: Vec<_> = all.filter(|name| *name != names::FINALIZER).collect();
    json!({"metadata": {
        "finalizers": left,
        "resourceVersion": object.meta().resource_version,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_finalizers_stay_and_the_patch_is_only_for_what_was_read() {
        let service = json!({"metadata": {"resourceVersion": "7",
            "finalizers": ["service.kubernetes.io/load-balancer-cleanup", names::FINALIZER]}});
        let patch = without_finalizer::<Service>(&serde_json::from_value(service).unwrap());
        assert_eq!(
            patch,
            json!({"metadata": {"resourceVersion": "7",
                "finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}})
        );
    }
}
