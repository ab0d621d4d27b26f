"""Calls that go wrong: too many in a second, and what the operator's door orders."""

from collections.abc import Iterator

import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from client import Api, eventually
from simulator import Simulator
from world import address, bound, eni, new_listener

CALLS_A_SECOND = 5


@pytest.fixture(scope="module")
def slow() -> Iterator[Api]:
    with Simulator(rate=CALLS_A_SECOND) as running:
        yield Api(running.address)


def served(api: Api, action: str) -> bool:
    try:
        api.client.call_json(action, {})
    except TencentCloudSDKException as error:
        assert error.code == "RequestLimitExceeded"
        return False
    return True


def test_too_many_calls_in_a_second_are_refused(slow: Api) -> None:
    outcomes = [served(slow, "DescribeLoadBalancers") for _ in range(20 * CALLS_A_SECOND)]
    assert outcomes[:CALLS_A_SECOND] == [True] * CALLS_A_SECOND
    assert False in outcomes
    message = ""
    while not message:
        try:
            slow.client.call_json("DescribeLoadBalancers", {})
        except TencentCloudSDKException as error:
            message = error.message
    assert message.startswith("Your current request times equals to")
    # Each action is counted for itself, and a second later all is well.
    assert served(slow, "DescribeQuota")
    eventually(lambda: served(slow, "DescribeLoadBalancers"), "calls are served again")


@pytest.mark.parametrize("code", ["InternalError", "RequestLimitExceeded.UinLimitExceeded", "UnauthorizedOperation"])
def test_an_ordered_error_hits_one_call(api: Api, simulator: Simulator, code: str) -> None:
    simulator.fault("DescribeLoadBalancers", error={"code": code, "message": "ordered"})
    assert api.refused("DescribeLoadBalancers", code) == "ordered"
    api("DescribeLoadBalancers")


def test_an_ordered_error_prevents_the_work(api: Api, simulator: Simulator, lb: str) -> None:
    listener = new_listener(api, lb)
    simulator.fault("RegisterTargets", error={"code": "InternalError", "message": "ordered"}, count=2)
    call = {"LoadBalancerId": lb, "ListenerId": listener, "Targets": [eni()]}
    for _ in range(2):
        api.refused("RegisterTargets", "InternalError", **call)
    assert bound(api, lb, listener) == {}
    api.write("RegisterTargets", **call)


def test_a_lost_answer_leaves_the_work_done(api: Api, simulator: Simulator, lb: str) -> None:
    listener = new_listener(api, lb)
    target = eni()
    simulator.fault("RegisterTargets", drop_answer=True)
    with pytest.raises(TencentCloudSDKException) as caught:
        api("RegisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=[target])
    assert caught.value.code == "ClientNetworkError"
    eventually(lambda: address(target) in bound(api, lb, listener), "the target is bound")


def test_a_late_answer_is_an_answer(api: Api, simulator: Simulator) -> None:
    simulator.fault("DescribeLoadBalancers", latency_ms=50)
    api("DescribeLoadBalancers")
