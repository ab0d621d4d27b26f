//! The simulated CLB as a person in Tencent's console would see it: through the same API as everyone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clb::{
    BatchTarget, Client, Config, CreateListener, EnvCredentials, HealthState, ListenerId,
    ListenerQuery, LoadBalancerId, Protocol, SECRET_ID, SECRET_KEY, Target,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A console of the simulated CLB.
#[derive(Clone)]
pub struct Console {
    pub(crate) client: Client,
    /// The load balancer looked at.
    pub load_balancer: LoadBalancerId,
    /// Where the simulator's own admin endpoint is.
    pub endpoint: String,
}

/// A target as the CLB has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `address:port`.
    pub address: String,
    /// 0 to 100.
    pub weight: u8,
    /// Whose it is.
    pub tag: Option<String>,
    /// The CLB's word for its health.
    pub health: String,
}

impl Console {
    /// Looks at one load balancer with the credentials the test host gave.
    pub fn new(load_balancer: &str) -> Result<Self> {
        let endpoint = std::env::var("CLB_SIM_ENDPOINT")
            .context("CLB_SIM_ENDPOINT is not set: run this in the test host")?;
        let variable = |name: &str| match name {
            SECRET_ID => std::env::var("CLB_SIM_SECRET_ID").ok(),
            SECRET_KEY => std::env::var("CLB_SIM_SECRET_KEY").ok(),
            _ => None,
        };
        let credentials = Arc::new(EnvCredentials::new(variable));
        let region = "ap-guangzhou".parse()?;
        let config = Config::new(endpoint.parse()?, region, credentials, Arc::new(now));
        let client = Client::new(config)?;
        Ok(Self {
            client,
            load_balancer: LoadBalancerId::new(load_balancer),
            endpoint,
        })
    }

    /// The load balancer's first VIP.
    pub async fn vip(&self) -> Result<String> {
        let found = self
            .client
            .describe_load_balancers(std::slice::from_ref(&self.load_balancer))
            .await?;
        let vips = found.into_iter().flat_map(|one| one.load_balancer_vips);
        vips.into_iter()
            .next()
            .with_context(|| format!("{} has no VIP", self.load_balancer))
    }

    /// Whether there is such a load balancer.
    pub async fn there(&self) -> Result<bool> {
        let ids = std::slice::from_ref(&self.load_balancer);
        let found = self.client.describe_load_balancers(ids).await?;
        Ok(!found.is_empty())
    }

    /// The listener on a port.
    pub async fn listener(&self, port: u16) -> Result<Option<clb::Listener>> {
        let all = self
            .client
            .describe_listeners(&self.load_balancer, &ListenerQuery::default())
            .await?;
        Ok(all.into_iter().find(|listener| listener.port == port))
    }

    /// The targets of the listener on a port, sorted, with their health.
    pub async fn targets(&self, port: u16) -> Result<Vec<Bound>> {
        let Some(listener) = self.listener(port).await? else {
            return Ok(vec![]);
        };
        let ids = [listener.listener_id];
        let listeners = self
            .client
            .describe_targets(&self.load_balancer, &ids)
            .await?;
        let health = self.health(&ids).await?;
        let mut bound: Vec<_> = listeners
            .into_iter()
            .flat_map(|listener| listener.targets)
            .filter_map(|target| {
                let address = target.address()?.to_string();
                let weight = target.weight.unwrap_or_default();
                let health = health.get(&address).cloned().unwrap_or_default();
                Some(Bound {
                    address,
                    weight,
                    tag: target.tag,
                    health,
                })
            })
            .collect();
        bound.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(bound)
    }

    async fn health(&self, ids: &[ListenerId]) -> Result<BTreeMap<String, String>> {
        let found = self
            .client
            .describe_target_health(std::slice::from_ref(&self.load_balancer), ids)
            .await?;
        let rules = found
            .into_iter()
            .flat_map(|lb| lb.listeners)
            .flat_map(|listener| listener.rules);
        let targets = rules.flat_map(|rule| rule.targets);
        let named = targets.filter_map(|target| {
            Some((
                target.address()?.to_string(),
                format!("{:?}", target.state()),
            ))
        });
        Ok(named.collect())
    }

    /// The addresses that are Alive under these listeners of these load balancers, at most 30: by one call.
    pub async fn alive(
        &self,
        load_balancers: &[LoadBalancerId],
        listeners: &[ListenerId],
    ) -> Result<BTreeSet<SocketAddr>> {
        let found = self
            .client
            .describe_target_health(load_balancers, listeners)
            .await?;
        let listeners = found.into_iter().flat_map(|lb| lb.listeners);
        let rules = listeners.flat_map(|listener| listener.rules);
        let targets = rules.flat_map(|rule| rule.targets);
        let alive = targets.filter(|target| target.state() == HealthState::Alive);
        Ok(alive.filter_map(|target| target.address()).collect())
    }

