"""DescribeQuota, and what happens at each limit it tells."""

from collections.abc import Iterator

import pytest

from client import Api
from simulator import VPC, Simulator
from world import eni, enis, new_lb, new_listener, new_listeners, new_rule, register

# What accounts have by default (documentation of the CLB's limits); the simulator must not allow
# less, and tells what it does allow.
LEAST = {
    "TOTAL_OPEN_CLB_QUOTA": 100,
    "TOTAL_INTERNAL_CLB_QUOTA": 100,
    "TOTAL_LISTENER_QUOTA": 50,
    "TOTAL_LISTENER_RULE_QUOTA": 50,
    "TOTAL_TARGET_BIND_QUOTA": 100,
}
# Small enough to be reached in a moment.
TARGETS, RULES = 12, 5


@pytest.fixture(scope="module")
def small() -> Iterator[Api]:
    with Simulator("--target-quota", str(TARGETS), "--rule-quota", str(RULES)) as running:
        yield Api(running.address)


def quotas(api: Api) -> dict[str, int]:
    return {quota.QuotaId: quota.QuotaLimit for quota in api("DescribeQuota").QuotaSet}


def test_every_quota_is_told(api: Api) -> None:
    told = quotas(api)
    assert {name: told.get(name, 0) >= least for name, least in LEAST.items()} == dict.fromkeys(LEAST, True)


def test_load_balancers_are_counted_by_kind(api: Api) -> None:
    def current() -> tuple[int, int]:
        now = {quota.QuotaId: quota.QuotaCurrent for quota in api("DescribeQuota").QuotaSet}
        return now["TOTAL_OPEN_CLB_QUOTA"], now["TOTAL_INTERNAL_CLB_QUOTA"]

    public, internal = current()
    new_lb(api)
    new_lb(api, "INTERNAL")
    new_lb(api, "INTERNAL")
    assert current() == (public + 1, internal + 2)


def test_load_balancers_beyond_the_quota_are_refused(api: Api) -> None:
    left = quotas(api)["TOTAL_OPEN_CLB_QUOTA"] - api("DescribeLoadBalancers", LoadBalancerType="OPEN").TotalCount
    call = {"LoadBalancerType": "OPEN", "VpcId": VPC}
    while left > 0:
        made = min(left, 20)
        api.write("CreateLoadBalancer", Number=made, **call)
        left -= made
    api.refused("CreateLoadBalancer", "LimitExceeded", **call)
    new_lb(api, "INTERNAL")


def test_listeners_beyond_the_quota_are_refused(api: Api) -> None:
    limit = quotas(api)["TOTAL_LISTENER_QUOTA"]
    lb = new_lb(api, "INTERNAL")
    new_listeners(api, lb, list(range(9000, 9000 + limit)))
    api.refused("CreateListener", "LimitExceeded", LoadBalancerId=lb, Ports=[8080], Protocol="UDP")


def test_rules_beyond_the_quota_are_refused(small: Api) -> None:
    assert quotas(small)["TOTAL_LISTENER_RULE_QUOTA"] == RULES
    lb = new_lb(small)
    listener = new_listener(small, lb, protocol="HTTP")
    for n in range(RULES - 1):
        new_rule(small, lb, listener, url=f"/{n}")
    two = [{"Domain": "b.example", "Url": url} for url in ("/1", "/2")]
    small.refused("CreateRule", "LimitExceeded", LoadBalancerId=lb, ListenerId=listener, Rules=two)
    new_rule(small, lb, listener, url="/last")
    small.refused("CreateRule", "LimitExceeded", LoadBalancerId=lb, ListenerId=listener, Rules=two[:1])


def test_targets_beyond_the_quota_are_refused(small: Api) -> None:
    assert quotas(small)["TOTAL_TARGET_BIND_QUOTA"] == TARGETS
    lb = new_lb(small)
    listener = new_listener(small, lb)
    targets = enis(TARGETS)
    register(small, lb, listener, *targets)
    call = {"LoadBalancerId": lb, "ListenerId": listener}
    small.refused("RegisterTargets", "LimitExceeded", Targets=[eni()], **call)
    batch = [{"ListenerId": listener, **eni()}]
    small.refused("BatchRegisterTargets", "LimitExceeded", LoadBalancerId=lb, Targets=batch)
    small.write("DeregisterTargets", Targets=targets[:1], **call)
    register(small, lb, listener, eni())


def test_each_rule_has_the_quota_of_targets(small: Api) -> None:
    lb = new_lb(small)
    listener = new_listener(small, lb, protocol="HTTP")
    full, empty = (new_rule(small, lb, listener, url=url) for url in ("/1", "/2"))
    register(small, lb, listener, *enis(TARGETS), LocationId=full)
    call = {"LoadBalancerId": lb, "ListenerId": listener, "Targets": [eni()]}
    small.refused("RegisterTargets", "LimitExceeded", LocationId=full, **call)
    small.write("RegisterTargets", LocationId=empty, **call)
