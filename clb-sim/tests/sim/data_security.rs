//! Security groups that drop probes and traffic, with real sockets.

use crate::support::{Backend, LB, Sim, config, connect_from, eventually};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

const PORT: u16 = 18080;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const FRIEND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

async fn describe(sim: &Sim, body: Value) {
    let (status, answer) = sim
        .operator("POST", "/_sim/security-groups", &body.to_string())
        .await;
    assert_eq!(status, 200, "{answer}");
}

/// Whether a client gets no answer, and no reset either, for a while.
async fn hears_nothing(client: Ipv4Addr, vip: &str) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    let mut stream = socket
        .connect(format!("{vip}:{PORT}").parse().unwrap())
        .await
        .unwrap();
    let patience = Duration::from_millis(500);
    tokio::time::timeout(patience, stream.read_u8())
        .await
        .is_err()
}

#[tokio::test]
async fn a_closed_group_keeps_a_target_dead_and_opening_it_heals() {
    let sim = Sim::start(config(50)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let pods = json!([{ "addresses": "127.0.0.1/32", "groups": ["sg-pods"] }]);
    let strict = json!({ LB: { "pass_to_target": false } });
    describe(
        &sim,
        json!({ "groups": { "sg-pods": [] }, "attached": pods, "load_balancers": strict }),
    )
    .await;
    let listener = sim.listener(PORT, json!({})).await;
    sim.bind(&listener, &[backend.address]).await;
    sim.becomes(&listener, &["Dead"]).await;

    // The commonest half of the cure: the health check's source, but not the clients'.
    let probes = json!({ "protocol": "TCP", "source": format!("{vip}/32") });
    describe(&sim, json!({ "groups": { "sg-pods": [probes] } })).await;
    sim.becomes(&listener, &["Alive"]).await;
    assert!(hears_nothing(FRIEND, &vip).await);

    let clients = json!({ "protocol": "TCP", "ports": backend.address.port().to_string(), "source": "127.0.0.7/32" });
    describe(&sim, json!({ "groups": { "sg-pods": [probes, clients] } })).await;
    assert!(connect_from(FRIEND, &vip, PORT).await.is_some());
    assert!(hears_nothing(STRANGER, &vip).await);

    let lenient = json!({ LB: { "pass_to_target": true } });
    describe(
        &sim,
        json!({ "groups": { "sg-pods": [] }, "load_balancers": lenient }),
    )
    .await;
    assert!(connect_from(STRANGER, &vip, PORT).await.is_some());
    assert_eq!(sim.health(&listener).await, ["Alive"]);
}

#[tokio::test]
async fn the_load_balancer_s_own_groups_judge_clients_and_no_probes() {
    let sim = Sim::start(config(51)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let listener = sim.listener(PORT, json!({})).await;
    sim.bind(&listener, &[backend.address]).await;
    let friends = json!([{ "protocol": "TCP", "ports": "18080", "source": "127.0.0.0/28" }]);
    describe(
        &sim,
        json!({ "groups": { "sg-web": friends }, "load_balancers": { LB: { "groups": ["sg-web"] } } }),
    )
    .await;
    sim.becomes(&listener, &["Alive"]).await;
    assert!(connect_from(FRIEND, &vip, PORT).await.is_some());
    assert!(hears_nothing(STRANGER, &vip).await);

    let (_, shown) = sim.operator("GET", "/_sim/security-groups", "").await;
    assert_eq!(shown["groups"]["sg-web"], friends);
    assert_eq!(shown["load_balancers"][LB]["groups"], json!(["sg-web"]));
    sim.operator("DELETE", "/_sim/security-groups", "").await;
    eventually("no groups, no fence", || async {
        connect_from(STRANGER, &vip, PORT).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_check_from_the_shared_range_needs_no_rule() {
    let sim = Sim::start(config(52)).await;
    let backend = Backend::start('1').await;
    describe(
        &sim,
        json!({
            "groups": { "sg-pods": [] },
            "attached": [{ "addresses": "127.0.0.0/8", "groups": ["sg-pods"] }],
            "load_balancers": { LB: { "pass_to_target": false } },
        }),
    )
    .await;
    let check = json!({ "IntervalTime": 3, "TimeOut": 2, "HealthNum": 2, "UnHealthNum": 2, "SourceIpType": 1 });
    let listener = sim.listener(PORT, json!({ "HealthCheck": check })).await;
    sim.bind(&listener, &[backend.address]).await;
    sim.becomes(&listener, &["Alive"]).await;
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let sim = Sim::start(config(53)).await;
    for (body, says) in [
        ("{", "not understood"),
        (
            r#"{"groups": {"sg-a": [{"protocol": "TCP", "source": "x"}]}}"#,
            "\"x\" is not an address range",
        ),
        (
            r#"{"load_balancers": {"lb-nowhere": {"groups": []}}}"#,
            "lb-nowhere",
        ),
    ] {
        let (status, answer) = sim.operator("POST", "/_sim/security-groups", body).await;
        assert_eq!(status, 400);
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(says), "{error}");
    }
}
