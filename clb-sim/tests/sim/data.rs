//! Traffic and health, with real sockets.

use crate::support::{
    Backend, LB, Sim, batch_target, config, connect, connect_from, echoes, eventually,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PORT: u16 = 18080;

async fn names(vip: &str) -> BTreeSet<char> {
    let mut names = BTreeSet::new();
    for _ in 0..6 {
        names.extend(connect(vip, PORT).await.map(|(_, name)| name));
    }
    names
}

async fn weigh(sim: &Sim, listener: &str, target: SocketAddr, weight: u8) {
    let target = json!({ "EniIp": target.ip(), "Port": target.port(), "Weight": weight });
    let item = json!({ "ListenerId": listener, "Targets": [target] });
    sim.done(
        "BatchModifyTargetWeight",
        json!({ "LoadBalancerId": LB, "ModifyList": [item] }),
    )
    .await;
}

async fn unbind(sim: &Sim, listener: &str, target: SocketAddr) {
    let targets = json!([batch_target(listener, target)]);
    sim.ok(
        "BatchDeregisterTargets",
        json!({ "LoadBalancerId": LB, "Targets": targets }),
    )
    .await;
}

#[tokio::test]
async fn a_target_lives_drains_and_goes() {
    let sim = Sim::start(config(20)).await;
    let vip = sim.vip().await;
    let (one, two) = (Backend::start('1').await, Backend::start('2').await);
    let told = json!({ "DeregisterTargetRst": true });
    let listener = sim.listener(PORT, told).await;
    sim.bind(&listener, &[one.address]).await;
    assert_eq!(sim.health(&listener).await, ["Unknown"]);
    eventually("the port to open", || async {
        TcpStream::connect((vip.as_str(), PORT)).await.is_ok()
    })
    .await;
    let greeted = connect(&vip, PORT).await.is_some();
    if sim.health(&listener).await == ["Unknown"] {
        assert!(!greeted, "a target never judged gets no traffic");
    }
    sim.becomes(&listener, &["Alive"]).await;
    let (mut kept, name) = connect(&vip, PORT).await.unwrap();
    assert!(name == '1' && echoes(&mut kept).await);

    sim.bind(&listener, &[two.address]).await;
    sim.becomes(&listener, &["Alive", "Alive"]).await;
    assert_eq!(names(&vip).await, BTreeSet::from(['1', '2']));

    weigh(&sim, &listener, one.address, 0).await;
    assert_eq!(
        names(&vip).await,
        BTreeSet::from(['2']),
        "no new connection at weight 0"
    );
    assert!(echoes(&mut kept).await, "the old connection goes on");

    unbind(&sim, &listener, one.address).await;
    let cut = kept.read_u8().await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(names(&vip).await, BTreeSet::from(['2']));
}

#[tokio::test]
async fn without_reset_a_deregistered_target_s_clients_are_not_told() {
    let sim = Sim::start(config(26)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let listener = sim.listener(PORT, without_check()).await;
    sim.bind(&listener, &[backend.address]).await;
    let (mut kept, _) = eventually_connected(&vip).await;
    assert!(echoes(&mut kept).await);
    unbind(&sim, &listener, backend.address).await;
    kept.write_all(b"lost").await.unwrap();
    kept.shutdown().await.unwrap();
    // Only the client's own end ends it; until then nothing comes, and what it sent is gone.
    assert!(!matches!(kept.read(&mut [0; 4]).await, Ok(1..)));
}

#[tokio::test]
async fn persistent_clients_stay_with_their_target() {
    let sim = Sim::start(config(27)).await;
    let vip = sim.vip().await;
    let (one, two) = (Backend::start('1').await, Backend::start('2').await);
    let persistent = json!({ "SessionExpireTime": 3600, "HealthCheck": { "HealthSwitch": 0 } });
    let listener = sim.listener(PORT, persistent).await;
    sim.bind(&listener, &[one.address, two.address]).await;
    eventually_connected(&vip).await;
    let mut chosen = BTreeSet::new();
    for client in 1..=4 {
        let client = [127, 0, 0, client].into();
        let (_, first) = connect_from(client, &vip, PORT).await.unwrap();
        for _ in 0..4 {
            assert_eq!(connect_from(client, &vip, PORT).await.unwrap().1, first);
        }
        chosen.insert(first);
    }
    assert_eq!(chosen, BTreeSet::from(['1', '2']), "new clients take turns");
    weigh(&sim, &listener, one.address, 0).await;
    for client in 1..=4 {
        let (_, name) = connect_from([127, 0, 0, client].into(), &vip, PORT)
            .await
            .unwrap();
        assert_eq!(name, '2', "weight 0 takes no new connection");
    }
}

fn without_check() -> Value {
    json!({ "HealthCheck": { "HealthSwitch": 0 } })
}

async fn eventually_connected(vip: &str) -> (TcpStream, char) {
    eventually("a connection", || async {
        connect(vip, PORT).await.is_some()
    })
    .await;
    connect(vip, PORT).await.unwrap()
}

#[tokio::test]
async fn a_half_closed_connection_still_answers() {
    let sim = Sim::start(config(21)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let off = json!({ "HealthCheck": { "HealthSwitch": 0 } });
    let listener = sim.listener(PORT, off).await;
    sim.bind(&listener, &[backend.address]).await;
    assert_eq!(sim.health(&listener).await, ["Close"]);
    eventually("traffic without health check", || async {
        connect(&vip, PORT).await.is_some()
    })
    .await;
    let (mut stream, _) = connect(&vip, PORT).await.unwrap();
    let body = vec![7; 1_000_000];
    let (mut read, mut write) = stream.split();
    let send = async {
        write.write_all(&body).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let (received, ()) = tokio::join!(read.read_to_end(&mut back), send);
    received.unwrap();
    assert!(back == body);
}

#[tokio::test]
async fn dead_targets_get_nothing_until_all_are_dead() {
    let sim = Sim::start(config(22)).await;
    let vip = sim.vip().await;
    let (one, two) = (Backend::start('1').await, Backend::start('2').await);
    // Backends that answer nothing to HTTP are unhealthy, though a connection to them works.
    let check = json!({
        "IntervalTime": 3, "TimeOut": 2, "HealthNum": 2, "UnHealthNum": 2, "CheckType": "HTTP",
        "HttpCheckDomain": "a.example", "HttpVersion": "HTTP/1.1",
    });
    let listener = sim.listener(PORT, json!({ "HealthCheck": check })).await;
    sim.bind(&listener, &[one.address, two.address]).await;
    sim.becomes(&listener, &["Dead", "Dead"]).await;
    assert_eq!(
        names(&vip).await,
        BTreeSet::from(['1', '2']),
        "all dead means all"
    );
    weigh(&sim, &listener, one.address, 0).await;
    assert_eq!(
        names(&vip).await,
        BTreeSet::from(['2']),
        "weight 0 also then"
    );
}

#[tokio::test]
async fn an_unreachable_target_costs_the_client_its_connection() {
    let sim = Sim::start(config(23)).await;
    let vip = sim.vip().await;
    let gone = Backend::start('1').await.address;
    let off = json!({ "HealthCheck": { "HealthSwitch": 0 } });
    let listener = sim.listener(PORT, off).await;
    sim.bind(&listener, &[gone]).await;
    eventually("the port to open", || async {
        TcpStream::connect((vip.as_str(), PORT)).await.is_ok()
    })
    .await;
    assert!(connect(&vip, PORT).await.is_none());
}

#[tokio::test]
async fn a_listener_that_goes_takes_its_port_and_connections_along() {
    let sim = Sim::start(config(24)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let listener = sim
        .listener(PORT, json!({ "HealthCheck": { "HealthSwitch": 0 } }))
        .await;
    sim.bind(&listener, &[backend.address]).await;
    eventually("traffic", || async { connect(&vip, PORT).await.is_some() }).await;
    let (mut kept, _) = connect(&vip, PORT).await.unwrap();
    sim.done(
        "DeleteListener",
        json!({ "LoadBalancerId": LB, "ListenerId": listener }),
    )
    .await;
    assert!(!matches!(kept.read(&mut [0; 1]).await, Ok(1..)));
    eventually("the port to close", || async {
        TcpStream::connect((vip.as_str(), PORT)).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn the_operator_can_ask_which_target_a_connection_went_to() {
    let sim = Sim::start(config(28)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let listener = sim.listener(PORT, json!({})).await;
    eventually("the port to open", || async {
        TcpStream::connect((vip.as_str(), PORT)).await.is_ok()
    })
    .await;
    let asked = async |client: SocketAddr| {
        let body = json!({ "connections": [{ "client": client }] }).to_string();
        let answer = sim.operator("POST", "/_sim/connections", &body).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        answer.1["connections"][0].clone()
    };
    let early = tokio::net::TcpSocket::new_v4().unwrap();
    early.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = early.local_addr().unwrap();
    // It is reset at once, maybe while it is made.
    let _early = early
        .connect(format!("{vip}:{PORT}").parse().unwrap())
        .await;
    eventually("it to be accepted", || async {
        asked(client).await.is_object()
    })
    .await;
    assert!(asked(client).await["target"].is_null(), "nobody was there");

    sim.bind(&listener, &[backend.address]).await;
    sim.becomes(&listener, &["Alive"]).await;
    let (served, _) = connect(&vip, PORT).await.unwrap();
    let client = served.local_addr().unwrap();
    let target = backend.address.to_string();
    assert_eq!(asked(client).await["target"], json!(target));
    assert!(asked("192.0.2.1:9".parse().unwrap()).await.is_null());
}

#[tokio::test]
async fn a_port_that_cannot_be_opened_is_shown() {
    let sim = Sim::start(config(25)).await;
    let vip = sim.vip().await;
    let taken = tokio::net::TcpListener::bind((vip.as_str(), PORT))
        .await
        .unwrap();
    sim.listener(PORT, json!({})).await;
    let error = || async {
        let (_, state) = sim.operator("GET", "/_sim/state", "").await;
        state["load_balancers"][0]["listeners"][0]["bind_error"].is_string()
    };
    eventually("the error to be shown", error).await;
    drop(taken);
    eventually("the port to open after all", || async { !error().await }).await;
}
