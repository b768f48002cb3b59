"""Whatever was set can be taken back, and a CounterCluster that comes back from Git is the one that
it was. Minutes each: `make e2e-all`."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from examples.demo_counters import NODE_IMAGE
from examples.demo_kube import Object, wait
from tests.e2e import waits
from tests.e2e.rig import Rig, manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = ("--connections", "4", "--rate", "100", "--seconds", "500")


def apply(rig: Rig, spec: Object) -> None:
    """As `kubectl apply` does it: what was in the manifest before and is not any more is
    removed."""
    rig.space("apply", "-f", "-", stdin=manifest(rig.counters.name, spec))


def secret(rig: Rig, part: str) -> Object:
    found = rig.space.get("secrets", f"{rig.counters.name}-{part}")
    return dict(found["data"]) if found else {}


def ids(rig: Rig) -> dict[str, str]:
    return {pod: status["nodeId"] for pod, status in rig.counters.node_statuses().items()}


def test_a_cluster_that_was_orphaned_and_applied_again_goes_on_as_the_same(
    make_rig: Callable[..., Rig],
) -> None:
    """Its password, its authority, its pods, its counters; and it is collected with the new one,
    not left behind."""
    rig = make_rig("orphan", {})
    load = rig.load("orphan", *LONG)
    load.wait_counting()
    before = (secret(rig, "client"), secret(rig, "private"), rig.counters.uids(), ids(rig))
    rig.space("delete", "cc", "orphan", "--cascade=orphan")
    wait(
        "the CounterCluster to go",
        waits.GONE,
        lambda: "" if rig.counters.get() is None else "it is there",
    )
    apply(rig, {})
    rig.counters.wait_settled(3, waits.RECOVERED, cache=True)
    assert (secret(rig, "client"), secret(rig, "private"), rig.counters.uids(), ids(rig)) == before
    rig.check("orphan", load, waits.HANDED_OVER)
    rig.wait_cached("orphan", int(rig.values("orphan").pop()))
    uid = (rig.counters.get() or {})["metadata"]["uid"]
    kinds = (
        "services",
        "configmaps",
        "secrets",
        "serviceaccounts",
        "poddisruptionbudgets",
        "networkpolicies",
        "deployments",
        "statefulsets",
    )
    ours = {"app.kubernetes.io/instance": "orphan"}.items()
    for kind in kinds:
        for child in rig.space.list(kind):
            if ours <= (child["metadata"].get("labels") or {}).items():
                assert [owner["uid"] for owner in child["metadata"].get("ownerReferences", [])] == [
                    uid
                ], f"{kind}/{child['metadata']['name']}"


def test_a_minority_of_volumes_goes_on_when_asked_although_nothing_is_remembered(
    make_rig: Callable[..., Rig],
) -> None:
    """Restored from Git after a disaster: the claims were retained, two of three are lost, and
    nobody has a status."""
    spec: Object = {"storage": {"retain": "Retain"}, "cache": {"enabled": False}}
    rig = make_rig("wiped", spec)
    books = rig.load("k", "--count", "200").result()
    survivor = rig.counters.wait_leader()
    node_id = ids(rig)[survivor]
    rig.space("delete", "cc", "wiped")

    def left() -> str:
        things = [f"pod/{name}" for name in rig.counters.pod_names()]
        things += [
            f"ConfigMap {c['metadata']['name']}"
            for c in rig.space.list("configmaps")
            if c["metadata"]["name"].startswith("wiped-")
        ]
        return ", ".join(things)

    wait("all but the claims to go", waits.GONE, left)
    lost = [f"data-wiped-{ordinal}" for ordinal in range(3) if f"wiped-{ordinal}" != survivor]
    rig.space("delete", "pvc", *lost)
    apply(rig, spec)

    def lack() -> str:
        status = rig.status()
        return (
            ""
            if not status.get("bootstrap") and "volumes hold members" in str(status.get("step"))
            else str(status.get("step"))
        )

    wait("it to say that a majority is missing", waits.READY, lack)
    assert ids(rig)[survivor] == node_id
    apply(rig, {**spec, "recovery": {"survivor": node_id}})
    rig.counters.wait_settled(3, waits.READY)
    assert rig.status()["recovered"] == node_id
    rig.space(
        "delete", "pod", "tools"
    )  # password and authority are others: their Secrets were deleted with the cluster
    rig.tools.start()
    rig.tools.wait()
    assert rig.values("k") == {str(books["final"])}
    assert rig.load("k", "--count", "50").result()["delta"] == 50


def test_the_earlier_manifest_leads_back(make_rig: Callable[..., Rig]) -> None:
    """Images that do not exist, and a size that the class cannot give."""
    rig = make_rig("back", {})
    load = rig.load("back", *LONG)
    load.wait_counting()
    claims = {claim["metadata"]["uid"] for claim in rig.space.list("persistentvolumeclaims")}
    image = (rig.space.get("deployments", "back-cache") or {})["spec"]["template"]["spec"][
        "containers"
    ][0]["image"]
    apply(
        rig,
        {
            "image": "nosuch/image:1",
            "cache": {"image": "nosuch/redis:1"},
            "storage": {"size": "3Gi"},
        },
    )
    rig.wait_condition("Progressing", "True", "RollStalled", waits.ROLLED)

    def grown() -> str:
        message = next(c["message"] for c in rig.status()["conditions"] if c["type"] == "Ready")
        return (
            ""
            if "cannot grow" in message or "allowVolumeExpansion" in message or "resize" in message
            else message
        )

    wait("the size to be refused with the cause", waits.REPORTED, grown)
    apply(rig, {})
    rig.counters.wait_rolled(NODE_IMAGE, 3, waits.ROLLED)
    rig.counters.wait_settled(3, waits.SCALED, cache=True)
    assert (rig.space.get("deployments", "back-cache") or {})["spec"]["template"]["spec"][
        "containers"
    ][0]["image"] == image
    assert {
        claim["metadata"]["uid"] for claim in rig.space.list("persistentvolumeclaims")
    } == claims
    assert {
        c["spec"]["resources"]["requests"]["storage"]
        for c in rig.space.list("persistentvolumeclaims")
    } == {"1Gi"}
    rig.check("back", load, waits.GAP)


def test_a_wrong_word_in_a_users_rules_reaches_no_node(rig: Rig) -> None:
    """The last good rules stay, a node that restarts does not mind, and mending it is enough."""
    rig.space("create", "secret", "generic", "bob", "--from-literal=password=long-enough-for-bob")
    bob: Object = {
        "name": "bob",
        "rules": "+@read +@write ~*",
        "passwordSecret": {"name": "bob", "key": "password"},
    }
    rig.patch({"auth": {"users": [bob]}})
    try:
        rig.counters.wait_settled(3, waits.SCALED)
        wait(
            "the users' Secret",
            waits.REPORTED,
            lambda: "" if b"user bob" in users_file(rig) else "bob is not in it",
        )
        good = users_file(rig)
        rig.patch({"auth": {"users": [{**bob, "rules": "+@read +@wrte ~*"}]}})
        rig.wait_condition("Ready", "False", "UsersRefused", waits.REPORTED)
        message = next(c["message"] for c in rig.status()["conditions"] if c["type"] == "Ready")
        assert "bob" in message
        assert "+@wrte" in message
        assert users_file(rig) == good
        load = rig.load("wrong-word", *LONG)
        load.wait_counting()
        for pod in rig.counters.pod_names()[:2]:
            before = rig.counters.uids()[pod]
            rig.space("delete", "pod", pod)

            def lack(pod: str = pod, before: str = before) -> str:
                ready = [
                    p
                    for p in rig.counters.pods()
                    if p["metadata"]["uid"] not in (before,) and p["metadata"]["name"] == pod
                ]
                statuses = ready[0]["status"].get("containerStatuses", []) if ready else []
                return (
                    "" if statuses and statuses[0]["ready"] else f"{pod} is not ready: {statuses}"
                )

            wait(f"{pod} to be ready again", waits.RECOVERED, lack)
        rig.patch({"auth": {"users": [{**bob, "rules": "+@all ~*"}]}})
        rig.counters.wait_settled(3, waits.SCALED)
        rig.check("wrong-word", load, waits.GAP)
    finally:
        rig.patch({"auth": {"users": []}})
        rig.space("delete", "secret", "bob")


def users_file(rig: Rig) -> bytes:
    return base64.b64decode(secret(rig, "users").get("users.acl", ""))
