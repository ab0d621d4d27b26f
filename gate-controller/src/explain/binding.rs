//! One binding of one pod: how it stands, and what is wrong with it. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use direct_access::Exposure;
use direct_access::condition::{ConditionReason, Observed};
use direct_access::gate::{Binding, BindingState};
use direct_access::listener::HealthCheck;

use super::detail::PodDetail;
use super::facts::Facts;
use super::finding::{At, Finding, OfBinding};
use super::judged::{Judged, place};
use super::probe::Probed;
use super::report::BindingLine;
use crate::desired::RuleKey;
use crate::judge::stand;
use crate::pod::PodRecord;
use crate::preview::Look;

/// Codes that a check accepts where it says nothing: all of them (API reference, `HttpCode`).
const ALL_CODES: i64 = 31;
/// What a server answers that does not know the path.
const NOT_FOUND: u16 = 404;
/// What begins the name of a listener's check by HTTP.
const HTTP: &str = "HTTP";

/// A pod among the facts.
pub(super) struct Subject<'a> {
    pub(super) facts: &'a Facts,
    pub(super) judged: &'a Judged,
    pub(super) pod: &'a PodRecord,
    pub(super) detail: &'a PodDetail,
    pub(super) probed: &'a BTreeMap<u16, Probed>,
}

/// How a binding stands.
pub(super) struct Stand {
    pub(super) line: BindingLine,
    /// `None`: neither the CLB nor the condition says.
    pub(super) state: Option<BindingState>,
    pub(super) finding: Option<Finding>,
    /// As the gate is judged by it.
    pub(super) binding: Binding,
}

impl Subject<'_> {
    /// `None`: the pod has no address yet.
    pub(super) fn stand(&self, exposure: &Exposure) -> Option<Stand> {
        let network = self.facts.world.settings.conclusion;
        let binding = stand(self.pod, exposure, &self.judged.views, network)?;
        let state = self.state(exposure, &binding);
        let at = At {
            place: binding.place.clone(),
            owner: exposure.owner.clone(),
        };
        Some(Stand {
            line: self.line(exposure, state.as_ref()),
            finding: self
                .finding(exposure, state.as_ref())
                .map(|found| Finding::Binding(at, found)),
            state,
            binding,
        })
    }

    pub(super) fn look(&self, exposure: &Exposure) -> Option<&Look> {
        self.facts.looked()?.look(exposure.load_balancer.id()?)
    }

    /// What the CLB shows counts first; what the API refused only the controller knows, which wrote it
    /// to the condition.
    fn state(&self, exposure: &Exposure, binding: &Binding) -> Option<BindingState> {
        let seen = match self.look(exposure) {
            Some(Look::There(_) | Look::Missing) => true,
            Some(Look::Unknown(_)) | None => false,
        };
        let condition = self.pod.condition.as_ref();
        let told = condition.and_then(|condition| said(condition, &binding.place));
        match (seen, &binding.state) {
            (true, BindingState::Missing) => match told {
                Some(BindingState::Held(why)) => Some(BindingState::Held(why)),
                _ => Some(BindingState::Missing),
            },
            (false, BindingState::Missing) => told,
            (false, BindingState::Held(_)) if self.unread(exposure).is_some() => told,
            (_, state) => Some(state.clone()),
        }
    }

    fn unread(&self, exposure: &Exposure) -> Option<&str> {
        match self.look(exposure)? {
            Look::Unknown(why) => Some(why),
            Look::Missing | Look::There(_) => None,
        }
    }

    fn line(&self, exposure: &Exposure, state: Option<&BindingState>) -> BindingLine {
        let address = self.pod.ip.zip(self.pod.port(&exposure.target));
        let id = exposure.load_balancer.id();
        let found = address.and_then(|address| place(&self.judged.views, exposure, address));
        let since = found.as_ref().and_then(|(place, _)| {
            let looked = self.facts.looked()?;
            looked.since(id?, place).map(str::to_owned)
        });
        let health = found.as_ref().and_then(|(place, _)| {
            let looked = self.facts.looked()?;
            looked.health_of(id?, place)
        });
        BindingLine {
            for_object: exposure.owner.to_string(),
            load_balancer: id.map(str::to_owned),
            listener: format!("{}:{}", exposure.protocol, exposure.port),
            listener_id: found.map(|(place, _)| place.listener),
            rule: exposure
                .rule
                .as_ref()
                .map(|rule| RuleKey::of(rule).to_string()),
            target: address.map(|(ip, port)| SocketAddr::new(ip, port).to_string()),
            bound: state.map(bound),
            bound_since: since.filter(|_| state.is_some_and(bound)),
            health: health
                .map(|health| format!("{health:?}"))
                .or_else(|| state.and_then(word)),
        }
    }

    fn finding(&self, exposure: &Exposure, state: Option<&BindingState>) -> Option<OfBinding> {
        if let Some(Look::Missing) = self.look(exposure)
            && let Some(id) = exposure.load_balancer.id()
        {
            let region = self.facts.looked().map(|looked| &looked.sighting.region);
            let region = region.cloned().unwrap_or_default();
            return Some(OfBinding::LoadBalancerGone(id.to_owned(), region));
        }
        let Some(state) = state else {
            let why = self.unread(exposure);
            return Some(why.map_or(OfBinding::NotKnown, |why| {
                OfBinding::LoadBalancerUnread(why.to_owned())
            }));
        };
        Some(match state {
            BindingState::Healthy | BindingState::Unchecked => return None,
            BindingState::Missing => OfBinding::NotBoundYet,
            BindingState::Held(why) => OfBinding::Held(why.clone()),
            BindingState::Registered("Dead") => self.dead(exposure),
            BindingState::Registered(CLOSE) => OfBinding::Stopped,
            BindingState::Registered(word) => OfBinding::Checking(word),
        })
    }

    /// Why a check does not pass: by what the pod answered where it was asked, else by what it declares.
    fn dead(&self, exposure: &Exposure) -> OfBinding {
        let Some(port) = self.pod.port(&exposure.target) else {
            return OfBinding::NotKnown;
        };
        let wrong = || OfBinding::WrongPort(port, self.detail.ports.clone());
        let http = self.http(exposure);
        let own = self.detail.asks.iter().find(|asks| asks.port == port);
        match (self.probed.get(&port), http) {
            (Some(Probed::Refused), _) => wrong(),
            (Some(Probed::Answered(code)), Some(check)) if !accepts(&check, *code) => {
                OfBinding::PathAnswers(asked(&check), *code, accepted(&check))
            }
            (Some(Probed::Answered(_)), _) => OfBinding::NoAnswer(port),
            _ if !self.detail.may_serve(port) => wrong(),
            (_, Some(check))
                if !accepts(&check, NOT_FOUND)
                    && own.is_some_and(|own| own.path != path(&check)) =>
            {
                let own = own.map(|own| own.path.clone()).unwrap_or_default();
                OfBinding::PathDiffers(asked(&check), own)
            }
            _ => OfBinding::NoAnswer(port),
        }
    }

    /// The health check, where it asks by HTTP.
    pub(super) fn http(&self, exposure: &Exposure) -> Option<HealthCheck> {
        let address = (self.pod.ip?, self.pod.port(&exposure.target)?);
        let found = place(&self.judged.views, exposure, address);
        let seen = found.and_then(|(place, listener)| match place.rule {
            None => listener.parameters.health_check,
            Some(id) => {
                let mut rules = listener.rules.into_iter();
                rules.find(|rule| rule.id == id)?.parameters.health_check
            }
        });
        let check = seen.or_else(|| exposure.parameters.health_check.clone());
        let check = check.unwrap_or_default();
        let kind = check.check_type.as_deref();
        let by_http = match kind {
            Some(kind) => kind.eq_ignore_ascii_case(HTTP),
            // A rule is checked by HTTP where nothing else is said; a listener is not.
            None => exposure.rule.is_some(),
        };
        by_http.then_some(check)
    }
}

