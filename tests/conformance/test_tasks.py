"""DescribeTaskStatus; and one write at a time, for a second one during a task is refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from client import IN_PROGRESS, SUCCEEDED, Api
from simulator import Simulator
from world import address, bound, eni, new_lb, new_listener, new_rule, register

# A task that no check waits for: it outlasts them on the slowest machine.
ENDLESS_MS = 600_000

BOUND, RULED = eni(Tag="old"), eni()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, dict[str, str]]]:
    """A load balancer with a listener, a rule and targets, during a task that does not end."""
    state = str(tmp_path_factory.mktemp("state") / "state.json")
    with Simulator("--state", state) as running:
        api = Api(running.address)
        lb = new_lb(api)
        tcp, http = new_listener(api, lb), new_listener(api, lb, 8081, "HTTP")
        location = new_rule(api, lb, http)
        register(api, lb, tcp, BOUND)
        register(api, lb, http, RULED, LocationId=location)
    ids = {"lb": lb, "tcp": tcp, "http": http, "location": location}
    with Simulator("--state", state, task_ms=ENDLESS_MS) as running:
        api = Api(running.address)
        ids["task"] = api("DeregisterTargets", LoadBalancerId=lb, ListenerId=tcp, Targets=[BOUND]).RequestId
        yield api, ids


def writes(ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Every write to a load balancer that exists; each would succeed were there no task."""
    one = {"LoadBalancerId": ids["lb"], "ListenerId": ids["tcp"]}
    rule = {"LoadBalancerId": ids["lb"], "ListenerId": ids["http"]}
    batch = [{"ListenerId": ids["tcp"], **BOUND}]
    change = [{"ListenerId": ids["tcp"], "Targets": [BOUND]}]
    return {
        "BatchDeregisterTargets": {"LoadBalancerId": ids["lb"], "Targets": batch},
        "BatchModifyTargetTag": {"LoadBalancerId": ids["lb"], "ModifyList": change},
        "BatchModifyTargetWeight": {"LoadBalancerId": ids["lb"], "ModifyList": change},
        "BatchRegisterTargets": {"LoadBalancerId": ids["lb"], "Targets": batch},
        "CreateListener": {"LoadBalancerId": ids["lb"], "Ports": [9999], "Protocol": "TCP"},
        "CreateRule": {**rule, "Rules": [{"Domain": "b.example", "Url": "/"}]},
        "DeleteListener": one,
        "DeleteLoadBalancer": {"LoadBalancerIds": [ids["lb"]]},
        "DeleteLoadBalancerListeners": {"LoadBalancerId": ids["lb"]},
        "DeleteRule": {**rule, "LocationIds": [ids["location"]]},
        "DeregisterTargets": {**one, "Targets": [BOUND]},
        "ModifyDomain": {**rule, "Domain": "a.example", "NewDomain": "b.example"},
        "ModifyDomainAttributes": {**rule, "Domain": "a.example", "NewDomain": "b.example"},
        "ModifyListener": {**one, "ListenerName": "new"},
        "ModifyLoadBalancerAttributes": {"LoadBalancerId": ids["lb"], "LoadBalancerName": "new"},
        "ModifyRule": {**rule, "LocationId": ids["location"], "Url": "/new"},
        "ModifyTargetPort": {**one, "Targets": [BOUND], "NewPort": 9999},
        "ModifyTargetWeight": {**one, "Targets": [BOUND], "Weight": 1},
        "RegisterTargets": {**one, "Targets": [eni()]},
        "SetLoadBalancerSecurityGroups": {"LoadBalancerId": ids["lb"], "SecurityGroups": ["sg-00000001"]},
    }


ACTIONS = sorted(writes({"lb": "", "tcp": "", "http": "", "location": ""}))


@pytest.mark.parametrize("action", ACTIONS)
def test_a_second_write_is_refused(world: tuple[Api, dict[str, str]], action: str) -> None:
    api, ids = world
    message = api.refused(action, "FailedOperation.ResourceInOperating", **writes(ids)[action])
    # Clients match this text too: some answers have it under the plain code FailedOperation.
    assert ids["lb"] in message and "please try later" in message


def test_reads_are_answered_meanwhile(world: tuple[Api, dict[str, str]]) -> None:
    api, ids = world
    assert api("DescribeTaskStatus", TaskId=ids["task"]).Status == IN_PROGRESS
    assert api("DescribeListeners", LoadBalancerId=ids["lb"]).TotalCount == 2
    assert api("DescribeLoadBalancers", LoadBalancerIds=[ids["lb"]]).TotalCount == 1
    assert api("DescribeTargetHealth", LoadBalancerIds=[ids["lb"]]).LoadBalancers
    assert address(RULED) in bound(api, ids["lb"], ids["http"], ids["location"])


def test_other_load_balancers_take_writes_meanwhile(world: tuple[Api, dict[str, str]]) -> None:
    api, _ = world
    made = api("CreateLoadBalancer", LoadBalancerType="OPEN")
    assert api("DescribeTaskStatus", TaskId=made.RequestId).Status == IN_PROGRESS


def test_the_next_write_is_taken_when_the_task_has_ended(api: Api, lb: str) -> None:
    listener = new_listener(api, lb)
    first, second = eni(), eni()
    task = api("RegisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=[first]).RequestId
    assert api.end_of(task).Status == SUCCEEDED
    api.write("RegisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=[second])
    assert set(bound(api, lb, listener)) == {address(first), address(second)}


def test_a_task_says_which_load_balancer_it_was_for(api: Api, lb: str) -> None:
    task = api("CreateListener", LoadBalancerId=lb, Ports=[8080], Protocol="TCP").RequestId
    ended = api.end_of(task)
    assert ended.LoadBalancerIds in ([lb], None)
    assert not ended.Message


def test_an_unknown_task_is_refused(api: Api) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    api.refused("DescribeTaskStatus", "InvalidParameter*", "FailedOperation", "ResourceNotFound", TaskId=unknown)
    api.refused("DescribeTaskStatus", "InvalidParameter*", "FailedOperation", "ResourceNotFound", DealName="none")


def test_a_task_must_be_named(api: Api) -> None:
    api.refused("DescribeTaskStatus", "MissingParameter", "InvalidParameter*")
