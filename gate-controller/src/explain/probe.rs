//! Asks a pod what the CLB's health check asks it, through the API server's proxy, where a person wants that:
//! what the pod answers tells a closed way from a wrong port or path.

use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;

/// A pod answers at once; the CLB's own checks wait 2 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// How an API server begins what it says of a pod that it cannot reach (apimachinery, `pkg/util/proxy`).
const NOT_REACHED: &str = "error trying to reach service";
/// Longer texts are cut.
const LONGEST: usize = 200;

/// What came of asking a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It answered with this status.
    Answered(u16),
    /// Nothing listens on the port.
    Refused,
    /// It could not be asked, or did not answer in HTTP.
    Unknown(String),
}

/// Asks for a path of a pod by GET.
pub(super) async fn probe(
    client: &Client,
    (namespace, pod): (&str, &str),
    port: u16,
    path: &str,
) -> Probed {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
    match get(client, &path).await {
        Ok((status, body)) => judge(status, &body),
        Err(why) => Probed::Unknown(why),
    }
}

/// What the API server answers to a GET, whatever the status.
pub(crate) async fn get(client: &Client, path: &str) -> Result<(u16, String), String> {
    let request = Request::get(path).body(Body::empty());
    let request = request.map_err(|error| error.to_string())?;
    let answered = async {
        let response = client.send(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect_bytes().await?;
        Ok::<_, kube::Error>((status, String::from_utf8_lossy(&body).into_owned()))
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(crate::cloud::chain(&error)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// The API server's own words are told from the pod's.
fn judge(status: u16, body: &str) -> Probed {
    if body.contains(NOT_REACHED) {
        if body.contains("connection refused") {
            return Probed::Refused;
        }
        return Probed::Unknown(cut(body));
    }
    if status == 403 && body.contains("cannot get resource \\\"pods/proxy\\\"") {
        return Probed::Unknown(
            r#"forbidden; whoever runs this needs the rule {apiGroups: [""], resources: ["pods/proxy"], verbs: ["get"]}"#.to_owned(),
        );
    }
    Probed::Answered(status)
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_words_are_told_from_the_pods() {
        let refused =
            "error trying to reach service: dial tcp 10.0.0.5:9999: connect: connection refused";
        assert_eq!(judge(503, refused), Probed::Refused);
        let lost = "error trying to reach service: dial tcp 10.0.0.5:9999: i/o timeout";
        assert!(matches!(judge(503, lost), Probed::Unknown(why) if why.contains("i/o timeout")));
        assert_eq!(judge(404, "no such page"), Probed::Answered(404));
        assert_eq!(judge(503, "warming up"), Probed::Answered(503));
        let forbidden = r#"{"kind":"Status","message":"pods \"a\" is forbidden: User \"b\" cannot get resource \"pods/proxy\" in API group","code":403}"#;
        assert!(
            matches!(judge(403, forbidden), Probed::Unknown(why) if why.contains("pods/proxy"))
        );
        assert_eq!(judge(403, "log in first"), Probed::Answered(403));
    }
}
