//! What happens while the controller is killed: Services of every kind and their pods come, change and
//! go.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use clb_gate_tests::operator::Operator;
use clb_gate_tests::played::{self, Deleted, target};
use clb_gate_tests::sim::Console;
use clb_gate_tests::stage::PATIENCE;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service as Yaml;
use clb_gate_tests::world::{GATE, condition, summary};
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;

const EXISTING: &str = "service.kubernetes.io/tke-existed-lbid";
const MADE: &str = "service.kubernetes.io/loadbalance-id";
/// A Service each: its app, its port, whether it is UDP. The first has a load balancer made for it, the
/// second has one to itself, the others share one.
const APPS: [(&str, u16, bool); 4] = [
    ("made", 8101, false),
    ("own", 8102, false),
    ("shared-tcp", 8103, false),
    ("shared-udp", 8104, true),
];
/// The steps, in the order in which they are told.
pub(crate) const STEPS: [&str; 4] = [
    "Services come",
    "pods come",
    "pods are replaced",
    "everything goes",
];

/// Where the story takes place.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) operator: Operator,
    own: Console,
    shared: Console,
    before: BTreeMap<String, Value>,
}

/// A pod: its name and the number of its address.
type Played = (String, u16);

impl Scene {
    /// Two load balancers that exist, with something of somebody else's on each.
    pub(crate) async fn set(world: &World) -> Result<Self> {
        let operator = Operator::new()?;
        let (own, shared) = (Console::buy("own").await?, Console::buy("shared").await?);
        own.furnish(9001, "198.18.1.250:9999".parse()?).await?;
        shared.furnish(9002, "198.18.2.250:9999".parse()?).await?;
        Ok(Self {
            before: operator.state().await?,
            world: world.clone(),
            operator,
            own,
            shared,
        })
    }

    /// Tells the story once; every step is announced.
    pub(crate) async fn tell(&self, run: usize, step: watch::Sender<usize>) -> Result<()> {
        for (app, ..) in APPS {
            kubectl::apply(&self.yaml(app)).await?;
        }
        step.send_replace(1);
        let first = self.come(run, 1).await?;
        let second = self.come(run, 2).await?;
        self.right(&[&first, &second]).await?;

        step.send_replace(2);
        for (name, _) in first.values() {
            played::stop(&self.world, name).await?;
        }
        let third = self.come(run, 3).await?;
        for (name, _) in first.values() {
            played::ended(&self.world, name).await?;
        }
        // Their addresses are free, and the next pods get them.
        let fourth = self.come(run, 1).await?;
        self.right(&[&second, &third, &fourth]).await?;

        step.send_replace(3);
        self.go().await?;
        self.nothing_is_left().await
    }

    fn yaml(&self, app: &str) -> String {
        let (port, udp) = kind(app);
        let id = match app {
            "own" => self.own.load_balancer.as_str(),
            _ => self.shared.load_balancer.as_str(),
        };
        let service = Yaml::direct(&self.world.namespace, app, id, port);
        let service = match app {
            "made" => service.with(EXISTING, None),
            _ => service,
        };
        let yaml = service.yaml();
        if udp {
            yaml.replace("targetPort: http", "targetPort: udp, protocol: UDP")
        } else {
            yaml
        }
    }

