"""Every action's parameters against the API reference: the documented ones are understood, required
ones are missed, unknown ones and wrong types refused."""

from typing import Any

import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from client import Api
from spec import ACTIONS, Field, fields, is_object
from world import BAD_VALUE

SAMPLES: dict[str, Any] = {"string": "x", "int": 1, "bool": True, "float": 1.0}
WRONG_TYPES: dict[str, Any] = {"string": {"x": 1}, "int": "one", "bool": "yes", "float": "one"}


def sample(field: Field, required_only: bool) -> Any:
    """Some value of the documented type."""
    value = sample_object(field.kind, required_only) if is_object(field.kind) else SAMPLES[field.kind]
    return [value] if field.is_list else value


def sample_object(name: str, required_only: bool) -> dict[str, Any]:
    wanted = [field for field in fields(name) if field.required or not required_only]
    return {field.name: sample(field, required_only) for field in wanted}


def required_fields(name: str) -> list[tuple[str, ...]]:
    """Paths to all required fields, also of the objects in required lists."""
    paths: list[tuple[str, ...]] = []
    for field in fields(name):
        if field.required:
            paths.append((field.name,))
            if is_object(field.kind):
                paths += [(field.name, *below) for below in required_fields(field.kind)]
    return paths


def without(value: Any, path: tuple[str, ...]) -> Any:
    """The same request without the field at `path`; lists have one item."""
    if isinstance(value, list):
        return [without(value[0], path)]
    head, *tail = path
    if not tail:
        return {name: below for name, below in value.items() if name != head}
    return value | {head: without(value[head], tuple(tail))}


REQUIRED = [(action, path) for action in ACTIONS for path in required_fields(action + "Request")]
TOP = [(action, field) for action in ACTIONS for field in fields(action + "Request") if field.required]


@pytest.mark.parametrize("action", ACTIONS)
def test_every_documented_parameter_is_understood(api: Api, action: str) -> None:
    """It may be refused for its value, but not for its name or type, however deep it is."""
    try:
        api.client.call_json(action, sample_object(action + "Request", required_only=False))
    except TencentCloudSDKException as error:
        assert error.code not in ("UnknownParameter", "MissingParameter", "InvalidAction"), error.message
        # The simulator's words for a type it did not expect.
        assert "invalid type" not in error.message, error.message


@pytest.mark.parametrize(("action", "path"), REQUIRED, ids=[f"{action}-{'.'.join(path)}" for action, path in REQUIRED])
def test_a_required_parameter_is_missed_by_name(api: Api, action: str, path: tuple[str, ...]) -> None:
    request = without(sample_object(action + "Request", required_only=True), path)
    assert path[-1] in api.refused(action, "MissingParameter", **request)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_unknown_parameter_is_refused_by_name(api: Api, action: str) -> None:
    request = sample_object(action + "Request", required_only=True)
    assert "Colour" in api.refused(action, "UnknownParameter", Colour="red", **request)


@pytest.mark.parametrize(("action", "field"), TOP, ids=[f"{action}-{field.name}" for action, field in TOP])
def test_a_parameter_of_another_type_is_refused(api: Api, action: str, field: Field) -> None:
    wrong = "x" if field.is_list or is_object(field.kind) else WRONG_TYPES[field.kind]
    request = sample_object(action + "Request", required_only=True) | {field.name: wrong}
    api.refused(action, BAD_VALUE, **request)
