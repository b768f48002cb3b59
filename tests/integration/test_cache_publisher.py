"""The publisher alone, at a real Redis: what it writes, when, and what it does when that Redis is
slow, silent or new."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest
import redis
from counter_node.cache import replica as replica_module
from counter_node.cache.publisher import RESOLVE_S, Publisher
from counter_node.cache.replica import CacheReplica
from counter_node.cache.script import FENCE, HEARTBEAT

from tests.support.proxy import Proxy
from tests.support.publishing import Leader, eventually, publishing
from tests.support.publishing import cache as cache  # a fixture
from tests.support.redis_server import RedisServer


def test_a_new_leader_writes_nothing_before_it_has_an_entry_of_its_own_term(
    cache: RedisServer,
) -> None:
    async def scenario(reader: redis.Redis) -> None:
        elected = Leader(5, 95, k=1)  # its predecessor published k=2 at 100
        elected.has_own_entry = False
        reader.mset({"k": 2, FENCE: "4:100", HEARTBEAT: "4 100 1"})
        async with publishing(cache.port, elected):
            await asyncio.sleep(0.6)
            assert reader.mget("k", FENCE) == [b"2", b"4:100"]
            elected.has_own_entry, elected.index, elected.counters[b"k"] = True, 101, 3
            await eventually(
                lambda: reader.mget("k", FENCE) == [b"3", b"5:101"], "the new leader publishes"
            )

    asyncio.run(scenario(cache.client()))


def test_a_counter_that_expires_does_so_in_redis_although_nobody_publishes(
    cache: RedisServer,
) -> None:
    async def scenario(reader: redis.Redis) -> None:
        leader = Leader(1, 1, short=1, long=2)
        leader.due = {
            b"short": int(time.time() * 1000) + 3_000,
            b"long": int(time.time() * 1000) + 3_000,
        }
        async with publishing(cache.port, leader) as replica:
            await eventually(
                lambda: reader.pttl("short") > 0 and reader.pttl("long") > 0,
                "both with their deadline",
            )
            del leader.due[b"long"]
            leader.index += 1
            replica.changed([b"long"])
            await eventually(lambda: reader.pttl("long") == -1, "the deadline is taken away")
        await eventually(lambda: reader.get("short") is None, "it expires")
        assert reader.get("long") == b"2"

    asyncio.run(scenario(cache.client()))


def test_there_is_no_heartbeat_while_a_redis_is_refilled(
    cache: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "CHUNK_KEYS", 1)

    async def scenario(reader: redis.Redis) -> None:
        leader = Leader(2, 7, **{f"k{n}": n for n in range(400)})
        reader.mset({"k7": 1, "gone": 1, FENCE: "1:3", HEARTBEAT: "1 3 1"})
        partly = 0
        async with publishing(cache.port, leader) as replica:
            while not replica.connected:
                count, heartbeat = reader.dbsize(), reader.get(HEARTBEAT)
                if reader.get(FENCE) == b"2:7" and count < 400:
                    partly += 1
                    assert heartbeat is None
                await asyncio.sleep(0)
            assert partly > 3
            assert reader.mget("gone", "k7", HEARTBEAT) == [None, b"7", b"2 7 5"]
            assert reader.dbsize() == 402

    asyncio.run(scenario(cache.client()))


def test_it_can_be_closed_at_any_moment(cache: RedisServer) -> None:
    """redis-py's asyncio.wait_for may lose a cancellation; found by a test that hung."""

    async def scenario() -> None:
        leader = Leader(2, 7, a=1)
        for n in range(300):
            replica = CacheReplica("127.0.0.1", cache.port, leader)
            for _ in range(n % 30):
                replica.changed(leader.set(**{f"k{n}": n}))
                await asyncio.sleep(0)
            closed, _ = await asyncio.wait([asyncio.ensure_future(replica.close())], timeout=10)
            assert closed, "it goes on"

    asyncio.run(scenario())


def test_too_many_changes_for_a_silent_redis_become_a_refill(
    cache: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "MAX_DIRTY_KEYS", 100)

    async def scenario(reader: redis.Redis) -> None:
        leader = Leader(2, 7, a=1)
        async with publishing(cache.port, leader) as replica:
            await eventually(lambda: replica.connected, "connected")
            cache.signal(signal.SIGSTOP)
            try:
                for n in range(300):
                    replica.changed(leader.set(**{f"k{n}": n}))
                    assert len(replica._dirty) <= 101
            finally:
                cache.signal(signal.SIGCONT)
            await eventually(
                lambda: reader.mget("a", "k0", "k299") == [b"1", b"0", b"299"],
                "everything, by a refill",
            )
            assert replica.counts.refills == 2

    asyncio.run(scenario(cache.client()))


