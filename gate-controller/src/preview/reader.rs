//! What the CLB says: Tencent's side of a preview, which only offers reads.

use std::collections::{BTreeMap, BTreeSet};

use clb::{Client, Error, Filter, LoadBalancer, LoadBalancerId, LoadBalancerQuery};
use direct_access::names;
use direct_access::ownership::ClusterId;
use futures::StreamExt;

use super::{LookError, Scope, World, new_load_balancers};
use crate::cloud::{Cloud, chain};
use crate::engine::{observe, quotas, recognise};
use crate::plan::ObservedListener;

/// Load balancers read at the same time; the client keeps to the API's limit for each action.
const AT_ONCE: usize = 8;

/// Reads the CLB API, and cannot do anything else.
#[derive(Clone, Debug)]
pub struct Reader {
    client: Client,
}

/// What one look at the CLB saw.
#[derive(Clone, Debug, Default)]
pub struct Sighting {
    /// The region asked.
    pub region: String,
    /// The endpoint asked.
    pub endpoint: String,
    /// The VPC the pods are in, where it is known.
    pub vpc: Option<String>,
    /// Targets that a listener or rule may have, where the API said so.
    pub quota: Option<usize>,
    /// By load balancer id.
    pub load_balancers: BTreeMap<String, Look>,
    /// Load balancers with the tag of our cluster.
    pub tagged: Vec<LoadBalancer>,
    /// What to know about this look.
    pub notes: Vec<String>,
}

/// What was seen of a load balancer.
#[derive(Clone, Debug)]
pub enum Look {
    /// There is none of this id.
    Missing,
    /// It could not be read, and why.
    Unknown(String),
    /// It is there.
    There(Box<Seen>),
}

/// A load balancer as it was read.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it is.
    pub found: LoadBalancer,
    /// What it holds.
    pub listeners: Vec<ObservedListener>,
}

impl Reader {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn load_balancers(&self, ids: &BTreeSet<String>) -> Result<Vec<LoadBalancer>, Error> {
        let ids: Vec<_> = ids.iter().map(LoadBalancerId::new).collect();
        self.client.describe_load_balancers(&ids).await
    }

    async fn tagged(&self, cluster: &ClusterId) -> Result<Vec<LoadBalancer>, Error> {
        let query = LoadBalancerQuery {
            filters: vec![Filter::tag(names::CLUSTER_TAG, [cluster.to_string()])],
            ..LoadBalancerQuery::default()
        };
        self.client.find_load_balancers(&query).await
    }

    async fn look(&self, id: String, found: Option<LoadBalancer>, world: &World) -> (String, Look) {
        let Some(found) = found else {
            return (id, Look::Missing);
        };
        let look = match observe::listeners(
            &self.client,
            &found.load_balancer_id,
            observe::own_address(&found).as_deref(),
        )
        .await
        {
            Ok(mut listeners) => {
                let record = world.ledger.get(&id).map_or("", String::as_str);
                recognise(record, &mut listeners, &world.cluster);
                Look::There(Box::new(Seen { found, listeners }))
            }
            Err(error) => Look::Unknown(chain(&error)),
        };
        (id, look)
    }

    /// Who may not ask for quotas is told of a full listener when the API refuses, and not before.
    async fn quota(&self, notes: &mut Vec<String>) -> Result<Option<usize>, Error> {
        match quotas::targets(&self.client).await {
            Err(error) if forbidden(&error) => {
                notes.push(format!("quotas are not known: {}", chain(&error)));
                Ok(None)
            }
            other => other,
        }
    }
}

impl Sighting {
    /// Looks at every load balancer that the scope asks for.
    pub async fn take(cloud: &Cloud, world: &World, scope: &Scope) -> Result<Self, LookError> {
        let client = cloud.client().map_err(LookError::Cloud)?;
        let mut sighting = Self::begin(&client, cloud.vpc());
        let read = sighting.read(&Reader::new(client), world, scope).await;
        read.map_err(|error| LookError::Cloud(chain(&error)))?;
        Ok(sighting)
    }

    fn begin(client: &Client, vpc: Option<String>) -> Self {
        Self {
            region: client.region().to_string(),
            endpoint: client.endpoint().to_string(),
            vpc,
            ..Self::default()
        }
    }

    async fn read(&mut self, reader: &Reader, world: &World, scope: &Scope) -> Result<(), Error> {
        self.quota = reader.quota(&mut self.notes).await?;
        if new_load_balancers::asked_for(world) {
            self.tagged = reader.tagged(&world.cluster).await?;
        }
        let mut ids = scope.load_balancers(world);
        ids.extend(new_load_balancers::to_read(world, &self.tagged, scope));
        self.look_at(reader, world, ids).await
    }

    /// Looks at these load balancers and at nothing else but the quotas.
    pub(crate) async fn take_these(
        client: Client,
        world: &World,
        ids: BTreeSet<String>,
        vpc: Option<String>,
    ) -> Result<Self, Error> {
        let mut sighting = Self::begin(&client, vpc);
        let reader = Reader::new(client);
        sighting.quota = reader.quota(&mut sighting.notes).await?;
        sighting.look_at(&reader, world, ids).await?;
        Ok(sighting)
    }

    /// All that [`preview`](super::preview) needs, for a caller who asks the API itself.
    pub(crate) async fn take_all(
        client: Client,
        world: &World,
        vpc: Option<String>,
    ) -> Result<Self, Error> {
        let mut sighting = Self::begin(&client, vpc);
        let reader = Reader::new(client);
        sighting.read(&reader, world, &Scope::default()).await?;
        Ok(sighting)
    }

    async fn look_at(
        &mut self,
        reader: &Reader,
        world: &World,
        ids: BTreeSet<String>,
    ) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let found = reader.load_balancers(&ids).await?;
        let mut found: BTreeMap<_, _> = found
            .into_iter()
            .map(|one| (one.load_balancer_id.as_str().to_owned(), one))
            .collect();
        let looks: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let known = found.remove(&id);
                reader.look(id, known, world)
            })
            .collect();
        self.load_balancers = futures::stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        Ok(())
    }
}

/// CAM refuses this action alone; wrong credentials concern every call.
fn forbidden(error: &Error) -> bool {
    let code = error.code().unwrap_or_default();
    code.contains("UnauthorizedOperation")
}
