//! Reads what an explanation is made from, and writes nothing: Kubernetes gets GET, the CLB `Describe…`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clb::{Client as ClbClient, LoadBalancerId};
use direct_access::{Exposure, Kind, ObjectRef, Owner};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::Instant;

use super::binding::{Subject, path};
use super::detail::PodDetail;
use super::facts::{Asked, Clb, Facts, Looked};
use super::judged::{ids, judged};
use super::object::explain_object;
use super::pod::{PodFacts, explain_pod, exposing};
use super::probe::{Probed, probe};
use super::report::Report;
use crate::ask::{AskError, Right, ask};
use crate::certificates::Gatherer;
use crate::cloud::{Cloud, Sources, chain};
use crate::health::places;
use crate::plan::Place;
use crate::pod::PodRecord;
use crate::preview::{Kubernetes, LookError, Sighting, World, get_only};

/// Load balancers in one `DescribeTargetHealth` (the API's limit).
const AT_ONCE: usize = 30;
/// Pods of a Service that are looked at one by one.
const PODS: usize = 100;
/// Events shown.
const EVENTS: usize = 5;

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The cluster could not be read.
    #[error("{0}")]
    Look(#[from] LookError),
    /// A call failed.
    #[error("{0}")]
    Ask(#[from] AskError),
    /// There is no such object.
    #[error("there is no {0} {1} in this cluster")]
    None(&'static str, ObjectRef),
}

/// Reads.
#[derive(Clone)]
pub struct Explainer {
    client: Client,
    namespace: String,
    cloud: Cloud,
    /// The cloud is as it should be, whatever the settings say.
    given: bool,
    /// Ask pods themselves what the health check asks.
    probes: bool,
}

/// What may be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// Why is this pod not ready?
    Pod,
    /// What of this Service is served?
    Service,
    /// What of this Ingress is served?
    Ingress,
}

impl Explainer {
    /// Reads for an installation in `namespace`; `probes` allows to ask pods themselves.
    pub fn new(client: Client, namespace: &str, sources: Sources, probes: bool) -> Self {
        Self {
            client: get_only(client),
            namespace: namespace.to_owned(),
            cloud: Cloud::reading(sources, Arc::new(clb::NoObserver)),
            given: false,
            probes,
        }
    }

    /// Reads the CLB through this client, whatever the settings say: for tools and tests.
    #[must_use]
    pub fn over(self, cloud: Cloud) -> Self {
        Self {
            cloud,
            given: true,
            ..self
        }
    }

    /// Explains one object.
    pub async fn explain(
        &self,
        kind: Object,
        namespace: &str,
        name: &str,
    ) -> Result<Report, ExplainError> {
        let object = ObjectRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match kind {
            Object::Pod => self.pod(&object).await,
            Object::Service => self.object(&Owner::service(object)).await,
            Object::Ingress => self.object(&Owner::ingress(object)).await,
        }
    }

    /// Why is this pod not ready?
    pub async fn pod(&self, pod: &ObjectRef) -> Result<Report, ExplainError> {
        // A list of one: who runs this in the controller's place may list pods, not get them.
        let named = ListParams::default().fields(&format!("metadata.name={}", pod.name));
        let found = self.pods(&pod.namespace, &named).await?.into_iter();
        let mut found = found.filter(|one| one.metadata.name.as_ref() == Some(&pod.name));
        let found = found.next();
        let found = found.ok_or_else(|| ExplainError::None("Pod", pod.clone()))?;
        let record = PodRecord::prune(found.clone());
        let lead = |exposure: &Exposure| {
            exposure.service.namespace == record.namespace && record.selected_by(&exposure.selector)
        };
        let facts = self.facts(Some(&lead)).await?;
        let mut about = PodFacts {
            detail: PodDetail::prune(found),
            pod: record,
            probed: BTreeMap::new(),
        };
        if self.probes {
            about.probed = self.probed(&facts, &about).await;
        }
        let mut report = explain_pod(&facts, &about);
        match self.events(&about.pod.namespace, &about.pod.uid).await {
            Ok(events) => report.events = events,
            Err(error) => report.notes.push(format!("Events are not shown: {error}")),
        }
        Ok(report)
    }

    /// What of this Service or Ingress is served?
    pub async fn object(&self, owner: &Owner) -> Result<Report, ExplainError> {
        let lead = |exposure: &Exposure| {
            exposure.owner == *owner
                || (owner.kind == Kind::Service && exposure.service == owner.object)
        };
        let facts = self.facts(Some(&lead)).await?;
        let uid = uid(&facts.world, owner)
            .ok_or_else(|| ExplainError::None(owner.kind.as_str(), owner.object.clone()))?;
        let judged = judged(&facts);
        let exposures = judged.wanted.exposures.iter().filter(|one| lead(one));
        let exposures: Vec<_> = exposures.collect();
        let pods = facts.world.pods.iter().filter(|pod| {
            let mut all = exposures.iter();
            all.any(|one| one.service.namespace == pod.namespace && pod.selected_by(&one.selector))
        });
        let pods: Vec<_> = pods.take(PODS).cloned().collect();
        let about = self.detailed(pods).await;
        let mut report = explain_object(&facts, owner, &about);
        match self.events(&owner.object.namespace, &uid).await {
            Ok(events) => report.events = events,
            Err(error) => report.notes.push(format!("Events are not shown: {error}")),
        }
        Ok(report)
    }

    /// The cluster and, of the load balancers, those of these exposures or all.
    pub(super) async fn facts(
        &self,
        of: Option<&(dyn Fn(&Exposure) -> bool + Sync)>,
    ) -> Result<Facts, ExplainError> {
        let kubernetes = Kubernetes::new(self.client.clone(), &self.namespace);
        let world = kubernetes.world(&BTreeMap::new()).await?;
        let gatherer = Gatherer::new(self.client.clone(), &self.namespace, false);
        let mut facts = Facts {
            namespace: self.namespace.clone(),
            clb: Clb::NoClient(String::new()),
            lease: gatherer.lease().await.map_err(|error| error.to_string()),
            now: runtime::clock::now(),
            world,
        };
        facts.clb = self.clb(&facts, of).await;
        Ok(facts)
    }

    async fn clb(&self, facts: &Facts, of: Option<&(dyn Fn(&Exposure) -> bool + Sync)>) -> Clb {
        let world = &facts.world;
        let cloud = &self.cloud;
        if !self.given {
            cloud.rebuild(&world.settings, &world.tke);
        }
        if cloud.client().is_err() {
            // On a machine of Tencent Cloud the metadata service knows the region.
            cloud.ask().await;
        }
        let client = match cloud.client() {
            Ok(client) => client,
            Err(why) => return Clb::NoClient(why),
        };
        let sighting = if let Some(of) = of {
            let judged = judged(facts);
            let mine = judged.wanted.exposures.iter().filter(|one| of(one));
            Sighting::take_these(client.clone(), world, ids(mine), cloud.vpc()).await
        } else {
            Sighting::take_all(client.clone(), world, cloud.vpc()).await
        };
        let looked = looked(&client, sighting).await;
        match looked {
            Ok(looked) => Clb::Seen(Box::new(looked)),
            Err(error) => Clb::Refused(Asked {
                about: error.advice().map(|advice| advice.about()),
                told: chain(&error),
            }),
        }
    }

    /// What pods have that the controller does not keep. One that went meanwhile is explained by what is known.
    pub(super) async fn detailed(&self, pods: Vec<PodRecord>) -> Vec<PodFacts> {
        let namespaces: BTreeSet<_> = pods.iter().map(|pod| pod.namespace.clone()).collect();
        let mut details = BTreeMap::new();
        for namespace in namespaces {
            let found = self.pods(&namespace, &ListParams::default()).await;
            for pod in found.unwrap_or_default() {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                details.insert(uid, PodDetail::prune(pod));
            }
        }
        let about = pods.into_iter().map(|pod| PodFacts {
            detail: details.remove(&pod.uid).unwrap_or_default(),
            pod,
            probed: BTreeMap::new(),
        });
        about.collect()
    }

    async fn pods(&self, namespace: &str, which: &ListParams) -> Result<Vec<Pod>, AskError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let right = Right::core("list", "pods", (namespace, ""));
        Ok(ask(right, api.list(which)).await?.items)
    }

    /// Asks the pod what the health checks of its exposures ask; of a check that is not HTTP only whether
    /// somebody listens.
    async fn probed(&self, facts: &Facts, about: &PodFacts) -> BTreeMap<u16, Probed> {
        let judged = judged(facts);
        let none = BTreeMap::new();
        let subject = Subject {
            facts,
            judged: &judged,
            pod: &about.pod,
            detail: &about.detail,
            probed: &none,
        };
        let mut probed = BTreeMap::new();
        for exposure in exposing(&judged, &about.pod) {
            let Some(port) = about.pod.port(&exposure.target) else {
                continue;
            };
            let path = subject
                .http(exposure)
                .map_or_else(|| "/".to_owned(), |check| path(&check));
            let pod = (about.pod.namespace.as_str(), about.pod.name.as_str());
            let answer = probe(&self.client, pod, port, &path).await;
            probed.insert(port, answer);
        }
        probed
    }

    async fn events(&self, namespace: &str, uid: &str) -> Result<Vec<String>, AskError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let right = Right::core("list", "events", (namespace, ""));
        let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        let found = ask(right, api.list(&about)).await?;
        let ours = found.items.into_iter().filter(|event| {
            event.reporting_component.as_deref() == Some(direct_access::names::FIELD_MANAGER)
        });
        let mut ours: Vec<_> = ours
            .map(|event| {
                let at = event.event_time.map(|time| time.0);
                let at = at.or_else(|| event.last_timestamp.map(|time| time.0));
                let reason = event.reason.unwrap_or_default();
                (
                    at,
                    format!("{reason}: {}", event.message.unwrap_or_default()),
                )
            })
            .collect();
        ours.sort_by_key(|(at, _)| *at);
        let shown = ours
            .into_iter()
            .rev()
            .take(EVENTS)
            .map(|(at, text)| match at {
                Some(at) => format!("{} {text}", crate::certificates::spell::second(at)),
                None => text,
            });
        let mut shown: Vec<_> = shown.collect();
        shown.reverse();
        Ok(shown)
    }
}