def test_a_redis_that_was_silent_goes_on_without_a_refill(
    cache: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to a write never came; the fence tells that nobody else wrote meanwhile."""

    async def scenario(reader: redis.Redis) -> None:
        leader = Leader(2, 7, a=1)
        async with publishing(cache.port, leader) as replica:
            await eventually(lambda: replica.connected, "connected")
            cache.signal(signal.SIGSTOP)
            try:
                replica.changed(leader.set(a=2))
                await eventually(lambda: replica.counts.failures > 0, "the time-out")
                replica.changed(leader.set(a=3, b=4))
            finally:
                cache.signal(signal.SIGCONT)
            await eventually(
                lambda: reader.mget("a", "b") == [b"3", b"4"], "what changed meanwhile"
            )
            assert replica.counts.refills == 1

    asyncio.run(scenario(cache.client()))


def test_a_write_that_never_reached_redis_is_written_again_without_a_refill(
    cache: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends with the write on its way. The fence is still the one before, so nobody
    else wrote; but its keys are nobody's changes any more, unless they are noted again."""
    monkeypatch.setattr(replica_module, "PAUSE_S", 0.05)

    async def scenario(reader: redis.Redis, proxy: Proxy) -> None:
        leader = Leader(2, 7, a=1)
        async with publishing(proxy.port, leader) as replica:
            await eventually(lambda: replica.connected, "connected")
            for value in range(2, 7):
                count = replica.counts.publications
                await eventually(lambda: replica.counts.publications > count, "a heartbeat")  # noqa: B023
                failures = replica.counts.failures
                proxy.lose_requests()
                replica.changed(leader.set(a=value))
                await eventually(
                    lambda: replica.counts.failures > failures,  # noqa: B023
                    "the connection is cut",
                )
                await eventually(lambda: reader.get("a") == b"%d" % value, "the write is repeated")  # noqa: B023
            assert replica.counts.refills == 1
            assert proxy.cut >= 5

    with Proxy(lambda: [cache.port]) as proxy:
        asyncio.run(scenario(cache.client(), proxy))


def test_a_burst_on_one_key_is_a_few_writes(cache: RedisServer) -> None:
    async def scenario(reader: redis.Redis) -> None:
        leader = Leader(2, 7)
        async with publishing(cache.port, leader) as replica:
            await eventually(lambda: replica.connected, "connected")
            start = time.monotonic()
            for n in range(2_000):
                replica.changed(leader.set(k=n))
                if n % 20 == 0:
                    await asyncio.sleep(0)
            await eventually(lambda: reader.get("k") == b"1999", "the last value")
            assert replica.counts.keys <= 3 + (time.monotonic() - start) / replica_module.PACE_S

    asyncio.run(scenario(cache.client()))


def test_every_redis_behind_the_name_gets_everything_and_the_time_is_that_of_a_majority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["127.0.0.1"]

    async def scenario(first: RedisServer, second: RedisServer) -> None:
        async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
            if not addresses:
                raise OSError("no name server")
            return [(None, None, None, None, (address, first.port)) for address in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        leader = Leader(1, 1, k=5)
        publisher = Publisher(f"caches:{first.port}", leader)
        publisher.start()
        one, two = first.client(), second.client()
        try:
            await eventually(lambda: one.get("k") == b"5", "the first")
            addresses.append("127.0.0.2")
            await eventually(lambda: two.get("k") == b"5", "the second, found later")
            await eventually(lambda: publisher.connected == 2, "both connections")
            addresses.clear()
            await asyncio.sleep(RESOLVE_S + 0.2)
            publisher.changed(leader.set(k=6))
            await eventually(
                lambda: one.get("k") == two.get("k") == b"6",
                "both, although the name is not found any more",
            )
            leader.leads = False  # it does not know yet: a majority does not answer
            await asyncio.sleep(0.4)
            before = one.get(HEARTBEAT)
            publisher.changed(leader.set(k=7))
            await eventually(lambda: one.get("k") == b"7", "it still writes")
            await asyncio.sleep(0.4)
            assert one.get(HEARTBEAT).split()[2] == before.split()[2]  # type: ignore[union-attr]
        finally:
            await publisher.stop()

    with RedisServer(tmp_path) as first, RedisServer(tmp_path, first.port, "127.0.0.2") as second:
        asyncio.run(scenario(first, second))
