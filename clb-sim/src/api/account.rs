//! What belongs to no load balancer: `DescribeTaskStatus` and `DescribeQuota`.

use super::Reply;
use super::params::Params;
use crate::refusal::{Refusal, code};
use crate::state::parts::Network;
use crate::state::tasks::Ending;
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TaskStatus {
    task_id: Option<String>,
    deal_name: Option<String>,
}

impl Params for TaskStatus {}

/// 0 is success, 1 failure, 2 in progress.
pub(super) fn task_status(
    model: &mut Model,
    call: &Call,
    params: &TaskStatus,
) -> Result<Reply, Refusal> {
    let task = match (&params.task_id, &params.deal_name) {
        (Some(id), _) => model.tasks.by_id(id),
        (None, Some(deal)) => model.tasks.by_deal(deal),
        (None, None) => {
            return Err(Refusal::new(
                code::MISSING,
                "one of TaskId and DealName is needed",
            ));
        }
    };
    let Some(task) = task else {
        let asked = params
            .task_id
            .as_deref()
            .or(params.deal_name.as_deref())
            .unwrap_or_default();
        return Err(Refusal::new(
            code::INVALID_PARAMETER,
            format!("task {asked:?} not found"),
        ));
    };
    let (status, message) = match &task.ending {
        _ if call.now < task.due => (2, None),
        Ending::Success => (0, None),
        Ending::Failure(message) => (1, message.as_deref()),
    };
    Ok(Reply::now(json!({
        "Status": status,
        "LoadBalancerIds": task.load_balancers,
        "Message": message,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quota {}

impl Params for Quota {}

#[expect(clippy::unnecessary_wraps, reason = "every action may refuse")]
pub(super) fn quota(model: &mut Model, _: &Call, _: &Quota) -> Result<Reply, Refusal> {
    let quotas = model.quotas();
    let count = |kind: Network| {
        let all = model.load_balancers.values();
        all.filter(|found| found.kind == kind).count()
    };
    let shown = [
        (
            "TOTAL_OPEN_CLB_QUOTA",
            json!(count(Network::Open)),
            quotas.open_load_balancers,
        ),
        (
            "TOTAL_INTERNAL_CLB_QUOTA",
            json!(count(Network::Internal)),
            quotas.internal_load_balancers,
        ),
        ("TOTAL_LISTENER_QUOTA", Value::Null, quotas.listeners),
        ("TOTAL_LISTENER_RULE_QUOTA", Value::Null, quotas.rules),
        ("TOTAL_TARGET_BIND_QUOTA", Value::Null, quotas.targets),
    ];
    let shown = shown.map(
        |(id, current, limit)| json!({ "QuotaId": id, "QuotaCurrent": current, "QuotaLimit": limit }),
    );
    Ok(Reply::now(json!({ "QuotaSet": shown })))
}
