"""`redis_py_slow.py blocking|asyncio slow|pool plain|cluster PORTS KEY TIMEOUT_MS [REMEDY]`: see
README.md."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import json
import sys
import threading
import time
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.cluster
from redis.backoff import NoBackoff
from redis.retry import Retry

WORKERS = 4
PAUSE_S = 0.02


def options(retry: Any, node: Any) -> dict[str, Any]:
    """Beside the defaults: a time-out, where it is not that of the client, and the remedy."""
    found: dict[str, Any] = {"host": "127.0.0.1", "port": int(PORTS[0])}
    if WHERE == "cluster":
        found = {"startup_nodes": [node("127.0.0.1", int(port)) for port in PORTS]}
    if float(TIMEOUT_MS):
        found["socket_timeout"] = float(TIMEOUT_MS) / 1000
    if REMEDY:
        found["retry"] = retry(NoBackoff(), 0)
    return found


def words(error: Exception | None) -> str:
    return "<nil>" if error is None else f"{type(error).__name__}: {error}"


def line(start_s: float, outcome: str) -> None:
    """In one piece, as others write as well."""
    print(
        f"{start_s * 1000:.0f} {(time.time() - start_s) * 1000:.0f} {outcome}".replace("\n", " ")
        + "\n",
        end="",
        flush=True,
    )


def blocking() -> None:
    make: Any = redis.cluster.RedisCluster if WHERE == "cluster" else redis.Redis
    client = make(**options(Retry, redis.cluster.ClusterNode))

    def one(_: int) -> str:
        try:
            client.incr(KEY)
        except redis.RedisError as error:
            return words(error)
        return words(None)

    def counts(number: int) -> None:
        while True:
            time.sleep(PAUSE_S)
            start_s = time.time()
            line(start_s, one(number))

    if WHAT == "slow":
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            print(json.dumps(collections.Counter(pool.map(one, range(WORKERS)))), flush=True)
        return
    for number in range(WORKERS):
        threading.Thread(target=counts, args=(number,), daemon=True).start()
    sys.stdin.read()


async def asyncio_() -> None:
    make: Any = redis.asyncio.cluster.RedisCluster if WHERE == "cluster" else redis.asyncio.Redis
    client = make(**options(redis.asyncio.retry.Retry, redis.asyncio.cluster.ClusterNode))

    async def one() -> str:
        try:
            await client.incr(KEY)
        except redis.RedisError as error:
            return words(error)
        return words(None)

    async def counts() -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            start_s = time.time()
            line(start_s, await one())

    if WHERE == "cluster":
        await client.initialize()
    if WHAT == "slow":
        print(
            json.dumps(collections.Counter(await asyncio.gather(*(one() for _ in range(WORKERS))))),
            flush=True,
        )
        return
    workers = [asyncio.ensure_future(counts()) for _ in range(WORKERS)]
    await asyncio.to_thread(sys.stdin.read)
    for worker in workers:
        worker.cancel()


if __name__ == "__main__":
    which, WHAT, WHERE, ports, KEY, TIMEOUT_MS, *REMEDY = sys.argv[1:]
    PORTS = ports.split(",")
    if which == "blocking":
        blocking()
    else:
        asyncio.run(asyncio_())
