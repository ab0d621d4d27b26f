//! What an account or a load balancer must have before it takes a pod's address, told with the API's
//! refusal: the API names a parameter, and the user must order a feature. Pure.
//!
//! The API's reference lists no code for these refusals, so its words are searched; and where a
//! `GlobalRouter` pod was refused in other words, all that its mode needs is named.

use clb::Kind;
use direct_access::network::{Conclusion, Mode};

/// Words of a refusal as [`words`] leaves them, and what they ask for.
const BY_WORD: [(&str, &str); 7] = [
    (" snatpro ", SNAT_PRO),
    (" snat pro ", SNAT_PRO),
    (" ccn ", CCN),
    (" cloud connect network ", CCN),
    (" bill by cvm ", ACCOUNT),
    (" traditional account ", ACCOUNT),
    (" account type ", ACCOUNT),
];

const ACCOUNT: &str = "the account must be billed by IP (a bill-by-CVM account can be upgraded)";
const SNAT_PRO: &str =
    "SNAT Pro must be open to the account and on for this CLB (ask for it by a ticket)";
const CCN: &str = "the VPC must be in a CCN, and the cluster's container CIDR registered in it \
                   (the cluster's basic information, CCN)";
const GLOBAL_ROUTER: &str = "a GlobalRouter pod as target needs an account that is billed by IP, SNAT Pro open \
                             to it, and the cluster's container CIDR registered in a CCN that the VPC is in";

/// What is missing where a target was refused with these words, as far as it can be told.
pub(super) fn of_target(kind: Kind, refusal: &str, network: Conclusion) -> Option<&'static str> {
    let refused = match kind {
        Kind::Denied | Kind::Invalid | Kind::Transient => true,
        Kind::Conflict | Kind::Gone | Kind::Quota | Kind::Throttled | Kind::UnknownOutcome => false,
    };
    let refusal = words(refusal);
    let named = BY_WORD.iter().find(|(word, _)| refusal.contains(word));
    let named = named.map(|(_, prerequisite)| *prerequisite);
    named.filter(|_| refused).or_else(|| of_mode(kind, network))
}

/// Whole words only, with spaces round them: an id may have any letters in it.
fn words(text: &str) -> String {
    let plain = |letter: char| {
        if letter.is_alphanumeric() {
            letter
        } else {
            ' '
        }
    };
    let text: String = text.to_lowercase().chars().map(plain).collect();
    let words: Vec<_> = text.split_whitespace().collect();
    format!(" {} ", words.join(" "))
}

fn of_mode(kind: Kind, network: Conclusion) -> Option<&'static str> {
    let routed = match network.mode {
        Mode::GlobalRouter | Mode::Mixed => network.global_route,
        Mode::VpcCni | Mode::Serverless | Mode::Routable => false,
    };
    (routed && kind == Kind::Invalid).then_some(GLOBAL_ROUTER)
}

#[cfg(test)]
mod tests {
    use direct_access::network::Evidence;
    use rstest::rstest;

    use super::*;

    const fn cluster(mode: Mode, global_route: bool) -> Conclusion {
        Conclusion {
            mode,
            global_route,
            evidence: Evidence::Setting,
        }
    }

    #[rstest]
    #[case(
        Kind::Invalid,
        "SnatPro is not enabled",
        Mode::Routable,
        Some(SNAT_PRO)
    )]
    #[case(Kind::Invalid, "lb-1 must be SNAT Pro", Mode::VpcCni, Some(SNAT_PRO))]
    #[case(Kind::Invalid, "ip not in CCN", Mode::GlobalRouter, Some(CCN))]
    #[case(Kind::Denied, "account type not supported", Mode::Mixed, Some(ACCOUNT))]
    #[case(
        Kind::Transient,
        "bind failed: bill-by-CVM",
        Mode::Mixed,
        Some(ACCOUNT)
    )]
    #[case(Kind::Invalid, "EniIp is bad", Mode::GlobalRouter, Some(GLOBAL_ROUTER))]
    #[case(Kind::Invalid, "EniIp is bad", Mode::Mixed, Some(GLOBAL_ROUTER))]
    #[case(Kind::Invalid, "EniIp is bad", Mode::VpcCni, None)]
    #[case(Kind::Invalid, "EniIp is bad", Mode::Routable, None)]
    #[case(Kind::Invalid, "lb-ccn1234 is closed", Mode::VpcCni, None)]
    #[case(Kind::Denied, "not authorized", Mode::GlobalRouter, None)]
    #[case(Kind::Quota, "the CCN's quota", Mode::GlobalRouter, None)]
    #[case(Kind::Conflict, "busy", Mode::GlobalRouter, None)]
    fn a_refusal_names_what_is_missing(
        #[case] kind: Kind,
        #[case] words: &str,
        #[case] mode: Mode,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(of_target(kind, words, cluster(mode, true)), expected);
    }

    #[test]
    fn where_global_router_is_off_its_pods_were_not_the_ones_refused() {
        let off = cluster(Mode::Mixed, false);
        assert_eq!(of_target(Kind::Invalid, "EniIp is bad", off), None);
    }
}
