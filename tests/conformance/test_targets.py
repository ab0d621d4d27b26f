"""Targets of one listener or rule: RegisterTargets, DeregisterTargets, ModifyTargetWeight,
ModifyTargetPort, and DescribeTargets."""

import re

import pytest

from client import Api
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
    new_rule,
    register,
)

TARGETS_PER_CALL = 20
WRITES = ["RegisterTargets", "DeregisterTargets", "ModifyTargetWeight", "ModifyTargetPort"]


def more(action: str) -> dict[str, int]:
    """What an action requires besides load balancer, listener and targets."""
    return {"NewPort": 9999} if action == "ModifyTargetPort" else {}


@pytest.fixture
def listener(api: Api, lb: str) -> str:
    return new_listener(api, lb)


def test_a_registered_target_is_shown_with_every_field(api: Api, lb: str, listener: str) -> None:
    target = eni(9001, Tag="cls-1/uid-1")
    register(api, lb, listener, target)
    shown = bound(api, lb, listener)[address(target)]
    assert shown.Type.upper() == "ENI"
    assert shown.Port == 9001
    assert shown.Weight == 10
    assert shown.Tag == "cls-1/uid-1"
    assert shown.PrivateIpAddresses == [target["EniIp"]]
    assert shown.PublicIpAddresses is None
    assert shown.EniId.startswith("eni-")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", shown.RegisteredTime)


def test_layer_4_has_targets_and_no_rules(api: Api, lb: str, listener: str) -> None:
    register(api, lb, listener, eni())
    (shown,) = api("DescribeTargets", LoadBalancerId=lb).Listeners
    assert (shown.ListenerId, shown.Protocol, shown.Port, shown.EndPort) == (listener, "TCP", 8080, 0)
    assert shown.Rules is None
    assert len(shown.Targets) == 1


def test_layer_7_has_rules_and_no_targets(api: Api, lb: str) -> None:
    listener = new_listener(api, lb, protocol="HTTP")
    location = new_rule(api, lb, listener, "a.example", "/shop")
    target = eni()
    register(api, lb, listener, target, LocationId=location)
    (shown,) = api("DescribeTargets", LoadBalancerId=lb).Listeners
    assert shown.Targets is None
    (rule,) = shown.Rules
    assert (rule.LocationId, rule.Domain, rule.Url) == (location, "a.example", "/shop")
    assert not rule.FunctionTargets
    assert [backend.PrivateIpAddresses for backend in rule.Targets] == [[target["EniIp"]]]


@pytest.mark.parametrize("action", ["RegisterTargets", "DeregisterTargets", "ModifyTargetWeight", "ModifyTargetPort"])
def test_a_rule_is_named_by_domain_and_url_too(api: Api, lb: str, action: str) -> None:
    listener = new_listener(api, lb, protocol="HTTP")
    location = new_rule(api, lb, listener, "a.example", "/shop")
    other = new_rule(api, lb, listener, "a.example", "/other")
    target = eni(Weight=10)
    rule = {"Domain": "a.example", "Url": "/shop"}
    register(api, lb, listener, target, LocationId=other)
    register(api, lb, listener, target, **rule)
    assert list(bound(api, lb, listener, location)) == [address(target)]
    if action == "RegisterTargets":
        return
    api.write(action, LoadBalancerId=lb, ListenerId=listener, Targets=[target | {"Weight": 7}], **rule, **more(action))
    assert list(bound(api, lb, listener, other)) == [address(target)]
    (after,) = bound(api, lb, listener, location).values() or [None]
    changed = {
        "DeregisterTargets": after is None,
        "ModifyTargetWeight": after is not None and after.Weight == 7,
        "ModifyTargetPort": after is not None and after.Port == 9999,
    }
    assert changed[action]


@pytest.mark.parametrize("weight", [0, 1, 100])
def test_a_target_has_the_weight_it_was_given(api: Api, lb: str, listener: str, weight: int) -> None:
    target = eni(Weight=weight)
    register(api, lb, listener, target)
    assert bound(api, lb, listener)[address(target)].Weight == weight


def test_the_type_is_ignored_on_input(api: Api, lb: str, listener: str) -> None:
    target = eni(Type="CVM")
    register(api, lb, listener, target)
    assert bound(api, lb, listener)[address(target)].Type.upper() == "ENI"


def test_one_address_may_have_many_ports(api: Api, lb: str, listener: str) -> None:
    target = eni(1)
    last = target | {"Port": 65535}
    register(api, lb, listener, target, last)
    assert set(bound(api, lb, listener)) == {address(target), address(last)}


