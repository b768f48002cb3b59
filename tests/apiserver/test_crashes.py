"""The operator dies right before each of its writes in turn, commands to nodes included; a new one,
which knows nothing, ends in the same children.

Each crash has a CounterCluster of its own, all at once: one that is formed, and one that loses
members."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from countercluster_operator.run.reconcile import Reconciler
from countercluster_operator.run.settings import Settings, load
from countercluster_operator.world import api as client
from countercluster_operator.world.api import Kubernetes

from tests.apiserver.world import World, world

END_S = 150.0


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Life:
    """An operator for one CounterCluster, which dies before its write number `last`; 0: never."""

    def __init__(self, api: Kubernetes, settings: Settings, last: int = 0) -> None:
        self.writes, self._last = 0, last
        self._reconciler = Reconciler(api.guarded(self._count), settings)

    def _count(self) -> None:
        self.writes += 1
        if self._last and self.writes >= self._last:
            self.writes = self._last
            raise Killed

    async def until_ready(self, here: World, key: tuple[str, str]) -> bool:
        """False when it died before."""
        end = time.monotonic() + END_S
        while time.monotonic() < end:
            try:
                await asyncio.wait_for(self._reconciler.reconcile(key), 60)
            except Killed:
                return False
            ready = await asyncio.to_thread(here.condition, *key)
            if ready.get("status") == "True":
                return True
            await asyncio.sleep(0.3)
        raise AssertionError(f"{key} is not ready: {ready}\n{here.state()}")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as found:
        yield found


@pytest.mark.timeout(600)
def test_a_crash_before_any_write_changes_nothing_of_the_end(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 60)  # many at once on few processors

    async def run() -> None:
        api = await Kubernetes.connect(str(here.server.kubeconfig))
        settings = load({"POD_NAMESPACE": "system", "POD_NAME": "tests"})
        try:
            forming = await _one(here, api, settings, "undisturbed", 0, "form")
            leaving = await _one(here, api, settings, "undisturbed", 0, "leave")
            print(f"\n{forming} writes form a cluster, {leaving} take members out of it")
            assert min(forming, leaving) > 8
            crowd = asyncio.Semaphore(6)

            async def crash(last: int, way: str) -> None:
                async with crowd:
                    await _one(here, api, settings, f"{way}-{last}", last, way)

            await asyncio.gather(*(crash(last, "form") for last in range(1, forming + 1)))
            await asyncio.gather(*(crash(last, "leave") for last in range(1, leaving + 1)))
        finally:
            await api.close()

    asyncio.run(run())
    wanted = _plain(here, "undisturbed")
    differing = [namespace for namespace in _namespaces(here) if _plain(here, namespace) != wanted]
    assert not differing, (differing, wanted, _plain(here, differing[0]))


async def _one(
    here: World, api: Kubernetes, settings: Settings, namespace: str, last: int, way: str
) -> int:
    """How many writes the (first) life did for what is tried. A cluster of two is formed; or one of
    three becomes one of two."""
    key = (namespace, "c")
    await asyncio.to_thread(here.server.namespace, namespace)
    if way == "leave":
        await asyncio.to_thread(lambda: here.cluster(*key, replicas=3))
        assert await Life(api, settings).until_ready(here, key)
    await asyncio.to_thread(lambda: here.cluster(*key, replicas=2))
    life = Life(api, settings, last)
    if not await life.until_ready(here, key):
        assert await Life(api, settings).until_ready(here, key)
    return life.writes


def _namespaces(here: World) -> list[str]:
    found = here.server.get("/api/v1/namespaces")["items"]
    return [
        n["metadata"]["name"]
        for n in found
        if n["metadata"]["name"].startswith(("form-", "leave-"))
    ]


def _plain(here: World, namespace: str) -> dict[Any, str]:
    """The children without the namespace that is in their names."""

    def without(content: object) -> str:
        return str(content).replace(f"{namespace}.svc", "NS.svc").replace(f"{namespace}/c", "NS/c")

    return {key: without(content) for key, content in here.children(namespace).items()}
