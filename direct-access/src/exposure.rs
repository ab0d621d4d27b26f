//! What is ours: [`exposures()`] judges one Service. Webhook and controller ask nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::annotations;
use crate::attributes::attributes;
use crate::certificate::CertificateRef;
use crate::deadline::deadline;
use crate::drain::{Drain, drain};
use crate::listener::ListenerParameters;
use crate::load_balancer::{self, LoadBalancer};
use crate::names;
use crate::network::Mode;
use crate::owner::Owner;
use crate::problem::{Code, Problem};
use crate::service::{ObjectRef, ServiceFacts, TargetPort};
use crate::settings::{Network, Ownership, Settings};
use crate::slot::{Protocol, Slot};
use crate::specify_protocol::{SpokenPort, spoken};
use crate::tke_service_config::Configured;

/// One direct-access Service port or Ingress path that selects pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Who asks for it: the Service, or an Ingress that leads to it.
    pub owner: Owner,
    /// The Service whose selector selects the pods.
    pub service: ObjectRef,
    /// The load balancer it is on.
    pub load_balancer: LoadBalancer,
    /// What the listener speaks.
    pub protocol: Protocol,
    /// The listener's port on the load balancer.
    pub port: u16,
    /// The rule of the listener, at layer 7.
    pub rule: Option<Rule>,
    /// The pods' port.
    pub target: TargetPort,
    /// Which pods: never empty.
    pub selector: BTreeMap<String, String>,
    /// How to create the listener where there is none.
    pub parameters: ListenerParameters,
    /// After this long a pod does not wait for it any more; for ever without.
    pub deadline: Option<Duration>,
    /// How its pods leave it.
    pub drain: Drain,
}

/// A rule of a layer-7 listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Host and path.
    pub path: RulePath,
    /// It gets the requests for hosts that have no rule.
    pub default: bool,
    /// What clients are shown; only over HTTPS, and even there it may be missing.
    pub certificate: Option<CertificateRef>,
}

/// Host and path: what tells the rules of a listener apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RulePath {
    /// The host; the CLB's own address where none is named.
    pub domain: Option<String>,
    /// The path as the CLB writes it: beginning with `/`, or with `=/` where it must match exactly.
    pub url: String,
}

impl fmt::Display for RulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, url } = self;
        write!(f, "{}{url}", domain.as_deref().unwrap_or_default())
    }
}

impl Exposure {
    /// Where its listener sits on the load balancer.
    pub const fn slot(&self) -> Slot {
        self.protocol.at(self.port)
    }
}

/// What [`exposures()`] says of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Ours.
    Served(Served),
    /// Not ours, or not readable as ours.
    NotOurs(Reason),
}

/// A Service that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// At least one.
    pub exposures: Vec<Exposure>,
    /// What of it could not be served, for its Events.
    pub problems: Vec<Problem>,
    /// Ports that cannot be read: what is there on the CLB stays as it is.
    pub held: Vec<Slot>,
    /// Listeners of which a host cannot be read: what is there of running pods stays until it can.
    pub incomplete: BTreeSet<Slot>,
}

/// Why a Service is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No `direct-access` annotation, or `"false"`.
    NotDirectAccess,
    /// Not `type: LoadBalancer`.
    NotLoadBalancer,
    /// It is being deleted.
    Going,
    /// `spec.loadBalancerClass` names another controller.
    OtherLoadBalancerClass(String),
    /// TKE's own controller serves it: `mode: skip` is absent.
    ServedByTke,
    /// An empty selector selects nothing.
    NoSelector,
    /// It names no load balancer, and this level may not make one.
    NoLoadBalancer,
    /// It has no port that can be served.
    NoServablePort(Box<Problem>),
    /// It asks for direct access, but something in it cannot be read.
    Unreadable(Box<Problem>),
}

