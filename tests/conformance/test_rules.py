"""CreateRule, ModifyRule, DeleteRule, what changes domains, and rules as DescribeListeners shows them."""

from typing import Any

import pytest

from client import Api, as_dict
from world import (
    BAD_VALUE,
    LB_GONE,
    LISTENER_GONE,
    LOCATION_GONE,
    NO_LB,
    NO_LISTENER,
    NO_LOCATION,
    bound,
    eni,
    listener_of,
    new_listener,
    new_rule,
    register,
)


@pytest.fixture
def http(api: Api, lb: str) -> str:
    return new_listener(api, lb, protocol="HTTP")


def rules(api: Api, lb: str, listener: str) -> dict[str, Any]:
    return {rule.LocationId: rule for rule in listener_of(api, lb, listener).Rules or []}


def create(lb: str, listener: str, **rule: Any) -> dict[str, Any]:
    return {"LoadBalancerId": lb, "ListenerId": listener, "Rules": [{"Domain": "a.example", "Url": "/"} | rule]}


def test_a_rule_has_the_documented_defaults(api: Api, lb: str, http: str) -> None:
    location = new_rule(api, lb, http, "a.example", "/shop")
    assert location.startswith("loc-")
    rule = rules(api, lb, http)[location]
    assert (rule.ListenerId, rule.Domain, rule.Url) == (http, "a.example", "/shop")
    assert rule.Domains == ["a.example"]
    assert (rule.Scheduler, rule.SessionExpireTime, rule.ForwardType) == ("WRR", 0, "HTTP")
    assert (rule.TargetType, rule.Http2, rule.BeAutoCreated) == ("NODE", False, False)
    check = rule.HealthCheck
    assert (check.HealthSwitch, check.TimeOut, check.IntervalTime) == (1, 2, 5)
    assert (check.HealthNum, check.UnHealthNum, check.CheckType) == (3, 3, "HTTP")
    assert (check.HttpCode, check.HttpCheckMethod) == (31, "HEAD")


def test_rules_answer_in_order(api: Api, lb: str, http: str) -> None:
    wanted = [("a.example", "/"), ("a.example", "/2"), ("b.example", "/")]
    asked = [{"Domain": domain, "Url": url} for domain, url in wanted]
    made = api.write("CreateRule", LoadBalancerId=lb, ListenerId=http, Rules=asked).LocationIds
    shown = rules(api, lb, http)
    assert [(shown[location].Domain, shown[location].Url) for location in made] == wanted


def test_a_rule_may_have_many_domains(api: Api, lb: str, http: str) -> None:
    rule = {"Domains": ["a.example", "b.example"], "Url": "/"}
    (location,) = api.write("CreateRule", LoadBalancerId=lb, ListenerId=http, Rules=[rule]).LocationIds
    assert set(rules(api, lb, http)[location].Domains) == {"a.example", "b.example"}


def test_what_was_asked_for_is_read_back(api: Api, lb: str, http: str) -> None:
    check = {
        "HealthSwitch": 1,
        "TimeOut": 4,
        "IntervalTime": 50,
        "HealthNum": 2,
        "UnHealthNum": 9,
        "HttpCode": 7,
        "HttpCheckPath": "/check",
        "HttpCheckDomain": "foo.example",
        "HttpCheckMethod": "GET",
    }
    location = new_rule(api, lb, http, Scheduler="IP_HASH", SessionExpireTime=75, HealthCheck=check)
    rule = rules(api, lb, http)[location]
    assert (rule.Scheduler, rule.SessionExpireTime) == ("IP_HASH", 75)
    shown = as_dict(rule.HealthCheck)
    assert {name: shown[name] for name in check} == check


def test_an_https_listener_has_rules_too(api: Api, lb: str) -> None:
    certificate = {"SSLMode": "UNIDIRECTIONAL", "CertId": "cert0001"}
    https = new_listener(api, lb, 8443, "HTTPS", Certificate=certificate)
    location = new_rule(api, lb, https, Http2=True)
    rule = rules(api, lb, https)[location]
    assert (rule.Http2, rule.ForwardType, rule.HealthCheck.CheckType) == (True, "HTTP", "HTTP")


def test_a_listener_has_one_default_domain(api: Api, lb: str, http: str) -> None:
    new_rule(api, lb, http, "a.example")
    chosen = new_rule(api, lb, http, "b.example", DefaultServer=True)
    shown = rules(api, lb, http)
    assert [location for location, rule in shown.items() if rule.DefaultServer] == [chosen]