    /// The rules of the listener on a port, as host and path, and the health of each one's targets.
    pub async fn rules(&self, port: u16) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let Some(listener) = self.listener(port).await? else {
            return Ok(BTreeMap::new());
        };
        let found = self
            .client
            .describe_target_health(
                std::slice::from_ref(&self.load_balancer),
                &[listener.listener_id],
            )
            .await?;
        let listeners = found.into_iter().flat_map(|lb| lb.listeners);
        let one = |rule: clb::RuleHealth| {
            let name = format!(
                "{}{}",
                rule.domain.unwrap_or_default(),
                rule.url.unwrap_or_default()
            );
            let target = |target: &clb::TargetHealth| {
                let state = format!("{:?}", target.state());
                Some((target.address()?.to_string(), state))
            };
            (name, rule.targets.iter().filter_map(target).collect())
        };
        Ok(listeners
            .flat_map(|listener| listener.rules)
            .map(one)
            .collect())
    }

    /// Puts a certificate under this id: PEM, with its key.
    pub async fn put_certificate(&self, id: &str, chain: &str, key: &str) -> Result<()> {
        let body = serde_json::json!({ "certificate": chain, "key": key }).to_string();
        self.operator("PUT", &format!("/_sim/certificates/{id}"), &body)
            .await
    }

    /// What the listeners on a port speak.
    pub async fn protocols(&self, port: u16) -> Result<Vec<String>> {
        let all = self
            .client
            .describe_listeners(&self.load_balancer, &ListenerQuery::default())
            .await?;
        let there = all.into_iter().filter(|listener| listener.port == port);
        Ok(there
            .map(|listener| listener.protocol.to_string())
            .collect())
    }

    /// Deletes the load balancer, as somebody else would.
    pub async fn delete(&self) -> Result<()> {
        let only = clb::NonEmpty::one(&self.load_balancer);
        let task = self
            .client
            .delete_load_balancers(only, clb::InUse::Delete)
            .await?;
        self.client
            .wait_task(&task, std::time::Duration::from_secs(10))
            .await?;
        Ok(())
    }

    /// Creates a listener, as somebody else would.
    pub async fn create_listener(&self, protocol: Protocol, port: u16) -> Result<ListenerId> {
        let create =
            CreateListener::new(self.load_balancer.clone(), protocol, port, "somebody-elses");
        self.create(&create).await
    }

    /// Creates what is described, as somebody else would.
    pub async fn create(&self, create: &CreateListener) -> Result<ListenerId> {
        let created = self.client.create_listener(create).await?;
        self.client
            .wait_task(&created.task, std::time::Duration::from_secs(10))
            .await?;
        created
            .ids
            .into_iter()
            .next()
            .context("CreateListener gave no id")
    }

    /// Deletes the listener on a port, as who created it would.
    pub async fn delete_listener(&self, port: u16) -> Result<()> {
        let listener = self.listener(port).await?;
        let listener = listener.with_context(|| format!("no listener on {port}"))?;
        let task = self
            .client
            .delete_listener(&self.load_balancer, &listener.listener_id)
            .await?;
        self.client
            .wait_task(&task, std::time::Duration::from_secs(10))
            .await?;
        Ok(())
    }

    /// Binds a target at weight 0 without clb-gate's tag, as somebody else would.
    pub async fn bind_foreign(&self, port: u16, address: SocketAddr) -> Result<()> {
        self.bind(port, address, 0).await
    }

    /// Binds a target without clb-gate's tag; one that is bound gets this weight.
    pub async fn bind(&self, port: u16, address: SocketAddr, weight: u8) -> Result<()> {
        let batch = [self.batch_target(port, address, weight).await?];
        self.client
            .batch_register_targets(&self.load_balancer, &batch)
            .await
            .map(drop)
            .context("BatchRegisterTargets")
    }

    /// Takes a target away.
    pub async fn unbind(&self, port: u16, address: SocketAddr) -> Result<()> {
        let batch = [self.batch_target(port, address, 0).await?];
        self.client
            .batch_deregister_targets(&self.load_balancer, &batch)
            .await
            .map(drop)
            .context("BatchDeregisterTargets")
    }

    async fn batch_target(
        &self,
        port: u16,
        address: SocketAddr,
        weight: u8,
    ) -> Result<BatchTarget> {
        let listener = self.listener(port).await?;
        let listener = listener.with_context(|| format!("no listener on {port}"))?;
        Ok(BatchTarget {
            listener_id: listener.listener_id,
            location_id: None,
            target: Target::new(address.ip(), address.port()).weight(weight),
        })
    }

    /// Describes security groups to the simulator, as its README explains.
    pub async fn describe_security(&self, groups: &serde_json::Value) -> Result<()> {
        self.operator("POST", "/_sim/security-groups", &groups.to_string())
            .await
    }

    /// Forgets all security groups.
    pub async fn forget_security(&self) -> Result<()> {
        self.operator("DELETE", "/_sim/security-groups", "").await
    }

    async fn operator(&self, method: &str, path: &str, body: &str) -> Result<()> {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(
            answer.starts_with("HTTP/1.1 200 "),
            "{method} {path}: {answer}"
        );
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own clock, for signing"
)]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
