//! What was called: counts by action and outcome, and the last calls one by one.

use crate::clock::Millis;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use std::collections::{BTreeMap, VecDeque};

/// How many single calls are remembered.
const REMEMBERED: usize = 1000;

/// Calls answered since the start or the last reset.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Calls {
    /// Action -> "ok" or error code -> how many.
    #[serde(rename = "calls")]
    counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
    by_listener: Doors,
    /// The last of them, oldest first.
    last: VecDeque<OneCall>,
}

#[derive(Debug, Default, Serialize)]
struct Doors {
    http: u64,
    https: u64,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OneCall {
    /// When it came, in milliseconds since 1970.
    pub(crate) at: Millis,
    pub(crate) action: &'static str,
    #[serde(flatten)]
    pub(crate) gist: Gist,
    /// "ok", an error code, or what got lost.
    pub(crate) outcome: String,
}

/// What a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Gist {
    load_balancers: Vec<String>,
    /// How many targets it names.
    targets: usize,
}

impl Calls {
    pub(crate) fn count(&mut self, call: OneCall, door: &'static str) {
        let outcomes = self.counts.entry(call.action).or_default();
        match outcomes.get_mut(&call.outcome) {
            Some(count) => *count += 1,
            None => {
                outcomes.insert(call.outcome.clone(), 1);
            }
        }
        match door {
            "https" => self.by_listener.https += 1,
            _ => self.by_listener.http += 1,
        }
        if self.last.len() >= REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(call);
    }
}

impl Gist {
    /// Whose it is.
    pub(crate) fn load_balancers(&self) -> &[String] {
        &self.load_balancers
    }

    /// Of a call's body; of nonsense, nothing.
    pub(crate) fn of(body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Body {
            load_balancer_id: Option<String>,
            load_balancer_ids: Option<Vec<String>>,
            targets: Option<Vec<IgnoredAny>>,
            modify_list: Option<Vec<Item>>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Item {
            targets: Vec<IgnoredAny>,
        }
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let items = body.modify_list.iter().flatten();
        Self {
            targets: body.targets.map_or(0, |targets| targets.len())
                + items.map(|item| item.targets.len()).sum::<usize>(),
            load_balancers: body
                .load_balancer_id
                .into_iter()
                .chain(body.load_balancer_ids.into_iter().flatten())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: usize) -> OneCall {
        OneCall {
            at: 0,
            action: "A",
            gist: Gist::default(),
            outcome: number.to_string(),
        }
    }

    #[test]
    fn only_the_last_are_remembered() {
        let mut calls = Calls::default();
        for number in 0..REMEMBERED + 2 {
            calls.count(one(number), "http");
        }
        assert_eq!(calls.last.len(), REMEMBERED);
        assert_eq!(calls.last[0].outcome, "2");
        assert_eq!(calls.by_listener.http, 1002);
    }

    #[test]
    fn the_gist_is_whose_and_how_many() {
        let gist = Gist::of(br#"{"LoadBalancerId":"lb-a","Targets":[{},{}],"X":1}"#);
        assert_eq!(
            (gist.load_balancers, gist.targets),
            (vec!["lb-a".to_owned()], 2)
        );
        let gist = Gist::of(br#"{"ModifyList":[{"Targets":[1]},{"Targets":[2,3]}]}"#);
        assert_eq!(gist.targets, 3);
        assert_eq!(Gist::of(b"nope"), Gist::default());
    }
}
