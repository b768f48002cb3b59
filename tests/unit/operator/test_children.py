"""Children are written when they differ, and only then."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from countercluster_operator.children import Children

from tests.unit.operator.test_plan import cluster

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
        assert "StatefulSet c" in await children.keep(cluster(), 3, 3)
        api.applies = 0
        assert await children.keep(cluster(), 3, 3) == []
        assert api.applies == 0
        assert await children.keep(cluster(), 5, 3) == ["StatefulSet c"]
        assert api.applies == 1
        api.live["StatefulSet", "c"]["metadata"]["generation"] += 1  # somebody touched it
        await children.keep(cluster(), 5, 3)
        assert api.applies == 2
        api.live["StatefulSet", "c"]["status"] = {"readyReplicas": 3}
        await children.keep(cluster(), 5, 3)
        del api.live["StatefulSet", "c"]
        api.wanted.clear()
        assert await children.keep(cluster(), 5, 3) == ["StatefulSet c"]

    asyncio.run(run())
