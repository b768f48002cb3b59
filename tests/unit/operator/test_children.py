"""Children are written when they differ, and only then."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from typing import Any

from countercluster_operator.children import Children
from countercluster_operator.observed import Claim
from countercluster_operator.resources.claims import to_write
from kubernetes.aio.client.exceptions import ApiException

from tests.unit.operator.test_plan import cluster, formed

Key = tuple[str, str]


class FakeApi:
    """Server-side apply: the generation and the version move only when something changes."""

    def __init__(self) -> None:
        self.live: dict[Key, dict[str, Any]] = {}
        self.wanted: dict[Key, dict[str, Any]] = {}
        self.applies = 0

    async def get(self, _version: str, kind: str, _namespace: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.live.get((kind, name)))

    async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.applies += 1
        key = (manifest["kind"], manifest["metadata"]["name"])
        if self.wanted.get(key) != manifest:
            before = int(self.live.get(key, {"metadata": {"generation": 0}})["metadata"]["generation"])
            meta = {**manifest["metadata"], "uid": str(key), "generation": before + 1, "resourceVersion": str(before + 1)}
            self.live[key] = {**copy.deepcopy(manifest), "metadata": meta}
            self.wanted[key] = copy.deepcopy(manifest)
        return copy.deepcopy(self.live[key])

    async def delete(self, _version: str, kind: str, _namespace: str, name: str, uid: str | None = None) -> None:
        self.live.pop((kind, name), None)


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


def test_what_the_api_server_refuses_is_told_and_keeps_nothing_else_from_being_applied() -> None:
    class Strict(FakeApi):
        async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
            if manifest["kind"] == "StatefulSet":
                error = ApiException(status=422, reason="Unprocessable Entity")
                error.body = '{"message": "memory request must be less than its limit"}'
                raise error
            return await super().apply(manifest)

    async def run() -> None:
        kept = await Children(Strict()).keep(cluster(), 3, 3)  # type: ignore[arg-type]
        assert kept.refused == ["StatefulSet c: memory request must be less than its limit"]
        assert "PodDisruptionBudget c" in kept.written

    asyncio.run(run())


def test_claims_grow_and_change_hands_but_are_never_made() -> None:
    wanted = cluster()
    seen = dataclasses.replace(formed(), claims=(Claim(0), Claim(1, size="512Mi"), Claim(2, owned=False), Claim(3, owned=False)))
    claims = to_write(wanted, seen, (3,))
    assert [(c["metadata"]["name"], c["spec"]["resources"]["requests"]["storage"]) for c in claims] == [("data-c-1", "1Gi"), ("data-c-2", "1Gi")]
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
