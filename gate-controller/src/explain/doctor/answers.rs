//! What a pod of clb-gate says of itself at its admin port, and how it is asked: in the cluster directly, from
//! a laptop through the API server's proxy. Reading the answers is pure.

use std::net::{IpAddr, SocketAddr};

use kube::{Client, Config};

use crate::explain::probe::get;

/// Where pods answer questions about themselves.
const ADMIN_PORT: u16 = 8080;

/// What a pod says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What of it is not ready, each with its reason.
    pub missing: Vec<String>,
    /// What it remarks, each after the name of its part.
    pub remarks: Vec<(String, String)>,
    /// Its version, from its metrics.
    pub version: Option<String>,
    /// Whether the canary's last look was good; only the leader knows.
    pub canary_ok: Option<bool>,
}

impl Answer {
    /// Reads `/readyz` and `/metrics`.
    pub fn read(readyz: &str, metrics: &str) -> Self {
        let mut answer = Self {
            version: version(metrics),
            canary_ok: number(metrics, "clb_gate_canary_ok ").map(|value| value == "1"),
            ..Self::default()
        };
        for line in readyz.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix("note: ") {
                Some(note) => {
                    let (part, remark) = note.split_once(": ").unwrap_or(("", note));
                    answer.remarks.push((part.to_owned(), remark.to_owned()));
                }
                None if line == "ready" => {}
                None => answer.missing.push(line.to_owned()),
            }
        }
        answer
    }

    /// What the canary remarks.
    pub(super) fn canary(&self) -> Option<&str> {
        let mut all = self.remarks.iter();
        all.find(|(part, _)| part == "canary")
            .map(|(_, remark)| remark.as_str())
    }
}

fn version(metrics: &str) -> Option<String> {
    let (_, rest) = metrics.split_once("clb_gate_build_info{version=\"")?;
    let (version, _) = rest.split_once('"')?;
    Some(version.to_owned())
}

fn number<'m>(metrics: &'m str, name: &str) -> Option<&'m str> {
    let mut lines = metrics.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// Where a pod is asked.
pub(super) enum Way<'a> {
    /// At its address.
    Direct(IpAddr),
    /// Through the API server: namespace and name.
    Proxy(&'a Client, &'a str, &'a str),
}

impl Way<'_> {
    /// Asks for everything.
    pub(super) async fn ask(&self) -> Result<Answer, String> {
        let readyz = self.get("/readyz").await?;
        let metrics = self.get("/metrics").await?;
        Ok(Answer::read(&readyz, &metrics))
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let (status, body) = match self {
            Self::Direct(ip) => {
                let at = format!("http://{}", SocketAddr::new(*ip, ADMIN_PORT));
                let at = at.parse().map_err(|_| format!("{at} is no address"))?;
                let client = Client::try_from(Config::new(at));
                let client = client.map_err(|error| error.to_string())?;
                get(&client, path).await?
            }
            Self::Proxy(client, namespace, pod) => {
                let path =
                    format!("/api/v1/namespaces/{namespace}/pods/{pod}:{ADMIN_PORT}/proxy{path}");
                get(client, &path).await?
            }
        };
        // 503 is how a pod says that it is not ready; so does an API server that does not reach it.
        let not_reached = body.contains("error trying to reach service");
        match status {
            200 => Ok(body),
            503 if !not_reached && !body.contains("\"kind\":\"Status\"") => Ok(body),
            403 => Err(
                r#"forbidden; whoever runs this needs the rule {apiGroups: [""], resources: ["pods/proxy"], verbs: ["get"]}"#
                    .to_owned(),
            ),
            _ => Err(format!("HTTP status {status}: {}", body.trim())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_says_is_read() {
        let readyz = "services: not yet reported\nnote: canary: the API server cannot reach the webhook: Post\n";
        let metrics = "# TYPE clb_gate_canary_ok gauge\nclb_gate_canary_ok 0\nclb_gate_build_info{version=\"0.1.0\"} 1\n";
        let answer = Answer::read(readyz, metrics);
        assert_eq!(answer.missing, ["services: not yet reported"]);
        assert_eq!(
            answer.canary(),
            Some("the API server cannot reach the webhook: Post")
        );
        assert_eq!(answer.version.as_deref(), Some("0.1.0"));
        assert_eq!(answer.canary_ok, Some(false));
        let ready = Answer::read("ready\n", "clb_gate_canary_ok 1\n");
        assert_eq!((ready.missing.len(), ready.canary_ok), (0, Some(true)));
    }
}
