//! Cutting work into calls the API takes.

use crate::{ModifyWeight, Target};

/// Targets in one `BatchRegisterTargets` or `BatchDeregisterTargets`, and weights in one
/// `BatchModifyTargetWeight`. This limit and those below are from each action's reference.
pub const BATCH_TARGETS: usize = 500;
/// Targets in one `RegisterTargets`, `DeregisterTargets` or `ModifyTargetWeight`.
pub const REGISTER_TARGETS: usize = 20;
/// Entries in one `BatchModifyTargetWeight`.
pub(crate) const WEIGHT_ENTRIES: usize = 100;
/// Targets in one entry of it.
pub(crate) const WEIGHT_ENTRY_TARGETS: usize = 50;
/// Ports in one `CreateListener`.
pub(crate) const CREATE_LISTENERS: usize = 50;
/// Listeners in one `DeleteLoadBalancerListeners`.
pub(crate) const DELETE_LISTENERS: usize = 20;
/// Load balancers in one `DeleteLoadBalancer`.
pub(crate) const DELETE_LOAD_BALANCERS: usize = 20;
/// Security groups of one load balancer, as `SetLoadBalancerSecurityGroups` has it.
pub(crate) const SECURITY_GROUPS: usize = 50;
/// Listeners in one `DescribeTargets`.
pub(crate) const TARGETS_LISTENERS: usize = 20;
/// Listeners in one `DescribeListeners`.
pub(crate) const LISTENERS: usize = 100;
/// Ids in one `DescribeLoadBalancers`.
pub(crate) const LOAD_BALANCERS: usize = 20;
/// Load balancers in one page of it.
pub(crate) const LOAD_BALANCER_PAGE: usize = 100;
/// Load balancers in one `DescribeTargetHealth`.
pub(crate) const HEALTH_LOAD_BALANCERS: usize = 30;

/// Cuts `items` into slices of at most `size`, in order, none of them empty.
pub fn batches<T>(items: &[T], size: usize) -> impl Iterator<Item = &[T]> {
    items.chunks(size.max(1))
}

/// Cuts weight changes into lists that one `BatchModifyTargetWeight` takes each: at most 100
/// entries, 50 targets an entry, 500 targets in all. The order is kept; a long entry is cut.
pub fn weight_batches(changes: impl IntoIterator<Item = ModifyWeight>) -> Vec<Vec<ModifyWeight>> {
    let mut batches = vec![];
    let mut batch: Vec<ModifyWeight> = vec![];
    let mut targets = 0;
    for part in changes.into_iter().flat_map(|change| cut(&change)) {
        if batch.len() == WEIGHT_ENTRIES || targets + part.targets.len() > BATCH_TARGETS {
            batches.push(std::mem::take(&mut batch));
            targets = 0;
        }
        targets += part.targets.len();
        batch.push(part);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn cut(change: &ModifyWeight) -> Vec<ModifyWeight> {
    let part = |targets: &[Target]| ModifyWeight {
        targets: targets.to_vec(),
        ..change.clone()
    };
    change
        .targets
        .chunks(WEIGHT_ENTRY_TARGETS)
        .map(part)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ListenerId;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::net::{IpAddr, Ipv4Addr};

    #[rstest]
    #[case::empty(0, 500, &[])]
    #[case::smaller(3, 500, &[3])]
    #[case::exact(500, 500, &[500])]
    #[case::even(1000, 500, &[500, 500])]
    #[case::uneven(1001, 500, &[500, 500, 1])]
    #[case::size_zero(2, 0, &[1, 1])]
    fn cuts_into_sizes(#[case] items: usize, #[case] size: usize, #[case] expected: &[usize]) {
        let items: Vec<usize> = (0..items).collect();
        let sizes: Vec<usize> = batches(&items, size).map(<[usize]>::len).collect();
        assert_eq!(sizes, expected);
    }

    fn change(listener: usize, targets: u16) -> ModifyWeight {
        let target = |port| Target::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port).weight(0);
        ModifyWeight {
            listener_id: ListenerId::new(format!("lbl-{listener}")),
            location_id: None,
            targets: (0..targets).map(target).collect(),
            weight: None,
        }
    }

    fn flat(changes: &[ModifyWeight]) -> Vec<(String, u16)> {
        let pairs = |c: &ModifyWeight| -> Vec<(String, u16)> {
            c.targets
                .iter()
                .map(|target| (c.listener_id.to_string(), target.port))
                .collect()
        };
        changes.iter().flat_map(pairs).collect()
    }

    proptest! {
        #[test]
        fn batches_keep_order_and_size(items in prop::collection::vec(any::<u8>(), 0..2000), size in 0_usize..600) {
            let cut: Vec<&[u8]> = batches(&items, size).collect();
            prop_assert!(cut.iter().all(|part| !part.is_empty() && part.len() <= size.max(1)));
            prop_assert_eq!(cut.concat(), items);
        }

        #[test]
        fn weight_batches_lose_nothing_and_keep_the_limits(sizes in prop::collection::vec(0_u16..130, 0..150)) {
            let changes: Vec<ModifyWeight> = sizes.iter().enumerate().map(|(i, n)| change(i, *n)).collect();
            let cut = weight_batches(changes.clone());
            for batch in &cut {
                prop_assert!((1..=100).contains(&batch.len()));
                prop_assert!(batch.iter().all(|entry| (1..=50).contains(&entry.targets.len())));
                prop_assert!(batch.iter().map(|entry| entry.targets.len()).sum::<usize>() <= 500);
            }
            prop_assert_eq!(flat(&cut.concat()), flat(&changes));
        }
    }
}
