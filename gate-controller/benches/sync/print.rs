//! The tables, and the same as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Result;
use super::arms::Outcome;
use super::pods::{PODS, Surge};

/// Prints everything.
pub(crate) fn all(results: &[Result], surges: &[Surge]) {
    println!(
        "Seconds until exactly what is wanted is bound on one load balancer, in virtual time."
    );
    println!("Tencent: before, batched, and re-optimised, as published; its call latency is not.");
    println!(
        "single: one call per rule and binding, each task polled. batched: batches of 50 rules and 500"
    );
    println!(
        "targets, queried before and after each. ours: the engine; settled: its last call is answered."
    );
    println!(
        "less: than Tencent's before. bound: ceil(bindings/500) + ceil(rules/50) calls, one after another."
    );
    for delays in super::DELAYS {
        let of_these: Vec<_> = results.iter().filter(|one| one.delays == delays).collect();
        table(&of_these);
    }
    println!();
    println!("Calls where every call takes 1 s:");
    for result in results.iter().filter(|one| one.delays == super::DELAYS[0]) {
        println!("  {}", result.row.name());
        if let Some(single) = &result.one_by_one {
            println!("    single   {}", calls(&single.calls));
        }
        println!("    batched  {}", calls(&result.batched.calls));
        println!("    ours     {}", calls(&result.ours.calls));
    }
    pods(surges);
}

fn table(results: &[&Result]) {
    let Some(first) = results.first() else { return };
    let (call, task) = (first.delays.call_ms, first.delays.task_ms);
    println!();
    let task = if task == 0 {
        "tasks are done with the answer".to_owned()
    } else {
        format!("tasks are done {task} ms after the answer")
    };
    println!("Every call takes {call} ms; {task}.");
    println!(
        "{:<22} {:>29} | {:>18} | {:>29} | {:>7} {:>5} {:>7}",
        "", "Tencent", "waiting for tasks", "ours", "", "ours/", "T.'s/"
    );
    println!(
        "{:<22} {:>9} {:>9} {:>9} | {:>9} {:>8} | {:>7} {:>7} {:>7} {:>5} | {:>7} {:>5} {:>7}",
        "",
        "before",
        "batched",
        "re-opt.",
        "single",
        "batched",
        "bound",
        "settled",
        "less",
        "tasks",
        "bound",
        "bound",
        "ours"
    );
    for result in results {
        line(result);
    }
}

fn line(result: &Result) {
    let [before, batched, reoptimised] = result.row.seeds;
    let ours = result.ours.bound.as_secs_f64();
    let single = result.one_by_one.as_ref().map_or_else(
        || "-".to_owned(),
        |one| format!("{:.1}", one.bound.as_secs_f64()),
    );
    let bound = result.row.bound() * u64::from(result.delays.call_ms);
    println!(
        "{:<22} {before:>9.1} {batched:>9.1} {reoptimised:>9.1} | {:>9} {:>8.1} | {ours:>7.2} {:>7.2} {:>6.2}% {:>5.1} | {:>7.1} {:>5.3} {:>6.1}x",
        result.row.name(),
        single,
        result.batched.bound.as_secs_f64(),
        result.ours.rested.as_secs_f64(),
        (1.0 - ours / before) * 100.0,
        result.ours.waited_for_tasks.as_secs_f64(),
        std::time::Duration::from_millis(bound).as_secs_f64(),
        result.of_bound(),
        result.faster(),
    );
}

fn pods(surges: &[Surge]) {
    println!();
    println!(
        "{} -> {} pods at once, one TCP listener a load balancer, every call 1 s, one account's limits:",
        PODS.0, PODS.1
    );
    for surge in surges {
        println!(
            "  {:>3} load balancers: bound {:>5.2} s, settled {:>5.2} s, at most {} calls of an action in a second, {} refused as too many",
            surge.load_balancers,
            surge.bound.as_secs_f64(),
            surge.rested.as_secs_f64(),
            surge.busiest,
            surge.throttled,
        );
        println!("      {}", calls(&surge.calls));
    }
}

fn calls(calls: &BTreeMap<String, usize>) -> String {
    let one = |(action, count): (&String, &usize)| format!("{action} {count}");
    calls.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The same as JSON.
pub(crate) fn json(results: &[Result], surges: &[Surge]) -> String {
    let rows: Vec<_> = results.iter().map(row).collect();
    let pods: Vec<_> = surges.iter().map(surge).collect();
    format!("{:#}\n", json!({ "rows": rows, "pods": pods }))
}

fn row(result: &Result) -> Value {
    json!({
        "row": result.row.name(),
        "call_ms": result.delays.call_ms,
        "task_ms": result.delays.task_ms,
        "bindings": result.row.bindings(),
        "new_rules": result.row.new_rules(),
        "bound_calls": result.row.bound(),
        "of_bound": result.of_bound(),
        "tencent": result.row.seeds,
        "tencent_by_ours": result.faster(),
        "one_by_one": result.one_by_one.as_ref().map(outcome),
        "batched": outcome(&result.batched),
        "ours": outcome(&result.ours),
    })
}

fn outcome(outcome: &Outcome) -> Value {
    json!({
        "bound_s": outcome.bound.as_secs_f64(),
        "settled_s": outcome.rested.as_secs_f64(),
        "waited_for_tasks_s": outcome.waited_for_tasks.as_secs_f64(),
        "calls": outcome.calls,
    })
}

fn surge(surge: &Surge) -> Value {
    json!({
        "load_balancers": surge.load_balancers,
        "bound_s": surge.bound.as_secs_f64(),
        "settled_s": surge.rested.as_secs_f64(),
        "most_calls_of_an_action_in_a_second": surge.busiest,
        "throttled": surge.throttled,
        "calls": surge.calls,
    })
}
