"""A publisher at a Redis, for a leader that the test makes up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from counter_node.cache.replica import CacheReplica

from tests.support.redis_server import RedisServer


class Leader:
    """A source of values as a node is."""

    def __init__(self, term: int, index: int, **values: int) -> None:
        self.term, self.index = term, index
        self.counters = {k.encode(): v for k, v in values.items()}
        self.due: dict[bytes, int] = {}
        self.lineage: tuple[str, ...] = ()
        self.leads = self.has_own_entry = True

    def position(self) -> tuple[int, int] | None:
        return (self.term, self.index) if self.has_own_entry else None

    def histories(self) -> tuple[str, ...]:
        return self.lineage

    def values(self) -> dict[bytes, int]:
        return self.counters

    def offset_ms(self) -> int:
        return 0

    def deadlines(self) -> dict[bytes, int]:
        return self.due

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        names = list(self.counters)[cursor : cursor + count]
        return (cursor + count if cursor + count < len(self.counters) else 0), names

    async def confirm(self) -> bool:
        return self.leads

    def set(self, **values: int) -> list[bytes]:
        self.index += 1
        self.counters |= {k.encode(): v for k, v in values.items()}
        return [k.encode() for k in values]


async def eventually(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"not within 30 s: {what}"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def publishing(port: int, leader: Leader) -> AsyncIterator[CacheReplica]:
    replica = CacheReplica("127.0.0.1", port, leader, as_of_ms=lambda: 5)
    try:
        yield replica
    finally:
        await replica.close()


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running
