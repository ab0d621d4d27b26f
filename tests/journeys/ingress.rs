//! An Ingress from YAML to requests that arrive, by host, by path and encrypted, and back to nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::world::{gates, target};
use clb_gate_tests::{World, kubectl, websocket};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::Ingress;
use tempfile::TempDir;

use crate::stage::{PATIENCE, beside, deployment};

mod hosts;

const A: &str = "a.shop.example";
const B: &str = "b.shop.example";
/// A path that is longer than TKE's 120 characters, in one that is told.
const LONGEST: usize = 130;
/// A listener and a rule of somebody else, on the same CLB.
const THEIRS: u16 = 81;

#[test]
fn an_ingress_leads_hosts_and_paths_to_pods() {
    beside("ingress", |world| async move {
        // One of its own, for the usual ports.
        let console = Console::buy("ingress").await?;
        let outcome = journey(&world, &console).await;
        console.give_back().await?;
        outcome
    });
}

async fn journey(world: &World, console: &Console) -> Result<()> {
    let doors = Doors::new(console).await?;
    console.furnish_rule(THEIRS, A, "/").await?;
    let bad = format!("/{}", "x".repeat(LONGEST));
    for yaml in [service("web"), service("api"), secret("certb001")] {
        kubectl::apply(&(yaml + &in_namespace(world))).await?;
    }
    apply(world, console, &bad).await?;
    hosts::declare(world, console).await?;
    for app in ["web", "api"] {
        world.webhooks_gate(app, true).await?;
    }
    for (app, replicas) in [("web", 2), ("api", 1)] {
        kubectl::apply(&deployment(world, app, replicas, "1")).await?;
    }
    told(world, &bad).await?;
    hosts::told(world).await?;
    kubectl::apply(&rights(world)).await?;
    let web = world.ready("web", 2, PATIENCE).await?;
    let api = world.ready("api", 1, PATIENCE).await?;
    healthy(console, &web, &[(80, [A, B]), (443, [A, B])]).await?;
    ensure!(
        web.iter().chain(&api).all(|pod| gates(pod) == 1),
        "a pod without the gate"
    );

    shown(world, Some(&doors.vip)).await?;
    hosts::lead(&doors, "certb001").await?;
    for scheme in ["http", "https"] {
        doors.leads(scheme, (A, "/"), "web-").await?;
        doors.leads(scheme, (A, "/slow?ms=1"), "api-").await?;
        doors.leads(scheme, (B, "/"), "web-").await?;
    }

    // Declared while it serves.
    doors.speaks("1.1").await?;
    kubectl::apply(&declared(world)).await?;
    as_declared(console).await?;
    doors.speaks("2").await?;
    let trusted = doors.folder.path().join("certa001");
    websocket::echoed(&doors.vip, (A, "/echo"), &trusted, &["one", "and another"]).await?;

    // Mended, it is served too.
    apply(world, console, "/healthz").await?;
    doors.leads("http", (A, "/healthz"), "ok").await?;

    // What the Secret names is shown instead of what it named.
    kubectl::apply(&(secret("certb002") + &in_namespace(world))).await?;
    doors.shows(B, "certb002").await?;
    hosts::lead(&doors, "certb002").await?;
    ensure!(world.pods("web").await?.len() == 2, "pods went");

    for (kind, name) in [("ingress", "front"), ("service", "door")] {
        kubectl::run(&["delete", kind, name, "-n", &world.namespace]).await?;
    }
    nothing_is_left(console).await?;
    world.ready("web", 2, PATIENCE).await.map(drop)
}

fn in_namespace(world: &World) -> String {
    format!("  namespace: {}\n", world.namespace)
}

/// Of no type in particular, without an annotation. Its metadata are still open.
fn service(app: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
spec:
  selector: {{app: {app}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
metadata:
  name: {app}
"
    )
}

/// Names the certificate of host B. Its metadata are still open.
fn secret(id: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
stringData: {{qcloud_cert_id: {id}}}
metadata:
  name: cert-b
"
    )
}

/// What the owner of the namespace grants.
fn rights(world: &World) -> String {
    let namespace = &world.namespace;
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: clb-gate-certificates, namespace: {namespace}}}
rules:
- {{apiGroups: [''], resources: [secrets], resourceNames: [cert-b], verbs: [get]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: clb-gate-certificates, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: clb-gate-certificates}}
subjects: [{{kind: ServiceAccount, name: clb-gate-controller, namespace: clb-gate}}]
"
    )
}

