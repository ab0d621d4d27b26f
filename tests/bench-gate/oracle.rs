//! The simulator's oracle: from when on each target is Alive, by the clock that we have too.

use anyhow::{Result, ensure};
use clb_gate_tests::operator::{Operator, now};
use serde_json::{Value, json};

use crate::scale::{Scale, target};

/// From the forecast to the first Alive: longer than the gate's own wait after a registration, and than it
/// takes to hand the forecast over.
const LEAD: i64 = 5_000;

/// Says of all targets that they are Unknown until more is said.
pub(crate) async fn all_unknown(operator: &Operator, scale: Scale) -> Result<()> {
    foretell(operator, scale, |_| None).await
}

/// Says when each target turns Alive; the moment of the first.
pub(crate) async fn all_alive(operator: &Operator, scale: Scale) -> Result<i64> {
    let start = now()? + LEAD;
    foretell(operator, scale, |pod| Some(start + scale.after(pod))).await?;
    Ok(start)
}

async fn foretell(
    operator: &Operator,
    scale: Scale,
    alive_at: impl Fn(u16) -> Option<i64>,
) -> Result<()> {
    let targets: Vec<_> = scale
        .all()
        .map(|pod| {
            let target = target(pod);
            json!({"ip": target.ip(), "port": target.port(), "alive_at": alive_at(pod)})
        })
        .collect();
    let body = json!({ "targets": targets }).to_string();
    let before = now()?;
    let answer = operator.ask("POST", "forecast", &body).await?;
    let (after, its) = (now()?, answer.get("now").and_then(Value::as_i64));
    ensure!(
        its.is_some_and(|its| (before..=after).contains(&its)),
        "the simulator's clock reads {its:?}, ours {before} to {after}: nothing can be measured"
    );
    Ok(())
}
