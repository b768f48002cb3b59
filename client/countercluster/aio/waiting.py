"""What waiting is in asyncio. Its other half is sync/waiting.py."""

from __future__ import annotations

import asyncio
from asyncio import sleep as sleep

from redis.asyncio.connection import Connection, SSLConnection


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


async def drop(connection: Connection | SSLConnection) -> None:
    """Without waiting for the other side: it may be silent."""
    await connection.disconnect(nowait=True)
