//! Health by an oracle: what is foretold, and that nobody is asked.

use crate::support::{Backend, Sim, config, connect};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;

const PORT: u16 = 18090;

async fn foretell(sim: &Sim, address: SocketAddr, alive_at: Option<i64>) -> Value {
    let target = json!({ "ip": address.ip(), "port": address.port(), "alive_at": alive_at });
    let body = json!({ "targets": [target] }).to_string();
    let (status, answer) = sim.operator("POST", "/_sim/forecast", &body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_target_whose_health_is_foretold_is_not_probed() {
    let sim = Sim::start(config(54)).await;
    let foretold = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = foretold.local_addr().unwrap();
    foretell(&sim, address, None).await;
    let other = Backend::start('1').await;
    let listener = sim.listener(PORT, json!({})).await;
    sim.bind(&listener, &[address, other.address]).await;
    // Two probes, 3 s apart; the first of each target comes within the first second.
    let wanted = if address < other.address {
        ["Unknown", "Alive"]
    } else {
        ["Alive", "Unknown"]
    };
    sim.becomes(&listener, &wanted).await;
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, foretold.accept()).await;
    assert!(accepted.is_err(), "it was probed");
}

#[tokio::test]
async fn what_is_foretold_gets_traffic_from_its_moment_and_is_probed_when_it_is_forgotten() {
    let sim = Sim::start(config(55)).await;
    let vip = sim.vip().await;
    let backend = Backend::start('1').await;
    let listener = sim.listener(PORT, json!({})).await;
    sim.bind(&listener, &[backend.address]).await;
    let answer = foretell(&sim, backend.address, None).await;
    assert!(connect(&vip, PORT).await.is_none());

    let now = answer["now"].as_i64().unwrap();
    foretell(&sim, backend.address, Some(now)).await;
    assert_eq!(sim.health(&listener).await, ["Alive"]);
    assert!(connect(&vip, PORT).await.is_some());
    let (_, shown) = sim.operator("GET", "/_sim/forecast", "").await;
    assert_eq!(shown["targets"][0]["alive_at"], now);
    assert!(shown["now"].as_i64().unwrap() >= now);

    drop(backend);
    sim.operator("DELETE", "/_sim/forecast", "").await;
    sim.becomes(&listener, &["Dead"]).await;
    let (_, shown) = sim.operator("GET", "/_sim/forecast", "").await;
    assert_eq!(shown["targets"], json!([]));
}

#[tokio::test]
async fn a_forecast_that_is_none_is_refused_by_name() {
    let sim = Sim::start(config(56)).await;
    for (body, says) in [
        ("{", "not a forecast"),
        (
            r#"{"targets": [{"ip": "x", "port": 80}]}"#,
            "invalid IP address",
        ),
        (
            r#"{"targets": [{"ip": "10.0.0.1"}]}"#,
            "missing field `port`",
        ),
        (
            r#"{"targets": [{"ip": "10.0.0.1", "port": 80, "dead_at": 1}]}"#,
            "dead_at",
        ),
    ] {
        let (status, answer) = sim.operator("POST", "/_sim/forecast", body).await;
        assert_eq!(status, 400);
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(says), "{error}");
    }
    let (status, answer) = sim.operator("PATCH", "/_sim/forecast", "").await;
    assert_eq!(status, 405, "{answer}");
}
