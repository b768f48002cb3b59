"""Whatever was set can be taken back: the manifest of before leads back to what it led to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from countercluster_operator.decide import report
from countercluster_operator.decide.decision import decided
from countercluster_operator.decide.plan import plan
from countercluster_operator.model import Storage, decode
from countercluster_operator.resources.claims import to_write
from countercluster_operator.run.reconcile import Reconciler
from countercluster_operator.run.settings import load
from countercluster_operator.world.observed import Claim

from tests.support.unit import reconcile_world
from tests.support.unit.reconcile_world import World
from tests.support.unit.situations import formed, with_spec

nodes = reconcile_world.nodes
Object = dict[str, Any]


def body(spec: Object, status: Object | None = None) -> Object:
    meta = {"name": "c", "namespace": "ns", "uid": "uid", "generation": 1}
    return {"metadata": meta, "spec": spec, "status": status or {}}


def next_status(spec: Object, status: Object | None, default: str = "v1") -> Object:
    cluster = decode(body(spec, status), default, f"redis-{default}")
    todo = decided(plan(cluster, formed()), formed())
    return report.status(cluster, formed(), todo, status or {}, "now")


def test_an_image_that_was_named_is_forgotten_with_the_field() -> None:
    status = next_status({}, None)
    wrong = next_status({"image": "nosuch/image:1", "cache": {"image": "nosuch/redis:1"}}, status)
    assert (wrong["image"], wrong["cacheImage"]) == ("nosuch/image:1", "nosuch/redis:1")
    for spec in ({}, {"image": ""}, {"cache": {}}):
        back = next_status(spec, wrong)
        assert (back["image"], back["cacheImage"]) == ("v1", "redis-v1")


def test_a_newer_operator_keeps_what_was_chosen_and_one_that_was_named_chooses_nothing() -> None:
    status = next_status({}, None, "v1")
    assert next_status({}, status, "v2")["image"] == "v1"
    named = next_status({"image": "mine"}, next_status({}, status, "v2"), "v2")
    assert next_status({}, named, "v3")["image"] == "v1"
    assert next_status({}, next_status({"image": "mine"}, None, "v1"), "v1")["image"] == "v1"


def test_the_status_of_version_0_1_0_is_read() -> None:
    assert (
        decode(body({}, {"image": "v0", "cacheImage": "redis-v0"}), "v1", "redis-v1").image == "v0"
    )
    assert decode(body({"image": "mine"}, {"image": "mine"}), "v1", "redis-v1").chosen_image == "v1"


@pytest.mark.parametrize(
    ("size", "claim", "asks_for"),
    [
        ("2Gi", Claim(0, size="1Gi", capacity="1Gi"), "2Gi"),
        ("1Gi", Claim(0, size="2Gi", capacity="2Gi"), "2Gi"),
        ("1Gi", Claim(0, size="2Gi", capacity="1Gi"), "2Gi"),
        ("3Gi", Claim(0, size="9Gi", capacity="1Gi"), "3Gi"),
        ("3Gi", Claim(0, size="9Gi"), "9Gi"),
    ],
)
def test_a_size_is_taken_back_as_far_as_the_volume_has_not_followed(
    size: str, claim: Claim, asks_for: str
) -> None:
    seen = dataclasses.replace(formed(), claims=(dataclasses.replace(claim, owned=False),))
    written = to_write(with_spec(storage=Storage(size=size)), seen, ())
    assert [c["spec"]["resources"]["requests"]["storage"] for c in written] == [asks_for]


def test_growth_is_done_when_the_volume_has_it() -> None:
    wanted = with_spec(storage=Storage(size="2Gi"))
    asked = tuple(Claim(o, size="2Gi", capacity="1Gi" if o == 1 else "2Gi") for o in range(3))
    seen = dataclasses.replace(formed(), claims=asked, template_size="2Gi")
    assert plan(wanted, seen).waiting == "waiting for the volumes of data-c-1 (1Gi of 2Gi) to grow"
    assert plan(wanted, dataclasses.replace(seen, template_size="1Gi")).step is not None, (
        "the StatefulSet need not wait for it"
    )
    grown = tuple(dataclasses.replace(c, capacity="2Gi") for c in asked)
    assert plan(wanted, dataclasses.replace(seen, claims=grown)).settled
    assert plan(
        with_spec(storage=Storage(size="1Gi")), dataclasses.replace(seen, template_size="1Gi")
    ).settled, "nobody wants it any more"


def test_a_cluster_that_was_orphaned_and_applied_again_takes_over_its_children() -> None:
    world = World()
    world.look(2)
    private = world.live["Secret", "c-private"]["data"]
    for live in world.live.values():
        live["metadata"]["ownerReferences"] = []
    world.wanted.clear()
    assert world.cluster is not None
    world.cluster["metadata"]["uid"] = "another"
    world.cluster.pop("status")
    world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]
    world.look(3)
    assert world.ready()["status"] == "True", world.ready()
    assert world.live["Secret", "c-private"]["data"] == private, (
        "the same password and the same authority"
    )
    owners = {
        kind: [o["uid"] for o in live["metadata"]["ownerReferences"]]
        for (kind, _), live in world.live.items()
    }
    assert {kind for kind, uids in owners.items() if uids != ["another"]} == set(), (
        "what has no owner outlives the cluster"
    )
