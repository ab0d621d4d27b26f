use super::*;

/// Two pods on node-1 and one on node-2, as in the run.
fn map() -> Map {
    let named = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(owned).collect()
    };
    let addresses = named(&[
        ("198.18.0.11", "node-1"),
        ("198.18.1.1", "node-1"),
        ("198.18.0.12", "node-2"),
    ]);
    Map {
        pods: named(&[("a", "node-1"), ("b", "node-1"), ("c", "node-2")]),
        addresses: addresses
            .into_iter()
            .map(|(address, node)| (address.parse().unwrap(), node))
            .collect(),
    }
}

/// `client pod seen` by the last number of the client, or `-` where the pod saw the client.
fn answer(client: u8, pod: &str, seen: &str) -> Answer {
    let client: IpAddr = [203, 0, 113, client].into();
    Answer {
        client,
        pod: pod.to_owned(),
        seen: if seen == "-" {
            client
        } else {
            seen.parse().unwrap()
        },
    }
}

fn load(answers: &[Answer], each: Duration) -> Load {
    let count = u32::try_from(answers.len()).unwrap();
    Load {
        answers: answers.to_vec(),
        took: vec![each; answers.len()],
        failures: BTreeMap::new(),
        lasted: each * count,
    }
}

fn part(answers: &[Answer], millis: u64) -> Part {
    let each = Duration::from_millis(millis);
    Part {
        alone: load(answers, each),
        busy: load(answers, each),
        wire: 0,
        tracked: Tracked::default(),
    }
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

#[test]
fn a_source_that_is_a_node_s_shows_what_was_passed_on() {
    let answers = [
        answer(1, "a", "198.18.1.1"),
        answer(2, "c", "198.18.0.11"),
        answer(3, "a", "198.18.0.12"),
        answer(4, "b", "198.18.1.1"),
    ];
    let figures = performance(&[part(&answers, 1)], &[part(&answers, 1)], &map());
    assert!(close(figures.passed_on, 0.5));
    assert!(close(figures.source_kept, 0.0));
    assert_eq!((figures.clients, figures.seen.len()), (4, 3));
}

#[test]
fn a_source_that_is_the_client_s_was_passed_on_by_nobody() {
    let answers = [answer(1, "a", "-"), answer(2, "c", "-")];
    let figures = performance(&[part(&answers, 1)], &[], &map());
    assert!(close(figures.passed_on, 0.0));
    assert!(close(figures.source_kept, 1.0));
    let shares: Vec<_> = figures.spread.iter().map(|one| one.part).collect();
    assert_eq!(shares, [0.5, 0.0, 0.5], "a pod that nobody reached counts");
}

#[test]
fn ratios_are_of_rounds_and_of_these_the_median() {
    let one = [answer(1, "a", "-")];
    let ours = [part(&one, 4), part(&one, 30), part(&one, 6)];
    let direct = [part(&one, 2), part(&one, 10), part(&one, 6)];
    let figures = performance(&ours, &direct, &map());
    assert!(close(figures.against_direct.p50, 2.0), "of 2, 3 and 1");
    assert!(close(figures.against_direct.p99, 2.0));
    assert!(close(figures.against_direct.per_second, 0.5));
    assert_eq!((figures.p50_us, figures.p99_us), (6_000, 30_000));
}

#[test]
fn what_nodes_saw_is_divided_among_requests() {
    let answers = [answer(1, "a", "-"), answer(2, "c", "-")];
    let part = Part {
        wire: 400,
        tracked: Tracked {
            entries: 6,
            from_clients: 4,
            to_translated: 4,
            from_translated: 2,
            conflicts: 1,
        },
        ..part(&answers, 1)
    };
    let figures = performance(std::slice::from_ref(&part), &[], &map());
    assert!(close(figures.wire_bytes_each, 100.0));
    assert!(close(figures.entries_each, 1.5));
    assert!(close(figures.to_translated, 1.0));
    assert!(close(figures.from_translated, 0.5));
    assert_eq!(figures.conflicts, 1);
}

#[test]
fn failures_are_summed_by_cause_and_nothing_at_all_is_no_reason_to_divide() {
    let mut failed = Part::default();
    failed.alone.failures.insert("timed out".to_owned(), 2);
    failed.busy.failures.insert("timed out".to_owned(), 3);
    let figures = performance(&[failed], &[], &map());
    assert_eq!(figures.failures.get("timed out"), Some(&5));
    assert!(close(figures.per_second, 0.0) && close(figures.entries_each, 0.0));
}

#[test]
fn a_client_s_first_answer_says_where_it_belongs() {
    let answers = [
        answer(1, "a", "-"),
        answer(2, "c", "-"),
        answer(1, "a", "-"),
        answer(1, "b", "-"),
        answer(2, "c", "-"),
        answer(1, "c", "-"),
    ];
    let kept = persistence(&answers, &map());
    assert_eq!((kept.clients, kept.returns), (2, 4));
    assert!(close(kept.same_pod, 0.5));
    assert!(close(kept.same_node, 0.75));
}

#[test]
fn a_node_that_passes_on_keeps_its_client_though_the_pod_changes() {
    let answers = [
        answer(1, "a", "198.18.1.1"),
        answer(1, "c", "198.18.0.11"),
        answer(1, "a", "198.18.0.12"),
    ];
    let kept = persistence(&answers, &map());
    assert!(close(kept.same_pod, 0.5));
    assert!(close(kept.same_node, 0.5));
    assert_eq!(persistence(&[], &map()), Persistence::default());
}
