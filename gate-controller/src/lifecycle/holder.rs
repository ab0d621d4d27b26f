//! An object that has a load balancer looked after: a Service, or an Ingress. What the lifecycle needs of
//! either, in one form.

use std::collections::BTreeMap;

use direct_access::service::Ingress;
use direct_access::{
    IngressFacts, Kind, ObjectRef, Owner, ServiceFacts, Word, Words, names, tke_service_config,
};

/// What the lifecycle needs of a Service or an Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Which object.
    pub owner: Owner,
    /// Its UID.
    pub uid: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether it has [`names::FINALIZER`].
    pub finalizer: bool,
    /// Whether it has a deletion timestamp.
    pub going: bool,
    /// Its resource version.
    pub version: u64,
    /// A Service's `status.loadBalancer.ingress`. An Ingress's is looked after elsewhere, also where its
    /// load balancer is none of ours.
    pub shown: Vec<Ingress>,
    /// Mbit/s that its `TkeServiceConfig` declares.
    pub bandwidth: Option<u32>,
}

impl From<&ServiceFacts> for Holder {
    fn from(service: &ServiceFacts) -> Self {
        Self {
            owner: service.owner(),
            uid: service.uid.clone(),
            annotations: service.annotations.clone(),
            finalizer: service.finalizer,
            going: service.going,
            version: service.version,
            shown: service.ingress.clone(),
            bandwidth: tke_service_config::bandwidth(service),
        }
    }
}

impl From<&IngressFacts> for Holder {
    fn from(ingress: &IngressFacts) -> Self {
        Self {
            owner: ingress.owner(),
            uid: ingress.uid.clone(),
            annotations: ingress.annotations.clone(),
            finalizer: ingress.finalizer,
            going: ingress.going,
            version: ingress.version,
            shown: Vec::new(),
            bandwidth: tke_service_config::bandwidth_of_ingress(ingress),
        }
    }
}

impl Holder {
    /// What it says of its load balancer.
    pub fn words(&self) -> Words<'_> {
        Words {
            kind: self.owner.kind,
            namespace: &self.owner.object.namespace,
            name: &self.owner.object.name,
            annotations: &self.annotations,
        }
    }

    /// One of them.
    pub fn says(&self, word: Word) -> Option<&str> {
        self.words().get(word)
    }

    /// The key under which it says it.
    pub const fn key(&self, word: Word) -> &'static str {
        word.key(self.owner.kind)
    }

    /// Its namespace and name.
    pub const fn object(&self) -> &ObjectRef {
        &self.owner.object
    }

    /// The address that we put into its status.
    pub fn marked(&self) -> Option<&str> {
        let marked = self.annotations.get(names::SHOWN_ADDRESS);
        marked
            .filter(|_| self.owner.kind == Kind::Service)
            .map(String::as_str)
    }
}
