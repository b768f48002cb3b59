"""How old is what a reader of the cache sees? `python -m benchmarks.cache_staleness`, about half a
minute; needs redis-server.

Three node processes and a Redis on loopback. Increments come at a steady rate over several keys,
each acknowledged one with its time. Meanwhile a reader asks Redis for all keys again and again. The
staleness of an increment is the time from its acknowledgement to the first answer that has it (0
when the cache was faster); so it includes the reader's own round trip. How late the reader itself
comes to its turns, which says how busy the machine is with other things, is shown beside it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import redis.asyncio

from tests.support.devcluster import DevCluster
from tests.support.redis_server import RedisServer

CONNECTIONS = 10
SHARES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


class Books:
    def __init__(self, keys: int) -> None:
        self.keys = [f"k{n}" for n in range(keys)]
        self.waiting: dict[str, list[tuple[int, float]]] = {key: [] for key in self.keys}
        self.seen: dict[str, int] = dict.fromkeys(self.keys, 0)
        self.staleness_s: list[float] = []
        self.late_s: list[float] = []
        self.done = False

    def acknowledged(self, key: str, value: int, now: float) -> None:
        if value <= self.seen[key]:
            self.staleness_s.append(0.0)
        else:
            self.waiting[key].append((value, now))

    def read(self, key: str, value: int, now: float) -> None:
        self.seen[key] = max(self.seen[key], value)
        still = []
        for answered, at in self.waiting[key]:
            if answered <= value:
                self.staleness_s.append(now - at)
            else:
                still.append((answered, at))
        self.waiting[key] = still


def percentile_ms(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


async def count(port: int, books: Books, rate: float, seconds: float) -> None:
    """A pipeline every few milliseconds, as many increments as are due."""
    async with redis.asyncio.Redis(port=port) as client:
        start = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < start + seconds:
            due = int((now - start) * rate) - sent
            if due > 0:
                keys = [books.keys[(sent + n) % len(books.keys)] for n in range(due)]
                async with client.pipeline(transaction=False) as pipe:
                    for key in keys:
                        pipe.incr(key)
                    values = await pipe.execute()
                answered = time.monotonic()
                for key, value in zip(keys, values, strict=True):
                    books.acknowledged(key, value, answered)
                sent += due
            await asyncio.sleep(0.004)


async def watch(port: int, books: Books) -> None:
    async with redis.asyncio.Redis(port=port) as client:
        while not books.done:
            values = await client.mget(books.keys)
            now = time.monotonic()
            for key, value in zip(books.keys, values, strict=True):
                books.read(key, int(value or 0), now)
            await asyncio.sleep(0.001)
            books.late_s.append(time.monotonic() - now - 0.001)


async def measure(ports: list[int], cache: int, rate: int, keys: int, seconds: float) -> Books:
    books = Books(keys)
    watcher = asyncio.create_task(watch(cache, books))
    each = rate / CONNECTIONS
    await asyncio.gather(
        *(count(ports[n % len(ports)], books, each, seconds) for n in range(CONNECTIONS))
    )
    end = time.monotonic() + 5
    while any(books.waiting.values()) and time.monotonic() < end:
        await asyncio.sleep(0.05)
    books.done = True
    await watcher
    return books


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.cache_staleness",
        description="Staleness of the cache under a steady rate of increments.",
    )
    parser.add_argument(
        "--rate", type=int, default=5_000, help="increments a second (default: 5000)"
    )
    parser.add_argument(
        "--keys", type=int, default=100, help="counters they are spread over (default: 100)"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="(default: 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with (
            RedisServer(place) as cache,
            DevCluster(place / "nodes", 3, "--cache", f"127.0.0.1:{cache.port}") as cluster,
        ):
            ports = [cluster.resp_port(node) for node in range(cluster.size)]
            books = asyncio.run(
                measure(ports, cache.port, options.rate, options.keys, options.seconds)
            )
    left = sum(map(len, books.waiting.values()))
    print(
        f"{len(books.staleness_s) / options.seconds:,.0f} increments a second over "
        f"{options.keys} keys: staleness "
        + ", ".join(
            f"{name} {percentile_ms(books.staleness_s, share):.1f} ms" for name, share in SHARES
        )
        + "; the reader was late by "
        + ", ".join(f"{name} {percentile_ms(books.late_s, share):.1f} ms" for name, share in SHARES)
    )
    if left:
        print(f"{left} increments never came to the cache", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
