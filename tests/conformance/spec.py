"""The API reference as a table: which fields there are, of which type; and answers judged by it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPEC = json.loads(Path(__file__).with_name("spec.json").read_text())
ACTIONS: list[str] = SPEC["actions"]

PYTHON_TYPES: dict[str, type] = {"string": str, "int": int, "bool": bool, "float": float}


@dataclass(frozen=True)
class Field:
    """One documented field of a request or an answer."""

    name: str
    kind: str
    is_list: bool
    required: bool
    always: bool
    nullable: bool

    @classmethod
    def read(cls, name: str, text: str) -> "Field":
        kind, *flags = text.split()
        return cls(
            name=name,
            kind=kind.strip("[]"),
            is_list=kind.startswith("["),
            required="required" in flags,
            always="always" in flags,
            nullable="null" in flags,
        )


def fields(name: str) -> list[Field]:
    """The fields of a documented object, such as `RegisterTargetsRequest` or `Backend`."""
    return [Field.read(field, text) for field, text in SPEC["objects"][name].items()]


def is_object(kind: str) -> bool:
    return kind in SPEC["objects"]


def faults(answer: dict[str, Any], name: str, path: str = "") -> list[str]:
    """Where an answer is not what is documented: fields that lack, are null or of another type."""
    found = []
    known = {field.name: field for field in fields(name)}
    for extra in sorted(answer.keys() - known.keys()):
        found.append(f"{path}{extra}: not documented")
    for field in known.values():
        found += faults_of_field(answer, field, path + field.name)
    return found


def faults_of_field(answer: dict[str, Any], field: Field, path: str) -> list[str]:
    if field.name not in answer:
        return [f"{path}: absent"] if field.always else []
    value = answer[field.name]
    if value is None:
        return [f"{path}: null"] if field.always and not field.nullable else []
    if not field.is_list:
        return faults_of_value(value, field.kind, path)
    if not isinstance(value, list):
        return [f"{path}: {type(value).__name__} instead of a list"]
    return [fault for i, item in enumerate(value) for fault in faults_of_value(item, field.kind, f"{path}[{i}]")]


def faults_of_value(value: Any, kind: str, path: str) -> list[str]:
    if is_object(kind):
        if not isinstance(value, dict):
            return [f"{path}: {type(value).__name__} instead of {kind}"]
        return faults(value, kind, path + ".")
    # A bool is an int for Python, not for JSON.
    wanted = PYTHON_TYPES[kind]
    if type(value) is not wanted:
        return [f"{path}: {type(value).__name__} instead of {kind}"]
    return []
