"""Calls that go wrong: too many in a second, and what the operator's door orders."""

from collections.abc import Iterator

import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from client import FAILED, SUCCEEDED, Api, eventually
from simulator import Simulator
from world import address, bound, eni, new_listener, new_listeners

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


def test_a_lost_request_leaves_nothing_done(api: Api, simulator: Simulator, lb: str) -> None:
    simulator.fault("CreateListener", drop_request=True)
    with pytest.raises(TencentCloudSDKException) as caught:
        api("CreateListener", LoadBalancerId=lb, Ports=[8080], Protocol="TCP")
    assert caught.value.code == "ClientNetworkError"
    assert api("DescribeListeners", LoadBalancerId=lb).TotalCount == 0


@pytest.mark.parametrize("message", ["no route to the target", None])
def test_a_task_may_fail_with_or_without_a_reason(
    api: Api, simulator: Simulator, lb: str, message: str | None
) -> None:
    listener = new_listener(api, lb)
    simulator.fault("RegisterTargets", task_failure={"message": message})
    task = api("RegisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=[eni()]).RequestId
    ended = api.end_of(task)
    assert (ended.Status, ended.Message) == (FAILED, message)
    assert bound(api, lb, listener) == {}


def test_a_success_may_be_empty(api: Api, simulator: Simulator, lb: str) -> None:
    listener = new_listener(api, lb)
    simulator.fault("RegisterTargets", silent=True)
    task = api("RegisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=[eni()]).RequestId
    assert api.end_of(task).Status == SUCCEEDED
    assert bound(api, lb, listener) == {}


def test_a_batch_may_be_served_in_part(api: Api, simulator: Simulator, lb: str) -> None:
    good, bad = new_listeners(api, lb, [8080, 8081])
    target = eni()
    simulator.fault("BatchRegisterTargets", partial=[bad])
    targets = [{"ListenerId": listener, **target} for listener in (good, bad)]
    answer = api("BatchRegisterTargets", LoadBalancerId=lb, Targets=targets)
    assert answer.FailListenerIdSet == [bad]
    assert (len(bound(api, lb, good)), len(bound(api, lb, bad))) == (1, 0)


def test_throttling_is_ordered_too(api: Api, simulator: Simulator) -> None:
    simulator.fault("DescribeLoadBalancers", throttle=True)
    api.refused("DescribeLoadBalancers", "RequestLimitExceeded")
    api("DescribeLoadBalancers")
