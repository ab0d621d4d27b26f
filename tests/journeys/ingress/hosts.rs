//! Beside the Ingress, on the same CLB: a Service whose own ports speak HTTP and HTTPS, by host.

use anyhow::Result;
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::{World, kubectl};

use super::{A, B, Doors};
use crate::stage::PATIENCE;

/// Where it speaks HTTP and HTTPS.
pub(super) const PORTS: [u16; 2] = [8080, 8443];
/// A host that is none.
const BAD: &str = "*.shop.example";

/// Host A shows the certificate of all its listeners, host B the one in the Secret.
pub(super) async fn declare(world: &World, console: &Console) -> Result<()> {
    let (namespace, id) = (&world.namespace, &console.load_balancer);
    let [plain, encrypted] = PORTS;
    let yaml = format!(
        "apiVersion: v1
kind: Service
metadata:
  name: door
  namespace: {namespace}
  annotations:
    service.cloud.tencent.com/direct-access: 'true'
    service.kubernetes.io/tke-existed-lbid: {id}
    service.cloud.tencent.com/specify-protocol: |
      {{\"{plain}\": {{\"protocol\": [\"HTTP\"], \"hosts\": {{\"{A}\": {{}}, \"{BAD}\": {{}}}}}},
       \"{encrypted}\": {{\"protocol\": [\"HTTPS\"], \"hosts\": {{\"{A}\": {{}}, \"{B}\": {{\"tls\": \"cert-b\"}}}}}}}}
    service.kubernetes.io/service.listenerParameters: |
      {{\"Certificate\": {{\"CertId\": \"certa001\"}}, \"HealthCheck\": {{\"IntervalTime\": 3, \"HealthNum\": 2}}}}
spec:
  type: LoadBalancer
  selector: {{app: web}}
  ports:
  - {{name: plain, port: {plain}, targetPort: http}}
  - {{name: encrypted, port: {encrypted}, targetPort: http}}
"
    );
    kubectl::apply(&yaml).await.map(drop)
}

/// The bad host, and the Secret that may not be read.
pub(super) async fn told(world: &World) -> Result<()> {
    for parts in [
        ["Service ingress/door", "[8080].hosts", BAD],
        ["specify-protocol][8443]", "cert-b", "Role"],
    ] {
        world.event("door", &parts, PATIENCE).await?;
    }
    Ok(())
}

/// Each host leads to the pods, and shows its certificate.
pub(super) async fn lead(doors: &Doors, of_b: &str) -> Result<()> {
    let [plain, encrypted] = PORTS;
    for (url, certificate) in [
        (format!("http://{A}:{plain}/"), of_b),
        (format!("https://{A}:{encrypted}/"), "certa001"),
        (format!("https://{B}:{encrypted}/"), of_b),
    ] {
        let what = format!("{url} leads to a pod behind {certificate}");
        eventually(&what, PATIENCE, || async {
            let answer = ask(doors, &url, certificate).await?;
            Ok(answer.and_then(|body| {
                if body.starts_with("web-") {
                    Ok(())
                } else {
                    Err(body)
                }
            }))
        })
        .await?;
    }
    Ok(())
}

async fn ask(doors: &Doors, url: &str, certificate: &str) -> Result<Result<String, String>> {
    let trusted = doors.folder.path().join(certificate);
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "--fail", "--max-time", "5", "--noproxy", "*"]);
    // To the VIP, whatever the host and port.
    curl.args(["--connect-to", &format!("::{}:", doors.vip)]);
    let output = curl.arg("--cacert").arg(trusted).arg(url).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    })
}