/// Clients of host A may speak HTTP/2, and one of its rules is set up in another way.
fn declared(world: &World) -> String {
    format!(
        "apiVersion: cloud.tencent.com/v1alpha1
kind: TkeServiceConfig
metadata: {{name: tuned, namespace: {}}}
spec:
  loadBalancer:
    l7Listeners:
    - protocol: HTTPS
      port: 443
      domains:
      - domain: {A}
        http2: true
        rules:
        - url: /
          scheduler: LEAST_CONN
          session: {{enable: true, sessionExpireTime: 100}}
          healthCheck: {{enable: true, intervalTime: 4, httpCheckPath: /healthz}}
",
        world.namespace
    )
}

/// What is declared is so, and nothing else.
async fn as_declared(console: &Console) -> Result<()> {
    eventually("the rule is as declared", PATIENCE, || async {
        let listener = console.listener(443).await?.context("a listener")?;
        let rules = listener.rules.iter().map(|rule| {
            let place =
                [rule.domain.as_deref(), rule.url.as_deref()].map(Option::unwrap_or_default);
            let check = rule.health_check.clone().unwrap_or_default();
            let shown = (
                rule.scheduler.as_deref(),
                rule.session_expire_time,
                check.interval_time,
            );
            (place.concat(), shown)
        });
        let plain = (Some("WRR"), Some(0), Some(5));
        let mut rules: BTreeMap<_, _> = rules.filter(|(_, shown)| *shown != plain).collect();
        let declared = rules.remove(&format!("{A}/"));
        let right = declared == Some((Some("LEAST_CONN"), Some(100), Some(4))) && rules.is_empty();
        Ok(if right {
            Ok(())
        } else {
            Err(format!("{:?}", listener.rules))
        })
    })
    .await
}

/// Two hosts and four paths, the last of which is `extra`, on both ports; one certificate by its id, the
/// other by a Secret.
async fn apply(world: &World, console: &Console, extra: &str) -> Result<()> {
    let path = |path: &str, app: &str| {
        format!(
            "      - {{path: '{path}', pathType: Prefix, backend: {{service: {{name: {app}, port: {{name: http}}}}}}}}\n"
        )
    };
    let a = [path("/", "web"), path("/slow", "api"), path(extra, "api")].concat();
    let b = path("/", "web");
    let (namespace, id) = (&world.namespace, &console.load_balancer);
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: front
  namespace: {namespace}
  annotations:
    ingress.cloud.tencent.com/direct-access: 'true'
    kubernetes.io/ingress.existLbId: {id}
    kubernetes.io/ingress.rule-mix-both: 'true'
    ingress.cloud.tencent.com/tke-service-config: tuned
    ingress.cloud.tencent.com/certificate: '[{{\"hosts\":[\"{A}\"],\"qcloud_cert_id\":[\"certa001\"]}}]'
spec:
  ingressClassName: qcloud
  tls: [{{hosts: [{B}], secretName: cert-b}}]
  rules:
  - host: {A}
    http:
      paths:
{a}  - host: {B}
    http:
      paths:
{b}"
    );
    kubectl::apply(&yaml).await.map(drop)
}

/// The bad path, and the Secret that may not be read.
async fn told(world: &World, bad: &str) -> Result<()> {
    let parts = ["Ingress ingress/front", bad, "1 to 120"];
    world.event("front", &parts, PATIENCE).await?;
    let parts = ["cert-b", "clb-gate/clb-gate-controller", "Role"];
    world.event("front", &parts, PATIENCE).await.map(drop)
}

/// Pods are Ready: so all their rules say that they are healthy.
async fn healthy(console: &Console, pods: &[Pod], places: &[(u16, [&str; 2])]) -> Result<()> {
    let pods: BTreeSet<_> = pods.iter().filter_map(target).collect();
    for (port, hosts) in places {
        let rules = console.rules(*port).await?;
        for host in hosts {
            let rule = rules.get(&format!("{host}/"));
            let rule = rule.with_context(|| format!("no rule {host}/ at {port}: {rules:?}"))?;
            let healthy = rule.iter().filter(|(_, state)| *state == "Alive");
            let healthy: BTreeSet<_> = healthy.map(|(address, _)| address.clone()).collect();
            ensure!(healthy == pods, "{port} {host}: {rule:?}, not {pods:?}");
        }
    }
    Ok(())
}

