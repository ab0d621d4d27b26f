"""CreateLoadBalancer, DescribeLoadBalancers, ModifyLoadBalancerAttributes,
SetLoadBalancerSecurityGroups, DeleteLoadBalancer."""

import ipaddress
from typing import Any
from uuid import uuid4

import pytest

from client import Api, SUCCEEDED, eventually
from simulator import VPC
from world import BAD_VALUE, LB_GONE, NO_LB, TOO_MANY, enis, lb_of, new_lb, new_listener, register

IDS_PER_CALL = 20
TAGS_PER_CALL = 20
LARGEST_PAGE = 100
SECURITY_GROUPS = 50
NORMAL = 1


def ids(api: Api, **narrowed: Any) -> list[str]:
    answer = api("DescribeLoadBalancers", **narrowed)
    return [found.LoadBalancerId for found in answer.LoadBalancerSet]


def unique_name() -> str:
    """To be found by. The API gives another name to a load balancer whose own is taken."""
    return f"name-{uuid4()}"


def test_a_public_load_balancer_is_shown_with_every_field(api: Api) -> None:
    tags = [{"TagKey": "team", "TagValue": "shop"}, {"TagKey": "stage", "TagValue": "test"}]
    made = api("CreateLoadBalancer", LoadBalancerType="OPEN", Forward=1, LoadBalancerName="shop-1", VpcId=VPC, Tags=tags)
    assert made.DealName
    assert api.end_of(made.RequestId).Status == SUCCEEDED
    (lb,) = made.LoadBalancerIds
    assert lb.startswith("lb-")
    shown = lb_of(api, lb)
    assert (shown.LoadBalancerName, shown.LoadBalancerType, shown.Forward) == ("shop-1", "OPEN", 1)
    assert (shown.Status, shown.Isolation, shown.VpcId) == (NORMAL, 0, VPC)
    assert shown.AddressIPVersion == "ipv4"
    assert len(shown.LoadBalancerVips) == 1
    assert ipaddress.ip_address(shown.LoadBalancerVips[0]).version == 4
    assert {(tag.TagKey, tag.TagValue) for tag in shown.Tags} == {("team", "shop"), ("stage", "test")}
    assert not shown.SecureGroups
    assert shown.LoadBalancerPassToTarget is False


def test_it_is_ready_when_its_status_says_so(api: Api) -> None:
    (lb,) = api("CreateLoadBalancer", LoadBalancerType="OPEN", VpcId=VPC).LoadBalancerIds
    eventually(lambda: [found for found in shown(api, lb) if found.Status == NORMAL], "the load balancer is ready")
    new_listener(api, lb)


def shown(api: Api, lb: str) -> list[Any]:
    return api("DescribeLoadBalancers", LoadBalancerIds=[lb]).LoadBalancerSet


def test_its_task_is_found_by_request_and_by_deal(api: Api) -> None:
    made = api("CreateLoadBalancer", LoadBalancerType="OPEN", VpcId=VPC)
    assert api.end_of(made.RequestId).LoadBalancerIds == made.LoadBalancerIds
    by_deal = api("DescribeTaskStatus", DealName=made.DealName)
    assert (by_deal.Status, by_deal.LoadBalancerIds) == (SUCCEEDED, made.LoadBalancerIds)


def test_an_internal_load_balancer_is_in_its_subnet(api: Api) -> None:
    found = lb_of(api, new_lb(api, "INTERNAL", SubnetId="subnet-abcd1234"))
    assert (found.LoadBalancerType, found.SubnetId) == ("INTERNAL", "subnet-abcd1234")


def test_traffic_may_pass_to_targets_from_the_start(api: Api) -> None:
    assert lb_of(api, new_lb(api, LoadBalancerPassToTarget=True)).LoadBalancerPassToTarget is True


def test_many_are_made_in_one_call(api: Api) -> None:
    made = api.write("CreateLoadBalancer", LoadBalancerType="OPEN", VpcId=VPC, Number=3).LoadBalancerIds
    assert len(set(made)) == 3
    assert sorted(ids(api, LoadBalancerIds=made)) == sorted(made)
    vips = {vip for lb in made for vip in lb_of(api, lb).LoadBalancerVips}
    assert len(vips) == 3


