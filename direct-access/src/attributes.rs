//! What a Service or an Ingress asks of the CLB as a whole: its security groups, and whether they alone are asked
//! ("pass to target"). Only a CLB that clb-gate makes is set up so; a user's own is the user's.

use crate::load_balancer::LoadBalancer;
use crate::problem::Problem;
use crate::words::{Word, Words};

/// What is asked for; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Exactly these, sorted.
    pub security_groups: Option<Vec<String>>,
    /// Whether the pods' own security groups are not asked.
    pub pass_to_target: Option<bool>,
}

/// Groups that a CLB takes (documentation of the product; the API's own text says 50).
const MOST_GROUPS: usize = 5;

/// Reads both annotations. What cannot be read is told and asks for nothing.
pub fn attributes(words: &Words<'_>, on: &LoadBalancer) -> (Attributes, Vec<Problem>) {
    let both = [Word::SecurityGroups, Word::PassToTarget];
    let present = || {
        both.into_iter()
            .filter_map(|word| Some((word, words.get(word)?)))
    };
    if let LoadBalancer::Existing(id) = on {
        let accepted = format!(
            "it is for CLBs that clb-gate makes; {id} is yours: set it there in Tencent's console"
        );
        let problem = |(word, value)| words.problem(word, value, &accepted);
        return (Attributes::default(), present().map(problem).collect());
    }
    let (mut asked, mut problems) = (Attributes::default(), Vec::new());
    for (word, value) in present() {
        let read = if word == Word::PassToTarget {
            switch(value).map(|on| asked.pass_to_target = Some(on))
        } else {
            groups(value).map(|all| asked.security_groups = Some(all))
        };
        problems.extend(read.err().map(|why| words.problem(word, value, &why)));
    }
    (asked, problems)
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(r#"accepted are "true" and "false""#.to_owned()),
    }
}

fn groups(value: &str) -> Result<Vec<String>, String> {
    let mut all: Vec<_> = value.split(',').map(|one| one.trim().to_owned()).collect();
    all.sort();
    all.dedup();
    if let Some(bad) = all.iter().find(|id| !is_group(id)) {
        return Err(format!(
            "{bad:?} is no security group; accepted are ids with commas between them, e.g. sg-abcd1234,sg-efgh5678"
        ));
    }
    if all.len() > MOST_GROUPS {
        return Err(format!(
            "a CLB takes at most {MOST_GROUPS} security groups, these are {}",
            all.len()
        ));
    }
    Ok(all)
}

fn is_group(id: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    id.strip_prefix("sg-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(known))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::names;
    use crate::service::tests::service;

    fn asked(
        groups: Option<&str>,
        pass: Option<&str>,
        on: &LoadBalancer,
    ) -> (Attributes, Vec<Problem>) {
        let mut service = service("web");
        let pair =
            |key: &str, value: Option<&str>| value.map(|value| (key.to_owned(), value.to_owned()));
        service
            .annotations
            .extend(pair(names::SECURITY_GROUPS, groups));
        service
            .annotations
            .extend(pair(names::PASS_TO_TARGET, pass));
        attributes(&service.words(), on)
    }

    #[rstest]
    #[case::absent(None, None, None, None)]
    #[case::one(Some("sg-a1"), None, Some(&["sg-a1"][..]), None)]
    #[case::sorted_once(Some("sg-b, sg-a,sg-b"), None, Some(&["sg-a", "sg-b"][..]), None)]
    #[case::passed(None, Some("true"), None, Some(true))]
    #[case::not_passed(Some("sg-a"), Some("false"), Some(&["sg-a"][..]), Some(false))]
    fn good_attributes_are_read(
        #[case] groups: Option<&str>,
        #[case] pass: Option<&str>,
        #[case] expected: Option<&[&str]>,
        #[case] passes: Option<bool>,
    ) {
        let (read, problems) = asked(groups, pass, &LoadBalancer::Made(None));
        let expected = expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(
            (read.security_groups, read.pass_to_target),
            (expected, passes)
        );
        assert_eq!(problems, []);
    }

    #[rstest]
    #[case(Some(""), None, "sg-abcd1234")]
    #[case(Some("sg-a,,sg-b"), None, "\"\" is no security group")]
    #[case(Some("mine"), None, "\"mine\"")]
    #[case(Some("sg-1,sg-2,sg-3,sg-4,sg-5,sg-6"), None, "at most 5")]
    #[case(None, Some("yes"), "\"true\" and \"false\"")]
    fn bad_attributes_are_told_and_ask_for_nothing(
        #[case] groups: Option<&str>,
        #[case] pass: Option<&str>,
        #[case] told: &str,
    ) {
        let (read, problems) = asked(groups, pass, &LoadBalancer::Made(None));
        assert_eq!(read, Attributes::default());
        assert!(problems[0].to_string().contains(told), "{}", problems[0]);
    }

    #[test]
    fn a_users_own_clb_is_told_and_left_alone() {
        let own = LoadBalancer::Existing("lb-abcd1234".to_owned());
        let (read, problems) = asked(Some("sg-a"), Some("true"), &own);
        assert_eq!((read, problems.len()), (Attributes::default(), 2));
        assert!(problems[0].to_string().contains("lb-abcd1234 is yours"));
    }
}