/// The Ingress shows this address, or none.
async fn shown(world: &World, address: Option<&str>) -> Result<()> {
    eventually("the Ingress shows its address", PATIENCE, || async {
        let ingress = world.api::<Ingress>().get("front").await?;
        let status = ingress.status.and_then(|status| status.load_balancer);
        let shown = status.and_then(|status| status.ingress).unwrap_or_default();
        let shown = shown.first().and_then(|one| one.ip.as_deref());
        Ok(if shown == address {
            Ok(())
        } else {
            Err(format!("{shown:?}"))
        })
    })
    .await
}

async fn nothing_is_left(console: &Console) -> Result<()> {
    eventually("our listeners are gone", PATIENCE, || async {
        let mut left = vec![];
        for port in [80, 443].into_iter().chain(hosts::PORTS) {
            left.extend(console.listener(port).await?.map(|one| one.port));
        }
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        })
    })
    .await?;
    let theirs = console.rules(THEIRS).await?;
    ensure!(
        theirs.len() == 1,
        "a rule of somebody else went: {theirs:?}"
    );
    Ok(())
}

/// The VIP, and what a client must trust.
struct Doors {
    vip: String,
    folder: TempDir,
}

impl Doors {
    async fn new(console: &Console) -> Result<Self> {
        let folder = TempDir::new()?;
        for (id, host) in [("certa001", A), ("certb001", B), ("certb002", B)] {
            let made = rcgen::generate_simple_self_signed([host.to_owned()])?;
            let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            std::fs::write(folder.path().join(id), &chain)?;
            console.put_certificate(id, &chain, &key).await?;
        }
        let vip = console.vip().await?;
        Ok(Self { vip, folder })
    }

    /// A request to a host and path is answered with this.
    async fn leads(&self, scheme: &str, (host, path): (&str, &str), to: &str) -> Result<()> {
        let certificate = if host == A { "certa001" } else { "certb001" };
        let what = format!("{scheme}://{host}{path} leads to {to}");
        eventually(&what, PATIENCE, || async {
            let url = format!("{scheme}://{host}{path}");
            let answer = self.ask(&url, host, certificate).await?;
            Ok(answer.and_then(|body| {
                if body.starts_with(to) {
                    Ok(())
                } else {
                    Err(body)
                }
            }))
        })
        .await
    }

    /// A client that trusts only this certificate is answered.
    async fn shows(&self, host: &str, certificate: &str) -> Result<()> {
        eventually("another certificate is shown", PATIENCE, || async {
            let url = format!("https://{host}/");
            Ok(self.ask(&url, host, certificate).await?.map(drop))
        })
        .await
    }

    /// A client of host A that can HTTP/2 is answered in this version of HTTP.
    async fn speaks(&self, version: &str) -> Result<()> {
        eventually(&format!("HTTP/{version} is spoken"), PATIENCE, || async {
            let url = format!("https://{A}/");
            let more = ["--http2", "--write-out", "HTTP/%{http_version}"];
            let answer = self.ask_with(&more, (&url, A), "certa001").await?;
            Ok(answer.and_then(|answer| {
                if answer.starts_with("web-") && answer.ends_with(&format!("HTTP/{version}")) {
                    Ok(())
                } else {
                    Err(answer)
                }
            }))
        })
        .await
    }

    async fn ask(
        &self,
        url: &str,
        host: &str,
        certificate: &str,
    ) -> Result<Result<String, String>> {
        self.ask_with(&[], (url, host), certificate).await
    }

    async fn ask_with(
        &self,
        more: &[&str],
        (url, host): (&str, &str),
        certificate: &str,
    ) -> Result<Result<String, String>> {
        let trusted = self.folder.path().join(certificate);
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--fail", "--max-time", "5", "--noproxy", "*"]);
        curl.args(more);
        for port in [80, 443] {
            curl.args(["--resolve", &format!("{host}:{port}:{}", self.vip)]);
        }
        let output = curl.arg("--cacert").arg(trusted).arg(url).output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        })
    }
}
