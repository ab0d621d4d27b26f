//! What load balancers still hold of a pod that is going. Pure.

use std::fmt;

use direct_access::Exposure;

use super::binding::Subject;
use super::judged::place;
use crate::plan::ObservedListener;
use crate::preview::Look;

/// One of a going pod's bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Load balancer, listener, rule and target.
    pub place: String,
    /// How it stands.
    pub stands: Stands,
}

/// How a binding of a going pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It gets new connections still.
    Weighs(u8),
    /// It gets none.
    Drains,
    /// It is not there any more.
    Away,
    /// Nobody asked the CLB.
    NotKnown,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, stands } = self;
        match stands {
            Stands::Weighs(weight) => write!(f, "{place} still has weight {weight}"),
            Stands::Drains => write!(f, "{place} has weight 0 and gets no new connections"),
            Stands::Away => write!(f, "{place} is away already"),
            Stands::NotKnown => write!(f, "{place}: not known, the CLB was not read"),
        }
    }
}

impl Subject<'_> {
    /// What is left of the pod, exposure by exposure.
    pub(super) fn left(&self, mine: &[&Exposure]) -> Vec<Left> {
        let one = |exposure: &&Exposure| {
            let stand = self.stand(exposure)?;
            Some(Left {
                place: stand.binding.place,
                stands: self.stands(exposure),
            })
        };
        mine.iter().filter_map(one).collect()
    }

    fn stands(&self, exposure: &Exposure) -> Stands {
        match self.look(exposure) {
            None | Some(Look::Unknown(_)) => return Stands::NotKnown,
            Some(Look::Missing) => return Stands::Away,
            Some(Look::There(_)) => {}
        }
        match self.weight(exposure) {
            None => Stands::Away,
            Some(0) => Stands::Drains,
            Some(weight) => Stands::Weighs(weight),
        }
    }

    /// The weight of its target, where there is one and it is this pod's own.
    fn weight(&self, exposure: &Exposure) -> Option<u8> {
        let address = (self.pod.ip?, self.pod.port(&exposure.target)?);
        let (place, listener) = place(&self.judged.views, exposure, address)?;
        let own = |listener: &ObservedListener| {
            let mut all = listener.places();
            let (_, target) = all.find(|(there, _)| *there == place)?;
            let tag = target.tag.as_ref()?;
            (tag.pod_uid == self.pod.uid).then_some(target.weight)
        };
        own(&listener)
    }
}
