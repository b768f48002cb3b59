"""`redis_py_slow.py blocking|asyncio plain|cluster PORT KEY TIMEOUT_MS [REMEDY]`: four increments, each by a worker of its own, whose
answers come later than the client waits."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import json
import sys
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.cluster
from redis.backoff import NoBackoff
from redis.retry import Retry

WORKERS = 4


def options(retry: Any) -> dict[str, Any]:
    """Beside the defaults: a time-out, where it is not that of the client, and the remedy."""
    found: dict[str, Any] = {"host": "127.0.0.1", "port": int(PORT)}
    if float(TIMEOUT_MS):
        found["socket_timeout"] = float(TIMEOUT_MS) / 1000
    if REMEDY:
        found["retry"] = retry(NoBackoff(), 0)
    return found


def words(error: Exception | None) -> str:
    return "<nil>" if error is None else f"{type(error).__name__}: {error}"


def blocking() -> collections.Counter[str]:
    make: Any = redis.cluster.RedisCluster if WHERE == "cluster" else redis.Redis
    client = make(**options(Retry))

    def one(_: int) -> str:
        try:
            client.incr(KEY)
        except redis.RedisError as error:
            return words(error)
        return words(None)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return collections.Counter(pool.map(one, range(WORKERS)))


async def asyncio_() -> collections.Counter[str]:
    make: Any = redis.asyncio.cluster.RedisCluster if WHERE == "cluster" else redis.asyncio.Redis
    client = make(**options(redis.asyncio.retry.Retry))

    async def one() -> str:
        try:
            await client.incr(KEY)
        except redis.RedisError as error:
            return words(error)
        return words(None)

    if WHERE == "cluster":
        await client.initialize()
    return collections.Counter(await asyncio.gather(*(one() for _ in range(WORKERS))))


if __name__ == "__main__":
    which, WHERE, PORT, KEY, TIMEOUT_MS, *REMEDY = sys.argv[1:]
    print(json.dumps(blocking() if which == "blocking" else asyncio.run(asyncio_())), flush=True)
