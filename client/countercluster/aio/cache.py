"""Reads from the Redis cache, as far as what is there is fresh enough. In doubt the answer is "ask
a node"."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from redis import exceptions
from redis.asyncio.client import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from countercluster.aio.waiting import BOUNDED, gone, limit, owner
from countercluster.commands import Key
from countercluster.owned import Owned

HEARTBEAT = "countercluster:{heartbeat}"
"""`term index time_ms`: all that was acknowledged before that time, and all up to that index, is in
this Redis or absent from it."""
TIMEOUT_S = 0.25
PAUSE_S = 1.0


class AsyncCache:
    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        times: dict[str, Any] = {
            "socket_connect_timeout": TIMEOUT_S,
            "socket_timeout": TIMEOUT_S if BOUNDED else None,
        }
        retry = Retry(NoBackoff(), 0)
        self._clients: Owned[Any] = Owned(
            owner, gone, lambda: Redis.from_url(url, **times, retry=retry, **options)
        )
        self._not_before = 0.0

    async def read(
        self, keys: tuple[Key, ...], max_age_s: float | None, after: int | None
    ) -> list[int | None]:
        """Values; None where a node must be asked. A cache that does not answer is left alone for a
        second, so that it slows nobody."""
        nothing: list[int | None] = [None] * len(keys)
        if time.monotonic() < self._not_before:
            return nothing
        try:
            async with limit(2 * TIMEOUT_S):  # for the connection, and for the answer
                heartbeat, *values = await self._clients.mine().mget(HEARTBEAT, *keys)
        except (exceptions.RedisError, OSError):
            self._not_before = time.monotonic() + PAUSE_S
            return nothing
        if heartbeat is None or not _fresh(heartbeat, max_age_s, after):
            return nothing
        return [None if value is None else int(value) for value in values]

    async def close(self) -> None:
        client = self._clients.mine_if_any()
        if client is not None:
            await client.aclose()


def _fresh(heartbeat: bytes, max_age_s: float | None, after: int | None) -> bool:
    _, index, time_ms = heartbeat.split()
    if after is not None and int(index) < after:
        return False
    return max_age_s is None or time.time() - int(time_ms) / 1000 <= max_age_s
