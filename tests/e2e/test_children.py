"""What belongs to a CounterCluster: it comes back when deleted, and goes when the CounterCluster
goes."""

from __future__ import annotations

import pytest

from examples.demo_counters import CounterCluster
from examples.demo_kube import Namespace, wait
from tests.e2e import waits
from tests.e2e.rig import Rig, manifest

KINDS = (
    "services", "configmaps", "secrets", "serviceaccounts", "poddisruptionbudgets",
    "networkpolicies", "deployments", "statefulsets"
)  # fmt: skip
NAMED = {("statefulsets", "clicks"), ("deployments", "clicks-cache")} | {
    ("services", name) for name in ("clicks", "clicks-peers", "clicks-cache")
}
"""The names that are part of the contract (design); the others may be called otherwise."""


def children(counters: CounterCluster) -> dict[tuple[str, str], str]:
    """(kind, name) → uid of everything that the CounterCluster owns directly."""
    resource = counters.get()
    assert resource
    return {
        (kind, thing["metadata"]["name"]): thing["metadata"]["uid"]
        for kind in KINDS
        for thing in counters.space.list(kind)
        if resource["metadata"]["uid"]
        in [owner["uid"] for owner in thing["metadata"].get("ownerReferences", [])]
    }


def test_deleted_children_come_back(rig: Rig) -> None:
    """All at once, the StatefulSet with its pods: the members come back from their disks as who
    they were."""
    books = rig.load("children", "--count", "50").result()
    before = children(rig.counters)
    named = {
        ("services", "clicks"),
        ("services", "clicks-peers"),
        ("services", "clicks-cache"),
        ("deployments", "clicks-cache"),
        ("statefulsets", "clicks"),
    }
    assert named <= set(before), f"missing: {named - set(before)}"
    ids = {pod: status["nodeId"] for pod, status in rig.counters.node_statuses().items()}
    for kind, name in before:
        rig.space("delete", kind, name, "--wait=false")

    def lack() -> str:
        now = children(rig.counters)
        missing = [
            f"{kind}/{name}"
            for kind, name in before
            if now.get((kind, name), before[kind, name]) == before[kind, name]
        ]
        return f"not there again: {', '.join(missing)}" if missing else ""

    wait("deleted children to come back", waits.CHILD_BACK, lack)
    rig.counters.wait_settled(3, waits.RECOVERED, cache=True)
    assert {pod: status["nodeId"] for pod, status in rig.counters.node_statuses().items()} == ids
    assert rig.values("children") == {str(books["final"])}
    rig.wait_cached("children", books["final"])


@pytest.mark.parametrize(("retain", "stays"), [("Retain", True), ("Delete", False)])
def test_deleting_a_countercluster_removes_all_but_the_claims_to_be_retained(
    space: Namespace, retain: str, stays: bool
) -> None:
    counters = CounterCluster(space, "short")
    space(
        "apply", "-f", "-", stdin=manifest("short", {"replicas": 1, "storage": {"retain": retain}})
    )
    counters.wait_settled(1, waits.READY)
    claims = {claim["metadata"]["name"] for claim in space.list("persistentvolumeclaims")}
    assert len(claims) == 1
    owned = children(counters)
    space("delete", "cc", "short", "--wait=false")

    def lack() -> str:
        names = set(owned)
        left = [
            f"{kind}/{thing['metadata']['name']}"
            for kind in KINDS
            for thing in space.list(kind)
            if (kind, thing["metadata"]["name"]) in names
        ]
        left += [f"pod/{pod['metadata']['name']}" for pod in space.list("pods")]
        if not stays:
            left += [
                f"pvc/{claim['metadata']['name']}" for claim in space.list("persistentvolumeclaims")
            ]
        return f"still there: {', '.join(left)}" if left or counters.get() else ""

    wait("the removal of everything", waits.GONE, lack)
    assert {claim["metadata"]["name"] for claim in space.list("persistentvolumeclaims")} == (
        claims if stays else set()
    )
