//! The rules of choosing a target, tried by example and at random.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

fn offer(number: u8, weight: u8, verdict: Verdict) -> Offer {
    Offer {
        seat: Seat {
            address: SocketAddr::from(([10, 0, 0, number], 80)),
            generation: u64::from(number),
        },
        weight,
        verdict,
    }
}

fn wheel(scheduler: RuleScheduler, offers: Vec<Offer>) -> Wheel {
    let mut wheel = Wheel::new(scheduler);
    wheel.set(scheduler, offers);
    wheel
}

fn visitor(number: u8) -> Visitor {
    Visitor {
        address: Ipv4Addr::new(192, 0, 2, number).into(),
        now: Instant::now(),
    }
}

fn tally(wheel: &mut Wheel, picks: usize) -> BTreeMap<u64, usize> {
    let mut tally = BTreeMap::new();
    for visit in 0..picks {
        let address = Ipv4Addr::from_bits(u32::try_from(visit).unwrap()).into();
        let now = Instant::now();
        if let Some(seat) = wheel.pick(Visitor { address, now }) {
            *tally.entry(seat.generation).or_default() += 1;
        }
    }
    tally
}

#[test]
fn turns_follow_the_weights_smoothly() {
    let offers = vec![
        offer(1, 5, Verdict::Alive),
        offer(2, 1, Verdict::Alive),
        offer(3, 1, Verdict::Alive),
    ];
    let mut wheel = wheel(RuleScheduler::Wrr, offers);
    let order: Vec<u64> = (0..7)
        .filter_map(|_| Some(wheel.pick(visitor(1))?.generation))
        .collect();
    assert_eq!(order, [1, 1, 2, 1, 3, 1, 1]);
}

#[test]
fn least_conn_fills_the_emptiest() {
    let mut wheel = wheel(
        RuleScheduler::LeastConn,
        vec![offer(1, 10, Verdict::Alive), offer(2, 10, Verdict::Alive)],
    );
    let first = wheel.pick(visitor(1)).unwrap();
    let second = wheel.pick(visitor(1)).unwrap();
    assert_ne!(first, second);
    wheel.release(second);
    assert_eq!(wheel.pick(visitor(1)), Some(second));
}

#[test]
fn a_target_that_stays_keeps_its_connections() {
    let both = vec![offer(1, 1, Verdict::Alive), offer(3, 1, Verdict::Alive)];
    let mut wheel = wheel(RuleScheduler::LeastConn, both);
    assert_eq!(tally(&mut wheel, 4), BTreeMap::from([(1, 2), (3, 2)]));
    let three = (1..=3)
        .map(|number| offer(number, 1, Verdict::Alive))
        .collect();
    wheel.set(RuleScheduler::LeastConn, three);
    assert_eq!(tally(&mut wheel, 2), BTreeMap::from([(2, 2)]));
}

#[test]
fn a_target_is_had_again_only_while_it_may_serve() {
    let offers = |weight, verdict| vec![offer(1, weight, verdict), offer(2, 9, Verdict::Alive)];
    let mut wheel = wheel(RuleScheduler::LeastConn, offers(1, Verdict::Alive));
    let [first, second] = [1, 2].map(|number| offer(number, 1, Verdict::Alive).seat);
    assert!(wheel.pick_again(first, Instant::now()));
    assert_eq!(wheel.pick(visitor(1)), Some(second), "it counts as live");
    wheel.set(RuleScheduler::Wrr, offers(0, Verdict::Alive));
    assert!(
        !wheel.pick_again(first, Instant::now()),
        "weight 0 takes no new connection"
    );
    wheel.set(RuleScheduler::Wrr, offers(1, Verdict::Dead));
    assert!(!wheel.pick_again(first, Instant::now()));
    wheel.set(RuleScheduler::Wrr, Vec::new());
    assert!(!wheel.pick_again(first, Instant::now()));
}

