//! The second line of defence towards Kubernetes: whatever the code above does, no write leaves.

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tower::BoxError;

/// A request that was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path} is not sent: this is a preview, which only reads")]
pub struct Refused {
    /// Its method.
    pub method: Method,
    /// What it was about.
    pub path: String,
}

/// The same client without the ability to write: only GET, which lists and watches are too, is sent.
#[must_use]
pub fn get_only(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            if request.method() == Method::GET {
                return client.send(request).await.map_err(BoxError::from);
            }
            Err(BoxError::from(Refused {
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
            }))
        }
    });
    Client::new(service, namespace)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::Response;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{DeleteParams, Patch, PatchParams, PostParams};

    use super::*;

    #[tokio::test]
    async fn nothing_but_get_is_sent() {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let server = tower::service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = r#"{"metadata": {"name": "a"}}"#.as_bytes().to_vec();
            async { Ok::<_, BoxError>(Response::new(Body::from(answer))) }
        });
        let api: Api<ConfigMap> = Api::namespaced(get_only(Client::new(server, "here")), "here");
        assert_eq!(api.get("a").await.unwrap().metadata.name.unwrap(), "a");
        let (map, patch) = (ConfigMap::default(), serde_json::json!({}));
        let writes = [
            api.create(&PostParams::default(), &map).await.err(),
            api.replace("a", &PostParams::default(), &map).await.err(),
            api.patch("a", &PatchParams::default(), &Patch::Merge(patch))
                .await
                .err(),
            api.delete("a", &DeleteParams::default()).await.err(),
        ];
        for write in writes {
            let told = crate::cloud::chain(&write.unwrap());
            assert!(told.contains("only reads"), "{told}");
        }
        assert_eq!(sent.load(Ordering::SeqCst), 1);
    }
}
