//! The ground the journeys stand on: nodes, pods and Services of the test host are real.

use std::process::Command;
use std::time::{Duration, Instant};

/// Enough for images that are there already, on a machine that compiles at the same time.
const LIMIT: Duration = Duration::from_secs(60);

const GATE: &str = "cloud.tencent.com/load-balancer-backendgroup-ready";

const SAMPLE: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: journey-host}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: journey-host}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      readinessGates: [{conditionType: cloud.tencent.com/load-balancer-backendgroup-ready}]
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          labelSelector: {matchLabels: {app: web}}
      containers:
        - name: web
          image: localhost/sample:latest
          imagePullPolicy: IfNotPresent
          env: [{name: GRACE, value: "1"}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: journey-host}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"#;

#[test]
fn pods_on_both_nodes_serve_at_their_own_address_and_through_the_service() {
    assert_eq!(
        kubectl(&["get", "nodes", "-o=jsonpath={.items[*].metadata.name}"]),
        "node-1 node-2"
    );
    apply(SAMPLE);
    let names = eventually("four pods have an address", || {
        let names = pods("{.items[*].metadata.name}");
        (pods("{.items[*].status.podIP}").len() == 4).then_some(names)
    });
    let nodes = pods("{.items[*].spec.nodeName}");
    for node in ["node-1", "node-2"] {
        assert_eq!(nodes.iter().filter(|name| *name == node).count(), 2);
    }
    for address in pods("{.items[*].status.podIP}") {
        let answer = eventually("the pod answers", || get(&format!("{address}:8080/")));
        assert!(
            names.iter().any(|name| answer.starts_with(name.as_str())),
            "{answer}"
        );
        assert!(answer.trim_end().ends_with(" 198.18.0.1"), "{answer}");
        let resolved = get(&format!("{address}:8080/resolve?name=clb.sim.test"));
        assert_eq!(resolved.as_deref(), Some("198.18.0.1\n"));
    }
    assert_eq!(ready_endpoints(), 0, "every gate is closed");

    for name in &names {
        open_gate(name);
    }

    eventually("four endpoints are ready", || {
        (ready_endpoints() == 4).then_some(())
    });
    let service = "get service web -n journey-host -o=jsonpath={.spec.clusterIP}";
    let service = kubectl(&service.split(' ').collect::<Vec<_>>());
    // Each call goes to a pod at random.
    eventually("every pod has answered through the Service", || {
        let mut answered: Vec<String> = (0..20)
            .filter_map(|_| get(&format!("{service}/")))
            .collect();
        answered.sort();
        answered.dedup();
        (answered.len() == 4).then_some(())
    });
    kubectl(&["delete", "namespace", "journey-host", "--wait=false"]);
}

fn ready_endpoints() -> usize {
    let path = r"-o=jsonpath={.items[*].endpoints[*].conditions.ready}";
    kubectl(&["get", "endpointslices", "-n", "journey-host", path])
        .split_whitespace()
        .filter(|ready| *ready == "true")
        .count()
}

fn open_gate(pod: &str) {
    let patch = format!(r#"{{"status":{{"conditions":[{{"type":"{GATE}","status":"True"}}]}}}}"#);
    kubectl(&[
        "patch",
        "pod",
        pod,
        "-n",
        "journey-host",
        "--subresource=status",
        "-p",
        &patch,
    ]);
}

fn pods(path: &str) -> Vec<String> {
    let path = format!("-o=jsonpath={path}");
    kubectl(&["get", "pods", "-n", "journey-host", &path])
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn get(address: &str) -> Option<String> {
    let output = Command::new("curl")
        .args(["-sf", "-m", "5", &format!("http://{address}")])
        .output()
        .expect("curl starts");
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn apply(objects: &str) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), objects).expect("writing objects");
    kubectl(&["apply", "-f", &file.path().display().to_string()]);
}

fn kubectl(args: &[&str]) -> String {
    let output = Command::new("kubectl").args(args).output();
    let output = output.expect("kubectl starts: run this with `make journeys`");
    assert!(
        output.status.success(),
        "kubectl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(since.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        // The condition itself asks a program; asking it five times a second is enough.
        std::sync::mpsc::channel::<()>()
            .1
            .recv_timeout(Duration::from_millis(200))
            .ok();
    }
}