def test_one_token_makes_one_load_balancer(api: Api) -> None:
    call = {"LoadBalancerType": "OPEN", "VpcId": VPC, "LoadBalancerName": unique_name(), "ClientToken": "t" * 64}
    first = api.write("CreateLoadBalancer", **call).LoadBalancerIds
    assert api("CreateLoadBalancer", **call).LoadBalancerIds == first
    assert ids(api, LoadBalancerName=call["LoadBalancerName"]) == first
    other = api.write("CreateLoadBalancer", **(call | {"ClientToken": "other"})).LoadBalancerIds
    assert other != first


def test_a_token_has_at_most_sixty_four_characters(api: Api) -> None:
    code = "InvalidParameter.ClientTokenLimitExceeded"
    api.refused("CreateLoadBalancer", code, LoadBalancerType="OPEN", VpcId=VPC, ClientToken="t" * 65)


@pytest.mark.parametrize(
    "wrong",
    [
        {"LoadBalancerType": "PRIVATE"},
        {"LoadBalancerType": "INTERNAL"},
        {"Number": 0},
        {"Number": 21},
        {"LoadBalancerName": "x" * 81},
        {"AddressIPVersion": "IPV5"},
        {"VpcId": "vpc-00000000"},
        {"Tags": [{"TagKey": f"k{n}", "TagValue": "v"} for n in range(TAGS_PER_CALL + 1)]},
    ],
    ids=lambda wrong: ",".join(wrong),
)
def test_load_balancers_beyond_the_documented_limits_are_refused(api: Api, wrong: dict[str, Any]) -> None:
    before = api("DescribeLoadBalancers").TotalCount
    call = {"LoadBalancerType": "OPEN", "VpcId": VPC} | wrong
    codes = (BAD_VALUE, "MissingParameter", "LimitExceeded", "ResourceNotFound")
    api.refused("CreateLoadBalancer", *codes, **call)
    assert api("DescribeLoadBalancers").TotalCount == before


def test_twenty_tags_and_eighty_characters_are_accepted(api: Api) -> None:
    tags = [{"TagKey": f"k{n}", "TagValue": f"v{n}"} for n in range(TAGS_PER_CALL)]
    found = lb_of(api, new_lb(api, LoadBalancerName="x" * 80, Tags=tags))
    assert found.LoadBalancerName == "x" * 80
    assert len(found.Tags) == TAGS_PER_CALL


def test_a_wanted_vip_is_given_once(api: Api) -> None:
    vip = lb_of(api, lb := new_lb(api, "INTERNAL")).LoadBalancerVips[0]
    subnet = {"SubnetId": "subnet-conform1"}
    call = {"LoadBalancerType": "INTERNAL", "VpcId": VPC, "Vip": vip, **subnet}
    api.refused("CreateLoadBalancer", BAD_VALUE, "ResourceInUse", "ResourceInsufficient", "FailedOperation", **call)
    api.write("DeleteLoadBalancer", LoadBalancerIds=[lb])
    assert lb_of(api, new_lb(api, "INTERNAL", Vip=vip)).LoadBalancerVips == [vip]


def test_unknown_ids_are_left_out_of_a_read(api: Api, lb: str) -> None:
    answer = api("DescribeLoadBalancers", LoadBalancerIds=[lb, NO_LB])
    assert answer.TotalCount == 1
    assert [found.LoadBalancerId for found in answer.LoadBalancerSet] == [lb]


def test_reads_are_narrowed(api: Api) -> None:
    name = unique_name()
    public = new_lb(api, LoadBalancerName=name + "-1")
    internal = new_lb(api, "INTERNAL", LoadBalancerName=name + "-2")
    (vip,) = lb_of(api, public).LoadBalancerVips
    both = {public, internal}
    # Names are matched in part.
    assert set(ids(api, LoadBalancerName=name)) == both
    assert ids(api, LoadBalancerName=name[5:] + "-2") == [internal]
    assert set(ids(api, SearchKey=name[5:])) == both
    assert ids(api, LoadBalancerName=name, LoadBalancerType="OPEN") == [public]
    assert ids(api, LoadBalancerName=name, LoadBalancerType="INTERNAL") == [internal]
    assert ids(api, LoadBalancerVips=[vip]) == [public]
    assert set(ids(api, LoadBalancerName=name, VpcId=VPC)) == both
    assert ids(api, LoadBalancerName=name, VpcId="vpc-00000000") == []
    assert set(ids(api, LoadBalancerName=name, Forward=1)) == both
    assert ids(api, LoadBalancerName=name, Forward=0) == []


