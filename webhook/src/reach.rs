//! What of a review tells where the pod's address comes from and how it ends, read without a copy: one
//! annotation, whether one container asks for an ENI's address, and what containers do before they are
//! stopped. Everything else beside them is skipped.

use std::fmt;

use direct_access::{Lifecycle, names};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::review::Text;

/// The annotation [`names::NETWORKS`], where there is one.
#[derive(Debug)]
pub(crate) struct Annotations<'a>(Option<Text<'a>>);

impl Annotations<'_> {
    /// Its value.
    pub(crate) fn networks(&self) -> Option<&str> {
        self.0.as_ref().map(Text::as_str)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneAnnotation)
    }
}

struct OneAnnotation;

impl<'de> Visitor<'de> for OneAnnotation {
    type Value = Annotations<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut networks = None;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.as_str() == names::NETWORKS {
                networks = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Annotations(networks))
    }
}

/// What is read of a pod's regular containers.
#[derive(Clone, Debug)]
pub(crate) struct Containers {
    /// One has [`names::ENI_IP`] in its requests and in its limits.
    pub(crate) eni_ip: bool,
    /// What each does before it is stopped.
    pub(crate) lifecycles: Vec<Lifecycle>,
}

impl<'de> Deserialize<'de> for Containers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AnyContainer)
    }
}

struct AnyContainer;

impl<'de> Visitor<'de> for AnyContainer {
    type Value = Containers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let (mut eni_ip, mut lifecycles) = (false, Vec::new());
        while let Some(one) = all.next_element::<Container>()? {
            lifecycles.push(one.lifecycle.map_or(Lifecycle::None, Hooks::read));
            eni_ip |= one.resources.is_some_and(|resources| {
                let has = |list: Option<Amounts>| list.is_some_and(|list| list.eni_ip);
                has(resources.requests) && has(resources.limits)
            });
        }
        Ok(Containers { eni_ip, lifecycles })
    }
}

#[derive(Deserialize)]
struct Container {
    resources: Option<Resources>,
    lifecycle: Option<Hooks>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hooks {
    pre_stop: Option<PreStop>,
}

#[derive(Deserialize)]
struct PreStop {
    sleep: Option<Sleep>,
}

#[derive(Deserialize)]
struct Sleep {
    seconds: Option<i64>,
}

impl Hooks {
    fn read(self) -> Lifecycle {
        let Some(hook) = self.pre_stop else {
            return Lifecycle::WithoutPreStop;
        };
        hook.sleep.map_or(Lifecycle::Own, |sleep| {
            let seconds = sleep.seconds.unwrap_or_default();
            Lifecycle::Sleeps(u64::try_from(seconds).unwrap_or_default())
        })
    }
}

#[derive(Deserialize)]
struct Resources {
    requests: Option<Amounts>,
    limits: Option<Amounts>,
}

/// A map of amounts, of which only one key is looked for.
struct Amounts {
    eni_ip: bool,
}

impl<'de> Deserialize<'de> for Amounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyAmount)
    }
}

struct AnyAmount;

impl<'de> Visitor<'de> for AnyAmount {
    type Value = Amounts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of amounts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut eni_ip = false;
        while let Some((key, _)) = map.next_entry::<Text<'de>, IgnoredAny>()? {
            eni_ip |= key.as_str() == names::ENI_IP;
        }
        Ok(Amounts { eni_ip })
    }
}
