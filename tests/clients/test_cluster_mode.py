"""Clients of Redis clusters, on the cluster port: they find the leader, follow it, and read from
followers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio.cluster
from redis.cluster import ClusterNode, LoadBalancingStrategy, RedisCluster

from tests.support.devcluster import DevCluster


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    directory: Path = tmp_path_factory.mktemp("cluster-mode")
    with DevCluster(directory, 3, "--tick-ms", "50", cluster_mode=True) as running:
        yield running


def nodes(cluster: DevCluster) -> list[ClusterNode]:
    return [ClusterNode("127.0.0.1", cluster.cluster_port(node)) for node in range(cluster.size)]


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_finds_the_leader_and_reads_from_all(clustered: DevCluster, protocol: int) -> None:
    follower = (clustered.leader() + 1) % clustered.size
    start = [ClusterNode("127.0.0.1", clustered.cluster_port(follower))]
    everywhere = LoadBalancingStrategy.ROUND_ROBIN
    with RedisCluster(
        startup_nodes=start,
        protocol=protocol,
        load_balancing_strategy=everywhere,
        decode_responses=True,
    ) as client:
        assert client.get_primaries()[0].port == clustered.cluster_port(clustered.leader())
        assert len(client.get_replicas()) == 2
        before = int(client.get("k") or 0)
        for number in range(1, 31):
            assert client.incr("k") == before + number
            assert client.get("k") == str(before + number), (
                "a follower's read is as new as the leader's"
            )
        with client.pipeline() as pipeline:
            first, second = pipeline.incr("p").incr("p").execute()
        assert second == first + 1
        assert client.cluster_keyslot("k") == client.keyslot("k")


def test_redis_py_asyncio_counts_in_cluster_mode(clustered: DevCluster) -> None:
    async def count() -> list[int]:
        async with redis.asyncio.cluster.RedisCluster(
            host="127.0.0.1", port=clustered.cluster_port(0)
        ) as client:
            return sorted(await asyncio.gather(*(client.incr("async") for _ in range(100))))

    values = asyncio.run(count())
    assert values == list(range(values[0], values[0] + 100))


def test_a_plain_client_on_the_cluster_port_is_sent_elsewhere(clustered: DevCluster) -> None:
    leader = clustered.leader()
    follower = (leader + 1) % clustered.size
    with redis.Redis(port=clustered.cluster_port(follower), host="127.0.0.1") as client:
        with pytest.raises(redis.exceptions.MovedError) as moved:
            client.incr("k")
        assert moved.value.port == clustered.cluster_port(leader)
        assert client.execute_command("READONLY")
        assert client.get("never set") is None


def test_redis_py_follows_the_leader_when_it_dies(clustered: DevCluster) -> None:
    """Each increment that was answered counts; those that were not may."""
    with RedisCluster(startup_nodes=nodes(clustered), decode_responses=True) as client:
        answered, unknown = [client.incr("failover")], 0
        leader = clustered.leader()
        clustered.signal(leader, signal.SIGKILL)
        while len(answered) < 100:
            try:
                answered.append(client.incr("failover"))
            except redis.RedisError:
                unknown += 1
        assert answered == sorted(set(answered))
        assert len(answered) <= answered[-1] - answered[0] + 1
        assert clustered.leader() != leader or unknown == 0
    clustered.wait_ready()
