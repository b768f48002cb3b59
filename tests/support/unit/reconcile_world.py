"""One CounterCluster, its children, status and events in memory, and passes over them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from countercluster_operator import names
from countercluster_operator.apply import act
from countercluster_operator.run import reconcile
from countercluster_operator.run.reconcile import Reconciler
from countercluster_operator.run.settings import load
from countercluster_operator.world.observed import Observed

from tests.support.unit.fake_api import FakeApi
from tests.support.unit.situations import formed

KEY = ("ns", "c")

Object = dict[str, Any]


class World(FakeApi):
    """Children as in FakeApi, and one CounterCluster, its status, events, and a list of
    everything that was written."""

    def __init__(self, spec: Object | None = None, seen: Observed | None = None) -> None:
        super().__init__()
        meta = {
            "name": "c",
            "namespace": "ns",
            "uid": "uid",
            "generation": 1,
            "resourceVersion": "1",
        }
        self.cluster: Object | None = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": meta,
            "spec": spec or {},
        }
        self.seen = seen or formed()
        self.said: list[str] = []
        self.failing: Exception | None = None
        self.leads_now: tuple[str, int] | None = None  # role and term, where that has changed
        self.reconciler = Reconciler(self, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]

    async def clock(self) -> None:
        return None

    async def get(self, version: str, kind: str, namespace: str, name: str) -> Object | None:
        return (
            self.cluster
            if kind == names.KIND
            else await super().get(version, kind, namespace, name)
        )

    async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
        if not subresource:
            self.said.append(f"apply {manifest['kind']}")
            return await super().apply(manifest)
        assert self.cluster is not None
        self.said.append("status")
        self.cluster = {**self.cluster, "status": manifest["status"]}
        return self.cluster

    async def create(self, manifest: Object) -> Object:
        self.said.append(f"event {manifest['reason']}")
        return manifest

    async def delete(
        self, version: str, kind: str, namespace: str, name: str, *uid: Any, **how: bool
    ) -> None:
        self.said.append(f"delete {kind} {name}")
        await super().delete(version, kind, namespace, name, *uid, **how)

    def leads(self) -> bytes:
        """What the leader that was seen answers to RAFT.STATUS, as far as acting reads it."""
        leader = self.seen.leader
        status = leader.status if leader is not None else None
        assert status is not None
        found = self.leads_now or (status.role, status.term)
        return json.dumps(dict(zip(("role", "term"), found, strict=True))).encode()

    def may_write(self) -> None:
        if self.failing is not None:
            raise self.failing

    @property
    def status(self) -> Object:
        assert self.cluster is not None
        found: Object = self.cluster["status"]
        return found

    def ready(self) -> Object:
        return next(c for c in self.status["conditions"] if c["type"] == "Ready")

    def look(self, times: int = 1) -> float | None:
        """Passes, and what the last one wrote is in `said`."""

        async def looks() -> float | None:
            again = None
            for _ in range(times):
                self.said.clear()
                again = await self.reconciler.reconcile(KEY)
            return again

        return asyncio.run(looks())


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was asked of nodes but for their status. The world answers observe()."""
    asked: list[tuple[str, ...]] = []
    worlds: list[World] = []

    async def observe(api: World, *_: Any) -> tuple[Observed, dict[str, str]]:
        worlds[:] = [api]
        return api.seen, {p.name: "192.0.2.1" for p in api.seen.pods}

    async def admin(ip: str, server_name: str, context: object, *command: str) -> bytes | None:
        if command == ("RAFT.STATUS",):
            return worlds[0].leads()
        asked.append(command)
        return None

    monkeypatch.setattr(reconcile, "observe", observe)
    monkeypatch.setattr(act, "admin", admin)
    return asked
