"""Changes of the pods: supervised, stopped by a bad image, left alone by a new operator."""

from __future__ import annotations

import json

import pytest

from examples.demo_counters import NODE_IMAGE, NODE_IMAGE_NEXT
from examples.demo_kube import wait
from tests.e2e import waits
from tests.e2e.rig import Rig, change_operator, figure

ABSENT = "countercluster/node:there-is-no-such-tag"


def test_a_full_roll_is_not_noticed_by_clients_of_the_library(rig: Rig) -> None:
    load = rig.load("full-roll")
    leader = rig.counters.wait_leader()
    rig.patch({"settings": {"logLevel": "debug"}})
    before = rig.counters.uids()
    order: list[str] = []

    def lack() -> str:
        now = rig.counters.uids()
        order.extend(pod for pod in now if now[pod] != before.get(pod) and pod not in order)
        return rig.counters.lack(3) or ("" if len(order) == 3 else f"only {order} are replaced")

    figure("full roll of 3", wait("the roll of new settings", waits.ROLLED, lack))
    assert order[-1] == leader
    rig.check("full-roll", load, waits.HANDED_OVER)
    rig.patch({"settings": {"logLevel": "info"}})
    rig.counters.wait_settled(3, waits.ROLLED)


def test_a_bad_image_stops_at_the_first_pod_and_is_taken_back(rig: Rig) -> None:
    load = rig.load("bad-image")
    before = rig.counters.uids()
    rig.patch({"image": ABSENT})
    rig.wait_condition("Progressing", "True", "RollStalled", waits.ROLLED)
    assert rig.wait_condition("QuorumHealthy", "True", "MajorityReady", 5) < 5
    now = rig.counters.uids()
    assert len([pod for pod in before if now.get(pod) != before[pod]]) == 1
    events = rig.space("get", "events.events.k8s.io", "-o", "json")
    assert [
        e
        for e in json.loads(events)["items"]
        if e["reason"] == "RollStalled" and e["type"] == "Warning"
    ]
    rig.patch({"image": NODE_IMAGE})
    rig.counters.wait_rolled(NODE_IMAGE, 3, waits.ROLLED)
    rig.check("bad-image", load, waits.GAP)


def test_a_supervised_roll_waits_for_a_word_before_the_leader(rig: Rig) -> None:
    load = rig.load("supervised")
    leader = rig.counters.wait_leader()
    before = rig.counters.uids()
    rig.patch({"rollout": {"strategy": "Supervised"}, "image": NODE_IMAGE_NEXT})
    mark = "countercluster.io/roll-leader="
    wait(
        "the roll to stop before the leader",
        waits.ROLLED,
        lambda: "" if mark in (step := rig.status().get("step", "")) else step or "it does nothing",
    )
    now = rig.counters.uids()
    assert [pod for pod in before if now[pod] == before[pod]] == [leader]
    revision = rig.status()["step"].split(mark)[1].split()[0]
    rig.space("annotate", "cc", "clicks", f"{mark}{revision}", "--overwrite")
    rig.counters.wait_settled(3, waits.ROLLED, image=NODE_IMAGE_NEXT)
    rig.check("supervised", load, waits.HANDED_OVER)
    rig.patch({"rollout": {"strategy": "LeaderLast"}})


@pytest.mark.disturbs_operator
def test_a_new_operator_restarts_no_pod(rig: Rig) -> None:
    rig.counters.wait_settled(3, waits.ROLLED)
    before = rig.counters.uids()
    label = {
        "spec": {"template": {"metadata": {"labels": {"app.kubernetes.io/version": "99.0.0"}}}}
    }
    change_operator(
        "patch", "deployment", "countercluster-operator", "--type=merge", "-p", json.dumps(label)
    )
    rig.patch({"podTemplate": {}})
    rig.counters.wait_settled(3, waits.SCALED)
    assert rig.counters.uids() == before
    label["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"] = None  # type: ignore[assignment]
    change_operator(
        "patch", "deployment", "countercluster-operator", "--type=merge", "-p", json.dumps(label)
    )
    assert rig.counters.uids() == before
