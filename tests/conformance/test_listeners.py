"""CreateListener, ModifyListener, DeleteListener, DeleteLoadBalancerListeners, DescribeListeners."""

from typing import Any

import pytest

from client import Api, as_dict
from world import (
    BAD_VALUE,
    LB_GONE,
    LISTENER_GONE,
    NO_LB,
    NO_LISTENER,
    TOO_MANY,
    bound,
    eni,
    listener_of,
    new_listener,
    new_listeners,
    new_rule,
    register,
)

PORTS_PER_CALL = 50
IDS_PER_READ = 100
IDS_PER_DELETE = 20

CERTIFICATE = {"SSLMode": "UNIDIRECTIONAL", "CertId": "cert0001"}

# The documented defaults; what does not apply is null, as in the official example.
DEFAULT_CHECK = {
    "HealthSwitch": 1,
    "TimeOut": 2,
    "IntervalTime": 5,
    "HealthNum": 3,
    "UnHealthNum": 3,
    "CheckType": "TCP",
    "SourceIpType": 0,
    "CheckPort": None,
    "HttpCode": None,
    "HttpCheckPath": None,
    "HttpCheckDomain": None,
    "HttpCheckMethod": None,
    "HttpVersion": None,
    "ContextType": None,
    "SendContext": None,
    "RecvContext": None,
    "ExtendedCode": None,
}
HTTP_CHECK = {"CheckType": "HTTP", "HttpVersion": "HTTP/1.1", "HttpCheckDomain": "a.example"}
CUSTOM_CHECK = {"CheckType": "CUSTOM", "ContextType": "TEXT", "SendContext": "ping", "RecvContext": "pong"}


def create(lb: str, protocol: str = "TCP", **more: Any) -> dict[str, Any]:
    return {"LoadBalancerId": lb, "Ports": [8080], "Protocol": protocol, **more}


def ids(api: Api, lb: str, **narrowed: Any) -> set[str]:
    answer = api("DescribeListeners", LoadBalancerId=lb, **narrowed)
    assert answer.TotalCount == len(answer.Listeners)
    return {listener.ListenerId for listener in answer.Listeners}


def test_a_tcp_listener_has_the_documented_defaults(api: Api, lb: str) -> None:
    listener = listener_of(api, lb, new_listener(api, lb))
    assert listener.ListenerId.startswith("lbl-")
    assert (listener.Protocol, listener.Port, listener.EndPort) == ("TCP", 8080, 0)
    assert (listener.Scheduler, listener.SessionExpireTime, listener.SessionType) == ("WRR", 0, "NORMAL")
    assert (listener.SniSwitch, listener.TargetType, listener.DeregisterTargetRst) == (0, "NODE", False)
    assert listener.Certificate is None
    assert listener.Rules is None
    assert listener.TargetGroup is None
    assert as_dict(listener.HealthCheck) == DEFAULT_CHECK


def test_a_udp_listener_is_checked_by_ping(api: Api, lb: str) -> None:
    listener = listener_of(api, lb, new_listener(api, lb, protocol="UDP"))
    assert listener.Protocol == "UDP"
    assert listener.HealthCheck.CheckType == "PING"


def test_a_protocol_may_be_written_small(api: Api, lb: str) -> None:
    # As in the official example "create a listener with rescheduling".
    assert listener_of(api, lb, new_listener(api, lb, protocol="tcp")).Protocol == "TCP"


def test_layer_7_has_rules_and_no_check_of_its_own(api: Api, lb: str) -> None:
    http = new_listener(api, lb, protocol="HTTP")
    https = new_listener(api, lb, 8443, "HTTPS", Certificate=CERTIFICATE)
    plain, secure = listener_of(api, lb, http), listener_of(api, lb, https)
    assert plain.HealthCheck is None and secure.HealthCheck is None
    assert plain.Certificate is None
    assert (secure.Certificate.SSLMode, secure.Certificate.CertId) == ("UNIDIRECTIONAL", "cert0001")
    assert not plain.Rules
    location = new_rule(api, lb, http)
    assert [rule.LocationId for rule in listener_of(api, lb, http).Rules] == [location]


