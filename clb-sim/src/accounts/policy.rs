//! A CAM policy: which actions on which load balancers are allowed (documentation of CAM, "Policy
//! syntax"). What no statement allows is denied, and a denial goes before any permission.

use serde::Deserialize;

/// A policy as it is written in Tencent's console.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(rename = "version")]
    _version: Version,
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
enum Version {
    #[serde(rename = "2.0")]
    Two,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    effect: Effect,
    action: OneOrMany,
    resource: OneOrMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn any(&self, is: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(text) => is(text),
            Self::Many(texts) => texts.iter().any(|text| is(text)),
        }
    }
}

impl Policy {
    /// Whether `action`, such as `clb:DescribeTargets`, is allowed on all of these.
    pub(super) fn allows(&self, action: &str, load_balancers: &[String]) -> bool {
        if load_balancers.is_empty() {
            return self.allows_one(action, None);
        }
        let mut each = load_balancers.iter();
        each.all(|id| self.allows_one(action, Some(id)))
    }

    fn allows_one(&self, action: &str, load_balancer: Option<&str>) -> bool {
        let says = |effect: Effect| {
            self.statement.iter().any(|statement| {
                statement.effect == effect
                    && statement.action.any(|pattern| names(pattern, action))
                    && statement
                        .resource
                        .any(|pattern| covers(pattern, load_balancer))
            })
        };
        says(Effect::Allow) && !says(Effect::Deny)
    }
}

/// Actions may carry an older `name/` before them; case says nothing.
fn names(pattern: &str, action: &str) -> bool {
    let pattern = pattern.strip_prefix("name/").unwrap_or(pattern);
    matches(
        pattern.to_ascii_lowercase().as_bytes(),
        action.to_ascii_lowercase().as_bytes(),
    )
}

/// `*`, or a resource such as `qcs::clb:ap-guangzhou:uin/1:clb/lb-abc`, of which the last part is
/// judged. An action on no load balancer in particular needs `*`.
fn covers(pattern: &str, load_balancer: Option<&str>) -> bool {
    let last = pattern.rsplit('/').next().unwrap_or(pattern);
    match load_balancer {
        None => last == "*",
        Some(id) => matches(last.as_bytes(), id.as_bytes()),
    }
}

/// `*` stands for any text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if matches(rest, text) => true,
        (Some((b'*', _)), Some((_, tail))) => matches(pattern, tail),
        (Some((expected, rest)), Some((found, tail))) if expected == found => matches(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(statements: &str) -> Policy {
        let text = format!(r#"{{"version":"2.0","statement":[{statements}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[rstest::rstest]
    #[case(
        r#"{"effect":"allow","action":["clb:DescribeTargets"],"resource":["*"]}"#,
        true
    )]
    #[case(r#"{"effect":"allow","action":"clb:*","resource":"*"}"#, true)]
    #[case(r#"{"effect":"allow","action":"*","resource":"*"}"#, true)]
    #[case(
        r#"{"effect":"allow","action":"name/clb:describe*","resource":"*"}"#,
        true
    )]
    #[case(r#"{"effect":"allow","action":"clb:*Targets","resource":"*"}"#, true)]
    #[case(r#"{"effect":"allow","action":"clb:Describe","resource":"*"}"#, false)]
    #[case(r#"{"effect":"allow","action":"cvm:*","resource":"*"}"#, false)]
    #[case(
        r#"{"effect":"allow","action":"*","resource":"*"},{"effect":"deny","action":"clb:Describe*","resource":"*"}"#,
        false
    )]
    #[case(
        r#"{"effect":"allow","action":"*","resource":"qcs::clb:gz:uin/1:clb/lb-a"}"#,
        true
    )]
    #[case(
        r#"{"effect":"allow","action":"*","resource":"qcs::clb:gz:uin/1:clb/lb-b"}"#,
        false
    )]
    fn statements_allow_and_deny(#[case] statements: &str, #[case] allowed: bool) {
        let lb = ["lb-a".to_owned()];
        assert_eq!(
            policy(statements).allows("clb:DescribeTargets", &lb),
            allowed
        );
    }

    #[test]
    fn all_load_balancers_of_a_call_must_be_allowed() {
        let policy = policy(r#"{"effect":"allow","action":"*","resource":"clb/lb-a"}"#);
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(policy.allows("clb:X", &ids(&["lb-a"])));
        assert!(!policy.allows("clb:X", &ids(&["lb-a", "lb-b"])));
        assert!(
            !policy.allows("clb:X", &[]),
            "nothing in particular needs *"
        );
    }
}
