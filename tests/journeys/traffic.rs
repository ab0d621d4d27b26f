//! What passes through the VIP: with whose address, to which target, and when nothing does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clb_gate_tests::operator::Operator;
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::{condition, target};
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{LOAD_BALANCER, PATIENCE, alone, beside, deployment};

/// The Service that asks for a load balancer inside the VPC.
const INTERNAL: &str = "internal";
const SUBNET: (&str, &str) = (
    "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid",
    "subnet-abcd1234",
);
/// The load balancer that most journeys leave alone.
const OTHER: &str = "lb-demo0002";

/// A Service of each kind, all for the same pods: its name, the load balancer it names, its port, and
/// whether it is UDP. Two share a load balancer, and even a port.
const KINDS: [(&str, Option<&str>, u16, bool); 5] = [
    ("made", None, 80, false),
    (INTERNAL, None, 80, false),
    ("existing", Some(LOAD_BALANCER), 8014, false),
    ("tcp", Some(OTHER), 8015, false),
    ("udp", Some(OTHER), 8015, true),
];

#[test]
fn from_yaml_only_pods_are_reached_through_every_vip_and_see_the_client_s_address() {
    beside("source", |world| async move {
        for (name, id, port, udp) in KINDS {
            kubectl::apply(&kind(&world, name, id, (port, udp))).await?;
        }
        world.webhooks_know(LOAD_BALANCER, 8014).await?;
        kubectl::apply(&deployment(&world, "web", 2, "1")).await?;
        kubectl::apply(&deployment(&world, "client", 2, "1")).await?;
        let pods = world.ready("web", 2, PATIENCE).await?;
        let clients = world.ready("client", 2, PATIENCE).await?;
        for (name, _, port, udp) in KINDS {
            let vip = external_ip(&world, name).await?;
            let (kind, subnet) = Operator::new()?.kind_of(&vip).await?;
            let wanted = if name == INTERNAL {
                ("INTERNAL", SUBNET.1)
            } else {
                ("OPEN", "")
            };
            let kind = (kind.as_str(), subnet.as_str());
            ensure!(kind == wanted, "{name}: {kind:?}, not {wanted:?}");
            for client in &clients {
                let question = format!("/via?udp={udp}&to={vip}:{port}");
                everyone_answers(client, &question, &pods).await?;
            }
        }
        let all = ["delete", "service", "--all", "-n", &world.namespace];
        kubectl::run(&all).await?;
        for (_, id, port, _) in KINDS {
            let Some(id) = id else { continue };
            let console = Console::new(id)?;
            eventually("our listeners are gone", PATIENCE, || async {
                let left = console.protocols(port).await?;
                let none = left.is_empty();
                Ok(none.then_some(()).ok_or_else(|| format!("{left:?}")))
            })
            .await?;
        }
        Ok(())
    });
}

fn kind(world: &World, name: &str, id: Option<&str>, (port, udp): (u16, bool)) -> String {
    let service = Service {
        app: "web",
        ..Service::direct(&world.namespace, name, id.unwrap_or_default(), port)
    };
    let yaml = match id {
        Some(_) => service.yaml(),
        None => service
            .with("service.kubernetes.io/tke-existed-lbid", None)
            .with(SUBNET.0, (name == INTERNAL).then_some(SUBNET.1))
            .yaml(),
    };
    if udp {
        yaml.replace("targetPort: http", "targetPort: 8080, protocol: UDP")
    } else {
        yaml
    }
}

/// What kubectl shows as EXTERNAL-IP.
async fn external_ip(world: &World, name: &str) -> Result<String> {
    eventually(&format!("{name} has an EXTERNAL-IP"), PATIENCE, || async {
        let get = [
            "get",
            "service",
            name,
            "-n",
            &world.namespace,
            "--no-headers",
        ];
        let shown = kubectl::run(&get).await?.out;
        let column = shown.split_whitespace().nth(3).unwrap_or_default();
        let known = column.parse::<std::net::IpAddr>().is_ok();
        Ok(if known {
            Ok(column.to_owned())
        } else {
            Err(shown)
        })
    })
    .await
}

