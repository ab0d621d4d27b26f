//! clb-gate in the cluster: the demo overlay, with the credentials and the CA of this run.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::process::Components;
use crate::progress::Step;
use crate::simulator::Simulator;

/// Where it lives.
const NAMESPACE: &str = "clb-gate";

/// What the controller makes when everything else works.
const REGISTRATION: &str = "mutatingwebhookconfiguration/clb-gate";

/// From `kubectl apply` to a registered webhook; a few seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(2);

/// Applies the overlay and waits until it serves.
pub(crate) async fn install(
    kubectl: &Kubectl,
    simulator: &Simulator,
    overlay: &Path,
    components: &Components,
) -> Result<()> {
    let step = Step::start("clb-gate installed and registered");
    kubectl
        .apply(&per_run(simulator)?)
        .await
        .context("applying this run's credentials")?;
    let overlay = overlay.display().to_string();
    kubectl
        .run(&["apply", "-k", &overlay])
        .await
        .context("installing clb-gate")?;
    let ready = components
        .until("clb-gate is available and registered", LIMIT, async || {
            ready(kubectl).await
        })
        .await;
    if let Err(error) = ready {
        return Err(error.context(diagnosis(kubectl).await));
    }
    step.done();
    Ok(())
}

/// Removes it again.
pub(crate) async fn uninstall(kubectl: &Kubectl, overlay: &Path) -> Result<()> {
    let step = Step::start("clb-gate removed");
    let overlay = overlay.display().to_string();
    kubectl
        .run(&["delete", "-k", &overlay, "--ignore-not-found"])
        .await
        .context("removing clb-gate")?;
    step.done();
    Ok(())
}

/// What the overlay needs and cannot know: it differs from run to run.
fn per_run(simulator: &Simulator) -> Result<Value> {
    let ca = std::fs::read_to_string(&simulator.ca).context("reading the simulator's CA")?;
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "clb-gate-credentials", "namespace": NAMESPACE},
            "stringData": {
                "TENCENTCLOUD_SECRET_ID": simulator.secret_id,
                "TENCENTCLOUD_SECRET_KEY": simulator.secret_key,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "clb-gate-endpoint-ca", "namespace": NAMESPACE},
            "data": {"ca.crt": ca},
        },
    ]}))
}

async fn ready(kubectl: &Kubectl) -> Result<()> {
    let text = kubectl
        .run(&["-n", NAMESPACE, "get", "deployments", "-o", "json"])
        .await?;
    let list: Value = serde_json::from_str(&text).context("reading the Deployments")?;
    let waiting = not_available(&list);
    if !waiting.is_empty() {
        bail!("not available: {}", waiting.join(", "));
    }
    kubectl.run(&["get", REGISTRATION]).await.map(drop)
}

/// The Deployments that are not what their spec asks for.
fn not_available(list: &Value) -> Vec<String> {
    let items = list.pointer("/items").and_then(Value::as_array);
    let items = items.map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return vec!["no Deployment yet".into()];
    }
    let number = |item: &Value, path| item.pointer(path).and_then(Value::as_u64);
    items
        .iter()
        .filter(|item| {
            let wanted = number(item, "/spec/replicas").unwrap_or(1);
            number(item, "/status/availableReplicas").unwrap_or(0) < wanted
        })
        .filter_map(|item| item.pointer("/metadata/name").and_then(Value::as_str))
        .map(str::to_owned)
        .collect()
}

/// What a person would look at first.
async fn diagnosis(kubectl: &Kubectl) -> String {
    let looks: &[&[&str]] = &[
        &["-n", NAMESPACE, "get", "pods", "-o", "wide"],
        &["-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp"],
        &[
            "-n",
            NAMESPACE,
            "logs",
            "--all-containers",
            "--prefix",
            "--tail=20",
            "--selector=app.kubernetes.io/name=clb-gate",
        ],
    ];
    let mut text = String::from("clb-gate does not become ready\n");
    for args in looks {
        let shown = kubectl
            .run(args)
            .await
            .unwrap_or_else(|error| format!("{error:#}\n"));
        let _ = writeln!(text, "$ kubectl {}\n{shown}", args.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(name: &str, available: u64) -> Value {
        json!({
            "metadata": {"name": name},
            "spec": {"replicas": 2},
            "status": {"availableReplicas": available},
        })
    }

    #[test]
    fn every_deployment_must_have_all_its_replicas() {
        let list = json!({"items": [deployment("a", 2), deployment("b", 1)]});
        assert_eq!(not_available(&list), ["b"]);
        assert!(not_available(&json!({"items": [deployment("a", 2)]})).is_empty());
    }

    #[test]
    fn no_deployment_is_not_ready() {
        assert_eq!(not_available(&json!({"items": []})).len(), 1);
    }
}
