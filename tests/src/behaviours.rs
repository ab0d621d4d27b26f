//! Every test that the page of behaviours names is there: a page that names none says what nobody checks.

use std::path::Path;

const PAGE: &str = include_str!("../../docs/decisions/behaviours.md");

/// The names in the last column.
fn named() -> Vec<&'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let names = last.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.collect()
}

fn gather(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_behaviour_is_shown_by_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    let parts = [
        "direct-access",
        "gate-controller",
        "runtime",
        "webhook",
        "clb",
        "tests",
    ];
    for part in parts {
        gather(&root.join(part), &mut sources);
    }
    let named = named();
    assert!(named.len() > 40, "{}", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert_eq!(missing, [] as [&&str; 0]);
}
