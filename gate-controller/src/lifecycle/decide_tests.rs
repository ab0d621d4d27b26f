use rstest::rstest;

use super::*;
use crate::desired::tests::{front, service};
use direct_access::{ServiceFacts, names};

const UID: &str = "uid-web";
const TOKEN: &str = "uid-web-1";
const FRESH: &str = "uid-web-2";
const VIP: &str = "198.18.0.130";

/// A case: what is known, in owned form.
struct Case {
    service: ServiceFacts,
    wish: Wish,
    may_create: bool,
    may_remove: bool,
    ours: Vec<Seen>,
    named: Option<Seen>,
    users: BTreeMap<String, Owner>,
    contents: BTreeMap<String, Contents>,
    memory: Memory,
}

fn seen(id: &str) -> Seen {
    Seen {
        id: id.to_owned(),
        normal: true,
        address: Some(VIP.to_owned()),
        created: String::new(),
        traits: Traits::default(),
    }
}

/// A Service without anything of ours on it.
fn bare(wish: Wish) -> Case {
    let mut service = service("web");
    service.annotations.remove(names::EXISTING_LOAD_BALANCER);
    Case {
        service,
        wish,
        may_create: true,
        may_remove: true,
        ours: vec![],
        named: None,
        users: BTreeMap::new(),
        contents: BTreeMap::new(),
        memory: Memory::default(),
    }
}

/// A Service with finalizer and token, and the id where one is given.
fn claimed(wish: Wish, id: Option<&str>) -> Case {
    let mut case = bare(wish).with(names::CLIENT_TOKEN, TOKEN);
    case.service.finalizer = true;
    match id {
        None => case,
        Some(id) => case.with(names::LOAD_BALANCER_ID, id),
    }
}

/// One whose CLB is there.
fn made(wish: Wish) -> Case {
    Case {
        ours: vec![seen("lb-1")],
        ..claimed(wish, Some("lb-1"))
    }
}

impl Case {
    fn with(mut self, key: &str, value: &str) -> Self {
        let pair = (key.to_owned(), value.to_owned());
        self.service.annotations.extend([pair]);
        self
    }

    fn shown(mut self) -> Self {
        self.service.ingress = vec![ingress(VIP)];
        self.with(names::SHOWN_ADDRESS, VIP)
    }

    fn holding(mut self, id: &str, ours: usize, foreign: usize) -> Self {
        self.contents
            .insert(id.to_owned(), Contents { ours, foreign });
        self
    }

    fn settled(mut self) -> Self {
        self.memory.unseen = SETTLED;
        self
    }

    fn decide(&self) -> Decision {
        decide(&Facts {
            holder: &Holder::from(&self.service),
            wish: self.wish.clone(),
            may_create: self.may_create,
            may_remove: self.may_remove,
            ours: &self.ours,
            named: self.named.as_ref(),
            users: &self.users,
            contents: &self.contents,
            memory: self.memory,
            fresh_token: FRESH,
        })
    }

    fn step(&self) -> Step {
        self.decide().step
    }
}

fn claim(token: Option<&str>, lost: Option<&str>) -> Step {
    Step::Claim(Claim {
        token: token.map(str::to_owned),
        lost: lost.map(str::to_owned),
    })
}

#[test]
fn what_is_asked_for_later_is_changed_in_place() {
    let asks = || made(Wish::Made).shown().with(names::PASS_TO_TARGET, "true");
    let change = Adjustment {
        pass_to_target: Some(true),
        ..Adjustment::default()
    };
    assert_eq!(
        asks().step(),
        Step::Adjust(text("lb-1"), Box::new(change.clone()))
    );
    let mut done = asks();
    done.ours[0].traits = done.ours[0].traits.adjusted(&change);
    assert_eq!(done.step(), Step::Rest);
    let mut unheeded = asks();
    unheeded.memory.adjusted = Some(Duration::from_secs(1));
    assert_eq!(unheeded.step(), Step::Rest);
    let mut lowered = asks();
    lowered.may_create = false;
    assert_eq!(lowered.step(), Step::Rest);
    let first = made(Wish::Made).with(names::PASS_TO_TARGET, "true");
    assert!(matches!(first.step(), Step::Show(_)));
}

fn text(id: &str) -> String {
    id.to_owned()
}

