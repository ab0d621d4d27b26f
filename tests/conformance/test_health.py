"""DescribeTargetHealth: its odd shape, and what real probes make of real servers."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from client import Api, eventually
from world import LB_GONE, NO_LB, TOO_MANY, eni, new_lb, new_listener, new_rule, register

LOAD_BALANCERS_PER_CALL = 30
# As fast as the API allows: healthy or not after two probes two seconds apart, plus the first wait.
FAST = {"IntervalTime": 3, "TimeOut": 2, "HealthNum": 2, "UnHealthNum": 2}
HTTP = {**FAST, "CheckType": "HTTP", "HttpVersion": "HTTP/1.1", "HttpCheckDomain": "a.example"}
CUSTOM = {**FAST, "CheckType": "CUSTOM", "ContextType": "TEXT", "SendContext": "ping", "RecvContext": "pong"}
JUDGED_WITHIN_S = 40.0


def listeners(api: Api, lb: str, **narrowed: Any) -> dict[str, Any]:
    (found,) = api("DescribeTargetHealth", LoadBalancerIds=[lb], **narrowed).LoadBalancers
    assert found.LoadBalancerId == lb
    return {listener.ListenerId: listener for listener in found.Listeners}


def health(api: Api, lb: str, listener: str) -> list[Any]:
    """The targets of a layer-4 listener; they hang under its only rule."""
    (rule,) = listeners(api, lb)[listener].Rules
    return rule.Targets or []


def detail(api: Api, lb: str, listener: str) -> str:
    (target,) = health(api, lb, listener)
    return target.HealthStatusDetail


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    """A web server: 204 below /good, 404 elsewhere. Its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(204 if self.path.startswith("/good") else 404)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def pong() -> Iterator[int]:
    """A UDP server that answers every datagram with `pong`. Its port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            said, peer = server.recvfrom(100)
            if said == b"stop":
                return
            server.sendto(b"pong", peer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b"stop", server.getsockname())
    thread.join()
    server.close()


def test_layer_4_hangs_under_a_rule_without_domain_and_url(api: Api, lb: str) -> None:
    listener = new_listener(api, lb, ListenerNames=["tcp_test"], HealthCheck={"IntervalTime": 300, "TimeOut": 60})
    target = eni(Weight=7)
    register(api, lb, listener, target)
    found = listeners(api, lb)[listener]
    assert (found.ListenerName, found.Protocol, found.Port) == ("tcp_test", "TCP", 8080)
    (rule,) = found.Rules
    assert rule.LocationId.startswith("loc-")
    assert rule.Domain is None
    assert rule.Url is None
    (shown,) = rule.Targets
    assert (shown.IP, shown.Port) == (target["EniIp"], target["Port"])
    assert shown.TargetId
    # Three probes make a target dead, and they are minutes apart.
    assert (shown.HealthStatus, shown.HealthStatusDetail) == (False, "Unknown")
    assert shown.HealthStatusDetial == "Unknown"


def test_layer_7_hangs_under_its_rules(api: Api, lb: str) -> None:
    listener = new_listener(api, lb, protocol="HTTP")
    assert listeners(api, lb)[listener].Rules == []
    used = new_rule(api, lb, listener, "a.example", "/shop")
    unused = new_rule(api, lb, listener, "a.example", "/else")
    register(api, lb, listener, eni(), LocationId=used)
    rules = {rule.LocationId: rule for rule in listeners(api, lb)[listener].Rules}
    assert (rules[used].Domain, rules[used].Url) == ("a.example", "/shop")
    assert len(rules[used].Targets) == 1
    assert not rules[unused].Targets


def test_without_a_check_the_detail_is_close(api: Api, lb: str) -> None:
    listener = new_listener(api, lb, HealthCheck={"HealthSwitch": 0})
    register(api, lb, listener, eni())
    (target,) = health(api, lb, listener)
    assert target.HealthStatusDetail == "Close"
    # The misspelt field is older and does not know this value.
    assert target.HealthStatusDetial in ("Alive", "Dead", "Unknown")


def test_probes_judge_targets(api: Api, web: int, pong: int) -> None:
    """All at once, because probes take their seconds."""
    lb = new_lb(api)
    here = {"EniIp": "127.0.0.1"}
    wanted: dict[str, str] = {}

    def expect(verdict: str, port: int, check: dict[str, Any], target_port: int, protocol: str = "TCP") -> None:
        listener = new_listener(api, lb, port, protocol, HealthCheck=check)
        register(api, lb, listener, here | {"Port": target_port})
        wanted[listener] = verdict

    expect("Alive", 8001, FAST, web)
    expect("Dead", 8002, FAST, 1)
    expect("Alive", 8003, {**FAST, "CheckPort": web}, 1)
    expect("Alive", 8004, {**HTTP, "HttpCheckPath": "/good", "HttpCode": 2}, web)
    expect("Dead", 8005, {**HTTP, "HttpCheckPath": "/bad", "HttpCode": 2}, web)
    expect("Alive", 8006, {**HTTP, "HttpCheckPath": "/bad", "HttpCode": 10, "HttpCheckMethod": "GET"}, web)
    expect("Alive", 8007, CUSTOM, pong, "UDP")
    expect("Dead", 8008, {**CUSTOM, "RecvContext": "else"}, pong, "UDP")
    expect("Alive", 8009, FAST, web)
    weightless = list(wanted)[-1]
    change = {"LoadBalancerId": lb, "ListenerId": weightless, "Targets": [here | {"Port": web}]}
    api.write("ModifyTargetWeight", Weight=0, **change)

    def judged() -> bool:
        return {listener: detail(api, lb, listener) for listener in wanted} == wanted

    eventually(judged, "every target is judged", JUDGED_WITHIN_S)
    statuses = {listener: health(api, lb, listener)[0].HealthStatus for listener in wanted}
    assert statuses == {listener: verdict == "Alive" for listener, verdict in wanted.items()}


def test_a_target_is_judged_anew_when_its_server_starts(api: Api) -> None:
    lb = new_lb(api)
    listener = new_listener(api, lb, HealthCheck=FAST)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        register(api, lb, listener, {"EniIp": "127.0.0.1", "Port": server.getsockname()[1]})
        eventually(lambda: detail(api, lb, listener) == "Dead", "the target is dead", JUDGED_WITHIN_S)
        server.listen()
        eventually(lambda: detail(api, lb, listener) == "Alive", "the target is alive", JUDGED_WITHIN_S)


def test_reads_are_narrowed(api: Api, lb: str) -> None:
    tcp, http = new_listener(api, lb), new_listener(api, lb, 8081, "HTTP")
    first, second = (new_rule(api, lb, http, url=url) for url in ("/1", "/2"))
    assert set(listeners(api, lb)) == {tcp, http}
    assert set(listeners(api, lb, ListenerIds=[tcp])) == {tcp}
    narrowed = listeners(api, lb, ListenerIds=[http], LocationIds=[second])
    assert [rule.LocationId for rule in narrowed[http].Rules] == [second]
    assert {rule.LocationId for rule in listeners(api, lb)[http].Rules} == {first, second}


def test_thirty_load_balancers_fit_in_one_read(api: Api) -> None:
    made = api.write("CreateLoadBalancer", LoadBalancerType="OPEN", Number=15).LoadBalancerIds
    made += api.write("CreateLoadBalancer", LoadBalancerType="OPEN", Number=15).LoadBalancerIds
    answer = api("DescribeTargetHealth", LoadBalancerIds=made)
    assert sorted(found.LoadBalancerId for found in answer.LoadBalancers) == sorted(made)
    api.refused("DescribeTargetHealth", TOO_MANY, LoadBalancerIds=[*made, new_lb(api)])
    assert len(made) == LOAD_BALANCERS_PER_CALL


def test_an_unknown_load_balancer_is_refused(api: Api, lb: str) -> None:
    api.refused("DescribeTargetHealth", *LB_GONE, LoadBalancerIds=[lb, NO_LB])
