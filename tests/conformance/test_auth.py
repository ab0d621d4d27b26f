"""What the gateway checks before an action is looked at: signature, time, version, region, name."""

import json
import time
import urllib.request
from typing import Any

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential

from client import Api, refusal
from simulator import REGION, SECRET_ID, SECRET_KEY, Simulator

# How far a request's time may be off, in seconds (documentation "Signature Method v3").
WINDOW_S = 300


def refused(api: Api, *codes: str, action: str = "DescribeQuota", params: dict[str, Any] | None = None) -> str:
    return refusal(codes, lambda: api.client.call_json(action, params or {}))


def test_a_wrong_key_is_a_wrong_signature(simulator: Simulator) -> None:
    refused(Api(simulator.address, secret_key="other"), "AuthFailure.SignatureFailure")


def test_an_unknown_secret_id_is_told_apart(simulator: Simulator) -> None:
    refused(Api(simulator.address, secret_id="AKIDother"), "AuthFailure.SecretIdNotFound")


def test_the_key_is_in_no_answer(simulator: Simulator) -> None:
    message = refused(Api(simulator.address, secret_id="AKIDother"), "AuthFailure.SecretIdNotFound")
    assert SECRET_KEY not in message and SECRET_ID not in message


def test_a_token_that_does_not_belong_is_refused(simulator: Simulator) -> None:
    refused(Api(simulator.address, token="not-a-token"), "AuthFailure.TokenFailure")


@pytest.mark.parametrize("off", [-WINDOW_S - 60, WINDOW_S + 60])
def test_a_request_of_another_time_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + off)
    refused(api, "AuthFailure.SignatureExpire")


@pytest.mark.parametrize("off", [-WINDOW_S + 60, WINDOW_S - 60])
def test_clocks_may_differ_a_little(api: Api, monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + off)
    api.client.call_json("DescribeLoadBalancers", {})


@pytest.mark.parametrize("region", ["ap-nowhere", ""])
def test_another_region_is_refused(simulator: Simulator, region: str) -> None:
    codes = ("UnsupportedRegion", "InvalidParameter.RegionNotFound", "MissingParameter")
    refused(Api(simulator.address, region=region), *codes)


def test_an_unknown_action_is_refused(api: Api) -> None:
    refused(api, "InvalidAction", action="DescribeEverything")


def test_another_version_is_refused(api: Api) -> None:
    old = CommonClient("clb", "2017-03-12", Credential(SECRET_ID, SECRET_KEY), REGION, api.profile)
    refusal(("NoSuchVersion", "InvalidParameterValue"), lambda: old.call_json("DescribeLoadBalancers", {}))


def test_another_service_is_refused(api: Api) -> None:
    other = CommonClient("cvm", "2018-03-17", Credential(SECRET_ID, SECRET_KEY), REGION, api.profile)
    refusal(("AuthFailure*",), lambda: other.call_json("DescribeLoadBalancers", {}))


def test_an_unsigned_payload_is_accepted(simulator: Simulator) -> None:
    api = Api(simulator.address)
    api.profile.unsignedPayload = True
    api("DescribeLoadBalancers")


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_either_language_is_accepted(simulator: Simulator, language: str) -> None:
    api = Api(simulator.address)
    api.profile.language = language
    api("DescribeLoadBalancers")


def test_the_wrong_signature_comes_before_the_unknown_action(simulator: Simulator) -> None:
    api = Api(simulator.address, secret_key="other")
    refused(api, "AuthFailure.SignatureFailure", action="DescribeEverything")


def test_every_answer_has_its_own_request_id(api: Api) -> None:
    assert len({api("DescribeLoadBalancers").RequestId for _ in range(5)}) == 5


def test_errors_are_json_with_status_200(simulator: Simulator) -> None:
    """With a charset in the content type the SDK would take errors for answers."""
    request = urllib.request.Request(f"http://{simulator.address}/", data=b"{}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert json.load(answer)["Response"]["Error"]["Code"].startswith("AuthFailure")


def test_temporary_credentials_need_their_token(simulator: Simulator) -> None:
    account = {"secret_id": "AKIDtemporary", "secret_key": "temporary-key"}
    simulator.operator("POST", "accounts", {**account, "token": "the-token"})
    Api(simulator.address, **account, token="the-token")("DescribeLoadBalancers")
    refused(Api(simulator.address, **account, token="another"), "AuthFailure.TokenFailure")
    refused(Api(simulator.address, **account), "AuthFailure.TokenFailure")


def test_what_a_policy_does_not_allow_is_refused(simulator: Simulator) -> None:
    account = {"secret_id": "AKIDreader", "secret_key": "reader-key"}
    allowed = {"effect": "allow", "action": ["clb:Describe*"], "resource": ["*"]}
    simulator.operator("POST", "accounts", {**account, "policy": {"version": "2.0", "statement": [allowed]}})
    reader = Api(simulator.address, **account)
    reader("DescribeLoadBalancers")
    codes = ("UnauthorizedOperation", "AuthFailure.UnauthorizedOperation")
    message = refused(reader, *codes, action="CreateLoadBalancer", params={"LoadBalancerType": "OPEN"})
    assert "CreateLoadBalancer" in message
