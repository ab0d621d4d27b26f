//! Every annotation that TKE documents for Ingresses, and what becomes of it here; `docs/annotations.md`
//! is held to it by the same test as to those of Services.

use super::facts::IngressFacts;
use crate::annotations::{Annotation, Fate, ingress};
use crate::names::{DRAIN_SECONDS, ingress as own};
use crate::problem::Problem;

const PAID: Fate = Fate::Served("how_traffic_is_paid_for_is_read");
const OF_THE_CLB: Fate = Fate::Served("what_an_ingress_asks_of_a_clb_made_for_it_is_read");
const TOKEN: Fate = Fate::Served("a_plain_ingress_gets_a_public_one_with_both_tags_and_the_token");
const ELSEWHERE: Fate = Fate::Declined(
    "clb-gate binds pods in the CLB's own VPC; name a CLB set up for it with kubernetes.io/ingress.existLbId",
);
const KEPT: Fate = Fate::Declined(
    "a CLB that clb-gate makes goes with its Ingress; one of your own stays: name it with kubernetes.io/ingress.existLbId",
);
const REDIRECTED: Fate = Fate::Declined(
    "clb-gate makes no redirects, and forwards nothing over HTTP where this asks for one; make it in Tencent's console",
);
const REDIRECTS: Fate = Fate::Declined(
    "clb-gate makes no redirects and removes none; those that are made in Tencent's console stay",
);
const SPREAD: Fate = Fate::Served("http_rules_and_https_rules");

/// All of them.
pub const ANNOTATIONS: [Annotation; 35] = [
    ingress(
        own::CLASS_ANNOTATION,
        Fate::Served("the_class_is_ours_by_annotation_by_name_or_by_none"),
    ),
    ingress(
        own::EXISTING_LOAD_BALANCER,
        Fate::Served("existing_load_balancer_refused"),
    ),
    ingress(
        own::INTERNAL_SUBNET,
        Fate::Served("an_internal_one_is_in_its_subnet_and_pays_for_no_traffic"),
    ),
    ingress(own::CHARGE_TYPE, PAID),
    ingress(own::BANDWIDTH, PAID),
    ingress(
        own::EXTENSIVE_PARAMETERS,
        Fate::Served("extensive_parameters_are_ordered"),
    ),
    ingress(
        own::LOAD_BALANCER_ID,
        Fate::Served("one_is_made_where_the_level_makes_them"),
    ),
    ingress(own::CLIENT_TOKEN, TOKEN),
    ingress(own::RULE_MIX, SPREAD),
    ingress(own::RULE_MIX_BOTH, Fate::Served("rule_mix_both")),
    ingress(own::HTTP_RULES, SPREAD),
    ingress(own::HTTPS_RULES, SPREAD),
    ingress(own::DIRECT_ACCESS, Fate::Served("direct_access_refused")),
    ingress(
        own::TKE_SERVICE_CONFIG,
        Fate::Served("what_an_object_declares_holds_for_its_rules"),
    ),
    ingress(
        "ingress.cloud.tencent.com/tke-service-config-auto",
        Fate::Declined(
            "clb-gate makes no TkeServiceConfigs: without one a rule keeps what the CLB has; make one yourself, or copy TKE's under another name, and name it in ingress.cloud.tencent.com/tke-service-config",
        ),
    ),
    ingress(own::LISTEN_PORTS, Fate::Served("listen_ports")),
    ingress(own::CERTIFICATE, Fate::Served("certificate")),
    ingress(
        own::MODE,
        Fate::Served("what_belongs_to_others_is_left_alone_without_a_word"),
    ),
    ingress(own::AUTO_REWRITE, REDIRECTED),
    ingress("ingress.cloud.tencent.com/rewrite-support", REDIRECTS),
    ingress(
        "ingress.cloud.tencent.com/auto-rewrite-code",
        Fate::Ignored("clb-gate makes no redirects; auto-rewrite, which this belongs to, is told"),
    ),
    ingress(own::PASS_TO_TARGET, OF_THE_CLB),
    ingress(own::SECURITY_GROUPS, OF_THE_CLB),
    ingress(
        "ingress.cloud.tencent.com/modification-protection",
        Fate::Declined(
            "what people change on listeners of clb-gate is changed back; protect the CLB in Tencent's console",
        ),
    ),
    ingress("ingress.cloud.tencent.com/deletion-protection", KEPT),
    ingress("ingress.cloud.tencent.com/loadbalance-retain", KEPT),
    ingress(
        "ingress.cloud.tencent.com/enable-group",
        Fate::Ignored(
            "always on: Ingresses may share a CLB and its listeners; each host and path is the older one's",
        ),
    ),
    ingress(
        "ingress.cloud.tencent.com/mix-target-prefer",
        Fate::Declined("a CLB binds the addresses of its own family"),
    ),
    ingress(
        "ingress.cloud.tencent.com/enable-grace-shutdown",
        Fate::Ignored("always on: a pod that is going gets weight 0 first"),
    ),
    ingress(
        "ingress.cloud.tencent.com/enable-grace-shutdown-tkex",
        Fate::Ignored(
            "a pod that is not ready is judged by the CLB's own health check, which takes it out of service",
        ),
    ),
    ingress(
        own::GRACE_DELETION,
        Fate::Served("the_annotation_counts_before_tkes_switch"),
    ),
    ingress(
        DRAIN_SECONDS,
        Fate::Served("drain_seconds_are_5_to_3600_and_30_otherwise"),
    ),
    ingress(
        "ingress.cloud.tencent.com/lb-rs-weight",
        Fate::Declined("weights are set on pods: ingress.cloud.tencent.com/custom-weight"),
    ),
    ingress("ingress.cloud.tencent.com/cross-region-id", ELSEWHERE),
    ingress("ingress.cloud.tencent.com/cross-vpc-id", ELSEWHERE),
];

