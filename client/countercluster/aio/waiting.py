"""What waiting is in asyncio. Its other half is sync/waiting.py.

redis-py bounds what it sends by `asyncio.wait_for`. In Python 3.11 that loses a cancellation which
comes in the turn of the event loop in which the sending ends: a call whose time is over would go on
until its reply or its own deadline. So redis-py's bound is off here (`BOUNDED`), and `limit` is the
bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from asyncio import sleep as sleep
from collections.abc import AsyncIterator, Hashable
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection

BOUNDED = False
"""Whether redis-py's `socket_timeout` bounds what is sent, and what is read outside of
`receive`."""


def owner() -> Hashable:
    """Whom connections belong to: an event loop of a process."""
    return os.getpid(), asyncio.get_running_loop()


def gone(who: Hashable) -> bool:
    assert isinstance(who, tuple)
    process, loop = who
    return process != os.getpid() or bool(loop.is_closed())


class Places:
    """So many at the same time."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def take(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._free.acquire()
        except TimeoutError:
            return False
        return True

    def give(self) -> None:
        self._free.release()


@contextlib.asynccontextmanager
async def limit(timeout_s: float) -> AsyncIterator[None]:
    """Raises redis' TimeoutError when what is inside takes longer."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise exceptions.TimeoutError(f"not done within {timeout_s:g} s") from None


async def receive(connection: Connection | SSLConnection, timeout_s: float) -> Any:
    """The next reply. Raises redis' TimeoutError, where redis-py's own time-out returns None, as if
    that were the reply, and keeps the connection on which the reply is still to come."""
    try:
        async with asyncio.timeout(timeout_s):
            return await connection.read_response(timeout=math.inf)
    except TimeoutError:
        raise exceptions.TimeoutError(f"no reply within {timeout_s:g} s") from None


async def drop(connection: Connection | SSLConnection) -> None:
    """Without waiting for the other side: it may be silent."""
    await connection.disconnect(nowait=True)
