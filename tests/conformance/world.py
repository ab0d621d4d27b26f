"""Small things that most checks need: load balancers, listeners, rules, targets."""

import itertools
from typing import Any

from client import Api
from simulator import VPC

# What the API answers for what does not exist. Not every action documents the precise code.
LB_GONE = ("InvalidParameter.LBIdNotFound", "InvalidParameter")
LISTENER_GONE = ("InvalidParameter.ListenerIdNotFound", "InvalidParameter")
LOCATION_GONE = ("InvalidParameter.LocationNotFound", "InvalidParameter")
TOO_MANY = "InvalidParameterValue.Length"
# Values outside of what is documented: the reference names only the family.
BAD_VALUE = "InvalidParameter*"

NO_LB = "lb-00000000"
NO_LISTENER = "lbl-00000000"
NO_LOCATION = "loc-00000000"

# Nothing listens there; loopback answers a health check with a reset at once.
_hosts = itertools.count(1)


def new_lb(api: Api, kind: str = "OPEN", **more: Any) -> str:
    """A load balancer of the default VPC, ready for use."""
    more = {"LoadBalancerType": kind, "VpcId": VPC, **more}
    if kind == "INTERNAL":
        more.setdefault("SubnetId", "subnet-conform1")
    response = api.write("CreateLoadBalancer", **more)
    return response.LoadBalancerIds[0]


def new_listener(api: Api, lb: str, port: int = 8080, protocol: str = "TCP", **more: Any) -> str:
    return new_listeners(api, lb, [port], protocol, **more)[0]


def new_listeners(api: Api, lb: str, ports: list[int], protocol: str = "TCP", **more: Any) -> list[str]:
    response = api.write("CreateListener", LoadBalancerId=lb, Ports=ports, Protocol=protocol, **more)
    return response.ListenerIds


def new_rule(api: Api, lb: str, listener: str, domain: str = "a.example", url: str = "/", **more: Any) -> str:
    rule = {"Domain": domain, "Url": url, **more}
    response = api.write("CreateRule", LoadBalancerId=lb, ListenerId=listener, Rules=[rule])
    return response.LocationIds[0]


def eni(port: int = 9000, **more: Any) -> dict[str, Any]:
    """A target that no other check uses."""
    return enis(1, port, **more)[0]


def enis(count: int, port: int = 9000, **more: Any) -> list[dict[str, Any]]:
    hosts = itertools.islice(_hosts, count)
    return [{"EniIp": f"127.{128 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}", "Port": port, **more} for n in hosts]


def register(api: Api, lb: str, listener: str, *targets: dict[str, Any], **more: Any) -> None:
    api.write("RegisterTargets", LoadBalancerId=lb, ListenerId=listener, Targets=list(targets), **more)


def bound(api: Api, lb: str, listener: str, location: str | None = None) -> dict[tuple[str, int], Any]:
    """The targets of a listener or a rule, by address."""
    found = api("DescribeTargets", LoadBalancerId=lb, ListenerIds=[listener]).Listeners[0]
    targets = found.Targets
    if location is not None:
        targets = next(rule.Targets for rule in found.Rules if rule.LocationId == location)
    return {(target.PrivateIpAddresses[0], target.Port): target for target in targets or []}


def address(target: dict[str, Any]) -> tuple[str, int]:
    return target["EniIp"], target["Port"]


def listener_of(api: Api, lb: str, listener: str) -> Any:
    """A listener as DescribeListeners shows it."""
    (found,) = api("DescribeListeners", LoadBalancerId=lb, ListenerIds=[listener]).Listeners
    return found


def lb_of(api: Api, lb: str) -> Any:
    """A load balancer as DescribeLoadBalancers shows it."""
    (found,) = api("DescribeLoadBalancers", LoadBalancerIds=[lb]).LoadBalancerSet
    return found