/// Whether an annotation of an Ingress bears on anything here; everything else is pruned.
pub(super) fn matters(key: &str) -> bool {
    own::ANNOTATIONS.contains(&key) || declined(key).is_some()
}

/// What of an Ingress's annotations is asked for and not done.
pub(super) fn problems(ingress: &IngressFacts) -> Vec<Problem> {
    let all = ingress.annotations.iter();
    all.filter_map(|(key, value)| {
        let why = declined(key)?;
        // `"false"` asks for nothing.
        if value == "false" {
            return None;
        }
        let accepted = format!("clb-gate does not do this: {why}");
        Some(ingress.annotation_problem(key, value, &accepted))
    })
    .collect()
}

fn declined(key: &str) -> Option<&'static str> {
    let known = ANNOTATIONS.iter().find(|one| one.key == key)?;
    match known.fate {
        Fate::Declined(why) => Some(why),
        Fate::Served(_) | Fate::Ignored(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(pairs: &[(&str, &str)]) -> IngressFacts {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        IngressFacts {
            annotations: pairs.iter().map(pair).collect(),
            ..IngressFacts::default()
        }
    }

    #[test]
    fn what_is_declined_is_told_with_its_reason() {
        assert_eq!(problems(&asking(&[])), []);
        let told = problems(&asking(&[
            ("ingress.cloud.tencent.com/loadbalance-retain", "true"),
            ("ingress.cloud.tencent.com/deletion-protection", "false"),
            ("ingress.cloud.tencent.com/enable-group", "true"),
            (own::DIRECT_ACCESS, "true"),
        ]));
        assert_eq!(told.len(), 1);
        let told = told[0].to_string();
        assert!(
            told.contains("loadbalance-retain") && told.contains("existLbId"),
            "{told}"
        );
        assert!(!matters("example.com/other") && matters(own::CERTIFICATE));
    }
}
