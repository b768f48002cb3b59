"""A node in this process: what happens when it goes wrong inside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import redis
import uvloop
from counter_node import settings
from counter_node.embedded import RaftNode
from counter_node.net.links import Outbound
from counter_node.node.disk_policy import DiskPolicy, Facts, Way
from counter_node.node.node import EndedByErrorError, serve
from counter_node.replica.replica import Replica
from counter_node.settings import Settings

from tests.support.devcluster import free_port_range


def _settings(directory: Path) -> settings.Settings:
    port = free_port_range(4)
    names = ("resp", "peer", "admin", "http")
    ports = [word for n, name in enumerate(names) for word in (f"--{name}-port", str(port + n))]
    return settings.load(
        ["--cluster-id", "c", "--data-dir", str(directory), "--bind", "127.0.0.1", *ports], {}
    )


def test_an_error_in_the_middle_of_a_turn_ends_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found on kind: a turn that failed halfway left a node that seemed alive and never wrote to
    its disk again."""

    def broken(self: Replica) -> None:
        raise AssertionError("an invariant does not hold")

    monkeypatch.setattr(Replica, "turn", broken)
    with pytest.raises(EndedByErrorError, match="an invariant does not hold"):
        asyncio.run(asyncio.wait_for(serve(_settings(tmp_path), asyncio.Event()), 10))


def test_of_one_command_a_leader_hears_the_followers_before_its_own_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the disk beside the loop; also for many bytes, but not for a few commands, which
    that would make dearer."""
    beside: list[bool] = []
    way, compiled = DiskPolicy.way, DiskPolicy(has_syncer=True)

    def noted(self: DiskPolicy, facts: Facts) -> Way:
        beside.append(way(compiled, facts) is Way.BESIDE)
        return way(self, facts)

    monkeypatch.setattr(DiskPolicy, "way", noted)
    port = free_port_range(1)
    with RaftNode(f"127.0.0.1:{port}", str(tmp_path)) as node, redis.Redis(port=port) as client:
        node.join_cluster()
        client.incr("a")
        for names, expected in (
            (["a"], True),
            (["a"] * 20, False),
            ([f"key {n}" for n in range(100)], True),
        ):
            beside.clear()
            pipeline = client.pipeline(transaction=False)
            for name in names:  # less than 6,000 bytes, which the client sends at once
                pipeline.incr(name)
            pipeline.execute()
            assert beside == [expected]


def test_a_connection_that_was_closed_under_the_writer_loses_the_message_and_nothing_else() -> None:
    async def scenario() -> bool:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        _, connection = await loop.create_connection(
            lambda: Outbound(loop.create_future(), Settings(cluster_id="c", data_dir="d")),
            host,
            port,
        )
        assert connection.transport is not None
        assert connection.write(b"x")
        connection.transport.abort()
        sent = connection.write(b"y")
        server.close()
        return sent

    assert not uvloop.run(scenario())