def test_twenty_targets_fit_in_one_call(api: Api, lb: str, listener: str) -> None:
    targets = enis(TARGETS_PER_CALL)
    register(api, lb, listener, *targets)
    assert set(bound(api, lb, listener)) == {address(target) for target in targets}
    api.write("DeregisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=targets)
    assert bound(api, lb, listener) == {}


@pytest.mark.parametrize("action", ["RegisterTargets", "DeregisterTargets"])
def test_more_than_twenty_targets_are_refused(api: Api, lb: str, listener: str, action: str) -> None:
    targets = enis(TARGETS_PER_CALL + 1)
    api.refused(action, TOO_MANY, LoadBalancerId=lb, ListenerId=listener, Targets=targets)
    assert bound(api, lb, listener) == {}


def test_only_the_targets_named_are_deregistered(api: Api, lb: str, listener: str) -> None:
    goes, stays = enis(2)
    register(api, lb, listener, goes, stays)
    api.write("DeregisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=[goes])
    assert set(bound(api, lb, listener)) == {address(stays)}


def test_weights_are_changed_for_each_or_for_all(api: Api, lb: str, listener: str) -> None:
    own, common, untouched = enis(3)
    register(api, lb, listener, own, common, untouched)
    targets = [own | {"Weight": 0}, common]
    api.write("ModifyTargetWeight", LoadBalancerId=lb, ListenerId=listener, Targets=targets, Weight=55)
    shown = bound(api, lb, listener)
    assert [shown[address(target)].Weight for target in (own, common, untouched)] == [0, 55, 10]


def test_a_port_is_changed_and_the_rest_kept(api: Api, lb: str, listener: str) -> None:
    target = eni(9001, Weight=30, Tag="kept")
    register(api, lb, listener, target)
    changed = {"EniIp": target["EniIp"], "Port": 9001}
    api.write("ModifyTargetPort", LoadBalancerId=lb, ListenerId=listener, Targets=[changed], NewPort=9002)
    (shown,) = bound(api, lb, listener).values()
    assert (shown.Port, shown.Weight, shown.Tag) == (9002, 30, "kept")


def test_a_changed_port_must_be_free_and_valid(api: Api, lb: str, listener: str) -> None:
    target = eni(9001)
    other = target | {"Port": 9002}
    register(api, lb, listener, target, other)
    call = {"LoadBalancerId": lb, "ListenerId": listener, "Targets": [target]}
    for port in (0, 65536, 9002):
        api.refused("ModifyTargetPort", BAD_VALUE, NewPort=port, **call)
    assert set(bound(api, lb, listener)) == {address(target), address(other)}


@pytest.mark.parametrize("action", WRITES)
def test_unknown_ids_are_refused(api: Api, lb: str, listener: str, action: str) -> None:
    call = {"Targets": [eni()], **more(action)}
    api.refused(action, *LB_GONE, LoadBalancerId=NO_LB, ListenerId=listener, **call)
    api.refused(action, *LISTENER_GONE, LoadBalancerId=lb, ListenerId=NO_LISTENER, **call)


@pytest.mark.parametrize("action", WRITES)
def test_a_listener_of_another_load_balancer_is_unknown(
    api: Api, lb: str, shared_lb: str, listener: str, action: str
) -> None:
    call = {"Targets": [eni()], **more(action)}
    api.refused(action, *LISTENER_GONE, LoadBalancerId=shared_lb, ListenerId=listener, **call)


@pytest.mark.parametrize("action", WRITES)
def test_layer_7_needs_a_rule_that_exists(api: Api, lb: str, action: str) -> None:
    listener = new_listener(api, lb, protocol="HTTP")
    new_rule(api, lb, listener, "a.example", "/shop")
    call = {"LoadBalancerId": lb, "ListenerId": listener, "Targets": [eni()], **more(action)}
    api.refused(action, *LOCATION_GONE, "MissingParameter", **call)
    api.refused(action, *LOCATION_GONE, LocationId=NO_LOCATION, **call)
    api.refused(action, *LOCATION_GONE, Domain="a.example", Url="/else", **call)


@pytest.mark.parametrize("action", WRITES)
@pytest.mark.parametrize("address", ["both", "neither"])
def test_a_target_is_an_instance_or_an_address(
    api: Api, lb: str, listener: str, action: str, address: str
) -> None:
    target = eni(InstanceId="ins-00000001") if address == "both" else {"Port": 80}
    api.refused(
        action, BAD_VALUE, "MissingParameter", LoadBalancerId=lb, ListenerId=listener, Targets=[target], **more(action)
    )


@pytest.mark.parametrize("action", ["RegisterTargets", "DeregisterTargets", "ModifyTargetWeight"])
def test_a_target_named_twice_is_refused(api: Api, lb: str, listener: str, action: str) -> None:
    target = eni()
    register(api, lb, listener, target)
    targets = [target, target | {"Weight": 3}]
    api.refused(action, "InvalidParameterValue.Duplicate", LoadBalancerId=lb, ListenerId=listener, Targets=targets)
    assert bound(api, lb, listener)[address(target)].Weight == 10


@pytest.mark.parametrize("action", WRITES)
def test_no_targets_are_refused(api: Api, lb: str, listener: str, action: str) -> None:
    api.refused(
        action, BAD_VALUE, "MissingParameter", LoadBalancerId=lb, ListenerId=listener, Targets=[], **more(action)
    )


@pytest.mark.parametrize("wrong", [{"Port": 0}, {"Port": 65536}, {"Port": -1}, {"Weight": -1}, {"Weight": 101}])
def test_ports_and_weights_out_of_range_are_refused(
    api: Api, lb: str, listener: str, wrong: dict[str, int]
) -> None:
    good = eni()
    targets = [good, eni() | wrong]
    api.refused("RegisterTargets", BAD_VALUE, LoadBalancerId=lb, ListenerId=listener, Targets=targets)
    assert bound(api, lb, listener) == {}


@pytest.mark.parametrize("ip", ["", "10.0.0", "10.0.0.256", "pod-1"])
def test_what_is_no_address_is_refused(api: Api, lb: str, listener: str, ip: str) -> None:
    targets = [{"EniIp": ip, "Port": 80}]
    api.refused(
        "RegisterTargets", BAD_VALUE, "MissingParameter", LoadBalancerId=lb, ListenerId=listener, Targets=targets
    )


@pytest.mark.parametrize("weight", [-1, 101])
def test_a_common_weight_out_of_range_is_refused(api: Api, lb: str, listener: str, weight: int) -> None:
    target = eni()
    register(api, lb, listener, target)
    call = {"LoadBalancerId": lb, "ListenerId": listener, "Targets": [target]}
    api.refused("ModifyTargetWeight", BAD_VALUE, Weight=weight, **call)
    assert bound(api, lb, listener)[address(target)].Weight == 10


def test_reads_are_narrowed_by_listener_protocol_and_port(api: Api, lb: str) -> None:
    tcp, udp = new_listener(api, lb, 8080), new_listener(api, lb, 8081, "UDP")

    def seen(**params: object) -> set[str]:
        return {found.ListenerId for found in api("DescribeTargets", LoadBalancerId=lb, **params).Listeners}

    assert seen() == {tcp, udp}
    assert seen(ListenerIds=[tcp]) == {tcp}
    assert seen(Protocol="UDP") == {udp}
    assert seen(Port=8080) == {tcp}
    assert seen(Protocol="UDP", Port=8080) == set()


def test_reads_are_narrowed_by_address_tag_and_rule(api: Api, lb: str) -> None:
    listener = new_listener(api, lb, protocol="HTTP")
    first, second = (new_rule(api, lb, listener, url=url) for url in ("/1", "/2"))
    ours, theirs = eni(Tag="ours"), eni(Tag="theirs")
    register(api, lb, listener, ours, theirs, LocationId=first)
    register(api, lb, listener, theirs, LocationId=second)

    def seen(name: str, *values: str) -> set[tuple[str, str]]:
        answer = api("DescribeTargets", LoadBalancerId=lb, Filters=[{"Name": name, "Values": list(values)}])
        rules = [rule for found in answer.Listeners for rule in found.Rules or []]
        return {(rule.LocationId, target.Tag) for rule in rules for target in rule.Targets or []}

    assert seen("tag", "ours") == {(first, "ours")}
    assert seen("tag", "ours", "theirs") == {(first, "ours"), (first, "theirs"), (second, "theirs")}
    assert seen("private-ip-address", theirs["EniIp"]) == {(first, "theirs"), (second, "theirs")}
    assert seen("location-id", second) == {(second, "theirs")}
    assert seen("tag", "nobody") == set()


def test_a_read_with_an_unknown_filter_is_refused(api: Api, lb: str) -> None:
    filters = [{"Name": "colour", "Values": ["red"]}]
    api.refused("DescribeTargets", "InvalidParameterValue.InvalidFilter", LoadBalancerId=lb, Filters=filters)


def test_a_read_of_more_than_twenty_listeners_is_refused(api: Api, lb: str) -> None:
    many = [f"lbl-{n:08}" for n in range(21)]
    api.refused("DescribeTargets", TOO_MANY, LoadBalancerId=lb, ListenerIds=many)


def test_a_read_of_an_unknown_load_balancer_is_refused(api: Api) -> None:
    api.refused("DescribeTargets", *LB_GONE, LoadBalancerId=NO_LB)
