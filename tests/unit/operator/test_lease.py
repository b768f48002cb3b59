"""One active operator: the lease is taken only from a holder that stopped renewing it, by this
process's own clock."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import aiohttp
import pytest
from countercluster_operator.run.lease import DURATION_S, TRUSTED_S, Lease, NotLeading
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


def test_the_holder_stops_trusting_the_lease_before_anybody_else_may_take_it() -> None:
    async def run() -> None:
        api, clock = FakeApi(), Clock()
        first, second = lease(api, "first", clock), lease(api, "second", clock)
        await first.acquire()
        assert not await second._try()
        clock.now += TRUSTED_S - 0.1
        first.check()
        clock.now += 0.2
        with pytest.raises(NotLeading):
            first.check()
        assert not await second._try(), "some seconds pass in which nobody acts"

    asyncio.run(run())


class Slow(FakeApi):
    """Takes its time to answer a renewal, or for ever."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.delay_s, self.deaf = clock, 0.0, False

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.deaf:
            await asyncio.Event().wait()
        self.clock.now += self.delay_s
        return await super().replace(manifest)


def test_trust_begins_when_the_renewal_was_sent_and_not_when_it_was_answered() -> None:
    async def run() -> None:
        clock = Clock()
        api = Slow(clock)
        first = lease(api, "first", clock)
        await first.acquire()
        api.delay_s = TRUSTED_S + 1
        assert await first._try()
        assert not first.held

    asyncio.run(run())


@pytest.mark.parametrize("failure", ["silence", "errors", "somebody else"])
def test_keep_ends_when_the_lease_cannot_be_trusted_any_more(
    failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("countercluster_operator.run.lease.TRUSTED_S", 0.5)
    monkeypatch.setattr("countercluster_operator.run.lease.RENEW_S", 0.05)

    async def run() -> None:
        api = Slow(Clock())
        first = Lease(api, "ns", "first")  # type: ignore[arg-type]
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        await asyncio.sleep(0.8)
        assert not keeping.done(), "it is renewed meanwhile"
        assert first.held
        if failure == "silence":
            api.deaf = True
        elif failure == "errors":
            monkeypatch.setattr(api, "get", _refuse)
        else:
            assert api.lease is not None
            api.lease["spec"]["holderIdentity"] = "second"
        await asyncio.wait_for(keeping, 5)
        assert not first.held

    asyncio.run(run())


async def _refuse(*_: str) -> None:
    raise aiohttp.ServerDisconnectedError