def test_reads_are_narrowed_by_bound_targets(api: Api) -> None:
    name = unique_name()
    empty, used = (new_lb(api, LoadBalancerName=f"{name}-{n}") for n in range(2))
    register(api, used, new_listener(api, used), *enis(2))
    assert ids(api, LoadBalancerName=name, WithRs=0) == [empty]
    assert ids(api, LoadBalancerName=name, WithRs=1) == [used]
    assert set(ids(api, LoadBalancerName=name, WithRs=-1)) == {empty, used}
    (found,) = api("DescribeLoadBalancers", LoadBalancerIds=[used], AdditionalFields=["TargetCount"]).LoadBalancerSet
    assert found.TargetCount == 2


def test_reads_are_narrowed_by_tag(api: Api) -> None:
    key = unique_name()
    one, two = (new_lb(api, Tags=[{"TagKey": key, "TagValue": value}]) for value in ("1", "2"))

    def tagged(*values: str) -> set[str]:
        return set(ids(api, Filters=[{"Name": f"tag:{key}", "Values": list(values)}]))

    assert tagged("1") == {one}
    assert tagged("1", "2") == {one, two}
    assert tagged("3") == set()
    assert set(ids(api, Filters=[{"Name": "tag-key", "Values": [key]}])) == {one, two}


def test_reads_come_in_pages(api: Api) -> None:
    name = unique_name()
    all_of_them = {new_lb(api, LoadBalancerName=f"{name}-{n}") for n in range(5)}
    pages = []
    for offset in (0, 2, 4, 6):
        answer = api("DescribeLoadBalancers", LoadBalancerName=name, Offset=offset, Limit=2)
        assert answer.TotalCount == 5
        pages.append([found.LoadBalancerId for found in answer.LoadBalancerSet])
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert {lb for page in pages for lb in page} == all_of_them


def test_a_page_has_twenty_unless_told(api: Api) -> None:
    name = unique_name()
    call = {"LoadBalancerType": "OPEN", "VpcId": VPC, "Number": 11}
    for _ in range(2):
        api.write("CreateLoadBalancer", Tags=[{"TagKey": name, "TagValue": ""}], **call)
    tagged = {"Filters": [{"Name": "tag-key", "Values": [name]}]}
    assert len(ids(api, **tagged)) == 20
    assert len(ids(api, Limit=LARGEST_PAGE, **tagged)) == 22


def test_reads_are_ordered(api: Api) -> None:
    prefix = unique_name()
    b, a = new_lb(api, LoadBalancerName=prefix + "-b"), new_lb(api, LoadBalancerName=prefix + "-a")
    by_name = {"LoadBalancerName": prefix, "OrderBy": "LoadBalancerName"}
    assert ids(api, OrderType=0, **by_name) == [a, b]
    assert ids(api, OrderType=1, **by_name) == [b, a]


@pytest.mark.parametrize(
    "wrong",
    [
        {"LoadBalancerIds": [f"lb-{n:08}" for n in range(IDS_PER_CALL + 1)]},
        {"Filters": [{"Name": "tag-key", "Values": ["x"]}] * 11},
        {"Filters": [{"Name": "tag-key", "Values": [f"k{n}" for n in range(101)]}]},
    ],
    ids=["ids", "filters", "values"],
)
def test_reads_of_too_much_are_refused(api: Api, wrong: dict[str, Any]) -> None:
    api.refused("DescribeLoadBalancers", TOO_MANY, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Limit": LARGEST_PAGE + 1},
        {"Limit": -1},
        {"Offset": -1},
        {"OrderBy": "Colour"},
        {"OrderType": 2},
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
    ],
    ids=str,
)
def test_reads_out_of_range_are_refused(api: Api, wrong: dict[str, Any]) -> None:
    api.refused("DescribeLoadBalancers", BAD_VALUE, **wrong)


def test_only_what_is_given_is_modified(api: Api) -> None:
    lb = new_lb(api, LoadBalancerName="old", Tags=[{"TagKey": "k", "TagValue": "v"}])

    def modify(**change: Any) -> Any:
        api.write("ModifyLoadBalancerAttributes", LoadBalancerId=lb, **change)
        return lb_of(api, lb)

    renamed = modify(LoadBalancerName="new")
    assert (renamed.LoadBalancerName, renamed.LoadBalancerPassToTarget) == ("new", False)
    opened = modify(LoadBalancerPassToTarget=True)
    assert (opened.LoadBalancerName, opened.LoadBalancerPassToTarget) == ("new", True)
    assert [(tag.TagKey, tag.TagValue) for tag in opened.Tags] == [("k", "v")]


