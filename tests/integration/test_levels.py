"""A rolling upgrade of real nodes: some know more than others, and nothing that only some know gets
into the log (counters/levels.py)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import redis.asyncio as redis
from counter_node import settings
from counter_node.counters.batches import Limits
from counter_node.counters.levels import LEVEL
from counter_node.counters.machine import SnapshotFormatError, UnknownOperationError
from counter_node.node.node import Node
from counter_node.ports import free_ports
from counter_node.views.status import hex_id

WAIT_S = 150.0


class Place:
    """One node's folder and ports; what runs there is started and stopped."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = free_ports(4)
        self.node: Node | None = None

    async def start(self, level: int, producers: int) -> Node:
        names = ("resp", "peer", "admin", "http")
        words = [
            word
            for name, port in zip(names, self.ports, strict=True)
            for word in (f"--{name}-port", str(port))
        ]
        words += [
            "--cluster-id",
            "c",
            "--data-dir",
            str(self.directory),
            "--bind",
            "127.0.0.1",
            "--name",
            self.directory.name,
        ]
        words += ["--level", str(level), "--max-producers", str(producers), "--tick-ms", "50"]
        self.node = Node(settings.load(words, {}))
        await self.node.start()
        return self.node

    async def stop(self) -> None:
        if self.node is not None:
            node, self.node = self.node, None
            await node.stop()

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.ports[0], socket_timeout=5)


async def until(what: object, places: list[Place]) -> None:
    assert callable(what)
    async with asyncio.timeout(WAIT_S):
        while not all(place.node is not None and what(place.node) for place in places):
            await asyncio.sleep(0.02)


async def leading(places: list[Place]) -> Place:
    async with asyncio.timeout(WAIT_S):
        while True:
            for place in places:
                if place.node is not None and place.node.replica.is_leader:
                    return place
            await asyncio.sleep(0.02)


async def count(place: Place, counted: int) -> int:
    """Three increments at once, which new versions write as one operation (counters/repeats.py)."""
    async with place.client() as client, client.pipeline(transaction=False) as pipeline:
        assert await pipeline.incr("k").incr("k").incr("k").execute() == [
            counted + 1,
            counted + 2,
            counted + 3,
        ]
    return counted + 3


def ready(node: Node) -> bool:
    return not node.unready()


async def found(places: list[Place]) -> None:
    first, *others = [await place.start(1, 1_000) for place in places]
    first.bootstrap()
    await until(ready, places[:1])
    for place, node in zip(places[1:], others, strict=True):
        async with redis.Redis(port=places[0].ports[2], socket_timeout=30) as admin:
            s = node.settings
            await admin.execute_command(
                "RAFT.ADDLEARNER", hex_id(node.id), s.name, s.advertise_peer, s.advertise_resp
            )
            async with asyncio.timeout(WAIT_S):
                while True:
                    with contextlib.suppress(redis.ResponseError):
                        await admin.execute_command("RAFT.PROMOTE", hex_id(node.id))
                        break
                    await asyncio.sleep(0.05)
        await until(ready, [place])


async def refuse(old: Node, places: list[Place]) -> None:
    """A member that is too old for the level is added, and not let in. Whoever leads may change
    meanwhile, so it is asked for again until somebody refused it."""

    def refused() -> int:
        return sum(p.node.refusals.counts["peer_too_old"] for p in places if p.node is not None)

    before, s = refused(), old.settings
    words = hex_id(old.id), s.name, s.advertise_peer, s.advertise_resp
    async with asyncio.timeout(WAIT_S):
        while refused() == before:
            leader = await leading(places)
            async with redis.Redis(port=leader.ports[2], socket_timeout=30) as admin:
                with contextlib.suppress(redis.ResponseError):
                    await admin.execute_command("RAFT.ADDLEARNER", *words)
            await asyncio.sleep(0.2)


async def roll(tmp_path: Path) -> None:
    places = [Place(tmp_path / f"n{n}") for n in range(3)]
    try:
        await found(places)
        counted = 0
        for place in places[1:]:
            await place.stop()
            await place.start(LEVEL, 7)
            await until(ready, places)
            counted = await count(place, counted)
        await asyncio.sleep(1)  # many times what a leader needs to propose
        for place in places:
            assert place.node is not None
            assert place.node.replica.machine.level == 1
            assert place.node.replica.machine.limits == Limits(10_000_000, 1_000)
        await places[0].stop()
        await asyncio.sleep(0.5)
        for place in places[1:]:
            assert place.node is not None
            assert place.node.replica.machine.level == 1, "a member that is down may be an old one"
        await places[0].start(LEVEL, 7)
        await until(
            lambda node: (
                node.replica.machine.level == LEVEL
                and node.replica.machine.limits.max_producers == 7
            ),
            places,
        )
        counted = await count(places[0], counted)

        await places[2].stop()
        with pytest.raises((UnknownOperationError, SnapshotFormatError), match=r"pgrade this node"):
            await (await places[2].start(1, 7)).run_until(asyncio.Event())
        await places[2].stop()

        stranger = Place(tmp_path / "old")
        places.append(stranger)
        await refuse(await stranger.start(1, 7), places[:2])
        await count(places[0], counted)
    finally:
        for place in places:
            with contextlib.suppress(Exception):
                await place.stop()


def test_a_roll_puts_nothing_new_into_the_log_until_every_member_knows_it(tmp_path: Path) -> None:
    asyncio.run(roll(tmp_path))