@pytest.mark.parametrize("protocol", ["TCP_SSL", "QUIC"])
def test_encrypted_layer_4_listeners_have_a_certificate(api: Api, lb: str, protocol: str) -> None:
    listener = listener_of(api, lb, new_listener(api, lb, 8443, protocol, Certificate=CERTIFICATE))
    assert (listener.Protocol, listener.Certificate.CertId) == (protocol, "cert0001")


def test_one_call_makes_a_listener_for_each_port_in_order(api: Api, lb: str) -> None:
    made = new_listeners(api, lb, [7570, 7569], ListenerNames=["lis1", "lis0"])
    shown = [listener_of(api, lb, listener) for listener in made]
    assert [(each.Port, each.ListenerName) for each in shown] == [(7570, "lis1"), (7569, "lis0")]


def test_fifty_ports_fit_in_one_call(api: Api, lb: str) -> None:
    made = new_listeners(api, lb, list(range(9000, 9000 + PORTS_PER_CALL)))
    assert len(set(made)) == PORTS_PER_CALL
    assert ids(api, lb) == set(made)


def test_more_than_fifty_ports_are_refused(api: Api, lb: str) -> None:
    ports = list(range(9000, 9001 + PORTS_PER_CALL))
    api.refused("CreateListener", TOO_MANY, "LimitExceeded", **create(lb, Ports=ports))
    assert ids(api, lb) == set()


def test_what_was_asked_for_is_read_back(api: Api, lb: str) -> None:
    check = {
        "HealthSwitch": 1,
        "TimeOut": 5,
        "IntervalTime": 7,
        "HealthNum": 4,
        "UnHealthNum": 10,
        "CheckPort": 8181,
        "SourceIpType": 1,
        **HTTP_CHECK,
        "HttpCode": 3,
        "HttpCheckPath": "/healthz",
        "HttpCheckMethod": "GET",
    }
    listener = new_listener(
        api, lb, HealthCheck=check, Scheduler="LEAST_CONN", SessionExpireTime=3600, DeregisterTargetRst=True
    )
    shown = listener_of(api, lb, listener)
    assert (shown.Scheduler, shown.SessionExpireTime, shown.DeregisterTargetRst) == ("LEAST_CONN", 3600, True)
    read = as_dict(shown.HealthCheck)
    assert {name: read[name] for name in check} == check


def test_an_http_check_has_the_documented_defaults(api: Api, lb: str) -> None:
    shown = listener_of(api, lb, new_listener(api, lb, HealthCheck=HTTP_CHECK)).HealthCheck
    assert (shown.HttpCode, shown.HttpCheckMethod, shown.HttpCheckPath) == (31, "HEAD", "/")


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
@pytest.mark.parametrize(
    "content",
    [{"ContextType": "TEXT", "SendContext": "ping"}, {"ContextType": "HEX", "SendContext": "70696E67"}],
    ids=["text", "hex"],
)
def test_a_custom_check_is_read_back(api: Api, lb: str, protocol: str, content: dict[str, str]) -> None:
    check = CUSTOM_CHECK | content | {"RecvContext": content["SendContext"]}
    shown = as_dict(listener_of(api, lb, new_listener(api, lb, protocol=protocol, HealthCheck=check)).HealthCheck)
    assert {name: shown[name] for name in check} == check


@pytest.mark.parametrize(
    "good",
    [
        {"TimeOut": 2, "IntervalTime": 3},
        {"TimeOut": 60, "IntervalTime": 300},
        {"HealthNum": 2, "UnHealthNum": 2},
        {"HealthNum": 10, "UnHealthNum": 10},
        {"HealthSwitch": 0},
        {"CheckPort": 1},
        {"CheckPort": 65535},
        {**HTTP_CHECK, "HttpCode": 1},
        {**HTTP_CHECK, "HttpVersion": "HTTP/1.0", "HttpCheckMethod": "HEAD"},
    ],
    ids=str,
)
def test_checks_at_the_documented_limits_are_accepted(api: Api, lb: str, good: dict[str, Any]) -> None:
    shown = as_dict(listener_of(api, lb, new_listener(api, lb, HealthCheck=good)).HealthCheck)
    assert {name: shown[name] for name in good} == good


