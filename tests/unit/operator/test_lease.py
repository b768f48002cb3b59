"""One active operator: the lease is taken only from a holder that stopped renewing it, by this process's own clock."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from countercluster_operator.lease import DURATION_S, Lease
from kubernetes.aio.client.exceptions import ApiException


class FakeApi:
    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.conflict = False

    async def get(self, *_: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.lease)

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return await self.replace(manifest)

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.conflict:
            raise ApiException(status=409)
        self.lease = copy.deepcopy(manifest)
        return manifest


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lease(api: FakeApi, identity: str, clock: Clock) -> Lease:
    return Lease(api, "ns", identity, clock)  # type: ignore[arg-type]


def test_a_second_operator_takes_over_only_after_the_first_stopped_renewing() -> None:
    async def run() -> None:
        api, clock = FakeApi(), Clock()
        first, second = lease(api, "first", clock), lease(api, "second", clock)
        assert await first._try()
        assert not await second._try()
        clock.now += DURATION_S - 1
        assert await first._try()
        clock.now += DURATION_S - 1
        assert not await second._try()
        clock.now += DURATION_S + 1
        assert await second._try()
        assert not await first._try()
        assert api.lease is not None
        assert api.lease["spec"]["leaseTransitions"] == 1

    asyncio.run(run())


def test_who_loses_a_race_for_the_lease_does_not_have_it() -> None:
    async def run() -> None:
        api = FakeApi()
        api.conflict = True
        assert not await lease(api, "first", Clock())._try()

    asyncio.run(run())


def test_a_released_lease_is_free_at_once() -> None:
    async def run() -> None:
        api, clock = FakeApi(), Clock()
        first = lease(api, "first", clock)
        await first.acquire()
        await first.release()
        assert not first.held
        assert await lease(api, "second", clock)._try()

    asyncio.run(run())
