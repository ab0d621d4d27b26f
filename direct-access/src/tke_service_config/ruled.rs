//! What an object that an Ingress names declares of the Ingress's rules.

use super::fit::fit_rule;
use super::named::Configured;
use super::{L7Listener, L7Rule, NotApplied, TkeServiceConfig};
use crate::exposure::RulePath;
use crate::listener::ListenerParameters;
use crate::slot::Protocol;

/// A listener: what it speaks, and where.
pub(crate) type At = (Protocol, u16);

/// How the fields of layer-4 listeners begin: a Service is told of them.
const LAYER4: &str = "spec.loadBalancer.l4Listeners";

impl Configured<'_> {
    /// How a rule is set up, as far as the object says.
    pub(crate) fn of_rule(self, (protocol, port): At, path: &RulePath) -> ListenerParameters {
        let declared = self
            .config()
            .and_then(|config| declared(config, (protocol, port), path));
        declared
            .map(|rule| fit_rule(rule, protocol).0)
            .unwrap_or_default()
    }

    /// What of it is not applied to an Ingress that has these listeners and these rules.
    pub(crate) fn rules_not_applied(
        self,
        listeners: &[At],
        rules: &[(At, RulePath)],
    ) -> Vec<NotApplied> {
        let Some(read) = self.read() else {
            return vec![];
        };
        let of_layer7 = |one: &&NotApplied| !one.field.starts_with(LAYER4);
        let mut all: Vec<_> = read.told.iter().filter(of_layer7).cloned().collect();
        let has = |protocol: Protocol, port: u16| listeners.contains(&(protocol, port));
        all.extend(read.config.unmatched_l7(has));
        for (slot, listener) in &read.config.l7 {
            let at = (listener.protocol, slot.port);
            if !listeners.contains(&at) {
                continue;
            }
            all.extend(default_server(listener));
            let here: Vec<_> = rules
                .iter()
                .filter_map(|(place, path)| (*place == at).then_some(path))
                .collect();
            for ((domain, url), rule) in &listener.rules {
                for one in of_one(rule, (domain, url), at.0, &here) {
                    // What is of a domain is told once.
                    if !all.contains(&one) {
                        all.push(one);
                    }
                }
            }
        }
        all
    }
}

fn declared<'c>(
    config: &'c TkeServiceConfig,
    (protocol, port): At,
    path: &RulePath,
) -> Option<&'c L7Rule> {
    let domain = path.domain.as_deref().unwrap_or_default();
    let rule = |url: &str| config.rule(protocol, port, (domain, url));
    rule(&path.url).or_else(|| rule(path.url.strip_prefix('=')?))
}

/// An Ingress has a field of its own for it, and two that say it could not both hold.
fn default_server(listener: &L7Listener) -> Option<NotApplied> {
    Some(NotApplied {
        field: format!("{}.defaultServer", listener.field),
        value: listener.default_server.clone()?,
        why: "clb-gate takes it from the Ingress; name a backend in spec.defaultBackend".to_owned(),
    })
}

fn of_one(
    rule: &L7Rule,
    (domain, url): (&str, &str),
    protocol: Protocol,
    here: &[&RulePath],
) -> Vec<NotApplied> {
    let is = |path: &&&RulePath| {
        let exact = path.url.strip_prefix('=');
        path.domain.as_deref().unwrap_or_default() == domain
            && (path.url == url || exact == Some(url))
    };
    if here.iter().any(|path| is(&path)) {
        return fit_rule(rule, protocol).1;
    }
    vec![NotApplied {
        field: rule.field.clone(),
        value: format!("{domain}{url}"),
        why: "this Ingress has no such host and path on this listener; accepted are those of spec.rules, and an \
              empty domain for rules without a host"
            .to_owned(),
    }]
}
