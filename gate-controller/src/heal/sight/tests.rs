//! Real connections to replicas on this machine.

use std::{convert::Infallible, sync::Arc};

use certs::{
    LeafMaterial,
    issue::{self, Signer},
    resolver::{LeafResolver, server_config},
};
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

fn names() -> ServiceNames {
    ServiceNames::new("clb-gate-webhook", "clb-gate")
}

/// A client to whom every answer is this list of pods.
fn client(pods: &[Value]) -> Client {
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
    let service = tower::service_fn(move |_: Request<Body>| {
        let body = Body::from(list.to_string().into_bytes());
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    Client::new(service, "clb-gate")
}

fn pod(name: &str, port: u16, ready: bool, phase: &str) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "webhook", "ports": [
            {"name": "admin", "containerPort": 1}, {"name": "https", "containerPort": port},
        ]}]},
        "status": {"phase": phase, "podIP": "127.0.0.1", "conditions": [
            {"type": "Ready", "status": ready},
        ]},
    })
}

/// Accepts connections and shakes hands, or never says a word.
async fn serve(listener: TcpListener, leaf: Option<LeafMaterial>) {
    let resolver = Arc::new(LeafResolver::new());
    if let Some(leaf) = &leaf {
        resolver
            .load(leaf, &names(), runtime::clock::now())
            .unwrap();
    }
    let acceptor = TlsAcceptor::from(server_config(resolver).unwrap());
    let mut silent = vec![];
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if leaf.is_some() {
            acceptor.accept(stream).await.ok();
        } else {
            silent.push(stream);
        }
    }
}

fn a_leaf() -> LeafMaterial {
    let now = runtime::clock::now();
    let signer = Signer::from(issue::ca(1, now).unwrap());
    let made = issue::leaf(&signer, &names(), now).unwrap();
    LeafMaterial {
        cert_pem: made.certificate.to_pem().into_bytes(),
        key_pem: made.key,
        bundle_pem: signer.certificate().to_pem().into_bytes(),
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn what_serves_is_seen_and_what_only_claims_to_is_named() {
    let leaf = a_leaf();
    let expected = Certificate::from_pem(&leaf.cert_pem).unwrap();
    let (serving, answers) = listener().await;
    let (mute, hangs) = listener().await;
    let (closed, refuses) = listener().await;
    drop(closed);
    let pods = [
        pod("a-serves", answers, true, "Running"),
        pod("b-serves-unready", answers, false, "Running"),
        pod("c-hangs", hangs, true, "Running"),
        pod("d-refuses", refuses, true, "Running"),
        pod("e-starts", refuses, false, "Running"),
        pod("f-ended", answers, false, "Failed"),
    ];
    let sight = Handshakes::new(client(&pods), "clb-gate", "clb-gate-webhook");
    let replicas = tokio::select! {
        replicas = sight.look() => replicas.unwrap(),
        () = serve(serving, Some(leaf)) => unreachable!(),
        () = serve(mute, None) => unreachable!(),
    };
    let names: Vec<_> = replicas
        .iter()
        .map(|replica| replica.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["a-serves", "b-serves-unready", "c-hangs", "d-refuses"]
    );
    let presents = Presents::Leaf(Box::new(expected));
    assert_eq!(
        (&replicas[0].presents, replicas[0].ready),
        (&presents, true)
    );
    assert_eq!(
        (&replicas[1].presents, replicas[1].ready),
        (&presents, false)
    );
    let why = |i: usize| match &replicas[i].presents {
        Presents::Nothing(why) => why.clone(),
        Presents::Leaf(_) => panic!("{} presents a leaf", replicas[i].name),
    };
    assert_eq!(why(2), "no TLS handshake within 1s");
    assert!(
        why(3).starts_with("cannot connect to 127.0.0.1"),
        "{}",
        why(3)
    );
}

#[test]
fn a_pod_that_names_no_port_serves_on_the_usual_one() {
    let found = webhook_pod(Pod::default()).unwrap();
    assert_eq!((found.port, found.ip, found.ready), (8443, None, false));
}