fn uid(world: &World, owner: &Owner) -> Option<String> {
    match owner.kind {
        Kind::Service => {
            let mut all = world.services.iter();
            all.find(|one| one.owner() == *owner)
                .map(|one| one.uid.clone())
        }
        Kind::Ingress => {
            let mut all = world.ingresses.iter();
            all.find(|one| one.owner() == *owner)
                .map(|one| one.uid.clone())
        }
    }
}

/// What the health checks say of what was seen, and since when it is there.
async fn looked(
    client: &ClbClient,
    sighting: Result<Sighting, clb::Error>,
) -> Result<Looked, clb::Error> {
    let sighting = sighting?;
    let there = sighting.load_balancers.iter().filter_map(|(id, look)| {
        let there = matches!(look, crate::preview::Look::There(_));
        there.then(|| LoadBalancerId::new(id.as_str()))
    });
    let there: Vec<_> = there.collect();
    let at = Instant::now();
    let mut health = BTreeMap::<_, Vec<_>>::new();
    for ids in there.chunks(AT_ONCE) {
        for one in client.describe_target_health(ids, &[]).await? {
            let all = health.entry(one.load_balancer_id.as_str().to_owned());
            all.or_default().extend(places(&one));
        }
    }
    let mut since = BTreeMap::new();
    for id in &there {
        let targets = client.describe_targets(id, &[]).await?;
        since.insert(id.as_str().to_owned(), since_of(&targets));
    }
    Ok(Looked {
        sighting,
        health,
        since,
        at,
    })
}

fn since_of(listeners: &[clb::ListenerTargets]) -> Vec<(Place, String)> {
    let mut all = Vec::new();
    for listener in listeners {
        let own = listener.targets.iter().map(|target| (None, target));
        let of_rules = listener.rules.iter().flat_map(|rule| {
            let id = rule.location_id.as_str().to_owned();
            rule.targets
                .iter()
                .map(move |target| (Some(id.clone()), target))
        });
        for (rule, target) in own.chain(of_rules) {
            let address = target.address().zip(target.registered_time.clone());
            let Some((address, since)) = address else {
                continue;
            };
            let place = Place {
                listener: listener.listener_id.as_str().to_owned(),
                rule,
                address: (address.ip(), address.port()),
            };
            all.push((place, since));
        }
    }
    all
}
