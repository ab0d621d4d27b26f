"""Writes spec.json anew from the API description inside Tencent's own command line, `tccli`.

    pip install --target DIR tccli==3.1.189.1
    python3 make_spec.py DIR/tccli/services/clb/v20180317 > spec.json

Only names, types and flags are taken over, not the texts.
"""

import json
import sys
from pathlib import Path
from typing import Any

SOURCE = (
    "services/clb/v20180317 of tccli 3.1.189.1 (Apache-2.0, Copyright Tencent): names and types of "
    "the CLB API 2018-03-17, written by make_spec.py. Flags: required in requests; always present "
    "in answers; null allowed in answers."
)

ACTIONS = """
BatchDeregisterTargets BatchModifyTargetTag BatchModifyTargetWeight BatchRegisterTargets
CreateListener CreateLoadBalancer CreateRule DeleteListener DeleteLoadBalancer
DeleteLoadBalancerListeners DeleteRule DeregisterTargets DescribeListeners DescribeLoadBalancers
DescribeQuota DescribeTargetHealth DescribeTargets DescribeTaskStatus ModifyDomain
ModifyDomainAttributes ModifyListener ModifyLoadBalancerAttributes ModifyRule ModifyTargetPort
ModifyTargetWeight RegisterTargets SetLoadBalancerSecurityGroups
""".split()


def main(folder: Path) -> None:
    api = json.loads((folder / "api.json").read_text())
    examples = json.loads((folder / "examples.json").read_text())
    objects: dict[str, list[dict[str, Any]]] = {}
    for action in ACTIONS:
        for side in ("input", "output"):
            collect(api["objects"], api["actions"][action][side], objects)
    nulls = nulls_in_examples(examples["actions"], objects)
    compact = {
        name: {
            member["name"]: describe(member, f"{name}.{member['name']}" in nulls) for member in members
        }
        for name, members in sorted(objects.items())
    }
    json.dump({"source": SOURCE, "actions": ACTIONS, "objects": compact}, sys.stdout, indent=1)
    print()


def collect(known: dict[str, Any], name: str, into: dict[str, list[dict[str, Any]]]) -> None:
    """The members of an object and of all that it contains."""
    if name in into:
        return
    into[name] = known[name]["members"]
    for member in into[name]:
        if member["member"] in known:
            collect(known, member["member"], into)


def describe(member: dict[str, Any], null_in_example: bool) -> str:
    """One field, such as `[Target] required` or `string always null`."""
    kind = member["type"]
    if kind == "list":
        kind = "[" + member["member"].replace("int64", "int") + "]"
    elif kind == "object":
        kind = member["member"]
    words = [kind]
    if member.get("required"):
        words.append("required")
    # Disabled fields are no longer shown in the reference.
    if member.get("output_required") and not member.get("disabled"):
        words.append("always")
    if member.get("value_allowed_null") or null_in_example:
        words.append("null")
    return " ".join(words)


def nulls_in_examples(examples: dict[str, Any], objects: dict[str, Any]) -> set[str]:
    """Fields that are null in an official example, whatever the reference says of them."""
    found: set[str] = set()
    for action in ACTIONS:
        for example in examples.get(action, []):
            answer = json.loads(example["output"])["Response"]
            walk(answer, action + "Response", objects, found)
    return found


def walk(value: Any, name: str, objects: dict[str, Any], found: set[str]) -> None:
    for member in objects[name]:
        field = value.get(member["name"], "absent")
        if field is None:
            found.add(f"{name}.{member['name']}")
        elif member["member"] in objects and isinstance(field, dict):
            walk(field, member["member"], objects, found)
        elif member["member"] in objects and isinstance(field, list):
            for item in field:
                walk(item, member["member"], objects, found)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
