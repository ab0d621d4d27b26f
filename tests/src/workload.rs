//! The YAML of a sample workload and its Service, as a user would write it.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// The sample image of the test host: HTTP on 8080, serves on for a while after SIGTERM.
pub const IMAGE: &str = "localhost/sample:latest";

/// A health check that is quick enough for a demonstration: every 3 s, twice.
pub const QUICK: &str =
    r#"{"HealthCheck":{"IntervalTime":3,"TimeOut":2,"HealthNum":2,"UnHealthNum":2}}"#;

/// A Deployment of the sample.
#[derive(Clone, Debug)]
pub struct Deployment<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name, and value of the label `app`.
    pub name: &'a str,
    /// Replicas.
    pub replicas: u32,
    /// Any text: changing it rolls the Deployment.
    pub revision: &'a str,
}

impl Deployment<'_> {
    /// Its YAML.
    pub fn yaml(&self) -> String {
        let Self {
            namespace,
            name,
            replicas,
            revision,
        } = self;
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{rollingUpdate: {{maxSurge: 50%, maxUnavailable: 0}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{example.com/revision: '{revision}'}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
        - name: sample
          image: {IMAGE}
          imagePullPolicy: IfNotPresent
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
"
        )
    }
}

/// A Service of type `LoadBalancer`.
#[derive(Clone, Debug)]
pub struct Service<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Value of the label `app` it selects.
    pub app: &'a str,
    /// Port on the CLB.
    pub port: u16,
    /// Annotations.
    pub annotations: Vec<(&'a str, String)>,
}

impl<'a> Service<'a> {
    /// A direct-access Service on an existing CLB with a quick health check.
    pub fn direct(namespace: &'a str, name: &'a str, load_balancer: &str, port: u16) -> Self {
        Self {
            namespace,
            name,
            app: name,
            port,
            annotations: vec![
                ("service.cloud.tencent.com/direct-access", "true".to_owned()),
                (
                    "service.kubernetes.io/tke-existed-lbid",
                    load_balancer.to_owned(),
                ),
                (
                    "service.kubernetes.io/service.listenerParameters",
                    QUICK.to_owned(),
                ),
            ],
        }
    }

    /// The same with an annotation set or, by `None`, left out.
    #[must_use]
    pub fn with(mut self, key: &'a str, value: Option<&str>) -> Self {
        self.annotations.retain(|(known, _)| *known != key);
        self.annotations
            .extend(value.map(|value| (key, value.to_owned())));
        self
    }

    /// Its YAML.
    pub fn yaml(&self) -> String {
        let Self {
            namespace,
            name,
            app,
            port,
            annotations,
        } = self;
        let annotations: Vec<_> = annotations
            .iter()
            .map(|(key, value)| {
                format!(
                    "    {key}: '{value}'
"
                )
            })
            .collect();
        let annotations = annotations.concat();
        format!(
            "apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
    example.com/about: sample
{annotations}spec:
  type: LoadBalancer
  selector: {{app: {app}}}
  ports: [{{port: {port}, targetPort: http}}]
"
        )
    }
}

/// A pod of an app that no scheduler takes: for what happens to its creation.
pub fn unscheduled(app: &str) -> serde_json::Result<Pod> {
    serde_json::from_value(json!({
        "metadata": {"generateName": format!("{app}-"), "labels": {"app": app}},
        "spec": {
            "schedulerName": "nobody",
            "containers": [{"name": "sample", "image": IMAGE}],
        },
    }))
}