#[test]
fn making_one_goes_step_by_step() {
    assert_eq!(bare(Wish::Made).step(), claim(Some(FRESH), None));
    assert_eq!(claimed(Wish::Made, None).step(), Step::Create);
    let young = Seen {
        normal: false,
        address: None,
        ..seen("lb-1")
    };
    let being_made = Case {
        ours: vec![young],
        ..made(Wish::Made)
    };
    assert_eq!(being_made.step(), Step::Wait(Waiting::BeingMade));
    assert_eq!(made(Wish::Made).step(), Step::Show(ingress(VIP)));
    assert_eq!(made(Wish::Made).shown().step(), Step::Rest);
}

#[test]
fn an_order_without_an_id_is_waited_for_and_then_repeated_with_its_token() {
    let mut ordered = claimed(Wish::Made, None);
    ordered.memory.ordered = Some(Duration::from_secs(1));
    assert_eq!(ordered.step(), Step::Wait(Waiting::BeingMade));
    ordered.memory.ordered = Some(SETTLED);
    assert_eq!(ordered.step(), Step::Create);
}

#[test]
fn what_was_made_before_a_crash_is_adopted_not_made_again() {
    let crashed = Case {
        ours: vec![seen("lb-1")],
        ..claimed(Wish::Made, None)
    };
    assert_eq!(crashed.step(), Step::Record(text("lb-1")));
}

#[test]
fn a_copied_token_is_none() {
    let copied = bare(Wish::Made).with(names::CLIENT_TOKEN, "uid-other-1");
    assert_eq!(copied.step(), claim(Some(FRESH), None));
}

#[test]
fn a_finalizer_that_was_removed_is_put_back_without_another_order() {
    let mut stripped = made(Wish::Made);
    stripped.service.finalizer = false;
    assert_eq!(stripped.step(), claim(None, None));
}

#[test]
fn of_several_the_one_on_record_stays_and_empty_ones_go() {
    let two = || Case {
        ours: vec![seen("lb-1"), seen("lb-2")],
        ..made(Wish::Made).shown()
    };
    assert_eq!(two().step(), Step::Inspect(text("lb-2")));
    let empty = two().holding("lb-2", 0, 0);
    assert_eq!(empty.step(), Step::Delete(text("lb-2"), Unneeded::Surplus));
    let early = Case {
        may_remove: false,
        ..two().holding("lb-2", 0, 0)
    };
    assert_eq!(early.step(), Step::Wait(Waiting::NewTerm));
    let used = two().holding("lb-2", 0, 1).decide();
    assert_eq!(used.step, Step::Rest);
    assert!(matches!(used.notice, Some(Notice::Surplus(..))));
}

#[test]
fn an_id_whose_tags_are_not_ours_is_never_touched() {
    let typed = Case {
        named: Some(seen("lb-theirs")),
        ..claimed(Wish::Made, Some("lb-theirs"))
    };
    let decision = typed.settled().decide();
    assert_eq!(decision.step, Step::Wait(Waiting::Person));
    assert_eq!(
        decision.notice,
        Some(Notice::NotMadeForIt(text("lb-theirs")))
    );
}

#[test]
fn a_typed_id_does_not_hide_the_one_that_was_made() {
    let typed = Case {
        named: Some(seen("lb-theirs")),
        ours: vec![seen("lb-1")],
        ..claimed(Wish::Made, Some("lb-theirs"))
    };
    assert_eq!(typed.step(), Step::Record(text("lb-1")));
}

#[test]
fn one_deleted_behind_our_back_is_made_anew_with_another_token() {
    let lost = || claimed(Wish::Made, Some("lb-1"));
    assert_eq!(lost().step(), Step::Wait(Waiting::Unsure));
    assert_eq!(lost().settled().step(), claim(Some(FRESH), Some("lb-1")));
    let lowered = Case {
        may_create: false,
        ..lost().settled()
    };
    assert_eq!(lowered.decide().notice, Some(Notice::Gone(text("lb-1"))));
}

#[rstest]
#[case(Wish::Nothing)]
#[case(Wish::Existing { id: "lb-other".to_owned(), show: true })]
fn letting_go_empties_deletes_clears_and_releases(#[case] wish: Wish) {
    let case = || made(wish.clone()).shown();
    assert_eq!(case().step(), Step::Inspect(text("lb-1")));
    let full = case().holding("lb-1", 2, 0);
    assert_eq!(full.step(), Step::Wait(Waiting::Emptying));
    let empty = case().holding("lb-1", 0, 0);
    assert_eq!(empty.step(), Step::Delete(text("lb-1"), Unneeded::Unwanted));
    let mut gone = Case {
        ours: vec![],
        ..case()
    };
    assert_eq!(gone.step(), Step::Wait(Waiting::Unsure));
    gone.memory.deleted = true;
    assert_eq!(gone.step(), Step::Clear);
    gone.service.ingress.clear();
    gone.service.annotations.remove(names::SHOWN_ADDRESS);
    assert_eq!(gone.step(), Step::Release(vec![]));
    gone.service.finalizer = false;
    assert_eq!(gone.step(), Step::Rest);
}