    /// A pod for every app; the number says its address.
    async fn come(&self, run: usize, number: u16) -> Result<BTreeMap<&'static str, Played>> {
        let mut all = BTreeMap::new();
        for (index, (app, ..)) in APPS.into_iter().enumerate() {
            let address = 20 * (u16::try_from(index)? + 1) + number;
            let generation = self.world.pods(app).await?.len();
            let name = format!("{app}-{run}-{generation}-{number}");
            played::create(&self.world, app, &name, Deleted::Going).await?;
            played::start(&self.world, &name, address).await?;
            all.insert(app, (name, address));
        }
        Ok(all)
    }

    /// Exactly these pods are bound and their gates are open.
    async fn right(&self, waves: &[&BTreeMap<&str, Played>]) -> Result<()> {
        for (app, port, _) in APPS {
            let pods: Vec<_> = waves.iter().filter_map(|wave| wave.get(app)).collect();
            let expected: BTreeSet<_> = pods.iter().map(|(_, number)| target(*number)).collect();
            eventually(
                &format!("the pods of {app} are bound and ready"),
                PATIENCE,
                || async {
                    let bound = self.bound(app, port).await?;
                    if bound != expected {
                        return Ok(Err(format!("{bound:?} are bound, not {expected:?}")));
                    }
                    for (name, _) in &pods {
                        let pod: Pod = self.world.api().get(name).await?;
                        if condition(&pod, GATE) != Some("True") {
                            return Ok(Err(summary(&pod)));
                        }
                    }
                    Ok(Ok(()))
                },
            )
            .await?;
        }
        Ok(())
    }

    /// The targets with a weight on the app's listener.
    async fn bound(&self, app: &str, port: u16) -> Result<BTreeSet<String>> {
        let id = match app {
            "made" => {
                let service: Service = self.world.api().get(app).await?;
                service.annotations().get(MADE).cloned().unwrap_or_default()
            }
            "own" => self.own.load_balancer.to_string(),
            _ => self.shared.load_balancer.to_string(),
        };
        let listener = self.operator.listener(&id, port).await?;
        let targets = listener
            .as_ref()
            .and_then(|one| one.get("targets")?.as_array());
        let weighs = |one: &&Value| one.get("weight").and_then(Value::as_u64) != Some(0);
        let serving = targets.into_iter().flatten().filter(weighs);
        let address =
            |one: &Value| Some(format!("{}:{}", one.get("ip")?.as_str()?, one.get("port")?));
        Ok(serving.filter_map(address).collect())
    }

    /// Deletes all Services and pods, and the pods' containers end at once.
    async fn go(&self) -> Result<()> {
        let world = &self.world;
        for (app, ..) in APPS {
            let services = world.api::<Service>();
            services.delete(app, &DeleteParams::default()).await?;
            played::stop_all(world, app).await?;
        }
        let pods = world.api::<Pod>().list(&ListParams::default()).await?;
        for pod in pods {
            played::ended(world, &pod.name_any()).await?;
        }
        Ok(())
    }

    /// The simulator holds what it held before, and nothing of ours is left in the cluster.
    pub(crate) async fn nothing_is_left(&self) -> Result<()> {
        let world = &self.world;
        eventually("everything is as it was before", PATIENCE * 2, || async {
            let services = world.api::<Service>().list(&ListParams::default()).await?;
            let left: Vec<_> = services.iter().map(|one| &one.metadata).collect();
            if !left.is_empty() {
                return Ok(Err(format!("Services are left: {left:?}")));
            }
            let state = self.operator.state().await?;
            if state != self.before {
                return Ok(Err(format!("{state:#?}, not {:#?}", self.before)));
            }
            let ledgers: Api<ConfigMap> = Api::namespaced(world.client.clone(), "clb-gate");
            let ledger = ledgers.get_opt("clb-gate-ledger").await?;
            let on_record = ledger.and_then(|ledger| ledger.data).unwrap_or_default();
            let of_ours = [&self.own, &self.shared].map(|one| one.load_balancer.as_str());
            let known = on_record.keys().find(|id| of_ours.contains(&id.as_str()));
            Ok(known.map_or(Ok(()), |id| Err(format!("{id} is still on record"))))
        })
        .await?;
        let pods = world.api::<Pod>().list(&ListParams::default()).await?;
        ensure!(pods.items.is_empty(), "pods are left");
        Ok(())
    }

    /// Gives back what was bought.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.own.give_back().await?;
        self.shared.give_back().await
    }
}

fn kind(app: &str) -> (u16, bool) {
    let found = APPS.iter().find(|(name, ..)| *name == app);
    found.map_or((0, false), |(_, port, udp)| (*port, *udp))
}
