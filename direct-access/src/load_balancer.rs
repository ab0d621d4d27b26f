//! Which load balancer a Service or an Ingress is on: one that exists, or one that clb-gate makes for it.

use crate::exposure::Reason;
use crate::problem::Problem;
use crate::service::ServiceFacts;
use crate::settings::{Manage, Settings};
use crate::words::{Word, Words};

/// Which load balancer an exposure is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LoadBalancer {
    /// One that a user made and named.
    Existing(String),
    /// One that clb-gate makes and deletes. Its id is known once it was made; who acts on the id first
    /// sees in the CLB's tags that it was made for this object, because a user can type an annotation.
    Made(Option<String>),
}

impl LoadBalancer {
    /// Its id, where it has one already.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Existing(id) => Some(id),
            Self::Made(id) => id.as_deref(),
        }
    }
}

/// What the Service asks for, by its annotations and the level. What was made before the level was
/// lowered is served on: the finalizer tells.
pub(crate) fn asked_for(
    service: &ServiceFacts,
    settings: &Settings,
) -> Result<LoadBalancer, Reason> {
    said(&service.words(), service.finalizer, settings)
        .map_err(Reason::Unreadable)?
        .ok_or(Reason::NoLoadBalancer)
}

/// What an object of either kind says; `None` where it names none and the level makes none. `finalizer`:
/// whether one was made for it, or is being made.
pub(crate) fn said(
    words: &Words<'_>,
    finalizer: bool,
    settings: &Settings,
) -> Result<Option<LoadBalancer>, Box<Problem>> {
    if let Some(id) = words.get(Word::Existing) {
        return checked(words, id).map(|id| Some(LoadBalancer::Existing(id)));
    }
    if settings.manage < Manage::LoadBalancers && !finalizer {
        return Ok(None);
    }
    let id = words.get(Word::Id).filter(|id| well_formed(id));
    Ok(Some(LoadBalancer::Made(id.map(str::to_owned))))
}

fn checked(words: &Words<'_>, id: &str) -> Result<String, Box<Problem>> {
    if well_formed(id) {
        return Ok(id.to_owned());
    }
    let accepted = "accepted is a CLB's id: lb- and lower-case letters or digits, e.g. lb-abcd1234";
    Err(Box::new(words.problem(Word::Existing, id, accepted)))
}

/// Whether a text can be a CLB's id at all.
pub fn well_formed(id: &str) -> bool {
    id.strip_prefix("lb-").is_some_and(|rest| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !rest.is_empty() && rest.bytes().all(known)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::names;
    use crate::service::tests::service;

    fn unnamed(finalizer: bool, id: Option<&str>) -> ServiceFacts {
        let mut unnamed = service("web");
        unnamed.annotations.remove(names::EXISTING_LOAD_BALANCER);
        unnamed.finalizer = finalizer;
        let pair = id.map(|id| (names::LOAD_BALANCER_ID.to_owned(), id.to_owned()));
        unnamed.annotations.extend(pair);
        unnamed
    }

    #[rstest]
    #[case(Manage::Listeners, false, None, Err(Reason::NoLoadBalancer))]
    // Somebody typed the id: this level makes none, so there is nothing that could be ours.
    #[case(Manage::Listeners, false, Some("lb-1"), Err(Reason::NoLoadBalancer))]
    #[case(Manage::Backends, true, Some("lb-1"), Ok(Some("lb-1")))]
    #[case(Manage::LoadBalancers, false, None, Ok(None))]
    #[case(Manage::LoadBalancers, true, Some("lb-1"), Ok(Some("lb-1")))]
    #[case(Manage::LoadBalancers, true, Some("nonsense"), Ok(None))]
    fn what_is_made_depends_on_the_level_and_on_what_was_made(
        #[case] manage: Manage,
        #[case] finalizer: bool,
        #[case] id: Option<&str>,
        #[case] expected: Result<Option<&str>, Reason>,
    ) {
        let settings = Settings {
            manage,
            ..Settings::default()
        };
        let asked = asked_for(&unnamed(finalizer, id), &settings);
        let expected = expected.map(|id| LoadBalancer::Made(id.map(str::to_owned)));
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_named_load_balancer_is_never_made() {
        let settings = Settings {
            manage: Manage::LoadBalancers,
            ..Settings::default()
        };
        let asked = asked_for(&service("web"), &settings).unwrap();
        assert_eq!(asked, LoadBalancer::Existing("lb-abcd1234".to_owned()));
        assert_eq!(asked.id(), Some("lb-abcd1234"));
        assert_eq!(LoadBalancer::Made(None).id(), None);
    }
}
