//! `BatchModifyTargetWeight` and `BatchModifyTargetTag`: targets of many listeners and rules.

use super::Reply;
use super::params::{Params, at_most, not_empty};
use super::places::{Place, RuleName, place};
use super::target_fields::{TargetFields, distinct};
use super::targets;
use crate::refusal::{Refusal, code};
use crate::state::parts::{Effect, TargetKey};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::json;

const MODIFY_ITEMS: usize = 100;
const TARGETS_PER_ITEM: usize = 50;
const TARGETS_PER_CALL: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyWeight {
    load_balancer_id: String,
    modify_list: Vec<WeightItem>,
}

impl Params for ModifyWeight {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WeightItem {
    listener_id: String,
    targets: Vec<TargetFields>,
    weight: Option<i64>,
    location_id: Option<String>,
    domain: Option<String>,
    url: Option<String>,
}

pub(super) fn modify_weight(
    model: &mut Model,
    call: &Call,
    params: &ModifyWeight,
) -> Result<Reply, Refusal> {
    let sizes = params.modify_list.iter().map(|item| item.targets.len());
    check_sizes(sizes.clone())?;
    at_most("ModifyList", params.modify_list.len(), MODIFY_ITEMS)?;
    for size in sizes {
        at_most("ModifyList.Targets", size, TARGETS_PER_ITEM)?;
    }
    let mut weights = Vec::new();
    for item in &params.modify_list {
        let name = RuleName {
            location_id: item.location_id.as_deref(),
            domain: item.domain.as_deref(),
            url: item.url.as_deref(),
        };
        let place = place(model, &params.load_balancer_id, &item.listener_id, name)?;
        let keys = keys(&place, &item.targets)?;
        weights.extend(targets::weights(&place, keys, &item.targets, item.weight)?);
    }
    distinct(weights.iter().map(|(key, _)| Ok(key.clone())))?;
    model.begin(call, &params.load_balancer_id, Effect::Weigh(weights))?;
    Ok(Reply::now(json!({})))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyTag {
    load_balancer_id: String,
    modify_list: Vec<TagItem>,
}

impl Params for ModifyTag {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TagItem {
    listener_id: String,
    targets: Vec<TargetFields>,
    location_id: Option<String>,
    tag: Option<String>,
}

/// Answers when the work is done. A target's own tag goes before the item's.
pub(super) fn modify_tag(
    model: &mut Model,
    call: &Call,
    params: &ModifyTag,
) -> Result<Reply, Refusal> {
    check_sizes(params.modify_list.iter().map(|item| item.targets.len()))?;
    let mut tags = Vec::new();
    for item in &params.modify_list {
        let name = RuleName {
            location_id: item.location_id.as_deref(),
            ..RuleName::default()
        };
        let place = place(model, &params.load_balancer_id, &item.listener_id, name)?;
        for (key, target) in keys(&place, &item.targets)?.into_iter().zip(&item.targets) {
            place.must_hold(&key)?;
            let tag = target.tag.as_deref().or(item.tag.as_deref());
            tags.push((key, targets::kept_tag(model, tag)));
        }
    }
    distinct(tags.iter().map(|(key, _)| Ok(key.clone())))?;
    model.begin(call, &params.load_balancer_id, Effect::Tag(tags))?;
    let busy = model.settings.delays.task_ms.into();
    Ok(Reply::when_done(json!({}), busy))
}

fn keys(place: &Place<'_>, targets: &[TargetFields]) -> Result<Vec<TargetKey>, Refusal> {
    targets.iter().map(|target| place.key(target)).collect()
}

fn check_sizes(sizes: impl Iterator<Item = usize> + Clone) -> Result<(), Refusal> {
    not_empty("ModifyList", sizes.clone().count())?;
    for size in sizes.clone() {
        not_empty("ModifyList.Targets", size)?;
    }
    let all: usize = sizes.sum();
    if all > TARGETS_PER_CALL {
        let message = format!(
            "ModifyList names {all} targets; at most {TARGETS_PER_CALL} are accepted in one call"
        );
        return Err(Refusal::new(code::LENGTH, message));
    }
    Ok(())
}