/// As [`crate::view`] has it.
const CLOSE: &str = "Close (listener stopped)";
const WORDS: [&str; 4] = ["Dead", "Unknown", CLOSE, "nothing yet"];

/// What the gate's condition says of a place.
fn said(condition: &Observed, place: &str) -> Option<BindingState> {
    let is = |reason: ConditionReason| condition.reason == reason.as_str();
    if condition.is_true() && !is(ConditionReason::DeadlineOver) {
        return condition
            .message
            .contains(place)
            .then_some(BindingState::Healthy);
    }
    let (_, observed) = condition.message.split_once(&format!("{place}: "))?;
    if is(ConditionReason::Held) {
        return Some(BindingState::Held(observed.to_owned()));
    }
    if is(ConditionReason::WaitingForBinding) || observed == "not bound yet" {
        return Some(BindingState::Missing);
    }
    let word = WORDS.into_iter().find(|word| observed.ends_with(word));
    Some(BindingState::Registered(word.unwrap_or("Unknown")))
}

fn bound(state: &BindingState) -> bool {
    match state {
        BindingState::Healthy | BindingState::Unchecked | BindingState::Registered(_) => true,
        BindingState::Missing | BindingState::Held(_) => false,
    }
}

fn word(state: &BindingState) -> Option<String> {
    match state {
        BindingState::Healthy => Some("Alive".to_owned()),
        BindingState::Unchecked => Some("not checked".to_owned()),
        BindingState::Registered(word) => Some((*word).to_owned()),
        BindingState::Missing | BindingState::Held(_) => None,
    }
}

/// The path that a check asks for.
pub(super) fn path(check: &HealthCheck) -> String {
    let path = check.http_check_path.clone();
    path.filter(|path| !path.is_empty())
        .unwrap_or_else(|| "/".to_owned())
}

fn asked(check: &HealthCheck) -> String {
    // HEAD is what the API's reference gives as the default.
    let method = check.http_check_method.as_deref().unwrap_or("HEAD");
    format!("{method} {}", path(check))
}

fn accepts(check: &HealthCheck, code: u16) -> bool {
    let class = i64::from(code / 100) - 1;
    let mask = check.http_code.unwrap_or(ALL_CODES);
    (0..5).contains(&class) && mask & (1 << class) != 0
}

fn accepted(check: &HealthCheck) -> String {
    let mask = check.http_code.unwrap_or(ALL_CODES);
    let classes = (0..5).filter(|class| mask & (1 << class) != 0);
    let classes: Vec<_> = classes.map(|class| format!("{}xx", class + 1)).collect();
    classes.join(", ")
}