impl Reason {
    /// What the user should be told on the Service, if anything.
    pub fn problem(&self, service: &ServiceFacts) -> Option<Problem> {
        match self {
            Self::Unreadable(problem) | Self::NoServablePort(problem) => Some(Problem::clone(problem)),
            Self::NoSelector => Some(service.problem(
                "spec.selector",
                "",
                "direct access needs a selector; a Service without one selects no pods",
            )),
            Self::NoLoadBalancer => Some(service.annotation_problem(
                names::EXISTING_LOAD_BALANCER,
                "",
                "name the existing CLB, e.g. lb-abcd1234; this installation does not create CLBs \
                 (setting manage: loadbalancers does)",
            )),
            Self::NotLoadBalancer => Some(service.problem(
                "spec.type",
                "not LoadBalancer",
                "direct access needs type: LoadBalancer",
            )),
            // No other controller will serve it, so silence would leave the user waiting.
            Self::NotDirectAccess if service.names_our_class() => Some(service.annotation_problem(
                names::DIRECT_ACCESS,
                service.annotation(names::DIRECT_ACCESS).unwrap_or_default(),
                r#"loadBalancerClass clb-gate.io/clb needs "true": clb-gate only forwards to pods directly"#,
            )),
            Self::NotDirectAccess
            | Self::Going
            | Self::OtherLoadBalancerClass(_)
            | Self::ServedByTke => None,
        }
    }

    /// Whether what this Service already has in the CLB stays as it is until the user mends it: a typing
    /// error must not take a running workload out of its load balancer.
    pub fn holds(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::NoServablePort(_) => true,
            Self::NotDirectAccess
            | Self::NotLoadBalancer
            | Self::Going
            | Self::OtherLoadBalancerClass(_)
            | Self::ServedByTke
            | Self::NoSelector
            | Self::NoLoadBalancer => false,
        }
    }

    /// The reason's name in logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotDirectAccess => "not_direct_access",
            Self::NotLoadBalancer => "not_load_balancer",
            Self::Going => "going",
            Self::OtherLoadBalancerClass(_) => "other_load_balancer_class",
            Self::ServedByTke => "served_by_tke",
            Self::NoSelector => "no_selector",
            Self::NoLoadBalancer => "no_load_balancer",
            Self::NoServablePort(_) => "no_servable_port",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// Judges one Service: the only place that decides what is ours.
pub fn exposures(service: &ServiceFacts, settings: &Settings) -> Judgement {
    match judge(service, settings) {
        Ok(served) => Judgement::Served(served),
        Err(reason) => Judgement::NotOurs(reason),
    }
}

fn judge(service: &ServiceFacts, settings: &Settings) -> Result<Served, Reason> {
    if service.going {
        return Err(Reason::Going);
    }
    let switch = service.annotation(names::DIRECT_ACCESS);
    let switch = switch.unwrap_or_else(|| unsaid(settings));
    if switch == "false" {
        return Err(Reason::NotDirectAccess);
    }
    if let Some(class) = &service.load_balancer_class
        && !service.names_our_class()
    {
        return Err(Reason::OtherLoadBalancerClass(class.clone()));
    }
    let skipped = service.annotation(names::MODE) == Some("skip");
    if settings.ownership == Ownership::SkippedByTke && !skipped {
        return Err(Reason::ServedByTke);
    }
    if switch != "true" {
        let accepted = r#"accepted are "true" and "false""#;
        let problem = service.annotation_problem(names::DIRECT_ACCESS, switch, accepted);
        return Err(Reason::Unreadable(Box::new(
            problem.coded(Code::DirectAccessValue),
        )));
    }
    if !service.load_balancer_type {
        return Err(Reason::NotLoadBalancer);
    }
    if service.selector.is_empty() {
        return Err(Reason::NoSelector);
    }
    let load_balancer = load_balancer::asked_for(service, settings)?;
    let parameters = parameters(service)?;
    by_port(service, &load_balancer, &parameters, settings)
}

/// What an absent annotation says. A serverless cluster has no node to forward to: it is direct unless
/// the Service says otherwise. Only where the setting names it: concluded from the nodes, it would end
/// with the first ordinary node, and with it every load balancer made for such a Service.
fn unsaid(settings: &Settings) -> &'static str {
    match settings.network {
        Network::Named(Mode::Serverless) => "true",
        Network::Auto
        | Network::Named(Mode::VpcCni | Mode::Mixed | Mode::GlobalRouter | Mode::Routable) => {
            "false"
        }
    }
}

fn parameters(service: &ServiceFacts) -> Result<ListenerParameters, Reason> {
    let Some(text) = service.annotation(names::LISTENER_PARAMETERS) else {
        return Ok(ListenerParameters::default());
    };
    ListenerParameters::parse(text)
        .map_err(|why| service.unreadable(names::LISTENER_PARAMETERS, text, &why))
}

