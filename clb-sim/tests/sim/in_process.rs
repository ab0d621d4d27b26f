//! The simulator in virtual time: no sockets, no waiting, the same world every time.

use crate::support::{LB, SECRET_KEY, config, signed_at};
use bytes::Bytes;
use clb_sim::{Config, Delays, InProcess, Quotas};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn clb(delays: Delays) -> InProcess {
    let config = Config {
        delays,
        quotas: Quotas {
            targets: 20_000,
            ..Quotas::default()
        },
        seed: Some(1),
        ..config(99)
    };
    InProcess::new(&config, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap()
}

async fn try_call(clb: &InProcess, action: &str, body: &Value) -> Option<Value> {
    let text = body.to_string();
    let now = clb.now().as_second();
    let request = signed_at(now, "clb.test", action, (&text, SECRET_KEY));
    let answer = clb.exchange(request.headers(), Bytes::from(text)).await?;
    let mut answer: Value = serde_json::from_slice(&answer).unwrap();
    Some(answer["Response"].take())
}

async fn call(clb: &InProcess, action: &str, body: Value) -> Value {
    try_call(clb, action, &body).await.unwrap()
}

fn listener(clb: &InProcess) -> String {
    let body = json!({
        "LoadBalancerId": LB, "Ports": [80], "Protocol": "TCP",
        "HealthCheck": { "IntervalTime": 4, "HealthNum": 3, "UnHealthNum": 2 },
    });
    let made = clb.operate("CreateListener", &body).unwrap();
    made["ListenerIds"][0].as_str().unwrap().to_owned()
}

fn batch(listener: &str, numbers: std::ops::Range<u32>) -> Value {
    let target = |number: u32| {
        let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        json!({ "ListenerId": listener, "EniIp": ip, "Port": 80 })
    };
    json!({ "LoadBalancerId": LB, "Targets": numbers.map(target).collect::<Vec<_>>() })
}

async fn health(clb: &InProcess) -> Vec<String> {
    let answer = call(
        clb,
        "DescribeTargetHealth",
        json!({ "LoadBalancerIds": [LB] }),
    )
    .await;
    let targets = &answer["LoadBalancers"][0]["Listeners"][0]["Rules"][0]["Targets"];
    let targets = targets.as_array().cloned().unwrap_or_default();
    let detail = |target: &Value| target["HealthStatusDetail"].as_str().unwrap().to_owned();
    targets.iter().map(detail).collect()
}

#[tokio::test(start_paused = true)]
async fn targets_turn_healthy_and_sick_by_count_and_interval() {
    let clb = clb(Delays::default());
    let listener = listener(&clb);
    call(&clb, "BatchRegisterTargets", batch(&listener, 1..2)).await;
    assert_eq!(health(&clb).await, ["Unknown"]);
    // Three probes, 4 s apart, the first within 1 s.
    sleep(SECOND * 8).await;
    assert_eq!(health(&clb).await, ["Unknown"]);
    sleep(SECOND).await;
    assert_eq!(health(&clb).await, ["Alive"]);
    let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
    clb.set_health(address, false);
    sleep(SECOND * 4).await;
    assert_eq!(health(&clb).await, ["Alive"], "one bad probe is not two");
    sleep(SECOND * 4).await;
    assert_eq!(health(&clb).await, ["Dead"]);
    clb.set_health(address, true);
    sleep(SECOND * 3600).await;
    assert_eq!(health(&clb).await, ["Alive"]);
    // Bound anew it is another target.
    for action in ["BatchDeregisterTargets", "BatchRegisterTargets"] {
        call(&clb, action, batch(&listener, 1..2)).await;
    }
    assert_eq!(health(&clb).await, ["Unknown"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_looked_at_is_counted_all_the_same() {
    let clb = clb(Delays::default());
    let listener = listener(&clb);
    clb.set_default_health(false);
    call(&clb, "BatchRegisterTargets", batch(&listener, 1..3)).await;
    sleep(SECOND * 60).await;
    clb.set_default_health(true);
    // Not one probe more: what they found before counts.
    assert_eq!(health(&clb).await, ["Dead", "Dead"]);
    sleep(SECOND * 12).await;
    assert_eq!(health(&clb).await, ["Alive", "Alive"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_foretold_comes_true_to_the_millisecond_whatever_probes_would_find() {
    let clb = clb(Delays::default());
    let listener = listener(&clb);
    let at = |seconds: i64| clb.now().as_millisecond() + seconds * 1000;
    let foretold = |number: u32, alive_at: Option<i64>| json!({ "ip": format!("10.0.0.{number}"), "port": 80, "alive_at": alive_at });
    let all = [
        foretold(1, Some(at(60))),
        foretold(2, None),
        foretold(3, Some(at(0))),
    ];
    clb.foretell(&json!({ "targets": all })).unwrap();
    // The fourth is probed, in thought.
    call(&clb, "BatchRegisterTargets", batch(&listener, 1..5)).await;
    assert_eq!(
        health(&clb).await,
        ["Unknown", "Unknown", "Alive", "Unknown"]
    );
    sleep(Duration::from_millis(59_999)).await;
    assert_eq!(health(&clb).await, ["Unknown", "Unknown", "Alive", "Alive"]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(health(&clb).await, ["Alive", "Unknown", "Alive", "Alive"]);

    // Said anew: what was said before counts no more.
    clb.foretell(&json!({ "targets": [foretold(1, Some(at(10))), foretold(3, None)] }))
        .unwrap();
    clb.set_default_health(false);
    sleep(SECOND * 9).await;
    assert_eq!(
        health(&clb).await,
        ["Unknown", "Unknown", "Unknown", "Dead"]
    );
    sleep(SECOND).await;
    assert_eq!(health(&clb).await, ["Alive", "Unknown", "Unknown", "Dead"]);
}

#[tokio::test(start_paused = true)]
async fn every_call_takes_its_time_and_writes_to_one_load_balancer_are_serial() {
    let clb = clb(Delays {
        call_ms: 1000,
        ..Delays::default()
    });
    let listener = listener(&clb);
    let started = Instant::now();
    let (first, second) = tokio::join!(
        call(&clb, "BatchRegisterTargets", batch(&listener, 1..2)),
        call(&clb, "BatchRegisterTargets", batch(&listener, 2..3)),
    );
    assert_eq!(first["FailListenerIdSet"], json!([]));
    assert_eq!(
        second["Error"]["Code"],
        "FailedOperation.ResourceInOperating"
    );
    assert_eq!(started.elapsed(), SECOND);
    assert_eq!(health(&clb).await.len(), 1);
    assert_eq!(started.elapsed(), 2 * SECOND);
    clb.set_delays(Delays {
        call_ms: 10,
        read_ms: 20,
        write_ms: 200,
        task_ms: 4000,
    });
    let started = Instant::now();
    health(&clb).await;
    assert_eq!(started.elapsed(), Duration::from_millis(30));
    call(&clb, "BatchRegisterTargets", batch(&listener, 2..3)).await;
    assert_eq!(started.elapsed(), Duration::from_millis(30 + 4210));
}

#[tokio::test(start_paused = true)]
async fn others_write_without_asking() {
    let clb = clb(Delays {
        task_ms: 60_000,
        ..Delays::default()
    });
    let listener = listener(&clb);
    call(
        &clb,
        "CreateListener",
        json!({ "LoadBalancerId": LB, "Ports": [81], "Protocol": "TCP" }),
    )
    .await;
    let mut foreign = batch(&listener, 7..8);
    foreign["Targets"][0]["Tag"] = json!("theirs");
    clb.operate("BatchRegisterTargets", &foreign).unwrap();
    let state = clb.state();
    let target = &state["load_balancers"][0]["listeners"][0]["targets"][0];
    assert_eq!(
        (&target["ip"], &target["tag"]),
        (&json!("10.0.0.7"), &json!("theirs"))
    );
    clb.operate(
        "DeleteListener",
        &json!({ "LoadBalancerId": LB, "ListenerId": listener }),
    )
    .unwrap();
    assert_eq!(clb.state()["load_balancers"][0]["listeners"], json!([]));
    let gone = json!({ "LoadBalancerIds": [LB] });
    clb.operate("DeleteLoadBalancer", &gone).unwrap();
    assert_eq!(clb.state()["load_balancers"], json!([]));
    let refused = clb.operate("DeleteLoadBalancer", &gone).unwrap_err();
    assert!(
        refused.starts_with("InvalidParameter.LBIdNotFound"),
        "{refused}"
    );
    assert_eq!(
        clb.calls()["calls"]["BatchRegisterTargets"],
        Value::Null,
        "not counted"
    );
}

#[tokio::test(start_paused = true)]
async fn faults_hit_here_too() {
    let clb = clb(Delays::default());
    let listener = listener(&clb);
    clb.add_fault(&json!({ "action": "BatchRegisterTargets", "drop_answer": true }))
        .unwrap();
    let lost = try_call(&clb, "BatchRegisterTargets", &batch(&listener, 1..2)).await;
    assert_eq!(lost, None);
    assert_eq!(health(&clb).await.len(), 1, "done all the same");
    assert_eq!(clb.calls()["calls"]["BatchRegisterTargets"]["(dropped)"], 1);
    assert!(clb.add_fault(&json!({ "action": "Nope" })).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_same_calls_make_the_same_world() {
    let mut worlds = Vec::new();
    for _ in 0..2 {
        let clb = clb(Delays::default());
        let listener = listener(&clb);
        for from in (0..20_000).step_by(500) {
            call(
                &clb,
                "BatchRegisterTargets",
                batch(&listener, from..from + 500),
            )
            .await;
        }
        sleep(SECOND * 9).await;
        assert_eq!(health(&clb).await.len(), 20_000);
        worlds.push(clb.state());
    }
    assert_eq!(worlds[0], worlds[1]);
}
