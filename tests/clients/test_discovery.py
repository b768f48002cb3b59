"""The client finds nodes that nobody named to it, on real nodes whose cluster changes under it,
until none of the first is left."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from counter_node.embedded import RaftNode
from countercluster import Counters, addresses
from redis.connection import Connection

from tests.support.devcluster import free_port_range
from tests.support.faces import FACES

WAIT_S = 90.0


@contextlib.contextmanager
def nodes(count: int) -> Iterator[list[RaftNode]]:
    """Started, and not joined yet."""
    first = free_port_range(count)
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(RaftNode(f"127.0.0.1:{first + n}")) for n in range(count)]


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"not within {WAIT_S:.0f} s: {what}"
        time.sleep(0.05)


def status(node: RaftNode) -> dict[str, Any]:
    host, _, port = node.admin_address.rpartition(":")
    with redis.Redis(host=host, port=int(port)) as admin:
        found: dict[str, Any] = json.loads(admin.execute_command("RAFT.STATUS"))
        return found


def remove(node: RaftNode, others: list[RaftNode]) -> None:
    """From the cluster, by whoever leads; then it is stopped."""
    node_id = status(node)["nodeId"]

    def removed() -> bool:
        for other in [node, *others]:
            host, _, port = other.admin_address.rpartition(":")
            with (
                redis.Redis(host=host, port=int(port)) as admin,
                contextlib.suppress(redis.ResponseError),
            ):
                if other is node and status(node)["role"] == "leader":  # it does not remove itself
                    admin.execute_command("RAFT.TRANSFER", "0000000000000000")
                admin.execute_command("RAFT.REMOVE", node_id)
                return True
        return False

    until(removed, f"{node.address} is removed")
    node.stop()


def reported(node: RaftNode) -> set[tuple[str, int]]:
    host, _, port = node.address.rpartition(":")
    connection = Connection(host=host, port=int(port), protocol=2)
    try:
        connection.connect()
        connection.send_command("CLUSTER", "SHARDS")
        return addresses._nodes(connection.read_response())
    finally:
        connection.disconnect()


@FACES
def test_counting_goes_on_when_no_address_that_was_given_is_left(
    monkeypatch: pytest.MonkeyPatch, face: Any
) -> None:
    monkeypatch.setattr(addresses, "ASK_AGAIN_S", 0.2)
    with nodes(4) as (a, b, c, late):
        a.join_cluster()
        b.join_cluster([a])
        c.join_cluster([a, b])
        with face(f"redis://{a.address}", deadline_s=WAIT_S) as counters:
            counted = 0
            pool = getattr(counters, "counters", counters)._pool

            def knows(*wanted: RaftNode) -> bool:
                nonlocal counted
                counted += 1
                assert counters.incr("k") == counted
                found = {f"{at['host']}:{at['port']}" for at in pool._addresses._found}
                return found == {node.address for node in wanted}

            until(lambda: knows(b, c), "the two others are found")
            late.join_cluster([a, b, c])
            until(lambda: knows(b, c, late), "a node that was added is found")
            remove(a, [b, c, late])
            until(lambda: knows(b, c, late), "the address that was given is gone")
            remove(b, [c, late])
            until(lambda: knows(c, late), "a node that was removed is forgotten")
            remove(c, [late])
            until(lambda: knows(late), "the one that is left was never named by hand")
            assert late.get("k") == counted


def test_every_node_tells_of_all_on_the_clients_port_and_one_that_waits_of_nobody() -> None:
    with nodes(3) as (a, b, waiting):
        a.join_cluster()
        b.join_cluster([a])
        both = {("127.0.0.1", int(node.address.rpartition(":")[2])) for node in (a, b)}
        until(lambda: reported(a) == reported(b) == both, "both tell of both")
        assert reported(waiting) == set()


def test_a_node_without_a_cluster_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was given may by now be that of a node which lost its disk and waits."""
    monkeypatch.setattr(addresses, "ASK_AGAIN_S", 0.1)
    with (
        nodes(2) as (a, waiting),
        Counters([f"redis://{waiting.address}"], deadline_s=WAIT_S) as counters,
    ):
        a.join_cluster()
        found = counters._pool._addresses
        found.learn(
            [[b"nodes", [[b"ip", b"127.0.0.1", b"port", int(a.address.rpartition(":")[2])]]]]
        )
        assert [counters.incr("k") for _ in range(5)] == [1, 2, 3, 4, 5]
        assert len(found) == 2
