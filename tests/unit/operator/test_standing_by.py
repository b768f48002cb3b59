"""An operator that loses its Lease does nothing until it has it again, and forgets no cluster.

Mostly an API server was away for a while, and nobody else has the Lease."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

import pytest
from countercluster_operator.run import runtime as module
from countercluster_operator.run.runtime import Runtime
from countercluster_operator.run.settings import load


class Elected:
    """A Lease that is lost when the test says so, and had again after a moment."""

    def __init__(self) -> None:
        self.lose, self.held = asyncio.Event(), False

    async def acquire(self) -> None:
        await asyncio.sleep(0.02)
        self.held = True
        self.lose.clear()

    async def keep(self) -> None:
        await self.lose.wait()
        self.held = False

    def check(self) -> None:
        assert self.held

    async def release(self) -> None:
        self.held = False


class Api:
    """Knows no CounterCluster: none is found by a list."""

    def guarded(self, _: object) -> Api:
        return self

    async def keys(self, *_: object) -> list[tuple[str, str]]:
        return []


class Reconcilers:
    """In every life of the operator there is a new one, whose passes take long or do not stop."""

    def __init__(self, *, stops: bool) -> None:
        self.stops, self.lives = stops, 0
        self.passes: list[tuple[int, str]] = []

    def __call__(self, *_: object) -> Reconcilers:
        self.lives += 1
        return self

    async def reconcile(self, key: tuple[str, str]) -> float:
        self.passes.append((self.lives, key[1]))
        if key[1] == "long":
            with contextlib.suppress(() if self.stops else asyncio.CancelledError):
                await asyncio.sleep(3600)
            await asyncio.sleep(3600)  # one cancellation did not stop it
        return 3600.0


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(os, "_exit", found.append)
    return found


def led(reconcilers: Reconcilers, monkeypatch: pytest.MonkeyPatch) -> tuple[Runtime, Elected]:
    """An operator with two workers and two clusters."""
    monkeypatch.setattr(module, "Reconciler", reconcilers)
    runtime, lease = Runtime(load({"POD_NAMESPACE": "ns", "WORKERS": "2"})), Elected()
    runtime._api, runtime._lease = Api(), lease  # type: ignore[assignment]
    for name in ("long", "short"):
        runtime.queue.add(("ns", name))
    runtime._watch(runtime._lead())
    return runtime, lease


def test_it_begins_again_with_an_empty_memory_and_forgets_no_cluster(
    monkeypatch: pytest.MonkeyPatch, ended: list[int]
) -> None:
    """Also the cluster whose pass was under way, and the one that came while nobody worked."""
    reconcilers = Reconcilers(stops=True)

    async def run() -> None:
        runtime, lease = led(reconcilers, monkeypatch)
        for life in (1, 2, 3):
            await until(
                lambda life=life: {(life, "long"), (life, "short")} <= {*reconcilers.passes}
            )  # type: ignore[misc]
            if life < 3:
                lease.lose.set()
                await until(lambda: not runtime._workers)
                runtime.queue.add(("ns", "short"))
        runtime._api = None
        monkeypatch.setattr(module, "FINISH_S", 0.05)
        await runtime.stop()

    asyncio.run(run())
    assert ended == []
    assert reconcilers.lives == 3


def test_a_pass_that_does_not_stop_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, ended: list[int]
) -> None:
    monkeypatch.setattr(module, "FINISH_S", 0.2)
    reconcilers = Reconcilers(stops=False)

    async def run() -> None:
        _, lease = led(reconcilers, monkeypatch)
        await until(lambda: (1, "long") in reconcilers.passes)
        lease.lose.set()
        await until(lambda: bool(ended))

    asyncio.run(run())
    assert ended == [1]
    assert reconcilers.lives == 1