fn any_offers() -> impl Strategy<Value = Vec<Offer>> {
    let verdict = prop_oneof![
        Just(Verdict::Unknown),
        Just(Verdict::Alive),
        Just(Verdict::Dead)
    ];
    prop::collection::vec((0_u8..=100, verdict), 0..12).prop_map(|all| {
        let numbered = all.into_iter().zip(1..);
        numbered
            .map(|((weight, verdict), number)| offer(number, weight, verdict))
            .collect()
    })
}

fn any_scheduler() -> impl Strategy<Value = RuleScheduler> {
    prop_oneof![
        Just(RuleScheduler::Wrr),
        Just(RuleScheduler::LeastConn),
        Just(RuleScheduler::IpHash)
    ]
}

#[test]
fn ip_hash_keeps_an_address_with_its_target_and_follows_the_weights() {
    let offers = vec![
        offer(1, 1, Verdict::Alive),
        offer(2, 3, Verdict::Alive),
        offer(3, 0, Verdict::Alive),
    ];
    let mut wheel = wheel(RuleScheduler::IpHash, offers);
    let first = wheel.pick(visitor(7)).unwrap();
    assert!((0..50).all(|_| wheel.pick(visitor(7)) == Some(first)));
    let tally = tally(&mut wheel, 4000);
    assert_eq!(tally.values().sum::<usize>(), 4000);
    let share = tally[&2] - 50 * usize::from(first.generation == 2);
    assert!((2850..=3150).contains(&share), "three of four: {tally:?}");
}

#[test]
fn a_cookie_s_value_finds_its_target_and_no_other() {
    let offers: Vec<Offer> = (1..=200)
        .map(|number| offer(number, 1, Verdict::Alive))
        .collect();
    let wheel = wheel(RuleScheduler::Wrr, offers.clone());
    for offer in offers {
        assert_eq!(wheel.by_token(offer.seat.token()), Some(offer.seat));
    }
    assert_eq!(wheel.by_token(7), None);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_is_passed_over_for_a_while_unless_all_do() {
    let offers = vec![offer(1, 1, Verdict::Alive), offer(2, 1, Verdict::Alive)];
    let [one, two] = [1, 2].map(|number| offer(number, 1, Verdict::Alive).seat);
    let mut wheel = wheel(RuleScheduler::Wrr, offers.clone());
    for _ in 0..3 {
        wheel.tell(one, false, Instant::now());
    }
    wheel.set(RuleScheduler::Wrr, offers);
    assert_eq!(tally(&mut wheel, 10), BTreeMap::from([(2, 10)]));
    assert!(!wheel.pick_again(one, Instant::now()));
    for _ in 0..3 {
        wheel.tell(two, false, Instant::now());
    }
    assert_eq!(tally(&mut wheel, 10).len(), 2, "better those than nobody");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(tally(&mut wheel, 10).len(), 2);
    assert!(wheel.pick_again(one, Instant::now()));
}

proptest! {
    #[test]
    fn traffic_goes_where_the_rules_say(offers in any_offers(), scheduler in any_scheduler()) {
        let tally = tally(&mut wheel(scheduler, offers.clone()), 200);
        let weighted = |verdict| offers.iter().filter(move |offer| offer.weight > 0 && offer.verdict == verdict);
        let alive = weighted(Verdict::Alive).count();
        let wanted = if alive > 0 { Verdict::Alive } else { Verdict::Dead };
        let allowed: Vec<u64> = weighted(wanted).map(|offer| offer.seat.generation).collect();
        prop_assert!(tally.keys().all(|generation| allowed.contains(generation)));
        prop_assert_eq!(tally.is_empty(), allowed.is_empty());
    }

    #[test]
    fn shares_are_exact_over_a_full_round(weights in prop::collection::vec(1_u8..=20, 1..8)) {
        let offers: Vec<Offer> = weights.iter().zip(1..).map(|(weight, number)| offer(number, *weight, Verdict::Alive)).collect();
        let round: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
        let tally = tally(&mut wheel(RuleScheduler::Wrr, offers.clone()), round * 3);
        for offer in offers {
            prop_assert_eq!(tally[&offer.seat.generation], usize::from(offer.weight) * 3);
        }
    }
}
