"""Children are written when they differ, and only then."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from typing import Any

import pytest
from countercluster_operator import names
from countercluster_operator.apply.children import Children
from countercluster_operator.resources.claims import to_write
from countercluster_operator.world.observed import Claim
from kubernetes.aio.client.exceptions import ApiException

from tests.support.unit.fake_api import FakeApi
from tests.support.unit.secured import SECURED
from tests.support.unit.situations import cluster, formed


def test_only_what_differs_is_written() -> None:
    async def run() -> None:
        api = FakeApi()
        children = Children(api)  # type: ignore[arg-type]
        assert "StatefulSet c" in (await children.keep(cluster(), 3, 3)).written
        api.applies = 0
        assert (await children.keep(cluster(), 3, 3)).written == []
        assert api.applies == 0
        assert (await children.keep(cluster(), 5, 3)).written == ["StatefulSet c"]
        assert api.applies == 1
        api.live["StatefulSet", "c"]["metadata"]["generation"] += 1  # somebody touched it
        await children.keep(cluster(), 5, 3)
        assert api.applies == 2
        api.live["StatefulSet", "c"]["status"] = {"readyReplicas": 3}
        await children.keep(cluster(), 5, 3)
        del api.live["StatefulSet", "c"]
        api.wanted.clear()
        assert (await children.keep(cluster(), 5, 3)).written == ["StatefulSet c"]

    asyncio.run(run())


def test_what_the_api_server_refuses_is_reported_and_keeps_nothing_else_from_being_applied() -> (
    None
):
    class Strict(FakeApi):
        async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
            if manifest["kind"] == "StatefulSet":
                error = ApiException(status=422, reason="Unprocessable Entity")
                error.body = '{"message": "memory request must be less than its limit"}'
                raise error
            return await super().apply(manifest)

    async def run() -> None:
        kept = await Children(Strict()).keep(cluster(), 3, 3)  # type: ignore[arg-type]
        assert kept.refused == [
            "the API server refuses StatefulSet c: memory request must be less than its limit"
        ]
        assert "PodDisruptionBudget c" in kept.written

    asyncio.run(run())


def test_claims_grow_and_change_hands_but_are_never_made() -> None:
    wanted = cluster()
    seen = dataclasses.replace(
        formed(),
        claims=(Claim(0), Claim(1, size="512Mi"), Claim(2, owned=False), Claim(3, owned=False)),
    )
    claims = to_write(wanted, seen, [c for c in seen.claims if c.ordinal == 3])
    assert [
        (c["metadata"]["name"], c["spec"]["resources"]["requests"]["storage"]) for c in claims
    ] == [("data-c-1", "1Gi"), ("data-c-2", "1Gi")]
    assert all(c["metadata"]["ownerReferences"] for c in claims)

    async def run() -> None:
        api = FakeApi()
        kept = await Children(api).keep(wanted, 3, 3, "", claims)  # type: ignore[arg-type]
        assert not [name for name in kept.written if "Claim" in name]

    asyncio.run(run())


def test_a_child_that_is_being_deleted_is_made_again_when_it_is_gone() -> None:
    async def run() -> None:
        api = FakeApi()
        children = Children(api)  # type: ignore[arg-type]
        await children.keep(cluster(), 3, 3)
        api.live["StatefulSet", "c"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        api.applies = 0
        assert (await children.keep(cluster(), 3, 3, "2Gi")).written == []
        assert api.applies == 0
        del api.live["StatefulSet", "c"]
        assert (await children.keep(cluster(), 3, 3, "2Gi")).written == ["StatefulSet c"]

    asyncio.run(run())


OTHER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "name": "shop",
    "uid": "other",
    "controller": True,
}


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        (
            {"labels": names.labels("c", "node"), "ownerReferences": [OTHER]},
            "belongs to Deployment shop",
        ),
        ({"labels": {"app": "shop"}}, "was there already"),
        ({"labels": names.labels("another", "node")}, "was there already"),
    ],
)
def test_what_belongs_to_somebody_else_is_left_alone_and_reported(
    meta: dict[str, Any], why: str
) -> None:
    async def run() -> None:
        api = FakeApi()
        live = {
            "kind": "Service",
            "metadata": {
                "name": "c",
                "namespace": "ns",
                "uid": "theirs",
                "generation": 1,
                "resourceVersion": "1",
                **meta,
            },
        }
        api.live["Service", "c"] = copy.deepcopy(live)
        kept = await Children(api).keep(cluster(), 3, 3)  # type: ignore[arg-type]
        assert kept.foreign == ["Service"]
        assert len(kept.refused) == 1
        assert kept.refused[0].startswith("Service c ")
        assert why in kept.refused[0]
        assert api.live["Service", "c"] == live
        assert "StatefulSet c" in kept.written, "the others are kept all the same"

    asyncio.run(run())


def test_a_child_that_lost_its_owner_or_its_labels_is_taken_in_again() -> None:
    async def run() -> None:
        for field in ("labels", "ownerReferences"):
            api = FakeApi()
            children = Children(api)  # type: ignore[arg-type]
            await children.keep(cluster(), 3, 3)
            api.live["Service", "c"]["metadata"].pop(field)
            api.wanted.pop(("Service", "c"))
            kept = await children.keep(cluster(), 3, 3)
            assert kept.written == ["Service c"]
            assert api.live["Service", "c"]["metadata"][field]

    asyncio.run(run())


def test_what_the_watch_shows_unchanged_is_not_read_for_ten_minutes() -> None:
    async def run() -> None:
        api, now = FakeApi(), [0.0]
        children = Children(api, lambda: now[0])  # type: ignore[arg-type]

        async def reads() -> int:
            api.reads = 0
            await children.keep(cluster(), 3, 3)
            return api.reads

        everything = await reads()  # with what must not be there, which is read once
        first = await reads()
        assert await reads() == first, "the watch has not shown anything yet"
        for live in api.live.values():
            children.watched(live["kind"], live, gone=False)
        assert await reads() == 0

        touched = copy.deepcopy(api.live["Service", "c"])
        touched["metadata"]["generation"] += 1
        children.watched("Service", touched, gone=False)
        assert await reads() == 1, (
            "only what looks different is read, and it turns out to be as it was"
        )
        children.watched("Service", api.live["Service", "c"], gone=False)
        assert await reads() == 0

        children.watched("Service", api.live.pop(("Service", "c")), gone=True)
        api.wanted.pop(("Service", "c"))
        assert await reads() == 1
        assert ("Service", "c") in api.live, "it is made again"

        children.watched("Service", api.live["Service", "c"], gone=False)
        now[0] += 601
        assert await reads() == everything, "a watch is not believed for ever"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "name", "held"),
    [
        ("ServiceAccount", "c", "StatefulSet c"),
        ("Secret", "c-nodes", "StatefulSet c"),
        ("Secret", "c-cache", "Deployment c-cache"),
    ],
)
def test_no_pod_uses_an_account_or_a_secret_of_somebody_else(
    kind: str, name: str, held: str
) -> None:
    async def run() -> None:
        api = FakeApi()
        meta = {
            "name": name,
            "namespace": "ns",
            "uid": "theirs",
            "generation": 1,
            "resourceVersion": "1",
        }
        api.live[kind, name] = {"kind": kind, "metadata": meta}
        kept = await Children(api).keep(cluster(), 3, 3, secured=SECURED)  # type: ignore[arg-type]
        assert held not in kept.written
        assert {"StatefulSet c", "Deployment c-cache"} - {held} <= set(kept.written), (
            "the other pods do not use it"
        )
        assert (
            f"{held} is not applied: its pods would use {kind} {name}, which is not ours"
            in kept.refused
        )
        assert "Service c" in kept.written
        del api.live[kind, name]
        assert held in (await Children(api).keep(cluster(), 3, 3, secured=SECURED)).written  # type: ignore[arg-type]

    asyncio.run(run())
