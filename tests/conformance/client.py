"""Tencent's Python SDK, with every answer and every error compared with the API reference."""

import json
import re
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest
from tencentcloud.clb.v20180317 import clb_client, errorcodes, models
from tencentcloud.common.abstract_model import AbstractModel
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

import spec
from simulator import REGION, SECRET_ID, SECRET_KEY

# Any action may answer these (documentation of the API gateway); the SDK lists the others.
COMMON_CODES = {
    "AuthFailure.InvalidAuthorization",
    "AuthFailure.InvalidSecretId",
    "AuthFailure.MFAFailure",
    "AuthFailure.SecretIdNotFound",
    "AuthFailure.SignatureExpire",
    "AuthFailure.SignatureFailure",
    "AuthFailure.TokenFailure",
    "AuthFailure.UnauthorizedOperation",
    "ActionOffline",
    "InvalidAction",
    "InvalidRequest",
    "NoSuchVersion",
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
    "RequestLimitExceeded.IPLimitExceeded",
    "RequestLimitExceeded.UinLimitExceeded",
    "RequestSizeLimitExceeded",
    "ResponseSizeLimitExceeded",
    "ServiceUnavailable",
    "UnknownParameter",
    "UnsupportedProtocol",
    "UnsupportedRegion",
}
KNOWN_CODES = COMMON_CODES | {code for code in vars(errorcodes).values() if isinstance(code, str)}

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

SUCCEEDED, FAILED, IN_PROGRESS = 0, 1, 2
TASK_DEADLINE_S = 20.0


class RecordingClient(clb_client.ClbClient):
    """The SDK's client, which also remembers what it was answered, before the SDK read it."""

    answer: dict[str, Any] = {}

    def call(self, action: str, params: Any, options: Any = None, headers: Any = None) -> Any:
        body = super().call(action, params, options, headers)
        self.answer = json.loads(body)["Response"]
        return body


class Api:
    """`api("DescribeTargets", LoadBalancerId=...)` answers as the SDK's own model class."""

    def __init__(
        self,
        address: str,
        secret_id: str = SECRET_ID,
        secret_key: str = SECRET_KEY,
        region: str = REGION,
        token: str | None = None,
    ) -> None:
        http = HttpProfile(protocol="http", endpoint=address, reqTimeout=30, keepAlive=True)
        self.profile = ClientProfile(httpProfile=http, language="en-US")
        self.client = RecordingClient(Credential(secret_id, secret_key, token), region, self.profile)

    def __call__(self, action: str, **params: Any) -> Any:
        """One call that must succeed; its answer has every documented field."""
        request = getattr(models, action + "Request")()
        request.from_json_string(json.dumps(params))
        response = getattr(self.client, action)(request)
        faults = spec.faults(self.client.answer, action + "Response")
        assert not faults, f"{action} answers other than documented: " + "; ".join(faults)
        assert UUID.fullmatch(response.RequestId)
        return response

    def write(self, action: str, **params: Any) -> Any:
        """One asynchronous write, waited for to its successful end."""
        response = self(action, **params)
        assert self.end_of(response.RequestId).Status == SUCCEEDED
        return response

    def end_of(self, task: str) -> Any:
        """What became of a task, once it is no longer in progress."""

        def ended() -> Any:
            status = self("DescribeTaskStatus", TaskId=task)
            return status if status.Status != IN_PROGRESS else None

        return eventually(ended, f"task {task} ends")

    def refused(self, action: str, *codes: str, **params: Any) -> str:
        """One call that must be refused with one of these codes (`*` allowed); its message."""
        return refusal(codes, lambda: self.client.call_json(action, params))


def refusal(codes: tuple[str, ...], call: Callable[[], Any]) -> str:
    """What `call` is refused with, which must be one of `codes`."""
    with pytest.raises(TencentCloudSDKException) as caught:
        call()
    error = caught.value
    assert any(fnmatchcase(error.code, code) for code in codes), f"{error.code} ({error.message}), not {codes}"
    assert error.code in KNOWN_CODES, f"{error.code} is no documented code"
    assert error.message
    assert UUID.fullmatch(error.requestId)
    return error.message


def eventually(ready: Callable[[], Any], what: str, within: float = TASK_DEADLINE_S) -> Any:
    """The first true answer of `ready`."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if answer := ready():
            return answer
        time.sleep(0.002)
    pytest.fail(f"not within {within} s: {what}")


def as_dict(model: AbstractModel) -> dict[str, Any]:
    """A model's fields as they travelled."""
    return json.loads(model.to_json_string())
