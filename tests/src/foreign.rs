//! Somebody else at work in the same account: load balancers, listeners and targets that are not
//! clb-gate's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clb::{
    BatchTarget, CreateLoadBalancer, Error, InUse, Kind, LoadBalancerType, NewRule, NonEmpty,
    Protocol, Target,
};

use crate::sim::Console;
use crate::wait::eventually;

/// Far longer than a task takes.
const DONE: Duration = Duration::from_secs(20);

impl Console {
    /// Buys a load balancer, and looks at it.
    pub async fn buy(name: &str) -> Result<Self> {
        let any = Self::new("lb-none")?;
        let order = CreateLoadBalancer {
            load_balancer_name: Some(name.to_owned()),
            vpc_id: Some("vpc-demo0001".to_owned()),
            ..CreateLoadBalancer::new(LoadBalancerType::Open)
        };
        let made = any.client.create_load_balancer(&order).await?;
        any.client.wait_task(&made.task, DONE).await?;
        let id = made.ids.into_iter().next().context("no id")?;
        Ok(Self {
            load_balancer: id,
            ..any
        })
    }

    /// Gives it back with all that is on it.
    pub async fn give_back(&self) -> Result<()> {
        patiently("deleted", || async {
            let all = NonEmpty::one(&self.load_balancer);
            let task = self
                .client
                .delete_load_balancers(all, InUse::Delete)
                .await?;
            self.client.wait_task(&task, DONE).await
        })
        .await
    }

    /// Makes a listener with a target, neither of them clb-gate's.
    pub async fn furnish(&self, port: u16, target: SocketAddr) -> Result<()> {
        self.create_listener(Protocol::Tcp, port).await?;
        self.bind_patiently(port, target).await
    }

    /// Makes a listener with a rule, neither of them clb-gate's.
    pub async fn furnish_rule(&self, port: u16, domain: &str, url: &str) -> Result<()> {
        let listener = self.create_listener(Protocol::Http, port).await?;
        let rule = [NewRule::new(domain, url)];
        let rules = NonEmpty::new(&rule).context("a rule")?;
        let made = self
            .client
            .create_rules(&self.load_balancer, &listener, rules)
            .await?;
        self.client.wait_task(&made.task, DONE).await?;
        Ok(())
    }

    /// Binds a target, however busy the load balancer is with others' changes.
    pub async fn bind_patiently(&self, port: u16, address: SocketAddr) -> Result<()> {
        let batch = self.one(port, address).await?;
        patiently("bound", || async {
            let bound = self
                .client
                .batch_register_targets(&self.load_balancer, &batch);
            bound.await.map(drop)
        })
        .await
    }

    /// Takes a target away, however busy the load balancer is.
    pub async fn unbind_patiently(&self, port: u16, address: SocketAddr) -> Result<()> {
        let batch = self.one(port, address).await?;
        patiently("unbound", || async {
            let gone = self
                .client
                .batch_deregister_targets(&self.load_balancer, &batch);
            gone.await.map(drop)
        })
        .await
    }

    async fn one(&self, port: u16, address: SocketAddr) -> Result<[BatchTarget; 1]> {
        let listener = self.listener(port).await?;
        let listener = listener.with_context(|| format!("no listener on {port}"))?;
        let target = Target::new(address.ip(), address.port()).weight(0);
        Ok([BatchTarget::new(listener.listener_id, target)])
    }
}

/// Again while others' changes keep the load balancer busy.
async fn patiently<F: Future<Output = std::result::Result<(), Error>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<()> {
    eventually(what, DONE, || {
        let attempted = attempt();
        async {
            match attempted.await {
                Ok(()) => Ok(Ok(())),
                Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Throttled) => {
                    Ok(Err(error.to_string()))
                }
                Err(error) => Err(error.into()),
            }
        }
    })
    .await
}
