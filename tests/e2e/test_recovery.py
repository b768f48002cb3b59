"""A lost majority: reported, never estimated, given up only when somebody names the survivor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from examples.demo_kube import kubectl, wait
from tests.e2e import waits
from tests.e2e.rig import Rig, figure


def test_a_lost_majority_is_reported_and_given_up_only_by_name(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig("broken", {"cache": {"enabled": False}})
    books = rig.load("k", "--count", "300").result()
    leader = rig.counters.wait_leader()
    survivor = rig.counters.node_statuses()[leader]["nodeId"]
    lost = [pod for pod in rig.counters.pod_names() if pod != leader]
    rig.space("delete", "pvc", *(f"data-{pod}" for pod in lost), "--wait=false")
    rig.space("delete", "pod", *lost, "--force", "--grace-period=0")
    rig.wait_condition("QuorumHealthy", "False", "QuorumLost", waits.QUORUM_SEEN + waits.RECOVERED)
    said = next(c["message"] for c in rig.status()["conditions"] if c["type"] == "QuorumHealthy")
    assert all(pod in said for pod in lost), said

    def untold() -> str:
        events = json.loads(rig.space("get", "events.events.k8s.io", "-o", "json"))["items"]
        return (
            ""
            if [e for e in events if e["reason"] == "QuorumLost" and e["type"] == "Warning"]
            else "no event"
        )

    wait("the event, which follows the status", waits.CHILD_BACK, untold)
    rig.patch({"recovery": {"survivor": "00000000000000aa"}})

    def refused() -> str:
        step = rig.status().get("step", "")
        return "" if "no member answers under that id" in step and survivor in step else step

    wait("the refusal of a wrong name", waits.QUORUM_SEEN, refused)
    rig.patch({"recovery": {"survivor": survivor}})
    figure("spec.recovery to full strength", rig.counters.wait_settled(3, waits.REPLACED))
    assert rig.status()["recovered"] == survivor
    assert survivor in {status["nodeId"] for status in rig.counters.node_statuses().values()}
    assert rig.values("k") == {str(books["final"])}
    assert rig.load("k", "--count", "50").result()["delta"] == 50


@pytest.fixture
def growable() -> Iterator[str]:
    """A StorageClass whose claims may grow. That the volumes follow is the business of its
    provisioner."""
    name = "countercluster-e2e-growable"
    growing = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(growing))
    yield name
    kubectl("delete", "storageclass", name)


def test_volumes_grow_and_scaled_in_ones_are_retained(
    make_rig: Callable[..., Rig], growable: str
) -> None:
    storage = {"size": "64Mi", "storageClassName": growable, "retainOnScaleIn": "Retain"}
    rig = make_rig("grows", {"replicas": 3, "cache": {"enabled": False}, "storage": storage})
    books = rig.load("k", "--count", "50").result()
    before = rig.counters.uids()
    rig.patch({"storage": {"size": "128Mi"}})

    def claims_lack() -> str:
        sizes, step = _claim_sizes(rig), rig.status().get("step", "")
        return "" if sizes == {"128Mi"} and "to grow" in step else f"claims {sizes}; {step}"

    wait("claims that ask for more, and volumes that are waited for", waits.SCALED, claims_lack)
    _enlarge_volumes(rig, "128Mi")

    def lack() -> str:
        sizes, template = _claim_sizes(rig), _template_size(rig, "grows")
        grown = sizes == {"128Mi"} and template == "128Mi"
        return "" if grown else f"claims {sizes}, template {template}"

    wait("a StatefulSet that makes claims of the new size", waits.SCALED, lack)
    rig.counters.wait_settled(3, waits.SCALED)
    assert rig.counters.uids() == before, "growing restarts no pod"
    rig.patch({"replicas": 1})
    rig.counters.wait_settled(1, waits.SCALED)
    assert len(rig.space.list("persistentvolumeclaims")) == 3
    rig.patch({"replicas": 3})
    rig.counters.wait_settled(3, waits.SCALED)
    assert rig.values("k") == {str(books["final"])}


def _claim_sizes(rig: Rig) -> set[str]:
    claims = rig.space.list("persistentvolumeclaims")
    return {claim["spec"]["resources"]["requests"]["storage"] for claim in claims}


def _template_size(rig: Rig, name: str) -> str:
    found = rig.space.get("statefulsets", name)
    if not found:
        return "none"
    template = found["spec"]["volumeClaimTemplates"][0]
    return str(template["spec"]["resources"]["requests"]["storage"])


def _enlarge_volumes(rig: Rig, size: str) -> None:
    """The provisioner of this cluster enlarges nothing: the test stands for one that does."""
    grown = json.dumps({"status": {"capacity": {"storage": size}}})
    for claim in rig.space.list("persistentvolumeclaims"):
        name = claim["metadata"]["name"]
        rig.space("patch", "pvc", name, "--subresource=status", "--type=merge", "-p", grown)


def test_a_smaller_size_is_for_new_volumes_alone(rig: Rig) -> None:
    """It can be set, as applying an earlier manifest must lead back; what is there stays as it
    is."""
    before = rig.counters.uids()

    def sizes() -> set[str]:
        return {
            c["spec"]["resources"]["requests"]["storage"]
            for c in rig.space.list("persistentvolumeclaims")
        }

    there = sizes()
    try:
        rig.patch({"storage": {"size": "512Mi"}})
        rig.counters.wait_settled(3, waits.SCALED)
        assert sizes() == there
    finally:
        rig.patch({"storage": {"size": None}})
        rig.counters.wait_settled(3, waits.SCALED)
    assert (sizes(), rig.counters.uids()) == (there, before)
