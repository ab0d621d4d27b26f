//! etcd, the API server, the controller manager and the scheduler: on the bridge, so that pods
//! reach the API server through the `kubernetes` Service.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;
use tokio::process::Command;

use crate::kubectl::Kubectl;
use crate::network::{CORE, KUBERNETES_SERVICE, SERVICES};
use crate::pki::{Authority, key_pair};
use crate::process::Components;
use crate::progress::Step;
use crate::random;

/// etcd's address: nobody but the API server needs it.
const ETCD: &str = "http://127.0.0.1:23790";

/// The API server's name among the components.
pub(crate) const API_SERVER: &str = "kube-apiserver";

/// Enough for a machine that compiles something else at the same time.
const LIMIT: Duration = Duration::from_mins(2);

/// Names under which the API server is reached.
const NAMES: &[&str] = &[
    CORE,
    KUBERNETES_SERVICE,
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// What the audit log tells: every write of clb-gate's, and everybody's writes to what it keeps up.
/// Nothing else, or a test that creates thousands of pods would fill the disk.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
    userGroups: ['system:serviceaccounts:clb-gate']
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
    resources:
      - {group: admissionregistration.k8s.io, resources: [mutatingwebhookconfigurations]}
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
    namespaces: [clb-gate]
    resources: [{group: '', resources: [secrets]}]
  - level: None
";

/// What starts the control plane's programs.
#[derive(Debug)]
pub(crate) struct ControlPlane<'a> {
    /// Where the Go binaries lie.
    pub(crate) tools: &'a Path,
    /// The run's folder in memory.
    pub(crate) work: &'a Path,
    /// Where the API server tells who wrote what.
    pub(crate) audit_log: &'a Path,
    /// Keeps what is started.
    pub(crate) components: &'a Components,
}

impl ControlPlane<'_> {
    /// Makes its keys, starts all of it and waits for the API server.
    pub(crate) async fn start(&self) -> Result<Kubectl> {
        let step = Step::start("API server ready");
        let kubeconfig = self.prepare()?;
        let kubectl = Kubectl::new(self.tools.join("kubectl"), kubeconfig)
            .caching_in(self.work.join("kube-cache"));
        self.run(&kubectl).await?;
        step.done();
        Ok(kubectl)
    }

    /// Starts all of it with the keys and the data it has, and waits for the API server.
    pub(crate) async fn run(&self, kubectl: &Kubectl) -> Result<()> {
        self.etcd()?;
        self.run_api_server(kubectl).await?;
        self.controller_manager(kubectl)?;
        self.scheduler(kubectl)
    }

    /// Starts the API server alone, and waits for it.
    pub(crate) async fn run_api_server(&self, kubectl: &Kubectl) -> Result<()> {
        self.api_server()?;
        self.components
            .until("API server ready", LIMIT, async || {
                kubectl.run(&["get", "--raw=/readyz"]).await.map(drop)
            })
            .await
    }

    /// Keys, certificates, the administrator's token and kubeconfig.
    fn prepare(&self) -> Result<PathBuf> {
        let pki = self.pki();
        fs::create_dir_all(&pki).with_context(|| format!("creating {}", pki.display()))?;
        let authority = Authority::new("clb-gate test host")?;
        authority.issue(NAMES, &pki.join("apiserver"))?;
        key_pair(&pki.join("sa"))?;
        let ca = pki.join("ca.crt");
        fs::write(&ca, &authority.certificate).context("writing the cluster's CA")?;
        let token = random()?;
        fs::write(
            pki.join("tokens.csv"),
            format!("{token},admin,admin,system:masters\n"),
        )
        .context("writing the API server's tokens")?;
        fs::write(self.audit_policy(), AUDIT_POLICY).context("writing the audit policy")?;
        let kubeconfig = self.work.join("kubeconfig");
        let text = kubeconfig_text(&authority.certificate, &token)?;
        fs::write(&kubeconfig, text).context("writing the kubeconfig")?;
        Ok(kubeconfig)
    }

    fn etcd(&self) -> Result<()> {
        let mut command = self.tool("etcd");
        command
            .arg("--data-dir")
            .arg(self.work.join("etcd"))
            .args(["--listen-client-urls", ETCD])
            .args(["--advertise-client-urls", ETCD])
            .args(["--listen-peer-urls", "http://127.0.0.1:23800"])
            .arg("--unsafe-no-fsync");
        self.components.start("etcd", command)
    }

    fn api_server(&self) -> Result<()> {
        let pki = self.pki();
        let mut command = self.tool("kube-apiserver");
        command
            .args(["--etcd-servers", ETCD])
            .args(["--secure-port", "6443", "--bind-address", "0.0.0.0"])
            // Not loopback: pods must be able to route to it.
            .args(["--advertise-address", CORE])
            .arg("--tls-cert-file")
            .arg(pki.join("apiserver.crt"))
            .arg("--tls-private-key-file")
            .arg(pki.join("apiserver.key"))
            .arg("--service-account-key-file")
            .arg(pki.join("sa.pub"))
            .arg("--service-account-signing-key-file")
            .arg(pki.join("sa.key"))
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--authorization-mode", "RBAC,Node"])
            .arg("--token-auth-file")
            .arg(pki.join("tokens.csv"))
            .args(["--service-cluster-ip-range", SERVICES])
            .arg("--allow-privileged")
            // Webhooks are called at their endpoints' addresses: no kube-proxy in between.
            .arg("--enable-aggregator-routing=true")
            .arg("--audit-policy-file")
            .arg(self.audit_policy())
            .arg("--audit-log-path")
            .arg(self.audit_log)
            // For `kubectl logs`.
            .args(["--kubelet-preferred-address-types", "InternalIP"]);
        self.components.start(API_SERVER, command)
    }

    fn controller_manager(&self, kubectl: &Kubectl) -> Result<()> {
        let pki = self.pki();
        let mut command = self.tool("kube-controller-manager");
        command
            .arg("--kubeconfig")
            .arg(kubectl.kubeconfig())
            .arg("--service-account-private-key-file")
            .arg(pki.join("sa.key"))
            .arg("--root-ca-file")
            .arg(pki.join("ca.crt"))
            .arg("--cert-dir")
            .arg(pki.join("kube-controller-manager"))
            .arg("--leader-elect=false");
        self.components.start("kube-controller-manager", command)
    }

    fn scheduler(&self, kubectl: &Kubectl) -> Result<()> {
        let mut command = self.tool("kube-scheduler");
        command
            .arg("--kubeconfig")
            .arg(kubectl.kubeconfig())
            .arg("--leader-elect=false");
        self.components.start("kube-scheduler", command)
    }

    fn tool(&self, name: &str) -> Command {
        Command::new(self.tools.join(name))
    }

    fn audit_policy(&self) -> PathBuf {
        self.work.join("audit-policy.yaml")
    }

    fn pki(&self) -> PathBuf {
        self.work.join("pki")
    }
}

fn kubeconfig_text(ca: &str, token: &str) -> Result<String> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test-host", "cluster": {
            "server": format!("https://{CORE}:6443"),
            "certificate-authority-data": BASE64_STANDARD.encode(ca),
        }}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test-host", "context": {
            "cluster": "test-host", "user": "admin",
        }}],
        "current-context": "test-host",
    });
    serde_json::to_string_pretty(&config).context("writing the kubeconfig")
}
