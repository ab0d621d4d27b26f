//! clb-gate itself as whoever operates it handles it: its Deployments, pods, settings and lease.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kubectl;
use crate::registration::Registration;
use crate::wait::eventually;
use crate::world::condition;

/// Where it is installed.
pub const NAMESPACE: &str = "clb-gate";
/// How many controllers and webhooks there are.
pub const INSTALLED: usize = 2;
/// Image start, caches, election, and two busy cores.
const STARTED: Duration = Duration::from_secs(90);

/// One of the two Deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Answers the API server.
    Webhook,
    /// Does everything else.
    Controller,
}

impl Part {
    /// The Deployment's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "clb-gate-webhook",
            Self::Controller => "clb-gate-controller",
        }
    }

    const fn selector(self) -> &'static str {
        match self {
            Self::Webhook => "app.kubernetes.io/component=webhook",
            Self::Controller => "app.kubernetes.io/component=controller",
        }
    }

    /// Its pods, those that are going too.
    pub async fn pods(self, client: &Client) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let ours = ListParams::default().labels(self.selector());
        Ok(pods.list(&ours).await?.items)
    }

    /// Scales it and waits until so many pods that stay are Ready.
    pub async fn scale(self, client: &Client, replicas: usize) -> Result<()> {
        let (deployment, count) = (self.deployment(), format!("--replicas={replicas}"));
        kubectl::run(&["scale", &deployment, "-n", NAMESPACE, &count]).await?;
        self.ready(client, replicas).await
    }

    /// Scales it to none. A controller goes by itself; a webhook would serve on for longer than anybody
    /// waits, so it is not asked.
    pub async fn stop(self, client: &Client) -> Result<()> {
        kubectl::run(&["scale", &self.deployment(), "-n", NAMESPACE, "--replicas=0"]).await?;
        if self == Self::Webhook {
            self.force_away().await?;
        }
        eventually(self.name(), STARTED, || async {
            let left = self.pods(client).await?.len();
            Ok(if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} pods are left"))
            })
        })
        .await
    }

    /// Kills all its pods at once; the Deployment makes others.
    pub async fn force_away(self) -> Result<()> {
        let selector = self.selector();
        let forced = ["--force", "--grace-period=0"];
        let pods = ["delete", "pods", "-n", NAMESPACE, "-l", selector];
        kubectl::run(&[&pods[..], &forced].concat()).await.map(drop)
    }

    /// Waits until so many pods are Ready, and no other stays.
    pub async fn ready(self, client: &Client, replicas: usize) -> Result<()> {
        let what = format!("{replicas} pods of {}", self.name());
        eventually(&what, STARTED, || async {
            let mut pods = self.pods(client).await?;
            pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            Ok(if ready == replicas && pods.len() == replicas {
                Ok(())
            } else {
                Err(format!("{ready} of {} are Ready", pods.len()))
            })
        })
        .await
    }

    /// Rolls it, without waiting.
    pub async fn restart(self) -> Result<()> {
        let deployment = self.deployment();
        let restart = ["rollout", "restart", &deployment, "-n", NAMESPACE];
        kubectl::run(&restart).await.map(drop)
    }

    /// Waits until a rollout is through.
    pub async fn rolled(self) -> Result<()> {
        let deployment = self.deployment();
        let status = ["rollout", "status", &deployment, "-n", NAMESPACE];
        let patient = "--timeout=180s";
        kubectl::run(&[&status[..], &[patient]].concat())
            .await
            .map(drop)
    }

    /// Deletes one of its pods, which ends in its own time.
    pub async fn delete(self, client: &Client, pod: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        pods.delete(pod, &DeleteParams::default()).await?;
        Ok(())
    }

    fn deployment(self) -> String {
        format!("deploy/{}", self.name())
    }
}

/// Whether a pod is Ready.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready") == Some("True")
}

/// A pod's address.
pub fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// The addresses of the webhooks that are Ready and stay.
pub async fn webhooks(client: &Client) -> Result<Vec<IpAddr>> {
    let pods = Part::Webhook.pods(client).await?;
    let serving = pods.iter().filter(|pod| is_ready(pod));
    let staying = serving.filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(staying.filter_map(address).collect())
}

/// What one of the settings says; empty where it says nothing.
pub async fn setting(key: &str) -> Result<String> {
    let path = format!("jsonpath={{.data.{key}}}");
    let settings = ["get", "configmap", "clb-gate-settings", "-n", NAMESPACE];
    let printed = kubectl::run(&[&settings[..], &["-o", &path]].concat()).await?;
    Ok(printed.out)
}

/// Sets one of the settings.
pub async fn set(key: &str, value: &str) -> Result<()> {
    let patch = serde_json::json!({"data": {key: value}}).to_string();
    let settings = ["patch", "configmap", "clb-gate-settings", "-n", NAMESPACE];
    let merge = ["--type=merge", "-p", &patch];
    kubectl::run(&[&settings[..], &merge].concat())
        .await
        .map(drop)
}

/// Takes the stage with three webhooks and `failurePolicy: Fail`, and gives it back as it was.
pub async fn strictly<F: Future<Output = Result<()>>>(
    client: &Client,
    journey: impl FnOnce() -> F,
) -> Result<()> {
    let webhooks = INSTALLED + 1;
    Part::Webhook.scale(client, webhooks).await?;
    set_policy(client, "Fail").await?;
    let outcome = journey().await;
    set_policy(client, "Ignore").await?;
    Part::Webhook.scale(client, INSTALLED).await?;
    outcome
}

/// Sets `failurePolicy` and waits until the registration has it.
pub async fn set_policy(client: &Client, policy: &str) -> Result<()> {
    set("failurePolicy", policy).await?;
    let registration = Registration::new(client);
    eventually("the registration has the policy", STARTED, || async {
        let found = registration.there().await?.webhooks.unwrap_or_default();
        let pods = found.first().and_then(|entry| entry.failure_policy.clone());
        Ok(if pods.as_deref() == Some(policy) {
            Ok(())
        } else {
            Err(format!("it has {pods:?}"))
        })
    })
    .await
}

/// Waits until somebody leads; the pod's name.
pub async fn leader(client: &Client) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    eventually("somebody leads", STARTED, || async {
        let lease = leases.get_opt(Part::Controller.name()).await?;
        let holder = lease
            .and_then(|lease| lease.spec?.holder_identity)
            .filter(|holder| !holder.is_empty());
        Ok(holder.ok_or_else(|| "nobody".to_owned()))
    })
    .await
}

/// SIGKILL to the process of one of our pods.
pub async fn kill_minus_nine(client: &Client, name: &str) -> Result<()> {
    for process in processes(client, name).await? {
        kill(process, Signal::SIGKILL)?;
    }
    Ok(())
}

/// The process of one of our pods.
pub async fn processes(client: &Client, name: &str) -> Result<Vec<Pid>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let uid = pods.get(name).await?.uid().context("a UID")?;
    running(&uid, "/clb-gate").with_context(|| name.to_owned())
}

/// SIGKILL to a program of a pod, whosever it is.
pub fn kill_process(uid: &str, program: &str) -> Result<()> {
    for process in running(uid, program)? {
        kill(process, Signal::SIGKILL)?;
    }
    Ok(())
}

/// The processes of a pod's containers that run this program, found by the pod's cgroup.
fn running(uid: &str, program: &str) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|text| text.parse().ok())
        else {
            continue;
        };
        let cgroup = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if cgroup.contains(uid) && command.starts_with(program) {
            found.push(Pid::from_raw(pid));
        }
    }
    ensure!(!found.is_empty(), "no process {program} of pod {uid} found");
    Ok(found)
}