def test_the_check_port_minus_one_is_the_targets_own(api: Api, lb: str) -> None:
    shown = listener_of(api, lb, new_listener(api, lb, HealthCheck={"CheckPort": -1}))
    assert shown.HealthCheck.CheckPort in (None, -1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"TimeOut": 1},
        {"TimeOut": 61, "IntervalTime": 100},
        {"TimeOut": 5, "IntervalTime": 5},
        {"IntervalTime": 1},
        {"IntervalTime": 301},
        {"HealthNum": 1},
        {"HealthNum": 11},
        {"UnHealthNum": 1},
        {"UnHealthNum": 11},
        {"HealthSwitch": 2},
        {"CheckPort": 0},
        {"CheckPort": 65536},
        {"SourceIpType": 2},
        {"CheckType": "PING"},
        {"CheckType": "SMTP"},
        {"CheckType": "HTTP", "HttpVersion": "HTTP/1.1"},
        {"CheckType": "HTTP", "HttpCheckDomain": "a.example"},
        {**HTTP_CHECK, "HttpCode": 0},
        {**HTTP_CHECK, "HttpCode": 32},
        {**HTTP_CHECK, "HttpCheckMethod": "POST"},
        {**HTTP_CHECK, "HttpVersion": "HTTP/2"},
        {**HTTP_CHECK, "HttpCheckPath": "healthz"},
        {**CUSTOM_CHECK, "ContextType": "BASE64"},
        {**CUSTOM_CHECK, "ContextType": "HEX"},
        {**CUSTOM_CHECK, "SendContext": "x" * 501},
        {**CUSTOM_CHECK, "RecvContext": "x" * 501},
        {"CheckType": "CUSTOM"},
    ],
    ids=str,
)
def test_checks_beyond_the_documented_limits_are_refused(api: Api, shared_lb: str, wrong: dict[str, Any]) -> None:
    api.refused("CreateListener", BAD_VALUE, "MissingParameter", **create(shared_lb, HealthCheck=wrong))
    assert ids(api, shared_lb) == set()


@pytest.mark.parametrize("wrong", [{"CheckType": "TCP"}, HTTP_CHECK], ids=str)
def test_udp_takes_ping_and_custom_checks_only(api: Api, shared_lb: str, wrong: dict[str, Any]) -> None:
    api.refused("CreateListener", BAD_VALUE, **create(shared_lb, "UDP", HealthCheck=wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"Ports": [0]},
        {"Ports": [65536]},
        {"Ports": [-1]},
        {"Ports": []},
        {"Ports": [8080, 8080]},
        {"Protocol": "SCTP"},
        {"Protocol": ""},
        {"ListenerNames": ["one", "two"]},
        {"ListenerNames": ["x" * 81]},
        {"Scheduler": "FASTEST"},
        {"Scheduler": "IP_HASH"},
        {"SessionExpireTime": 29},
        {"SessionExpireTime": 3601},
        {"SessionExpireTime": -1},
        {"Protocol": "HTTPS"},
        {"Protocol": "TCP_SSL"},
    ],
    ids=str,
)
def test_listeners_beyond_the_documented_limits_are_refused(
    api: Api, shared_lb: str, wrong: dict[str, Any]
) -> None:
    api.refused("CreateListener", BAD_VALUE, "MissingParameter", **(create(shared_lb) | wrong))
    assert ids(api, shared_lb) == set()


@pytest.mark.parametrize("seconds", [0, 30, 3600])
def test_session_times_at_the_limits_are_accepted(api: Api, lb: str, seconds: int) -> None:
    listener = new_listener(api, lb, SessionExpireTime=seconds)
    assert listener_of(api, lb, listener).SessionExpireTime == seconds