fn by_port(
    service: &ServiceFacts,
    load_balancer: &LoadBalancer,
    parameters: &ListenerParameters,
    settings: &Settings,
) -> Result<Served, Reason> {
    let spoken = spoken(service, parameters)?;
    let configured = Configured::of(service);
    let deadline = deadline(service);
    let (drain, bad_drain) = drain(&service.words(), settings);
    let ports: Vec<_> = spoken
        .ports
        .iter()
        .map(|one| (one.protocol, one.port))
        .collect();
    let not_applied = configured.not_applied(parameters, &ports, &spoken.held);
    let exposure = |one: &SpokenPort, rule: Option<Rule>| Exposure {
        owner: service.owner(),
        service: service.object(),
        load_balancer: load_balancer.clone(),
        protocol: one.protocol,
        port: one.port,
        target: one.target.clone(),
        selector: service.selector.clone(),
        deadline: deadline.as_ref().ok().copied().flatten(),
        drain,
        parameters: match &rule {
            Some(_) => parameters.of(one.protocol).forwarding(),
            None => configured.over(parameters.of(one.protocol), one.protocol, one.port),
        },
        rule,
    };
    let of_port = |one: &SpokenPort| -> Vec<_> {
        if one.rules.is_empty() {
            return vec![exposure(one, None)];
        }
        let rules = one.rules.iter().cloned();
        rules.map(|rule| exposure(one, Some(rule))).collect()
    };
    let served = Served {
        exposures: spoken.ports.iter().flat_map(of_port).collect(),
        problems: [
            spoken.problems,
            annotations::problems(service),
            attributes(&service.words(), load_balancer).1,
            configured.told(not_applied, load_balancer),
            deadline
                .clone()
                .err()
                .map(|problem| *problem)
                .into_iter()
                .collect(),
            bad_drain,
        ]
        .concat(),
        held: spoken.held,
        incomplete: spoken.incomplete,
    };
    if served.exposures.is_empty() {
        let first = served.problems.into_iter().next();
        let problem = first.unwrap_or_else(|| {
            service.problem("spec.ports", "", "at least one TCP or UDP port is needed")
        });
        return Err(Reason::NoServablePort(Box::new(problem)));
    }
    Ok(served)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::network::{ClusterFacts, NodeCounts};
    use crate::service::PortFacts;
    use crate::service::tests::service;
    use crate::settings::Manage;

    fn judged(service: &ServiceFacts) -> Judgement {
        exposures(service, &Settings::default())
    }

    fn reason(service: &ServiceFacts) -> Reason {
        match judged(service) {
            Judgement::NotOurs(reason) => reason,
            Judgement::Served(served) => panic!("served: {served:?}"),
        }
    }

    #[test]
    fn a_direct_access_service_is_served_port_by_port() {
        let mut ours = service("web");
        ours.ports.push(PortFacts {
            name: None,
            port: 443,
            protocol: "TCP".to_owned(),
            target: TargetPort::Name("https".to_owned()),
        });
        let Judgement::Served(served) = judged(&ours) else {
            panic!("not served")
        };
        let ports: Vec<_> = served
            .exposures
            .iter()
            .map(|e| (e.port, e.target.clone()))
            .collect();
        assert_eq!(
            ports,
            [
                (80, TargetPort::Number(8080)),
                (443, TargetPort::Name("https".to_owned()))
            ]
        );
        assert!(served.problems.is_empty());
    }

    #[test]
    fn each_host_of_a_layer_7_port_is_an_exposure() {
        let mut ours = service("web");
        let port = |port| PortFacts {
            port,
            ..service("web").ports[0].clone()
        };
        ours.ports.push(port(443));
        ours.ports.push(port(81));
        let mut say = |key: &str, text: &str| ours.annotations.insert(key.into(), text.into());
        say(
            names::SPECIFY_PROTOCOL,
            r#"{"80":{"protocol":["HTTP"],"hosts":{"a.com":{},"b.com":{}}},
                "443":{"protocol":["HTTPS"],"hosts":{"a.com":{"tls":"cert"},"*.b.com":{}}}}"#,
        );
        say(
            names::LISTENER_PARAMETERS,
            r#"{"HealthCheck":{"IntervalTime":3,"CheckPort":81},"Scheduler":"LEAST_CONN","DeregisterTargetRst":true}"#,
        );
        let Judgement::Served(served) = judged(&ours) else {
            panic!("not served")
        };
        let shown = |one: &Exposure| {
            let rule = one.rule.as_ref().map(|rule| rule.path.to_string());
            let place = format!("{} {}", one.slot(), rule.unwrap_or_default());
            let check = one.parameters.health_check.clone().unwrap_or_default();
            let parameters = &one.parameters;
            assert_eq!(parameters.scheduler.as_deref(), Some("LEAST_CONN"));
            let reset = parameters.deregister_target_rst.is_some();
            (place, check.interval_time, check.check_port, reset)
        };
        let rule = |place: &str| (place.to_owned(), Some(3), None, false);
        let expected = [
            rule("TCP:80 a.com/"),
            rule("TCP:80 b.com/"),
            rule("TCP:443 a.com/"),
            ("TCP:81 ".to_owned(), Some(3), Some(81), true),
        ];
        let shown: Vec<_> = served.exposures.iter().map(shown).collect();
        assert_eq!(shown, expected);
        assert_eq!(served.problems.len(), 1, "{:?}", served.problems);
        assert_eq!(served.incomplete, [Protocol::Https.at(443)].into());
        assert_eq!(served.held, []);
    }

    #[rstest]
    #[case(None, false)]
    #[case(Some("false"), false)]
    #[case(Some("yes"), true)]
    #[case(Some("True"), true)]
    #[case(Some(""), true)]
    fn only_true_switches_it_on(#[case] value: Option<&str>, #[case] told: bool) {
        let mut other = service("web");
        match value {
            None => other.annotations.remove(names::DIRECT_ACCESS),
            Some(value) => other
                .annotations
                .insert(names::DIRECT_ACCESS.to_owned(), value.to_owned()),
        };
        let reason = reason(&other);
        assert_eq!(reason.problem(&other).is_some(), told);
        assert_eq!(reason.holds(), told);
    }

    #[rstest]
    #[case(Mode::Serverless, None, true)]
    #[case(Mode::Serverless, Some("true"), true)]
    #[case(Mode::Serverless, Some("false"), false)]
    #[case(Mode::VpcCni, None, false)]
    #[case(Mode::Mixed, None, false)]
    #[case(Mode::GlobalRouter, None, false)]
    #[case(Mode::Routable, None, false)]
    fn a_serverless_cluster_is_direct_unless_the_service_says_otherwise(
        #[case] mode: Mode,
        #[case] value: Option<&str>,
        #[case] direct: bool,
    ) {
        let (settings, _) =
            Settings::parse(&[("network".to_owned(), mode.as_str().to_owned())].into());
        let mut other = service("web");
        other.annotations.remove(names::DIRECT_ACCESS);
        let value = value.map(|value| (names::DIRECT_ACCESS.to_owned(), value.to_owned()));
        other.annotations.extend(value);
        let judged = exposures(&other, &settings);
        assert_eq!(matches!(judged, Judgement::Served(_)), direct);
    }

    #[test]
    fn nodes_alone_switch_no_service_on() {
        let mut settings = Settings::default();
        settings.conclude(&ClusterFacts {
            tke: Some(BTreeMap::new()),
            nodes: NodeCounts {
                super_nodes: 1,
                ..NodeCounts::default()
            },
        });
        assert_eq!(settings.conclusion.mode, Mode::Serverless);
        let mut other = service("web");
        other.annotations.remove(names::DIRECT_ACCESS);
        let judged = exposures(&other, &settings);
        assert_eq!(judged, Judgement::NotOurs(Reason::NotDirectAccess));
    }

    #[test]
    fn a_problem_names_object_field_value_and_what_is_accepted() {
        let mut other = service("web");
        other
            .annotations
            .insert(names::DIRECT_ACCESS.to_owned(), "yes".to_owned());
        let text = reason(&other).problem(&other).unwrap().to_string();
        for part in [
            "shop/web",
            names::DIRECT_ACCESS,
            "\"yes\"",
            "\"true\" and \"false\"",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_belongs_to_others_is_left_alone_without_a_word() {
        let mut other = service("web");
        other.load_balancer_class = Some("example.com/lb".to_owned());
        assert_eq!(
            reason(&other),
            Reason::OtherLoadBalancerClass("example.com/lb".to_owned())
        );
        assert_eq!(reason(&other).problem(&other), None);
        let beside_tke = Settings {
            ownership: Ownership::SkippedByTke,
            ..Settings::default()
        };
        let mut ours = service("web");
        assert_eq!(
            exposures(&ours, &beside_tke),
            Judgement::NotOurs(Reason::ServedByTke)
        );
        ours.annotations
            .insert(names::MODE.to_owned(), "skip".to_owned());
        assert!(matches!(
            exposures(&ours, &beside_tke),
            Judgement::Served(_)
        ));
    }

    #[test]
    fn an_empty_selector_selects_nothing() {
        let mut other = service("web");
        other.selector.clear();
        assert_eq!(reason(&other), Reason::NoSelector);
    }

    #[rstest]
    #[case("lb-")]
    #[case("LB-abcd1234")]
    #[case("lb-abcd 1234")]
    #[case("demo")]
    fn a_load_balancer_id_is_checked(#[case] id: &str) {
        let mut other = service("web");
        other
            .annotations
            .insert(names::EXISTING_LOAD_BALANCER.to_owned(), id.to_owned());
        assert!(matches!(reason(&other), Reason::Unreadable(_)));
    }

    #[test]
    fn without_a_load_balancer_it_is_not_ours() {
        let mut other = service("web");
        other.annotations.remove(names::EXISTING_LOAD_BALANCER);
        assert_eq!(reason(&other), Reason::NoLoadBalancer);
    }

    #[test]
    fn tcp_and_udp_on_one_port_are_two_exposures() {
        let mut dns = service("dns");
        let udp = PortFacts {
            protocol: "UDP".to_owned(),
            ..dns.ports[0].clone()
        };
        dns.ports.push(udp);
        let Judgement::Served(served) = judged(&dns) else {
            panic!("not served")
        };
        let slots: Vec<_> = served.exposures.iter().map(Exposure::slot).collect();
        assert_eq!(slots, [Protocol::Tcp.at(80), Protocol::Udp.at(80)]);
        assert!(served.problems.is_empty());
    }

    #[test]
    fn sctp_is_told_and_the_other_ports_served() {
        let mut mixed = service("web");
        let target = TargetPort::Number(36412);
        mixed.ports.push(PortFacts {
            name: None,
            port: 36412,
            protocol: "SCTP".to_owned(),
            target,
        });
        let Judgement::Served(served) = judged(&mixed) else {
            panic!("not served")
        };
        assert_eq!(served.exposures.len(), 1);
        let text = served.problems[0].to_string();
        assert!(text.contains("spec.ports[port=36412].protocol"), "{text}");
        mixed.ports.remove(0);
        assert!(matches!(reason(&mixed), Reason::NoServablePort(_)));
    }

    #[test]
    fn our_class_is_ours_and_needs_the_switch() {
        let mut ours = service("web");
        ours.load_balancer_class = Some(names::LOAD_BALANCER_CLASS.to_owned());
        assert!(matches!(judged(&ours), Judgement::Served(_)));
        ours.annotations.remove(names::DIRECT_ACCESS);
        assert_eq!(reason(&ours), Reason::NotDirectAccess);
        assert!(reason(&ours).problem(&ours).is_some());
    }

    #[test]
    fn at_the_highest_level_a_load_balancer_is_made() {
        let mut unnamed = service("web");
        unnamed.annotations.remove(names::EXISTING_LOAD_BALANCER);
        let settings = Settings {
            manage: Manage::LoadBalancers,
            ..Settings::default()
        };
        let Judgement::Served(served) = exposures(&unnamed, &settings) else {
            panic!("not served")
        };
        assert_eq!(served.exposures[0].load_balancer, LoadBalancer::Made(None));
    }

    #[test]
    fn bad_listener_parameters_hold_the_service() {
        let mut other = service("web");
        let bad = r#"{"HealthCheck":{"HealthNum":1}}"#;
        other
            .annotations
            .insert(names::LISTENER_PARAMETERS.to_owned(), bad.to_owned());
        assert!(reason(&other).holds());
    }

    #[test]
    fn a_going_service_lets_go() {
        let mut other = service("web");
        other.going = true;
        assert_eq!(reason(&other), Reason::Going);
        assert!(!reason(&other).holds());
    }
}
