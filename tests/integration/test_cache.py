"""The Redis cache behind real nodes: it follows, it is refilled, it can never be put back, and it never slows a write."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import redis
from counter_node.cache.publisher import FENCE, HEARTBEAT, CacheReplica

from tests.support.devcluster import DevCluster
from tests.support.redis_server import RedisServer

FAST = ("--tick-ms", "20")


def until(condition: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def test_the_cache_follows_is_refilled_after_a_restart_and_survives_a_change_of_leader(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as cache, DevCluster(tmp_path / "c", 3, *FAST, "--cache", f"127.0.0.1:{cache.port}") as cluster:
        reader = cache.client()
        with cluster.client(0) as client:
            client.incrby("a", 41)
            client.incr("a")
            client.set("b", -7)
            until(lambda: reader.mget("a", "b") == [b"42", b"-7"], "values in the cache")
            client.delete("b")
            until(lambda: reader.get("b") is None, "deletion in the cache")
            cache.stop()
            start = time.monotonic()
            for _ in range(50):
                client.incr("a")
            assert time.monotonic() - start < 5, "a dead cache slows writes"
            cache.start()
            until(lambda: reader.get("a") == b"92", "refill after a restart")
            reader.set("b", 999)  # as if an older leader had written it
            cluster.signal(cluster.leader(), signal.SIGKILL)
        time.sleep(1.5)
        cluster.wait_ready()
        until(lambda: reader.get("b") is None, "the new leader clears what is stale")
        assert reader.get("a") == b"92"
        status = cluster.status(cluster.leader())
        assert status["cache"]["connected"] == 1
        term, index, _ = reader.get(HEARTBEAT).split()  # type: ignore[union-attr]
        assert reader.get(FENCE) == term + b":" + index


def test_expired_counters_leave_the_cache(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as cache, DevCluster(tmp_path / "c", 1, *FAST, "--cache", f"127.0.0.1:{cache.port}") as cluster:
        reader = cache.client()
        with cluster.client(0) as client:
            client.set("short", 5, px=700)
            until(lambda: reader.get("short") == b"5", "value in the cache")
            until(lambda: reader.get("short") is None, "expiry in the cache, without any other write")
            assert client.get("short") is None


class Leader:
    """A source of values as a node is."""

    def __init__(self, term: int, index: int, **values: int) -> None:
        self.term, self.index = term, index
        self.counters = {k.encode(): v for k, v in values.items()}

    def position(self) -> tuple[int, int]:
        return self.term, self.index

    def values(self) -> dict[bytes, int]:
        return self.counters


def test_a_deposed_leader_cannot_overwrite_newer_values(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        old, new = Leader(3, 100, k=10), Leader(4, 90, k=20)
        deposed, elected = CacheReplica("127.0.0.1", port, old), CacheReplica("127.0.0.1", port, new)
        try:
            await asyncio.sleep(0.5)
            for _ in range(20):
                old.index += 1
                old.counters[b"k"] = 11
                deposed.changed([b"k"])
                await asyncio.sleep(0.05)
            with redis.Redis(host="127.0.0.1", port=port) as reader:
                assert reader.get("k") == b"20"
        finally:
            await deposed.close()
            await elected.close()

    with RedisServer(tmp_path) as cache:
        asyncio.run(scenario(cache.port))


def test_a_lost_fence_is_noticed_and_everything_is_written_again(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        leader = Leader(4, 90, k=20, other=5)
        publisher = CacheReplica("127.0.0.1", port, leader)
        try:
            await asyncio.sleep(0.5)
            with redis.Redis(host="127.0.0.1", port=port) as reader:
                reader.flushall()  # evicted, or another process
                leader.index, leader.counters[b"k"] = 91, 21
                publisher.changed([b"k"])
                await asyncio.sleep(1.0)
                assert reader.mget("k", "other") == [b"21", b"5"]
        finally:
            await publisher.close()

    with RedisServer(tmp_path) as cache:
        asyncio.run(scenario(cache.port))
