//! One look at the load balancers that matter: those that bear this cluster's tag, and those that
//! Services and Ingresses name.

use std::collections::{BTreeMap, BTreeSet};

use clb::{Client, Error, Filter, LoadBalancer, LoadBalancerId, LoadBalancerQuery};
use direct_access::ownership::ClusterId;
use direct_access::{Kind, names};

use super::adjust::Traits;
use super::decide::{Contents, Seen};

/// What one look saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    by_holder: BTreeMap<String, (Kind, Vec<Seen>)>,
    by_id: BTreeMap<String, Seen>,
}

impl Sight {
    /// Reads all that bear the cluster's tag in one list, and the named ones among the rest by id: tags
    /// may show late, a load balancer read by its id bears them at once.
    pub(super) async fn read(
        client: &Client,
        cluster: &ClusterId,
        named: &BTreeSet<String>,
    ) -> Result<Self, Error> {
        let query = LoadBalancerQuery {
            filters: vec![Filter::tag(names::CLUSTER_TAG, [cluster.to_string()])],
            ..LoadBalancerQuery::default()
        };
        let mut found = client.find_load_balancers(&query).await?;
        let known: BTreeSet<_> = found
            .iter()
            .map(|one| one.load_balancer_id.as_str().to_owned())
            .collect();
        let rest: Vec<_> = named.difference(&known).map(LoadBalancerId::new).collect();
        found.extend(client.describe_load_balancers(&rest).await?);
        Ok(Self::of(cluster, &found))
    }

    /// Whatever was asked for, only the tags that were answered count.
    pub(crate) fn of(cluster: &ClusterId, found: &[LoadBalancer]) -> Self {
        let mut sight = Self::default();
        for one in found {
            let seen = seen(one);
            if let Some((kind, uid)) = made_for(cluster, one) {
                let all = sight.by_holder.entry(uid.to_owned());
                let (_, all) = all.or_insert_with(|| (kind, Vec::new()));
                all.push(seen.clone());
            }
            sight.by_id.insert(seen.id.clone(), seen);
        }
        for (_, all) in sight.by_holder.values_mut() {
            all.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        }
        sight
    }

    /// Those made for the object of this UID, oldest first.
    pub(crate) fn ours(&self, uid: &str) -> &[Seen] {
        self.by_holder
            .get(uid)
            .map_or(&[], |(_, all)| all.as_slice())
    }

    /// One by its id.
    pub(crate) fn get(&self, id: &str) -> Option<&Seen> {
        self.by_id.get(id)
    }

    /// Everything made for a Service or an Ingress, with that object's kind and UID.
    pub(crate) fn made(&self) -> impl Iterator<Item = ((Kind, &str), &Seen)> {
        let all = self.by_holder.iter();
        all.flat_map(|(uid, (kind, seen))| {
            seen.iter().map(move |seen| ((*kind, uid.as_str()), seen))
        })
    }
}

/// Kind and UID of the object that this cluster made a load balancer for.
pub(super) fn made_for<'a>(
    cluster: &ClusterId,
    found: &'a LoadBalancer,
) -> Option<(Kind, &'a str)> {
    let tag = |key: &str| {
        let tag = found.tags.iter().find(|tag| tag.tag_key == key)?;
        Some(tag.tag_value.as_str())
    };
    let ours = tag(names::CLUSTER_TAG) == Some(cluster.to_string().as_str());
    let kinds = [
        (Kind::Service, names::SERVICE_TAG),
        (Kind::Ingress, names::INGRESS_TAG),
    ];
    let mut all = kinds
        .into_iter()
        .filter_map(|(kind, key)| Some((kind, tag(key)?)));
    all.find(|(_, uid)| ours && !uid.is_empty())
}

/// Counts what is on a load balancer.
pub(super) async fn contents(
    client: &Client,
    cluster: &ClusterId,
    id: &LoadBalancerId,
) -> Result<Contents, Error> {
    let query = clb::ListenerQuery::default();
    let listeners = client.describe_listeners(id, &query).await?;
    let ours = listeners
        .iter()
        .filter(|one| cluster.owns_listener(Some(&one.listener_name)))
        .count();
    Ok(Contents {
        ours,
        foreign: listeners.len() - ours,
    })
}

fn seen(found: &LoadBalancer) -> Seen {
    let domains = [&found.domain, &found.load_balancer_domain];
    let mut addresses = found
        .load_balancer_vips
        .iter()
        .chain(domains.into_iter().flatten());
    Seen {
        id: found.load_balancer_id.as_str().to_owned(),
        normal: found.is_normal(),
        address: addresses.find(|address| !address.is_empty()).cloned(),
        created: found.create_time.clone().unwrap_or_default(),
        traits: Traits::of(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, created: &str, tags: &[(&str, &str)]) -> LoadBalancer {
        let tags: Vec<_> = tags
            .iter()
            .map(|(key, value)| serde_json::json!({"TagKey": key, "TagValue": value}))
            .collect();
        serde_json::from_value(serde_json::json!({
            "LoadBalancerId": id, "Status": 1, "LoadBalancerVips": ["198.18.0.130"],
            "Domain": "", "CreateTime": created, "Tags": tags,
        }))
        .unwrap()
    }

    #[test]
    fn only_both_tags_make_it_ours_and_the_oldest_comes_first() {
        let both =
            |cluster, service| [(names::CLUSTER_TAG, cluster), (names::SERVICE_TAG, service)];
        let all = [
            found("lb-young", "2026-11-21 08:00:02", &both("us", "uid-web")),
            found("lb-old", "2026-11-21 08:00:01", &both("us", "uid-web")),
            found("lb-theirs", "2026-11-21 08:00:00", &both("them", "uid-web")),
            found("lb-half", "", &[(names::CLUSTER_TAG, "us")]),
            found("lb-bare", "", &[]),
        ];
        let mut all = all.to_vec();
        all.push(found(
            "lb-front",
            "",
            &[
                (names::CLUSTER_TAG, "us"),
                (names::INGRESS_TAG, "uid-front"),
            ],
        ));
        let sight = Sight::of(&ClusterId::new("us"), &all);
        assert_eq!(sight.ours("uid-front")[0].id, "lb-front");
        let ids: Vec<_> = sight
            .ours("uid-web")
            .iter()
            .map(|s| s.id.as_str())
            .collect();
        assert_eq!(ids, ["lb-old", "lb-young"]);
        let kinds: Vec<_> = sight.made().map(|((kind, _), _)| kind).collect();
        assert_eq!(kinds, [Kind::Ingress, Kind::Service, Kind::Service]);
        assert!(sight.get("lb-bare").is_some() && sight.get("lb-none").is_none());
    }

    #[test]
    fn an_address_is_an_ip_or_a_domain() {
        let mut one = found("lb-1", "", &[]);
        assert_eq!(seen(&one).address.as_deref(), Some("198.18.0.130"));
        one.load_balancer_vips.clear();
        assert_eq!(seen(&one).address, None);
        one.load_balancer_domain = Some("lb-1.example.com".to_owned());
        assert_eq!(seen(&one).address.as_deref(), Some("lb-1.example.com"));
    }
}