@pytest.mark.parametrize(
    "wrong",
    [
        {"Url": ""},
        {"Url": "/" + "x" * 200},
        {"Domain": "x" * 81},
        {"Scheduler": "FASTEST"},
        {"SessionExpireTime": 29},
        {"SessionExpireTime": 86401},
        {"ForwardType": "FTP"},
        {"HealthCheck": {"CheckType": "PING"}},
        {"HealthCheck": {"IntervalTime": 301}},
        {"HealthCheck": {"HttpCode": 32}},
    ],
    ids=str,
)
def test_rules_beyond_the_documented_limits_are_refused(
    api: Api, lb: str, http: str, wrong: dict[str, Any]
) -> None:
    api.refused("CreateRule", BAD_VALUE, "MissingParameter", **create(lb, http, **wrong))
    assert rules(api, lb, http) == {}


def test_rules_at_the_documented_limits_are_accepted(api: Api, lb: str, http: str) -> None:
    domain, url = "x" * 72 + ".example", "/" + "x" * 199
    location = new_rule(api, lb, http, domain, url, SessionExpireTime=86400)
    rule = rules(api, lb, http)[location]
    assert (rule.Domain, rule.Url, rule.SessionExpireTime) == (domain, url, 86400)


def test_a_domain_and_path_are_taken_once(api: Api, lb: str, http: str) -> None:
    new_rule(api, lb, http, "a.example", "/")
    api.refused("CreateRule", BAD_VALUE, **create(lb, http))
    twice = [{"Domain": "b.example", "Url": "/"}] * 2
    api.refused("CreateRule", BAD_VALUE, LoadBalancerId=lb, ListenerId=http, Rules=twice)
    assert len(rules(api, lb, http)) == 1


def test_layer_4_has_no_rules(api: Api, lb: str) -> None:
    tcp = new_listener(api, lb)
    api.refused("CreateRule", BAD_VALUE, "UnsupportedOperation", **create(lb, tcp))


def test_only_what_is_given_is_modified(api: Api, lb: str, http: str) -> None:
    location = new_rule(api, lb, http, "a.example", "/old", SessionExpireTime=30)
    register(api, lb, http, eni(), LocationId=location)
    before = as_dict(rules(api, lb, http)[location])

    def modify(**change: Any) -> dict[str, Any]:
        api.write("ModifyRule", LoadBalancerId=lb, ListenerId=http, LocationId=location, **change)
        return as_dict(rules(api, lb, http)[location])

    assert modify(Url="/new") == before | {"Url": "/new"}
    before["Url"] = "/new"
    assert modify(Scheduler="LEAST_CONN") == before | {"Scheduler": "LEAST_CONN"}
    before["Scheduler"] = "LEAST_CONN"
    assert modify(SessionExpireTime=75) == before | {"SessionExpireTime": 75}
    check = {"HealthSwitch": 1, "IntervalTime": 50, "TimeOut": 6, "HttpCode": 7, "HttpCheckPath": "/check"}
    after = modify(HealthCheck=check)
    assert {name: after["HealthCheck"][name] for name in check} == check
    assert len(bound(api, lb, http, location)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"Url": "/taken"}, {"Url": "/" + "x" * 200}, {"Scheduler": "FASTEST"}, {"HealthCheck": {"HealthNum": 11}}],
    ids=str,
)
def test_modifications_beyond_the_limits_are_refused(api: Api, lb: str, http: str, wrong: dict[str, Any]) -> None:
    location = new_rule(api, lb, http, url="/mine")
    new_rule(api, lb, http, url="/taken")
    before = as_dict(rules(api, lb, http)[location])
    api.refused("ModifyRule", BAD_VALUE, LoadBalancerId=lb, ListenerId=http, LocationId=location, **wrong)
    assert as_dict(rules(api, lb, http)[location]) == before


def test_a_domain_is_renamed_in_all_its_rules(api: Api, lb: str, http: str) -> None:
    first, second = (new_rule(api, lb, http, "a.example", url) for url in ("/1", "/2"))
    other = new_rule(api, lb, http, "b.example")
    call = {"LoadBalancerId": lb, "ListenerId": http}
    api.write("ModifyDomain", Domain="a.example", NewDomain="c.example", **call)
    found = {location: rule.Domain for location, rule in rules(api, lb, http).items()}
    assert found == {first: "c.example", second: "c.example", other: "b.example"}
    api.write("ModifyDomainAttributes", Domain="c.example", NewDomains=["d.example", "e.example"], **call)
    assert rules(api, lb, http)[first].Domains == ["d.example", "e.example"]
    assert rules(api, lb, http)[first].DefaultServer
    api.write("ModifyDomainAttributes", Domain="b.example", DefaultServer=True, **call)
    assert [location for location, rule in rules(api, lb, http).items() if rule.DefaultServer] == [other]


