"""redis-py as people have it, in both protocols, blocking and not, through the leader and through a
follower."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
import redis
import redis.asyncio

from tests.support.devcluster import DevCluster
from tests.support.raw import Wire


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def client(request: pytest.FixtureRequest, cluster: DevCluster, node: int) -> Iterator[redis.Redis]:
    with cluster.client(node, protocol=request.param, decode_responses=True) as connected:
        yield connected


def test_redis_py_counts(client: redis.Redis, key: str) -> None:
    assert client.ping()
    assert client.get(key) is None
    assert client.incr(key) == 1
    assert client.incrby(key, 41) == 42
    assert client.decr(key) == 41
    assert client.get(key) == "41"
    assert client.set(key, 7, nx=True) is None
    assert client.set(key, 7, xx=True)
    assert client.getset(key, 8) == "7"
    assert client.mget([key, key + ":none"]) == ["8", None]
    assert client.exists(key) == 1
    assert client.type(key) == "string"
    assert client.delete(key) == 1
    assert client.get(key) is None


def test_redis_py_expires(client: redis.Redis, key: str) -> None:
    assert client.set(key, 1, ex=100)
    assert 98 <= client.ttl(key) <= 100
    assert client.persist(key)
    assert client.ttl(key) == -1
    assert client.pexpire(key, 1)
    assert client.incr(key + ":other") == 1
    for _ in range(200):
        if client.get(key) is None:
            break
    assert client.ttl(key) == -2


def test_redis_py_pipelines_in_order(client: redis.Redis, key: str) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(500):
            pipeline.incr(key)
            pipeline.get(key)
        replies = pipeline.execute()
    assert replies == [value for value_ in range(1, 501) for value in (value_, str(value_))]


def test_redis_py_transactions_are_one_step(
    cluster: DevCluster, client: redis.Redis, key: str
) -> None:
    """Two sides of a balance never differ for a reader of another node."""
    left, right = key + ":left", key + ":right"
    client.mset({left: 1000, right: 0})
    stop = threading.Event()
    sums: list[int] = []

    def watch() -> None:
        with cluster.client(2) as reader:
            while not stop.is_set():
                sums.append(sum(int(value) for value in reader.mget([left, right])))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for _ in range(50):
        with client.pipeline(transaction=True) as pipeline:
            pipeline.decrby(left, 7)
            pipeline.incrby(right, 7)
            assert len(pipeline.execute()) == 2
    stop.set()
    watcher.join(10)
    assert set(sums) == {1000}
    assert client.mget([left, right]) == ["650", "350"]


def test_an_error_in_a_pipeline_is_the_error_of_its_command_only(
    client: redis.Redis, key: str
) -> None:
    client.set(key, 2**63 - 1)
    with client.pipeline(transaction=False) as pipeline:
        pipeline.incr(key)
        pipeline.get(key)
        overflow, after = pipeline.execute(raise_on_error=False)
    assert isinstance(overflow, redis.ResponseError)
    assert str(overflow) == "increment or decrement would overflow"
    assert after == str(2**63 - 1)


def test_redis_py_scans_every_key_once(client: redis.Redis, key: str) -> None:
    names = {f"{key}:{n}" for n in range(300)}
    client.mset(dict.fromkeys(names, 1))
    found = list(client.scan_iter(match=key + ":*", count=20))
    assert sorted(found) == sorted(names)


def test_redis_py_asks_about_the_server(client: redis.Redis) -> None:
    assert "redis_version" in client.info()
    assert client.dbsize() >= 0
    assert client.client_id() > 0
    assert client.command_count() > 50
    assert "incr" in client.command()


def test_redis_py_lock_free_compare_and_set(client: redis.Redis, key: str) -> None:
    client.set(key, 5)
    assert client.execute_command("SET", key, 6, "IFEQ", 4) is None
    assert client.execute_command("SET", key, 6, "IFEQ", 5)
    assert client.get(key) == "6"


def test_what_is_watched_on_one_node_and_changed_on_another_fails_the_transaction(
    cluster: DevCluster, node: int, key: str
) -> None:
    """Six threads on all nodes raise one counter by redis-py's own optimistic lock: GET, MULTI,
    SET. None of the steps is lost."""
    rounds, broken = 12, []

    def climb(number: int) -> None:
        with cluster.client(number % cluster.size, decode_responses=True) as client:
            for _ in range(rounds):
                while True:
                    with client.pipeline() as step:
                        try:
                            step.watch(key)
                            value = int(step.get(key) or 0)
                            step.multi()
                            step.set(key, value + 1)
                            step.execute()
                            break
                        except redis.WatchError:
                            broken.append(number)

    threads = [threading.Thread(target=climb, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with cluster.client(node, decode_responses=True) as client:
        assert client.get(key) == str(6 * rounds)
    assert broken, "with so many at once some must have been in each other's way"


def test_a_connection_that_ends_leaves_no_watch_behind(
    cluster: DevCluster, node: int, key: str
) -> None:
    def watches() -> int:
        with cluster.client(node, decode_responses=True) as client:
            return int(client.info("clients")["watching_clients"])

    def until(wanted: int) -> None:
        end = time.monotonic() + 10
        while watches() != wanted:
            assert time.monotonic() < end, f"{watches()} connections watch, not {wanted}"

    until(0)  # those of the tests before this one have ended
    with cluster.client(node) as client:
        step = client.pipeline()
        step.watch(key)
        assert watches() == 1
        step.connection.disconnect()
    until(0)


def test_the_node_answers_about_itself_in_a_transaction(client: redis.Redis, key: str) -> None:
    with client.pipeline() as transaction:
        transaction.incr(key)
        transaction.execute_command("TIME")
        transaction.execute_command("ROLE")
        count, now, role = transaction.execute()
    assert (count, len(now), role[0] in ("master", "slave")) == (1, 2, True)


def test_asyncio_clients_of_all_nodes_get_distinct_values(cluster: DevCluster, key: str) -> None:
    async def count() -> list[int]:
        clients = [
            redis.asyncio.Redis(
                host="127.0.0.1", port=cluster.resp_port(n % cluster.size), protocol=2 + n % 2
            )
            for n in range(30)
        ]

        async def many(client: redis.asyncio.Redis) -> list[int]:
            async with client:
                return [await client.incr(key) for _ in range(20)]

        return [value for part in await asyncio.gather(*map(many, clients)) for value in part]

    assert sorted(asyncio.run(count())) == list(range(1, 601))


def test_a_client_that_pipelines_over_many_small_packets_gets_every_reply(
    cluster: DevCluster, node: int, key: str
) -> None:
    request = b"".join(
        b"*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(key), key.encode()) for _ in range(20)
    )
    with Wire(cluster.resp_port(node)) as wire:
        for position in range(0, len(request), 7):
            wire.send_bytes(request[position : position + 7])
        assert [wire.read() for _ in range(20)] == list(range(1, 21))
