//! docs/annotations.md says of Ingresses what the code does.

use std::collections::BTreeMap;

use crate::names::ingress::ANNOTATIONS;

const DOCUMENT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/annotations.md"
));
const TESTS: [&str; 2] = [include_str!("tests.rs"), include_str!("table_tests.rs")];

/// What TKE documents for Ingresses: half of the suffixes belong to each prefix.
const KUBERNETES: [&str; 11] = [
    "class",
    "existLbId",
    "subnetId",
    "internetChargeType",
    "internetMaxBandwidthOut",
    "extensiveParameters",
    "qcloud-loadbalance-id",
    "rule-mix",
    "rule-mix-both",
    "http-rules",
    "https-rules",
];
const TENCENT: [&str; 22] = [
    "direct-access",
    "tke-service-config",
    "tke-service-config-auto",
    "listen-ports",
    "pass-to-target",
    "security-groups",
    "modification-protection",
    "deletion-protection",
    "loadbalance-retain",
    "mode",
    "auto-rewrite",
    "rewrite-support",
    "auto-rewrite-code",
    "mix-target-prefer",
    "enable-grace-shutdown",
    "enable-grace-shutdown-tkex",
    "enable-grace-deletion",
    "lb-rs-weight",
    "certificate",
    "enable-group",
    "cross-region-id",
    "cross-vpc-id",
];

/// What the document says, by key.
fn rows() -> BTreeMap<&'static str, &'static str> {
    let rows = DOCUMENT.lines().filter_map(|line| {
        let cells: Vec<_> = line.split(" | ").collect();
        let [key, "Ingress", _value, said] = cells[..] else {
            return None;
        };
        let key = key.trim_start_matches("| `").trim_end_matches('`');
        Some((key, said.trim_end_matches(" |")))
    });
    rows.collect()
}

#[test]
fn every_documented_annotation_of_tke_has_a_row() {
    let kubernetes = KUBERNETES.map(|name| format!("kubernetes.io/ingress.{name}"));
    let tencent = TENCENT.map(|name| format!("ingress.cloud.tencent.com/{name}"));
    let mut expected: Vec<_> = kubernetes.into_iter().chain(tencent).collect();
    expected.sort();
    let rows: Vec<_> = rows().into_keys().collect();
    assert_eq!(rows, expected);
}

#[test]
fn what_is_supported_is_read_and_tested_and_nothing_else_is() {
    for (key, said) in rows() {
        let read = ANNOTATIONS.contains(&key);
        if let Some(why) = said.strip_prefix("declined: ") {
            assert!(!read && !why.is_empty(), "{key} is declined and read");
            continue;
        }
        let test = said.strip_prefix("supported, test `").unwrap();
        let declaration = format!("fn {}(", test.trim_end_matches('`'));
        let found = TESTS.iter().any(|tests| tests.contains(&declaration));
        assert!(read && found, "{key}: {declaration}");
    }
}