def test_a_port_is_taken_by_one_listener(api: Api, lb: str) -> None:
    new_listener(api, lb, 8080)
    api.refused("CreateListener", "InvalidParameter.PortCheckFailed", **create(lb))
    api.refused("CreateListener", "InvalidParameter.PortCheckFailed", **create(lb, "HTTP"))
    # None of the ports is opened if one of them is taken.
    api.refused("CreateListener", "InvalidParameter.PortCheckFailed", **create(lb, Ports=[8081, 8080]))
    assert len(ids(api, lb)) == 1


def test_tcp_and_udp_share_a_port_number(api: Api, lb: str) -> None:
    tcp, udp = new_listener(api, lb, 8080), new_listener(api, lb, 8080, "UDP")
    assert ids(api, lb, Port=8080) == {tcp, udp}


def test_reads_are_narrowed(api: Api, lb: str) -> None:
    tcp, udp, other = new_listener(api, lb, 8080), new_listener(api, lb, 8080, "UDP"), new_listener(api, lb, 8081)
    assert ids(api, lb, ListenerIds=[tcp, other]) == {tcp, other}
    assert ids(api, lb, Protocol="TCP") == {tcp, other}
    assert ids(api, lb, Port=8080) == {tcp, udp}
    assert ids(api, lb, Protocol="UDP", Port=8080) == {udp}
    assert ids(api, lb, Protocol="UDP", Port=8081) == set()


def test_reads_take_a_hundred_ids(api: Api, lb: str) -> None:
    many = [f"lbl-{n:08}" for n in range(IDS_PER_READ + 1)]
    api.refused("DescribeListeners", TOO_MANY, LoadBalancerId=lb, ListenerIds=many)
    listener = new_listener(api, lb)
    # Whether unknown ids among known ones are an error is not documented.
    assert ids(api, lb, ListenerIds=[listener] * IDS_PER_READ) == {listener}


def test_a_read_of_an_unknown_load_balancer_is_refused(api: Api) -> None:
    api.refused("DescribeListeners", *LB_GONE, LoadBalancerId=NO_LB)


def test_only_what_is_given_is_modified(api: Api, lb: str) -> None:
    check = {"IntervalTime": 60, "TimeOut": 35, "HealthNum": 5, "UnHealthNum": 5, "HealthSwitch": 1}
    listener = new_listener(api, lb, ListenerNames=["old"], SessionExpireTime=30, HealthCheck=check)
    target = eni()
    register(api, lb, listener, target)
    before = as_dict(listener_of(api, lb, listener))

    def modify(**change: Any) -> dict[str, Any]:
        api.write("ModifyListener", LoadBalancerId=lb, ListenerId=listener, **change)
        return as_dict(listener_of(api, lb, listener))

    assert modify(ListenerName="new") == before | {"ListenerName": "new"}
    before["ListenerName"] = "new"
    assert modify(Scheduler="LEAST_CONN") == before | {"Scheduler": "LEAST_CONN"}
    before["Scheduler"] = "LEAST_CONN"
    assert modify(SessionExpireTime=120) == before | {"SessionExpireTime": 120}
    before["SessionExpireTime"] = 120
    assert modify(DeregisterTargetRst=True) == before | {"DeregisterTargetRst": True}
    assert len(bound(api, lb, listener)) == 1


def test_a_health_check_is_modified(api: Api, lb: str) -> None:
    listener = new_listener(api, lb)
    check = {"HealthSwitch": 1, "TimeOut": 3, "IntervalTime": 9, "HealthNum": 4, "UnHealthNum": 6, **HTTP_CHECK}
    api.write("ModifyListener", LoadBalancerId=lb, ListenerId=listener, HealthCheck=check)
    shown = as_dict(listener_of(api, lb, listener).HealthCheck)
    assert {name: shown[name] for name in check} == check


def test_a_certificate_is_modified(api: Api, lb: str) -> None:
    listener = new_listener(api, lb, 8443, "HTTPS", Certificate=CERTIFICATE)
    renewed = CERTIFICATE | {"CertId": "cert0002"}
    api.write("ModifyListener", LoadBalancerId=lb, ListenerId=listener, Certificate=renewed)
    assert listener_of(api, lb, listener).Certificate.CertId == "cert0002"


