//! What a Service and an Ingress both say of their load balancer, each under keys of its own.

use std::collections::BTreeMap;

use crate::names::{self, ingress};
use crate::owner::{Kind, Owner};
use crate::problem::Problem;
use crate::service::ObjectRef;

/// An annotation that both kinds have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The existing CLB to use.
    Existing,
    /// The id of the CLB that is made for it; written by the controller.
    Id,
    /// The token that makes a repeated order the same one; written by the controller.
    ClientToken,
    /// The subnet of an internal CLB.
    Subnet,
    /// How a public CLB's traffic is paid for.
    ChargeType,
    /// Mbit/s of a public CLB.
    Bandwidth,
    /// Extra `CreateLoadBalancer` parameters.
    Extensive,
    /// The security groups of a CLB that we make.
    SecurityGroups,
    /// Whether they alone are asked.
    PassToTarget,
}

/// An object as the one that says them.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
}

impl Word {
    /// Its key on an object of this kind.
    pub const fn key(self, kind: Kind) -> &'static str {
        match kind {
            Kind::Service => self.of_service(),
            Kind::Ingress => self.of_ingress(),
        }
    }

    const fn of_service(self) -> &'static str {
        match self {
            Self::Existing => names::EXISTING_LOAD_BALANCER,
            Self::Id => names::LOAD_BALANCER_ID,
            Self::ClientToken => names::CLIENT_TOKEN,
            Self::Subnet => names::INTERNAL_SUBNET,
            Self::ChargeType => names::CHARGE_TYPE,
            Self::Bandwidth => names::BANDWIDTH,
            Self::Extensive => names::EXTENSIVE_PARAMETERS,
            Self::SecurityGroups => names::SECURITY_GROUPS,
            Self::PassToTarget => names::PASS_TO_TARGET,
        }
    }

    const fn of_ingress(self) -> &'static str {
        match self {
            Self::Existing => ingress::EXISTING_LOAD_BALANCER,
            Self::Id => ingress::LOAD_BALANCER_ID,
            Self::ClientToken => ingress::CLIENT_TOKEN,
            Self::Subnet => ingress::INTERNAL_SUBNET,
            Self::ChargeType => ingress::CHARGE_TYPE,
            Self::Bandwidth => ingress::BANDWIDTH,
            Self::Extensive => ingress::EXTENSIVE_PARAMETERS,
            Self::SecurityGroups => ingress::SECURITY_GROUPS,
            Self::PassToTarget => ingress::PASS_TO_TARGET,
        }
    }
}

impl<'a> Words<'a> {
    /// The annotation's key on this object: an older one where that is there and the newer is absent.
    pub fn key(&self, word: Word) -> &'static str {
        let key = word.key(self.kind);
        if self.annotations.contains_key(key) {
            return key;
        }
        let older = names::OLDER.iter().find(|(newer, _)| *newer == key);
        let there = older.filter(|(_, older)| self.annotations.contains_key(*older));
        there.map_or(key, |(_, older)| older)
    }

    /// The annotation's value.
    pub fn get(&self, word: Word) -> Option<&'a str> {
        self.annotations.get(self.key(word)).map(String::as_str)
    }

    /// The object.
    pub fn owner(&self) -> Owner {
        Owner {
            kind: self.kind,
            object: ObjectRef {
                namespace: self.namespace.to_owned(),
                name: self.name.to_owned(),
            },
        }
    }

    /// A problem of the annotation.
    pub fn problem(&self, word: Word, value: &str, accepted: &str) -> Problem {
        self.owner()
            .annotation_problem(self.key(word), value, accepted)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::service::ServiceFacts;

    #[rstest]
    #[case(None, None, None)]
    #[case(None, Some("5"), Some("5"))]
    #[case(Some("6"), None, Some("6"))]
    #[case(Some("6"), Some("5"), Some("6"))]
    fn an_older_name_counts_where_the_newer_is_absent(
        #[case] newer: Option<&str>,
        #[case] older: Option<&str>,
        #[case] counts: Option<&str>,
    ) {
        for (word, before) in [
            (Word::ChargeType, names::OLDER_CHARGE_TYPE),
            (Word::Bandwidth, names::OLDER_BANDWIDTH),
        ] {
            let key = word.key(Kind::Service);
            let all = [(key, newer), (before, older)];
            let given: BTreeMap<_, _> = all
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect();
            let whole = serde_json::json!({"metadata": {"name": "web", "annotations": given}});
            let service = ServiceFacts::prune(serde_json::from_value(whole).unwrap());
            let words = service.words();
            assert_eq!(words.get(word), counts);
            // What is wrong with it is told where it stands.
            let stands = if newer.is_none() && older.is_some() {
                before
            } else {
                key
            };
            let told = words.problem(word, "", "").field;
            assert_eq!(told, format!("metadata.annotations[{stands}]"));
        }
    }
}
