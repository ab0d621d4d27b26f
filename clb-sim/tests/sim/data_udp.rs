//! UDP through the VIP, with real sockets.

use crate::support::{LB, Sim, batch_target, config, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

const PORT: u16 = 18053;
/// Datagrams may be lost, also here; a client asks again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A server that answers every datagram with its name, the sender it sees and what it got.
pub(crate) struct UdpBackend {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl UdpBackend {
    pub(crate) async fn start(name: char) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut datagram = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
                let text = String::from_utf8_lossy(&datagram[..length]);
                let answer = format!("{name} {from} {text}");
                let _ = socket.send_to(answer.as_bytes(), from).await;
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }
}

/// A client with one address and port.
struct Client(UdpSocket);

impl Client {
    async fn of(vip: &str) -> Self {
        Self::at([127, 0, 0, 1].into(), vip).await
    }

    async fn at(address: Ipv4Addr, vip: &str) -> Self {
        let socket = UdpSocket::bind((address, 0)).await.unwrap();
        // Connected: answers from any other address than the VIP's port do not arrive.
        socket.connect((vip, PORT)).await.unwrap();
        Self(socket)
    }

    /// One datagram and what comes back, if anything does soon.
    async fn ask(&self, text: &str) -> Option<String> {
        self.0.send(text.as_bytes()).await.ok()?;
        let mut answer = [0; 2048];
        loop {
            let received = tokio::time::timeout(ASK_AGAIN, self.0.recv(&mut answer)).await;
            let length = received.ok()?.ok()?;
            let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
            // An answer to an earlier question may still be on its way.
            if answer.ends_with(text) {
                return Some(answer);
            }
        }
    }

    /// The name of who answers, asked until somebody does.
    async fn name(&self) -> char {
        for _ in 0..300 {
            if let Some(answer) = self.ask("who").await {
                return answer.chars().next().unwrap();
            }
        }
        panic!("nobody answers");
    }

    async fn served_by(&self, name: char) {
        let asked = || async {
            self.ask("who")
                .await
                .is_some_and(|who| who.starts_with(name))
        };
        eventually("an answer", asked).await;
    }
}

async fn listener(sim: &Sim, more: Value) -> String {
    let mut body = json!({ "Protocol": "UDP", "HealthCheck": { "HealthSwitch": 0 } });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    sim.listener(PORT, body).await
}

async fn weigh(sim: &Sim, listener: &str, target: SocketAddr, weight: u8) {
    let target = json!({ "EniIp": target.ip(), "Port": target.port(), "Weight": weight });
    let item = json!({ "ListenerId": listener, "Targets": [target] });
    let body = json!({ "LoadBalancerId": LB, "ModifyList": [item] });
    sim.done("BatchModifyTargetWeight", body).await;
}

#[tokio::test]
async fn a_flow_keeps_its_target_until_that_is_deregistered() {
    let sim = Sim::start(config(30)).await;
    let vip = sim.vip().await;
    let (one, two) = (UdpBackend::start('1').await, UdpBackend::start('2').await);
    let listener = listener(&sim, json!({})).await;
    sim.bind(&listener, &[one.address]).await;
    let old = Client::of(&vip).await;
    old.served_by('1').await;

    sim.bind(&listener, &[two.address]).await;
    weigh(&sim, &listener, one.address, 0).await;
    Client::of(&vip).await.served_by('2').await;
    for question in ["a", "b", "c", "d"] {
        let asked = || async {
            old.ask(question)
                .await
                .is_some_and(|who| who.starts_with('1'))
        };
        eventually("the old flow's answer", asked).await;
    }

    let body = json!({ "LoadBalancerId": LB, "Targets": [batch_target(&listener, one.address)] });
    sim.ok("BatchDeregisterTargets", body).await;
    old.served_by('2').await;
}

#[tokio::test]
async fn clients_take_turns_and_answers_come_from_the_vip() {
    let sim = Sim::start(config(31)).await;
    let vip = sim.vip().await;
    let (one, two) = (UdpBackend::start('1').await, UdpBackend::start('2').await);
    let listener = listener(&sim, json!({})).await;
    sim.bind(&listener, &[one.address, two.address]).await;
    let mut names = String::new();
    for _ in 0..4 {
        names.push(Client::of(&vip).await.name().await);
    }
    assert!(names == "1212" || names == "2121", "{names}");
}

#[tokio::test]
async fn persistent_clients_stay_with_their_target() {
    let sim = Sim::start(config(32)).await;
    let vip = sim.vip().await;
    let (one, two) = (UdpBackend::start('1').await, UdpBackend::start('2').await);
    let listener = listener(&sim, json!({ "SessionExpireTime": 3600 })).await;
    sim.bind(&listener, &[one.address]).await;
    let client = [127, 0, 0, 7].into();
    Client::at(client, &vip).await.served_by('1').await;
    sim.bind(&listener, &[two.address]).await;
    for _ in 0..4 {
        let again = Client::at(client, &vip).await;
        let asked = || async {
            again
                .ask("who")
                .await
                .is_some_and(|who| who.starts_with('1'))
        };
        eventually("the same target", asked).await;
    }
    let mut others = BTreeSet::new();
    for other in [8, 9] {
        let other = Client::at([127, 0, 0, other].into(), &vip).await;
        others.insert(other.name().await);
    }
    assert_eq!(others, BTreeSet::from(['1', '2']), "new clients take turns");
}

#[tokio::test]
async fn with_privileges_targets_see_the_client() {
    let mut config = config(33);
    config.transparent = true;
    let Ok(handle) = clb_sim::start(config).await else {
        eprintln!("skipped: --transparent needs CAP_NET_ADMIN");
        return;
    };
    let sim = Sim {
        handle,
        key: crate::support::SECRET_KEY.to_owned(),
    };
    let vip = sim.vip().await;
    let one = UdpBackend::start('1').await;
    let listener = listener(&sim, json!({})).await;
    sim.bind(&listener, &[one.address]).await;
    let client = Client::at([127, 0, 0, 9].into(), &vip).await;
    let seen = || async {
        let answer = client.ask("who").await;
        answer.is_some_and(|who| who.starts_with("1 127.0.0.9:"))
    };
    eventually("the client's address", seen).await;
}

#[tokio::test]
async fn large_datagrams_pass_whole() {
    let sim = Sim::start(config(34)).await;
    let vip = sim.vip().await;
    let one = UdpBackend::start('1').await;
    let listener = listener(&sim, json!({})).await;
    sim.bind(&listener, &[one.address]).await;
    let client = Client::of(&vip).await;
    let long = "x".repeat(1900);
    eventually("the answer", || async { client.ask(&long).await.is_some() }).await;
}
