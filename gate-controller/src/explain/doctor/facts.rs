//! What a check-up is made from.

use k8s_openapi::apimachinery::pkg::version::Info;

use super::Answer;
use crate::certificates;
use crate::explain::{Facts, PodFacts};
use crate::pod::PodRecord;
use crate::preview::Preview;

/// One installation and everything it looks after.
#[derive(Clone, Debug)]
pub struct Patient {
    /// The cluster, the CLB and who leads.
    pub facts: Facts,
    /// This runs in the cluster, with the controller's credentials.
    pub inside: bool,
    /// The API server's version.
    pub server: Result<Info, String>,
    /// The nodes' kubelets.
    pub nodes: Result<Nodes, String>,
    /// Registration and certificates.
    pub certificates: Result<certificates::Report, String>,
    /// The pods of clb-gate.
    pub pods: Vec<OurPod>,
    /// What the controller would do on the load balancers, where they could be read.
    pub preview: Option<Preview>,
    /// Exposed pods without the gate.
    pub ungated: Vec<PodRecord>,
    /// Exposed pods that the CLB cannot reach, with the reason.
    pub unreachable: Vec<(PodRecord, &'static str)>,
    /// How many gated pods have waited for longer than a health check takes.
    pub waiting: usize,
    /// The first of them.
    pub stuck: Vec<PodFacts>,
}

/// The nodes' kubelets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// How many nodes there are.
    pub count: usize,
    /// The oldest kubelet's version, as `v1.30.4`, and its node.
    pub oldest: Option<(String, String)>,
}

/// A pod of clb-gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurPod {
    /// Its name.
    pub name: String,
    /// `webhook` or `controller`.
    pub component: String,
    /// What it says of itself, or why it was not heard.
    pub answer: Result<Answer, String>,
}

impl Patient {
    /// The pods of one Deployment.
    pub(super) fn of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'a OurPod> {
        self.pods
            .iter()
            .filter(move |pod| pod.component == component)
    }

    /// The pod that leads.
    pub(super) fn leader(&self) -> Option<&OurPod> {
        let held = self.facts.lease.as_ref().ok()?.as_ref()?;
        let holder = held.record.holder.as_deref()?;
        self.pods.iter().find(|pod| pod.name == holder)
    }
}
