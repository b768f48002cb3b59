"""Paused, asleep, worked upon; edits in the middle of something else; pods and claims that somebody
handled."""

from __future__ import annotations

import time

from examples.demo_kube import kubectl, wait
from tests.e2e import waits
from tests.e2e.rig import Rig, figure


def test_a_paused_cluster_counts_and_is_not_changed(rig: Rig) -> None:
    before = rig.counters.uids()
    rig.patch({"paused": True, "replicas": 5})
    rig.wait_condition("ReconcilePaused", "True", "PausedBySpec", waits.CHILD_BACK)
    assert rig.load("paused", "--count", "100").result()["delta"] == 100
    assert rig.counters.uids() == before
    rig.patch({"paused": False, "replicas": 3})
    rig.counters.wait_settled(3, waits.SCALED)
    assert rig.counters.uids() == before


def test_a_hibernated_cluster_wakes_with_its_counters_and_its_members(rig: Rig) -> None:
    books = rig.load("sleep", "--count", "200").result()
    ids = {pod: status["nodeId"] for pod, status in rig.counters.node_statuses().items()}
    rig.patch({"hibernated": True})

    def lack() -> str:
        left = [
            p["metadata"]["name"]
            for p in rig.space.list("pods")
            if p["metadata"]["name"].startswith("clicks-")
        ]
        return f"still there: {left}" if left else ""

    wait("the last pod to end", waits.ASLEEP, lack)
    rig.wait_condition("Ready", "False", "Hibernated", waits.ASLEEP)
    assert len(rig.space.list("persistentvolumeclaims")) == 3
    rig.patch({"hibernated": False})
    figure("awake after hibernation", rig.counters.wait_settled(3, waits.READY, cache=True))
    assert {pod: status["nodeId"] for pod, status in rig.counters.node_statuses().items()} == ids
    assert rig.values("sleep") == {str(books["final"])}
    rig.wait_cached("sleep", books["final"])


def test_who_is_in_maintenance_hands_over_and_does_not_lead(rig: Rig) -> None:
    load = rig.load("maintenance")
    leader = rig.counters.wait_leader()
    rig.patch({"maintenance": leader})
    rig.counters.wait_leader(other_than=leader, seconds=waits.LEADER)
    rig.counters.wait_settled(3, waits.SCALED)
    rig.patch({"maintenance": ""})
    rig.check("maintenance", load, waits.HANDED_OVER)


def test_an_edit_in_the_middle_of_scaling_ends_as_asked_last(rig: Rig) -> None:
    load = rig.load("edits")
    rig.patch({"replicas": 5})
    wait("a fourth pod", waits.SCALED, lambda: "" if len(rig.counters.pods()) > 3 else "three pods")
    rig.patch({"replicas": 1})
    time.sleep(1.5)
    rig.patch({"replicas": 3})
    rig.counters.wait_settled(3, waits.SCALED)
    rig.check("edits", load, waits.GAP)


def test_a_pod_whose_labels_were_taken_off_is_made_again(rig: Rig) -> None:
    load = rig.load("labels")
    victim = rig.counters.wait_leader()
    before = rig.counters.uids()[victim]
    rig.space("label", "pod", victim, "app.kubernetes.io/instance-", "app.kubernetes.io/component-")
    wait(
        "another pod of that name",
        waits.RECOVERED,
        lambda: (
            ""
            if rig.counters.uids().get(victim) not in (None, before)
            else f"{victim} is the old one"
        ),
    )
    rig.counters.wait_settled(3, waits.RECOVERED)
    rig.check("labels", load, waits.GAP)


def test_a_killed_pod_is_back_at_full_strength(rig: Rig) -> None:
    load = rig.load("killed-pod")
    victim = next(pod for pod in rig.counters.pod_names() if pod != rig.counters.wait_leader())
    before = rig.counters.uids()[victim]
    rig.space("delete", "pod", victim, "--force", "--grace-period=0")
    start = time.monotonic()
    wait(
        "another pod",
        waits.RECOVERED,
        lambda: "" if rig.counters.uids().get(victim) not in (None, before) else "the old one",
    )
    rig.counters.wait_settled(3, waits.RECOVERED)
    figure("pod killed to full strength", time.monotonic() - start)
    rig.check("killed-pod", load, waits.GAP)


def test_an_autoscaler_scales_through_the_scale_subresource(rig: Rig) -> None:
    """Its bounds need no metrics: fewer than minReplicas is scaled up, more than maxReplicas
    down."""
    load = rig.load("autoscaler")
    rig.space("autoscale", "cc", "clicks", "--min=5", "--max=7", "--cpu=50%")
    try:
        wait(
            "five wanted",
            waits.SCALED,
            lambda: (
                ""
                if (rig.counters.get() or {})["spec"]["replicas"] == 5
                else "the autoscaler has done nothing"
            ),
        )
        figure("3 to 5 members", rig.counters.wait_settled(5, waits.SCALED))
        said = rig.space(
            "get",
            "hpa",
            "clicks",
            "-o",
            'jsonpath={.status.conditions[?(@.type=="AbleToScale")].status}',
        )
        assert said == "True"
        selector = rig.status()["selector"]
        assert len(rig.space.list("pods", selector)) == 5, "the selector names other pods"
    finally:
        rig.space("delete", "hpa", "clicks")
    kubectl("-n", rig.space.name, "scale", "cc/clicks", "--replicas=3")
    rig.counters.wait_settled(3, waits.SCALED)
    rig.check("autoscaler", load, waits.GAP)