/// Asked again and again, a client's question is answered by every pod, and to that client.
async fn everyone_answers(client: &Pod, question: &str, pods: &[Pod]) -> Result<()> {
    let from = address(client)?;
    let answer = |pod: &Pod| format!("{} {}", pod.name_any(), from.ip());
    let wanted: BTreeSet<_> = pods.iter().map(answer).collect();
    let mut answers = BTreeSet::new();
    for _ in 0..PATIENCE.as_secs() {
        // A target that the health check has not yet passed is no fault: no answer is.
        let (status, body) = get(from, question).await?;
        if status == 200 {
            answers.insert(body.trim().to_owned());
        }
        if answers == wanted {
            return Ok(());
        }
        ensure!(
            answers.is_subset(&wanted),
            "{question}: {answers:?}, not {wanted:?}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bail!("{question} of {from}: {answers:?}, not {wanted:?}")
}

#[test]
fn weight_0_keeps_a_live_connection_and_deregistering_cuts_it() {
    beside("live", |world| async move {
        let console = Console::new(OTHER)?;
        kubectl::apply(&deployment(&world, "web", 1, "1")).await?;
        let pods = world.ready("web", 1, PATIENCE).await?;
        let pod = address(pods.first().context("a pod")?)?;
        console.create_listener(clb::Protocol::Tcp, 8016).await?;
        console.bind(8016, pod, 10).await?;
        let vip: SocketAddr = format!("{}:8016", console.vip().await?).parse()?;
        eventually("traffic", PATIENCE, || async {
            Ok(get(vip, "/").await.map_err(|error| format!("{error:#}")))
        })
        .await?;
        let mut kept = TcpStream::connect(vip).await?;
        ensure!(answers(&mut kept).await?, "a live connection");

        console.bind(8016, pod, 0).await?;
        ensure!(
            get(vip, "/").await.is_err(),
            "weight 0 takes no new connection"
        );
        ensure!(
            answers(&mut kept).await?,
            "weight 0 keeps the live connection"
        );

        console.unbind(8016, pod).await?;
        let kept = tokio::sync::Mutex::new(kept);
        eventually("deregistering cuts it", PATIENCE, || async {
            // A connection that was not cut in time answers; the next question is asked on it again.
            let mut kept = kept.lock().await;
            let answered = tokio::time::timeout(SILENCE, answers(&mut kept)).await;
            Ok(match answered {
                Ok(Ok(true)) => Err("it still answers".to_owned()),
                Ok(Ok(false) | Err(_)) | Err(_) => Ok(()),
            })
        })
        .await?;
        // The client is not told (DeregisterTargetRst is off); its own end ends the waiting.
        let mut kept = kept.into_inner();
        kept.shutdown().await?;
        ensure!(!heard(&mut kept).await?, "and says nothing more");
        Ok(())
    });
}

/// Who says nothing for this long will not answer: a pod on this machine takes milliseconds.
const SILENCE: Duration = Duration::from_secs(2);
const QUESTION: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: web\r\n\r\n";

/// Whether a kept connection gets an answer.
async fn answers(kept: &mut TcpStream) -> Result<bool> {
    kept.write_all(QUESTION).await?;
    heard(kept).await
}

async fn heard(kept: &mut TcpStream) -> Result<bool> {
    let mut answer = [0; 1024];
    let read = tokio::time::timeout(PATIENCE, kept.read(&mut answer));
    let read = read.await.context("neither an answer nor an end")?;
    Ok(matches!(read, Ok(1..)))
}

#[test]
fn a_closed_security_group_keeps_a_pod_from_ready_and_opening_it_heals() {
    alone("closed-group", |world| async move {
        let console = Console::new(OTHER)?;
        let outcome = closed_then_opened(&world, &console).await;
        console
            .describe_security(&json!({"load_balancers": {OTHER: {"pass_to_target": true}}}))
            .await?;
        console.forget_security().await?;
        outcome
    });
}

async fn closed_then_opened(world: &World, console: &Console) -> Result<()> {
    let subnets = ["198.18.1.0/24", "198.18.2.0/24"];
    let attached = subnets.map(|pods| json!({"addresses": pods, "groups": ["sg-pods"]}));
    console
        .describe_security(&json!({
            "groups": {"sg-pods": []},
            "attached": attached,
            "load_balancers": {OTHER: {"pass_to_target": false}},
        }))
        .await?;
    kubectl::apply(&Service::direct(&world.namespace, "web", OTHER, 8017).yaml()).await?;
    world.webhooks_know(OTHER, 8017).await?;
    kubectl::apply(&deployment(world, "web", 1, "1")).await?;
    eventually("the CLB finds the pod dead", PATIENCE, || async {
        let targets = console.targets(8017).await?;
        let dead = targets.len() == 1 && targets.iter().all(|target| target.health == "Dead");
        Ok(dead.then_some(()).ok_or_else(|| format!("{targets:?}")))
    })
    .await?;
    let pods = world.pods("web").await?;
    let ready = |pod: &Pod| condition(pod, "Ready") == Some("True");
    ensure!(
        !pods.iter().any(ready),
        "a pod that no probe reaches is not Ready"
    );

    let probes = json!({"protocol": "TCP", "ports": "8080", "source": format!("{}/32", console.vip().await?)});
    console
        .describe_security(&json!({"groups": {"sg-pods": [probes]}}))
        .await?;
    world.ready("web", 1, PATIENCE).await.map(drop)
}

fn address(pod: &Pod) -> Result<SocketAddr> {
    let address = target(pod).context("the pod has no address")?;
    Ok(address.parse()?)
}

/// Status and body of one answer.
async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}
