"""Membership changes under load, and what happens when the operator or a member's disk goes away
meanwhile."""

from __future__ import annotations

import json
import random

import pytest

from examples.demo_counters import NODE_IMAGE, NODE_IMAGE_NEXT
from examples.demo_kube import OPERATOR_NAMESPACE, kubectl, wait
from tests.e2e import waits
from tests.e2e.rig import Rig, figure, operator_lack, operator_pods


def scale(rig: Rig, replicas: int) -> None:
    rig.space("scale", "cc/clicks", f"--replicas={replicas}")


def wait_pods(rig: Rig, counts: set[int]) -> None:
    wait(
        f"one of {counts} pods",
        waits.SCALED,
        lambda: (
            "" if len(rig.counters.pods()) in counts else f"there are {len(rig.counters.pods())}"
        ),
    )


def test_scaling_up_and_down_to_one_loses_nothing(rig: Rig) -> None:
    load = rig.load("scaling")
    for replicas in (5, 3, 1):
        scale(rig, replicas)
        rig.counters.wait_settled(replicas, waits.SCALED)
    books = load.stop()
    assert rig.values("scaling") == {str(books["final"])}
    disruption_budget = rig.space.get("poddisruptionbudgets", "clicks")
    assert disruption_budget is None, "one replica needs no budget: it would block every drain"
    scale(rig, 3)
    rig.counters.wait_settled(3, waits.SCALED)
    assert rig.values("scaling") == {str(books["final"])}


@pytest.mark.disturbs_operator
def test_scaling_ends_where_it_should_when_the_operator_dies_in_the_middle(rig: Rig) -> None:
    load = rig.load("operator-dies")
    for replicas, started in ((5, {4, 5}), (3, {4, 3})):
        scale(rig, replicas)
        wait_pods(rig, started)
        kubectl(
            "-n",
            OPERATOR_NAMESPACE,
            "delete",
            "pod",
            *operator_pods(),
            "--force",
            "--grace-period=0",
        )
        rig.counters.wait_settled(replicas, waits.SCALED + waits.OPERATOR)
    wait("the operator", waits.OPERATOR, operator_lack)
    rig.check("operator-dies", load, waits.GAP)


def test_an_image_is_rolled_with_the_leader_last(rig: Rig) -> None:
    now = rig.counters.pods()[0]["spec"]["containers"][0]["image"]
    image = NODE_IMAGE if now.endswith(NODE_IMAGE_NEXT) else NODE_IMAGE_NEXT
    load = rig.load("roll")
    leader = rig.counters.wait_leader()
    rig.space("patch", "cc", "clicks", "--type=merge", "-p", json.dumps({"spec": {"image": image}}))
    order = rig.counters.wait_rolled(image, 3, waits.ROLLED)
    assert sorted(order) == ["clicks-0", "clicks-1", "clicks-2"]
    assert order[-1] == leader
    rig.check("roll", load, waits.HANDED_OVER)


def test_a_member_that_lost_its_disk_is_replaced_under_a_new_id(rig: Rig) -> None:
    before = rig.counters.node_statuses()
    load = rig.load("lost-disk")
    leader = rig.counters.wait_leader()
    victim = random.Random(3).choice(
        [pod for pod in rig.counters.pods() if pod["metadata"]["name"] != leader]
    )
    name = victim["metadata"]["name"]
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in victim["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    ]
    assert claims, "the data of a member lies on no claim"
    old_claim = rig.space.get("persistentvolumeclaims", claims[0])
    assert old_claim
    rig.space("delete", "pvc", *claims, "--wait=false")
    rig.space("delete", "pod", name, "--force", "--grace-period=0")

    def lack() -> str:
        status = rig.counters.node_status(name)
        if not status or status["nodeId"] == before[name]["nodeId"]:
            return f"{name} is not there under a new id"
        return rig.counters.lack(3)

    figure(
        "disk lost to full strength", wait("the replacement of the member", waits.REPLACED, lack)
    )
    after = rig.counters.node_statuses()
    assert {status["clusterId"] for status in after.values()} == {before[name]["clusterId"]}
    assert before[name]["nodeId"] not in {
        member["nodeId"] for status in after.values() for member in status["members"]
    }
    assert [status["role"] for status in after.values()].count("leader") == 1
    rig.check("lost-disk", load, waits.GAP)
