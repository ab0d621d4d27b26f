"""Targets of many listeners in one call: BatchRegisterTargets, BatchDeregisterTargets,
BatchModifyTargetWeight, BatchModifyTargetTag."""

from collections.abc import Sequence
from typing import Any

import pytest

from client import Api, SUCCEEDED
from world import (
    BAD_VALUE,
    LB_GONE,
    LISTENER_GONE,
    LOCATION_GONE,
    NO_LB,
    NO_LISTENER,
    NO_LOCATION,
    TOO_MANY,
    address,
    bound,
    eni,
    enis,
    new_listener,
    new_listeners,
    new_rule,
    register,
)

TARGETS_PER_CALL = 500
ITEMS_PER_CALL = 100
TARGETS_PER_ITEM = 50

BATCHES = ["BatchRegisterTargets", "BatchDeregisterTargets"]
CHANGES = ["BatchModifyTargetWeight", "BatchModifyTargetTag"]


def of(listener: str, targets: Sequence[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """Targets as a batch names them: each with its listener."""
    return [{"ListenerId": listener, **target, **more} for target in targets]


def batch(api: Api, action: str, lb: str, targets: list[dict[str, Any]]) -> None:
    """A batch of which every listener is served. It answers when the work is done."""
    response = api(action, LoadBalancerId=lb, Targets=targets)
    assert response.FailListenerIdSet == []
    assert not response.Message


def thirds() -> tuple[list[dict[str, Any]], ...]:
    """As many targets as a batch takes, in three parts that fit a listener each."""
    targets = enis(TARGETS_PER_CALL)
    return targets[:170], targets[170:340], targets[340:]


def test_a_batch_is_done_when_it_answers(api: Api, lb: str) -> None:
    tcp, udp = new_listener(api, lb), new_listener(api, lb, protocol="UDP")
    http = new_listener(api, lb, 8081, "HTTP")
    location = new_rule(api, lb, http)
    one, two, three = eni(), eni(Weight=0, Tag="uid-2"), eni(Weight=100)
    targets = of(tcp, [one]) + of(udp, [two]) + of(http, [three], LocationId=location)
    batch(api, "BatchRegisterTargets", lb, targets)
    (first,), (second,), (third,) = (
        bound(api, lb, tcp).values(),
        bound(api, lb, udp).values(),
        bound(api, lb, http, location).values(),
    )
    assert (first.Weight, first.Tag or None) == (10, None)
    assert (second.Weight, second.Tag) == (0, "uid-2")
    assert third.Weight == 100
    batch(api, "BatchDeregisterTargets", lb, targets)
    assert not bound(api, lb, tcp) and not bound(api, lb, udp) and not bound(api, lb, http, location)


@pytest.mark.parametrize("action", BATCHES)
def test_asking_for_the_task_of_a_batch_is_harmless(api: Api, lb: str, action: str) -> None:
    targets = of(new_listener(api, lb), [eni()])
    batch(api, "BatchRegisterTargets", lb, targets)
    task = api(action, LoadBalancerId=lb, Targets=targets).RequestId
    assert api.end_of(task).Status == SUCCEEDED


def test_five_hundred_targets_fit_in_one_call(api: Api, lb: str) -> None:
    listeners = new_listeners(api, lb, [8080, 8081, 8082])
    parts = thirds()
    targets = [target for listener, part in zip(listeners, parts) for target in of(listener, part)]
    batch(api, "BatchRegisterTargets", lb, targets)
    for listener, part in zip(listeners, parts):
        assert set(bound(api, lb, listener)) == {address(target) for target in part}
    batch(api, "BatchDeregisterTargets", lb, targets)
    assert all(not bound(api, lb, listener) for listener in listeners)


@pytest.mark.parametrize("action", BATCHES)
def test_more_than_five_hundred_targets_are_refused(api: Api, lb: str, action: str) -> None:
    listeners = new_listeners(api, lb, [8080, 8081, 8082])
    targets = [target for listener in listeners for target in of(listener, enis(167))]
    assert len(targets) == TARGETS_PER_CALL + 1
    api.refused(action, TOO_MANY, LoadBalancerId=lb, Targets=targets)
    assert all(not bound(api, lb, listener) for listener in listeners)


def test_some_listeners_may_fail_while_others_are_served(api: Api, lb: str) -> None:
    good = new_listener(api, lb)
    target = eni()
    targets = of(good, [target]) + of(NO_LISTENER, [eni()])
    response = api("BatchRegisterTargets", LoadBalancerId=lb, Targets=targets)
    assert response.FailListenerIdSet == [NO_LISTENER]
    assert response.Message
    assert set(bound(api, lb, good)) == {address(target)}
    response = api("BatchDeregisterTargets", LoadBalancerId=lb, Targets=targets)
    assert response.FailListenerIdSet == [NO_LISTENER]
    assert bound(api, lb, good) == {}


@pytest.mark.parametrize("action", BATCHES)
def test_unknown_ids_are_refused(api: Api, lb: str, action: str) -> None:
    api.refused(action, *LB_GONE, LoadBalancerId=NO_LB, Targets=of(NO_LISTENER, [eni()]))
    api.refused(action, *LISTENER_GONE, LoadBalancerId=lb, Targets=of(NO_LISTENER, [eni()]))


@pytest.mark.parametrize("action", BATCHES)
def test_layer_7_needs_a_rule_that_exists(api: Api, lb: str, action: str) -> None:
    listener = new_listener(api, lb, protocol="HTTP")
    location = new_rule(api, lb, listener)
    target = eni()
    register(api, lb, listener, target, LocationId=location)
    for wrong in ({}, {"LocationId": NO_LOCATION}):
        codes = (*LOCATION_GONE, "MissingParameter")
        api.refused(action, *codes, LoadBalancerId=lb, Targets=of(listener, [target], **wrong))
    assert set(bound(api, lb, listener, location)) == {address(target)}


@pytest.mark.parametrize("action", BATCHES)
@pytest.mark.parametrize("named", ["both", "neither"])
def test_a_target_is_an_instance_or_an_address(api: Api, lb: str, action: str, named: str) -> None:
    target = eni(InstanceId="ins-00000001") if named == "both" else {"Port": 80}
    targets = of(new_listener(api, lb), [target])
    api.refused(action, BAD_VALUE, "MissingParameter", LoadBalancerId=lb, Targets=targets)


@pytest.mark.parametrize("action", BATCHES)
def test_a_target_named_twice_is_refused(api: Api, lb: str, action: str) -> None:
    targets = of(new_listener(api, lb), [eni()]) * 2
    api.refused(action, BAD_VALUE, LoadBalancerId=lb, Targets=targets)


def test_a_target_may_be_behind_two_listeners_and_rules(api: Api, lb: str) -> None:
    http = new_listener(api, lb, protocol="HTTP")
    rules = [new_rule(api, lb, http, url=url) for url in ("/1", "/2")]
    tcp = new_listener(api, lb, 8081)
    target = eni()
    targets = of(tcp, [target]) + [each for rule in rules for each in of(http, [target], LocationId=rule)]
    batch(api, "BatchRegisterTargets", lb, targets)
    assert [len(bound(api, lb, http, rule)) for rule in rules] == [1, 1]
    batch(api, "BatchDeregisterTargets", lb, of(http, [target], LocationId=rules[0]))
    assert [len(bound(api, lb, http, rule)) for rule in rules] == [0, 1]
    assert len(bound(api, lb, tcp)) == 1


@pytest.mark.parametrize("action", BATCHES)
def test_no_targets_are_refused(api: Api, lb: str, action: str) -> None:
    api.refused(action, BAD_VALUE, "MissingParameter", LoadBalancerId=lb, Targets=[])


@pytest.mark.parametrize("wrong", [{"Port": 0}, {"Port": 65536}, {"Weight": -1}, {"Weight": 101}, {"EniIp": "pod-1"}])
def test_values_out_of_range_are_refused(api: Api, lb: str, wrong: dict[str, Any]) -> None:
    targets = of(new_listener(api, lb), [eni(), eni() | wrong])
    api.refused("BatchRegisterTargets", BAD_VALUE, LoadBalancerId=lb, Targets=targets)


def test_weights_change_in_many_listeners_and_rules(api: Api, lb: str) -> None:
    tcp = new_listener(api, lb)
    http = new_listener(api, lb, 8081, "HTTP")
    location = new_rule(api, lb, http)
    own, common, ruled = enis(3)
    register(api, lb, tcp, own, common)
    register(api, lb, http, ruled, LocationId=location)
    changes = [
        {"ListenerId": tcp, "Targets": [own | {"Weight": 1}, common], "Weight": 2},
        {"ListenerId": http, "LocationId": location, "Targets": [ruled | {"Weight": 0}]},
    ]
    api.write("BatchModifyTargetWeight", LoadBalancerId=lb, ModifyList=changes)
    assert {key: shown.Weight for key, shown in bound(api, lb, tcp).items()} == {address(own): 1, address(common): 2}
    assert bound(api, lb, http, location)[address(ruled)].Weight == 0


def test_tags_are_changed_when_the_call_answers(api: Api, lb: str) -> None:
    tcp = new_listener(api, lb)
    http = new_listener(api, lb, 8081, "HTTP")
    location = new_rule(api, lb, http)
    own, common, untouched, ruled = enis(4, Tag="old", Weight=20)
    register(api, lb, tcp, own, common, untouched)
    register(api, lb, http, ruled, LocationId=location)
    changes = [
        {"ListenerId": tcp, "Targets": [{**own, "Tag": "own"}, plain(common)], "Tag": "common"},
        {"ListenerId": http, "LocationId": location, "Targets": [{**ruled, "Tag": "ruled"}]},
    ]
    api("BatchModifyTargetTag", LoadBalancerId=lb, ModifyList=changes)
    shown = bound(api, lb, tcp)
    assert [shown[address(target)].Tag for target in (own, common, untouched)] == ["own", "common", "old"]
    assert {target.Weight for target in shown.values()} == {20}
    assert bound(api, lb, http, location)[address(ruled)].Tag == "ruled"


def plain(target: dict[str, Any]) -> dict[str, Any]:
    return {"EniIp": target["EniIp"], "Port": target["Port"]}


def test_a_hundred_items_and_five_hundred_targets_fit_in_one_call(api: Api, lb: str) -> None:
    listeners = new_listeners(api, lb, [8080, 8081, 8082])
    parts = thirds()
    batch(api, "BatchRegisterTargets", lb, [t for each, part in zip(listeners, parts) for t in of(each, part)])
    # 34, 34 and 32 items of five targets each.
    changes = [
        {"ListenerId": listener, "Targets": part[i : i + 5], "Weight": 33}
        for listener, part in zip(listeners, parts)
        for i in range(0, len(part), 5)
    ]
    assert len(changes) == ITEMS_PER_CALL
    api.write("BatchModifyTargetWeight", LoadBalancerId=lb, ModifyList=changes)
    weights = [shown.Weight for listener in listeners for shown in bound(api, lb, listener).values()]
    assert weights == [33] * TARGETS_PER_CALL
    tags = [{"ListenerId": listener, "Targets": part, "Tag": "new"} for listener, part in zip(listeners, parts)]
    api("BatchModifyTargetTag", LoadBalancerId=lb, ModifyList=tags)
    assert {shown.Tag for listener in listeners for shown in bound(api, lb, listener).values()} == {"new"}


def items(listener: str, count: int, targets: int) -> list[dict[str, Any]]:
    return [{"ListenerId": listener, "Targets": enis(targets), "Weight": 1} for _ in range(count)]


@pytest.mark.parametrize(
    ("count", "targets"),
    [(ITEMS_PER_CALL + 1, 1), (1, TARGETS_PER_ITEM + 1), (11, 46)],
    ids=["items", "targets of an item", "targets in all"],
)
def test_larger_weight_changes_are_refused(api: Api, lb: str, count: int, targets: int) -> None:
    listener = new_listener(api, lb)
    changes = items(listener, count, targets)
    api.refused("BatchModifyTargetWeight", TOO_MANY, LoadBalancerId=lb, ModifyList=changes)


def test_tags_of_more_than_five_hundred_targets_are_refused(api: Api, lb: str) -> None:
    listener = new_listener(api, lb)
    changes = [{"ListenerId": listener, "Targets": enis(167), "Tag": "x"} for _ in range(3)]
    api.refused("BatchModifyTargetTag", TOO_MANY, LoadBalancerId=lb, ModifyList=changes)


@pytest.mark.parametrize("action", CHANGES)
def test_changes_of_unknown_ids_are_refused(api: Api, lb: str, action: str) -> None:
    change = [{"ListenerId": NO_LISTENER, "Targets": [eni()]}]
    api.refused(action, *LB_GONE, LoadBalancerId=NO_LB, ModifyList=change)
    api.refused(action, *LISTENER_GONE, LoadBalancerId=lb, ModifyList=change)


@pytest.mark.parametrize("action", CHANGES)
def test_changes_in_layer_7_need_a_rule_that_exists(api: Api, lb: str, action: str) -> None:
    listener = new_listener(api, lb, protocol="HTTP")
    target = eni()
    register(api, lb, listener, target, LocationId=new_rule(api, lb, listener))
    for wrong in ({}, {"LocationId": NO_LOCATION}):
        change = [{"ListenerId": listener, "Targets": [target], **wrong}]
        api.refused(action, *LOCATION_GONE, "MissingParameter", LoadBalancerId=lb, ModifyList=change)


@pytest.mark.parametrize("action", CHANGES)
def test_no_changes_are_refused(api: Api, lb: str, action: str) -> None:
    api.refused(action, BAD_VALUE, "MissingParameter", LoadBalancerId=lb, ModifyList=[])


def test_a_weight_out_of_range_changes_nothing(api: Api, lb: str) -> None:
    listener = new_listener(api, lb)
    good, bad = enis(2)
    register(api, lb, listener, good, bad)
    changes = [{"ListenerId": listener, "Targets": [good | {"Weight": 1}, bad | {"Weight": 101}]}]
    api.refused("BatchModifyTargetWeight", BAD_VALUE, LoadBalancerId=lb, ModifyList=changes)
    assert {shown.Weight for shown in bound(api, lb, listener).values()} == {10}