def test_a_domain_with_sni_changes_certificate_and_http2(api: Api, lb: str) -> None:
    https = new_listener(api, lb, 8443, "HTTPS", SniSwitch=1)
    old, new = ({"SSLMode": "UNIDIRECTIONAL", "CertId": name} for name in ("cert0001", "cert0002"))
    location = new_rule(api, lb, https, Certificate=old)
    call = {"LoadBalancerId": lb, "ListenerId": https, "Domain": "a.example"}
    api.write("ModifyDomainAttributes", Certificate=new, Http2=True, **call)
    rule = rules(api, lb, https)[location]
    assert (rule.Certificate.CertId, rule.Http2) == ("cert0002", True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"NewDomain": "taken.example"},
        {"NewDomain": "x" * 81},
        {"NewDomain": "c.example", "NewDomains": ["d.example"]},
        {"Http2": True},
        {"Certificate": {"SSLMode": "UNIDIRECTIONAL", "CertId": "cert0001"}},
        {"DefaultServer": False},
        {"NewDefaultServerDomain": "nobody.example"},
        {"Domain": "nobody.example", "NewDomain": "c.example"},
    ],
    ids=str,
)
def test_bad_changes_of_a_domain_are_refused(api: Api, lb: str, http: str, wrong: dict[str, Any]) -> None:
    new_rule(api, lb, http, "a.example")
    new_rule(api, lb, http, "taken.example")
    before = {location: as_dict(rule) for location, rule in rules(api, lb, http).items()}
    call = {"LoadBalancerId": lb, "ListenerId": http, "Domain": "a.example"} | wrong
    api.refused("ModifyDomainAttributes", BAD_VALUE, "MissingParameter", **call)
    assert {location: as_dict(rule) for location, rule in rules(api, lb, http).items()} == before


def test_rules_are_deleted_by_id(api: Api, lb: str, http: str) -> None:
    first, second, stays = (new_rule(api, lb, http, url=url) for url in ("/1", "/2", "/3"))
    register(api, lb, http, eni(), LocationId=first)
    api.write("DeleteRule", LoadBalancerId=lb, ListenerId=http, LocationIds=[first, second])
    assert set(rules(api, lb, http)) == {stays}


def test_a_rule_is_deleted_by_domain_and_url(api: Api, lb: str, http: str) -> None:
    new_rule(api, lb, http, "b.example", "/1")
    stays = new_rule(api, lb, http, "b.example", "/2")
    api.write("DeleteRule", LoadBalancerId=lb, ListenerId=http, Domain="b.example", Url="/1")
    assert set(rules(api, lb, http)) == {stays}


def test_the_default_domain_is_handed_on(api: Api, lb: str, http: str) -> None:
    goes = new_rule(api, lb, http, "a.example", DefaultServer=True)
    stays = new_rule(api, lb, http, "b.example")
    call = {"LoadBalancerId": lb, "ListenerId": http, "LocationIds": [goes]}
    api.write("DeleteRule", NewDefaultServerDomain="b.example", **call)
    assert {location: rule.DefaultServer for location, rule in rules(api, lb, http).items()} == {stays: True}


def test_deleting_unknown_rules_deletes_nothing(api: Api, lb: str, http: str) -> None:
    location = new_rule(api, lb, http)
    call = {"LoadBalancerId": lb, "ListenerId": http}
    api.refused("DeleteRule", *LOCATION_GONE, LocationIds=[location, NO_LOCATION], **call)
    api.refused("DeleteRule", *LOCATION_GONE, Domain="a.example", Url="/else", **call)
    api.refused("DeleteRule", BAD_VALUE, "MissingParameter", **call)
    assert set(rules(api, lb, http)) == {location}


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("CreateRule", {"Rules": [{"Domain": "b.example", "Url": "/"}]}),
        ("ModifyRule", {"Url": "/new"}),
        ("DeleteRule", {}),
    ],
)
def test_unknown_ids_are_refused(api: Api, lb: str, http: str, action: str, more: dict[str, Any]) -> None:
    location = new_rule(api, lb, http)
    named = {"ModifyRule": {"LocationId": location}, "DeleteRule": {"LocationIds": [location]}}.get(action, {})
    api.refused(action, *LB_GONE, LoadBalancerId=NO_LB, ListenerId=http, **named, **more)
    api.refused(action, *LISTENER_GONE, LoadBalancerId=lb, ListenerId=NO_LISTENER, **named, **more)
    if action == "ModifyRule":
        api.refused(action, *LOCATION_GONE, LoadBalancerId=lb, ListenerId=http, LocationId=NO_LOCATION, **more)


def test_no_rules_are_refused(api: Api, lb: str, http: str) -> None:
    api.refused("CreateRule", BAD_VALUE, "MissingParameter", LoadBalancerId=lb, ListenerId=http, Rules=[])
