//! What the `ServiceAccounts` may do is what docs/security.md says, no less and no more.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::kubectl;

use crate::stage::beside;

const NAMESPACES: [&str; 4] = ["clb-gate", "clb-gate-canary", "kube-system", "default"];
/// How a list of rights begins, in the document.
const LIST: &str = "```rbac ";
/// A name that stands for all, there and here.
const ANY: &str = "*";

/// A resource, the name of an object and a verb.
type Right = (String, String, String);

#[test]
fn each_service_account_may_do_what_is_documented_and_nothing_else() {
    beside("rights", |_| async {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
        let document = std::fs::read_to_string(path)?;
        for account in ["clb-gate-webhook", "clb-gate-controller"] {
            for namespace in NAMESPACES {
                let wanted = documented(&document, account, namespace)?;
                let everybody = rights("clb-gate:nobody-in-particular", namespace).await?;
                let granted = rights(&format!("clb-gate:{account}"), namespace).await?;
                let granted = granted.difference(&everybody).cloned().collect();
                let more: Vec<_> = BTreeSet::difference(&granted, &wanted).collect();
                let less: Vec<_> = wanted.difference(&granted).collect();
                ensure!(
                    more.is_empty() && less.is_empty(),
                    "{account} in {namespace}: not documented {more:?}, not granted {less:?}"
                );
            }
        }
        Ok(())
    });
}

/// The lines of an account's lists that hold in a namespace.
fn documented(document: &str, account: &str, namespace: &str) -> Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    let mut of_account = false;
    for line in document.lines() {
        if let Some(head) = line.strip_prefix(LIST) {
            of_account = head.split(' ').next() == Some(account);
        } else if line.starts_with("```") {
            of_account = false;
        } else if of_account {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [place, resource, names, verbs, _why] = cells[..] else {
                anyhow::bail!("docs/security.md: not five cells: {line}");
            };
            if [ANY, namespace].contains(&place) {
                rights.extend(spread(resource, names, verbs));
            }
        }
    }
    ensure!(!rights.is_empty(), "docs/security.md: no list of {account}");
    Ok(rights)
}

/// What the API server lets an account do to objects.
async fn rights(account: &str, namespace: &str) -> Result<BTreeSet<Right>> {
    let account = format!("--as=system:serviceaccount:{account}");
    let ask = ["auth", "can-i", "--list", "--no-headers", &account];
    let printed = kubectl::run(&[&ask[..], &["-n", namespace]].concat()).await?;
    let mut rights = BTreeSet::new();
    for line in printed.out.lines() {
        // RESOURCE [URLS] [NAMES] [VERBS]
        let mut cells = line.split(['[', ']']);
        let mut cell = || cells.next().map(str::trim).context(line.to_owned());
        let resource = cell()?;
        let (_urls, _, names, _, verbs) = (cell()?, cell()?, cell()?, cell()?, cell()?);
        if !resource.is_empty() {
            let names = if names.is_empty() { ANY } else { names };
            rights.extend(spread(resource, names, verbs));
        }
    }
    Ok(rights)
}

fn spread(resource: &str, names: &str, verbs: &str) -> Vec<Right> {
    let names = names.split_whitespace();
    let rights = names.flat_map(|name| {
        let verbs = verbs.split_whitespace();
        verbs.map(move |verb| (resource.to_owned(), name.to_owned(), verb.to_owned()))
    });
    rights.collect()
}