@pytest.mark.parametrize(
    "wrong",
    [
        {"Scheduler": "FASTEST"},
        {"SessionExpireTime": 29},
        {"ListenerName": "x" * 81},
        {"HealthCheck": {"IntervalTime": 301}},
        {"HealthCheck": {"TimeOut": 5, "IntervalTime": 5}},
        {"HealthCheck": {"CheckType": "PING"}},
    ],
    ids=str,
)
def test_modifications_beyond_the_limits_are_refused(api: Api, lb: str, wrong: dict[str, Any]) -> None:
    listener = new_listener(api, lb)
    before = as_dict(listener_of(api, lb, listener))
    api.refused("ModifyListener", BAD_VALUE, LoadBalancerId=lb, ListenerId=listener, **wrong)
    assert as_dict(listener_of(api, lb, listener)) == before


def test_deleting_a_listener_frees_its_port(api: Api, lb: str) -> None:
    goes, stays = new_listeners(api, lb, [8080, 8081])
    register(api, lb, goes, eni())
    api.write("DeleteListener", LoadBalancerId=lb, ListenerId=goes)
    assert ids(api, lb) == {stays}
    again = new_listener(api, lb, 8080)
    assert again != goes
    assert bound(api, lb, again) == {}


@pytest.mark.parametrize("action", ["DeleteListener", "ModifyListener"])
def test_unknown_ids_are_refused(api: Api, lb: str, action: str) -> None:
    more = {"ListenerName": "new"} if action == "ModifyListener" else {}
    listener = new_listener(api, lb)
    api.refused(action, *LB_GONE, LoadBalancerId=NO_LB, ListenerId=listener, **more)
    api.refused(action, *LISTENER_GONE, LoadBalancerId=lb, ListenerId=NO_LISTENER, **more)


def test_a_listener_is_gone_when_it_is_deleted_twice(api: Api, lb: str) -> None:
    listener = new_listener(api, lb)
    api.write("DeleteListener", LoadBalancerId=lb, ListenerId=listener)
    api.refused("DeleteListener", *LISTENER_GONE, LoadBalancerId=lb, ListenerId=listener)


def test_some_listeners_are_deleted_in_one_call(api: Api, lb: str) -> None:
    first, second, stays = new_listeners(api, lb, [8080, 8081, 8082])
    api.write("DeleteLoadBalancerListeners", LoadBalancerId=lb, ListenerIds=[first, second])
    assert ids(api, lb) == {stays}


def test_naming_no_listener_deletes_all(api: Api, lb: str) -> None:
    for named in ({}, {"ListenerIds": []}):
        new_listeners(api, lb, [8080, 8081])
        new_rule(api, lb, new_listener(api, lb, 8082, "HTTP"))
        api.write("DeleteLoadBalancerListeners", LoadBalancerId=lb, **named)
        assert ids(api, lb) == set()


def test_deleting_takes_twenty_ids(api: Api, lb: str) -> None:
    made = new_listeners(api, lb, list(range(9000, 9001 + IDS_PER_DELETE)))
    api.refused("DeleteLoadBalancerListeners", TOO_MANY, LoadBalancerId=lb, ListenerIds=made)
    assert len(ids(api, lb)) == IDS_PER_DELETE + 1
    api.write("DeleteLoadBalancerListeners", LoadBalancerId=lb, ListenerIds=made[1:])
    assert ids(api, lb) == {made[0]}


def test_deleting_unknown_listeners_deletes_nothing(api: Api, lb: str) -> None:
    listener = new_listener(api, lb)
    api.refused("DeleteLoadBalancerListeners", *LB_GONE, LoadBalancerId=NO_LB, ListenerIds=[listener])
    both = [listener, NO_LISTENER]
    api.refused("DeleteLoadBalancerListeners", *LISTENER_GONE, LoadBalancerId=lb, ListenerIds=both)
    assert ids(api, lb) == {listener}
