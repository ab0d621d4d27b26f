//! The access policies allow what each level needs and nothing else.

use std::collections::BTreeSet;

use clb::{Access, Action, Level, actions};
use rstest::rstest;
use serde::Deserialize;

const README: &str = include_str!("../../../docs/cam/README.md");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    version: String,
    statement: Vec<Statement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    effect: String,
    action: Vec<String>,
    resource: Vec<String>,
}

fn needed(action: &Action, level: Level) -> bool {
    action.level.is_some_and(|least| least <= level)
}

#[rstest]
#[case(Level::Backends, include_str!("../../../docs/cam/backends.json"))]
#[case(Level::Listeners, include_str!("../../../docs/cam/listeners.json"))]
#[case(Level::LoadBalancers, include_str!("../../../docs/cam/loadbalancers.json"))]
fn a_policy_allows_what_its_level_needs_and_nothing_else(#[case] level: Level, #[case] text: &str) {
    let policy: Policy = serde_json::from_str(text).unwrap();
    assert_eq!(policy.version, "2.0");
    let [statement] = policy.statement.as_slice() else {
        panic!("one statement is enough")
    };
    assert_eq!(
        (statement.effect.as_str(), statement.resource.as_slice()),
        ("allow", &["*".to_owned()][..])
    );
    let expected: Vec<String> = actions()
        .iter()
        .filter(|action| needed(action, level))
        .map(|action| format!("clb:{}", action.name))
        .collect();
    assert_eq!(statement.action, expected, "{}.json", level.name());
}

#[test]
fn every_action_is_explained_with_its_levels() {
    for action in actions() {
        let Some(least) = action.level else {
            assert!(
                README.contains(&format!("`{}`", action.name)),
                "{}",
                action.name
            );
            continue;
        };
        let start = format!("| `clb:{}` |", action.name);
        let row = README.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row for {}", action.name));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let access = match action.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        let yes = |level| if least <= level { "yes" } else { "" };
        let levels = [Level::Backends, Level::Listeners, Level::LoadBalancers].map(yes);
        assert_eq!((cells[2], &cells[3..6]), (access, &levels[..]), "{row}");
    }
}

#[test]
fn the_table_names_each_action_once_and_only_describing_reads() {
    let names: Vec<&str> = actions().iter().map(|action| action.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len());
    for action in actions() {
        let reads = action.name.starts_with("Describe");
        assert_eq!(action.access == Access::Read, reads, "{}", action.name);
    }
}
