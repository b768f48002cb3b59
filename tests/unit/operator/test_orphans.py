"""`kubectl delete --cascade=orphan` leaves every child, whenever it comes: the garbage collector
takes their owner off, and nobody may put it back before the CounterCluster is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from countercluster_operator.apply.children import Children
from countercluster_operator.run.reconcile import Reconciler
from countercluster_operator.run.settings import load
from countercluster_operator.world.going import Changed

from tests.support.unit import reconcile_world
from tests.support.unit.fake_api import FakeApi
from tests.support.unit.reconcile_world import Object, World
from tests.support.unit.situations import cluster

nodes = reconcile_world.nodes
MAX_REQUESTS = 200
PLAIN = {"tls": {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"}}


class Orphaning(World):
    """From request number `last` on, the CounterCluster goes and its children stay: the collector
    takes the owner off one more child with each request."""

    def __init__(self, spec: Object) -> None:
        super().__init__(spec)
        self.requests, self.last = 0, MAX_REQUESTS
        self.orphaned: set[tuple[str, str]] = set()

    def _now(self) -> None:
        self.requests += 1
        if self.requests < self.last or self.cluster is None:
            return
        self.cluster["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        left = [k for k, v in self.live.items() if owners(v) and k not in self.orphaned]
        for key in left[:2]:
            self.orphaned.add(key)
            meta = self.live[key]["metadata"]
            meta["ownerReferences"] = []
            meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
            self.wanted.pop(key, None)

    async def get(self, version: str, kind: str, namespace: str, name: str) -> Object | None:
        self._now()
        return await super().get(version, kind, namespace, name)

    async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
        self._now()
        return await super().apply(manifest, subresource=subresource)


def owners(live: Object) -> list[str]:
    return [o["uid"] for o in live["metadata"].get("ownerReferences") or []]


def test_whenever_the_cluster_is_orphaned_no_child_gets_its_owner_back() -> None:
    """At each request of a pass that writes them all."""
    for last in range(1, MAX_REQUESTS):
        world = Orphaning(PLAIN)
        world.look(2)
        world.requests, world.last = 0, last
        world.wanted.clear()  # as an operator of a newer version finds them: all are applied
        world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]
        world.look(2)
        back = [key for key in world.orphaned if owners(world.live[key])]
        assert back == [], f"at request {last}"
        if not world.orphaned:
            break  # both passes were over before
    assert last > 10


def test_an_owner_that_somebody_took_off_comes_back_while_the_cluster_is_there() -> None:
    async def run() -> None:
        api = FakeApi()
        kept = Children(api)  # type: ignore[arg-type]
        await kept.keep(cluster(), 3, 3)
        api.live["StatefulSet", "c"]["metadata"]["ownerReferences"] = []
        api.wanted.pop(("StatefulSet", "c"))
        await kept.keep(cluster(), 3, 3)
        assert owners(api.live["StatefulSet", "c"]) == ["uid"]

    asyncio.run(run())


def test_a_pass_ends_at_a_child_without_owner_when_its_cluster_goes() -> None:
    class Gone(FakeApi):
        async def get(
            self, version: str, kind: str, namespace: str, name: str
        ) -> dict[str, Any] | None:
            return None if kind == "CounterCluster" else await super().get("", kind, "", name)

    async def run() -> None:
        api = Gone()
        kept = Children(api)  # type: ignore[arg-type]
        await kept.keep(cluster(), 3, 3)
        api.live["Service", "c"]["metadata"]["ownerReferences"] = []
        api.wanted.pop(("Service", "c"))
        with pytest.raises(Changed):
            await kept.keep(cluster(), 3, 3)
        assert owners(api.live["Service", "c"]) == []

    asyncio.run(run())