def test_modifications_beyond_the_limits_are_refused(api: Api, lb: str) -> None:
    call = {"LoadBalancerId": lb, "LoadBalancerName": "x" * 81}
    api.refused("ModifyLoadBalancerAttributes", BAD_VALUE, **call)
    api.refused("ModifyLoadBalancerAttributes", *LB_GONE, LoadBalancerId=NO_LB, LoadBalancerName="new")


def test_what_is_protected_is_not_deleted(api: Api, lb: str) -> None:
    api.write("ModifyLoadBalancerAttributes", LoadBalancerId=lb, DeleteProtect=True)
    assert "DeleteProtect" in lb_of(api, lb).AttributeFlags
    codes = ("FailedOperation*", "OperationDenied", "UnsupportedOperation", BAD_VALUE)
    api.refused("DeleteLoadBalancer", *codes, LoadBalancerIds=[lb])
    api.write("ModifyLoadBalancerAttributes", LoadBalancerId=lb, DeleteProtect=False)
    assert "DeleteProtect" not in lb_of(api, lb).AttributeFlags
    api.write("DeleteLoadBalancer", LoadBalancerIds=[lb])


def test_security_groups_are_set_not_added(api: Api, lb: str) -> None:
    def set_to(**groups: list[str]) -> list[str]:
        api("SetLoadBalancerSecurityGroups", LoadBalancerId=lb, **groups)
        return sorted(lb_of(api, lb).SecureGroups)

    assert set_to(SecurityGroups=["sg-00000001", "sg-00000002"]) == ["sg-00000001", "sg-00000002"]
    assert set_to(SecurityGroups=["sg-00000003"]) == ["sg-00000003"]
    assert set_to(SecurityGroups=[]) == []
    assert set_to(SecurityGroups=["sg-00000003"]) == ["sg-00000003"]
    assert set_to() == []


def test_too_many_security_groups_are_refused(api: Api, lb: str) -> None:
    groups = [f"sg-{n:08}" for n in range(SECURITY_GROUPS + 1)]
    api.refused(
        "SetLoadBalancerSecurityGroups", TOO_MANY, "LimitExceeded", LoadBalancerId=lb, SecurityGroups=groups
    )
    api.refused("SetLoadBalancerSecurityGroups", *LB_GONE, LoadBalancerId=NO_LB, SecurityGroups=groups[:1])


def test_a_deleted_load_balancer_is_gone(api: Api) -> None:
    goes, stays = new_lb(api), new_lb(api)
    listener = new_listener(api, goes)
    api.write("DeleteLoadBalancer", LoadBalancerIds=[goes])
    assert ids(api, LoadBalancerIds=[goes, stays]) == [stays]
    api.refused("DescribeListeners", *LB_GONE, LoadBalancerId=goes)
    api.refused("DeleteListener", *LB_GONE, LoadBalancerId=goes, ListenerId=listener)
    api.refused("DeleteLoadBalancer", *LB_GONE, LoadBalancerIds=[goes])


def test_many_are_deleted_in_one_call(api: Api) -> None:
    made = [new_lb(api) for _ in range(3)]
    api.write("DeleteLoadBalancer", LoadBalancerIds=made)
    assert ids(api, LoadBalancerIds=made) == []


def test_deleting_unknown_load_balancers_deletes_nothing(api: Api, lb: str) -> None:
    api.refused("DeleteLoadBalancer", *LB_GONE, LoadBalancerIds=[lb, NO_LB])
    assert ids(api, LoadBalancerIds=[lb]) == [lb]


def test_deleting_takes_twenty_ids(api: Api) -> None:
    many = [f"lb-{n:08}" for n in range(IDS_PER_CALL + 1)]
    api.refused("DeleteLoadBalancer", TOO_MANY, LoadBalancerIds=many)
    api.refused("DeleteLoadBalancer", BAD_VALUE, "MissingParameter", LoadBalancerIds=[])


def test_many_targets_are_a_risk_to_be_confirmed(api: Api, lb: str) -> None:
    register(api, lb, new_listener(api, lb), *enis(20))
    api.refused("DeleteLoadBalancer", "FailedOperation.TargetNumCheckRisk", LoadBalancerIds=[lb])
    assert ids(api, LoadBalancerIds=[lb]) == [lb]
    api.write("DeleteLoadBalancer", LoadBalancerIds=[lb], ForceDelete=True)
    assert ids(api, LoadBalancerIds=[lb]) == []