#[test]
fn a_new_leader_deletes_nothing_at_once() {
    let early = Case {
        may_remove: false,
        ..made(Wish::Nothing).holding("lb-1", 0, 0)
    };
    assert_eq!(early.step(), Step::Wait(Waiting::NewTerm));
}

#[test]
fn a_strangers_listener_keeps_the_load_balancer_and_not_the_service() {
    let shared = made(Wish::Nothing).holding("lb-1", 0, 1).decide();
    assert_eq!(shared.step, Step::Release(vec![text("lb-1")]));
    assert_eq!(
        shared.notice,
        Some(Notice::KeptForStranger(text("lb-1"), 1))
    );
    let first_ours = made(Wish::Nothing).holding("lb-1", 1, 1);
    assert_eq!(first_ours.step(), Step::Wait(Waiting::Emptying));
}

#[test]
fn one_that_another_service_names_stays_until_it_does_not() {
    let mut shared = made(Wish::Nothing).holding("lb-1", 0, 0);
    let user = service("user").owner();
    shared.users.insert(text("lb-1"), user.clone());
    let decision = shared.decide();
    assert_eq!(decision.step, Step::Wait(Waiting::Person));
    assert_eq!(decision.notice, Some(Notice::Used(text("lb-1"), user)));
}

#[test]
fn a_user_who_names_the_made_one_has_taken_it_over() {
    let wish = Wish::Existing {
        id: text("lb-1"),
        show: true,
    };
    let named = made(wish.clone()).holding("lb-1", 0, 0);
    assert_eq!(named.step(), Step::Show(ingress(VIP)));
    assert_eq!(made(wish).shown().step(), Step::Release(vec![]));
}

#[test]
fn a_claim_that_was_never_ordered_is_released_once_nothing_can_show() {
    let lowered = || Case {
        may_create: false,
        ..claimed(Wish::Made, None)
    };
    assert_eq!(lowered().step(), Step::Wait(Waiting::Unsure));
    assert_eq!(lowered().settled().step(), Step::Release(vec![]));
    assert_eq!(
        claimed(Wish::Nothing, None).settled().step(),
        Step::Release(vec![])
    );
}

#[test]
fn an_existing_one_is_shown_and_hidden_again() {
    let existing = |show| Case {
        named: Some(seen("lb-other")),
        ..bare(Wish::Existing {
            id: text("lb-other"),
            show,
        })
    };
    assert_eq!(existing(true).step(), Step::Show(ingress(VIP)));
    assert_eq!(existing(true).shown().step(), Step::Rest);
    assert_eq!(existing(false).step(), Step::Rest);
    assert_eq!(existing(false).shown().step(), Step::Clear);
    assert_eq!(bare(Wish::Nothing).shown().step(), Step::Clear);
}

#[test]
fn a_status_that_somebody_else_wrote_is_left_to_them() {
    let mut theirs = bare(Wish::Nothing).shown();
    theirs.service.ingress = vec![ingress("203.0.113.1")];
    assert_eq!(theirs.step(), Step::Unmark);
    let unmarked = Case {
        service: ServiceFacts {
            ingress: vec![ingress("203.0.113.1")],
            ..bare(Wish::Nothing).service
        },
        ..bare(Wish::Nothing)
    };
    assert_eq!(unmarked.step(), Step::Rest);
}

#[test]
fn an_unreadable_service_stays_as_it_is() {
    assert_eq!(made(Wish::AsIs).step(), Step::Rest);
}

#[test]
fn every_notice_names_the_load_balancer_and_what_to_do() {
    let id = || text("lb-1");
    let all = [
        (Notice::NotMadeForIt(id()), "remove the annotation"),
        (Notice::Surplus(id(), Contents::default()), "delete it"),
        (
            Notice::Used(id(), service("user").owner()),
            "tke-existed-lbid",
        ),
        (Notice::Used(id(), front().owner()), "existLbId"),
        (Notice::KeptForStranger(id(), 1), "delete it"),
        (Notice::Gone(id()), "manage: loadbalancers"),
    ];
    for (notice, remedy) in all {
        let text = notice.told(Kind::Service);
        assert!(text.contains("lb-1") && text.contains(remedy), "{text}");
    }
    assert_eq!(UID, service("web").uid);
}
