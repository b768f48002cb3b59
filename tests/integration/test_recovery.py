"""The last resort: the majority is given up, one survivor goes on alone, and who was given up stays
outside when it comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.devcluster import DevCluster


def wait(what: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def recovers(cluster: DevCluster, node: int, node_id: str) -> bool:
    """False while the node waits for the election."""
    try:
        return bool(cluster.admin(node, "RAFT.RECOVER", node_id) == b"OK")
    except redis.ResponseError as error:
        if "wait for the election" in str(error):
            return False
        raise


def test_one_survivor_goes_on_alone_and_the_others_stay_outside(tmp_path: Path) -> None:
    with DevCluster(tmp_path, 3, "--tick-ms", "50") as cluster:
        cluster.wait_ready()
        me = cluster.status(2)["nodeId"]
        with cluster.client(0) as client:
            for _ in range(50):
                client.incr("k")
        with cluster.client(2) as client:
            assert client.get("k") == b"50"  # a linearizable read: all of it is on this node
        with pytest.raises(redis.ResponseError, match="there is a leader"):
            cluster.admin(2, "RAFT.RECOVER", me)
        for node in (0, 1):
            cluster.signal(node, signal.SIGSTOP)
        wait(lambda: not cluster.status(2)["leaderId"])
        with pytest.raises(redis.ResponseError, match="not asked to go on alone"):
            cluster.admin(2, "RAFT.RECOVER", "00000000000000aa")
        with pytest.raises(redis.ResponseError, match="wait for the election"):
            cluster.admin(2, "RAFT.RECOVER", me)
        before = cluster.status(2)["history"]
        wait(lambda: recovers(cluster, 2, me))
        wait(lambda: bool(cluster.status(2)["role"] == "leader"))
        status = cluster.status(2)
        assert [(m["nodeId"], m["voter"]) for m in status["members"]] == [(me, True)]
        history = status["history"]
        assert (history["parent"], history["reason"]) == (before["id"], "recover")
        assert history["id"] != before["id"]
        assert cluster.admin(2, "RAFT.RECOVER", me) == b"OK", "done already: nothing happens"
        with cluster.client(2) as client:
            assert client.incr("k") == 51
        for node in (0, 1):
            cluster.signal(node, signal.SIGCONT)
        wait(lambda: [cluster.status(node)["role"] for node in (0, 1)] == ["removed", "removed"])
        with cluster.client(2) as client:
            assert client.incr("k") == 52


def test_no_node_goes_on_alone_while_a_majority_answers(tmp_path: Path) -> None:
    """Two of three have lost each other's leader a moment ago, and one may be asked at any moment:
    never while the others can elect."""
    with DevCluster(tmp_path, 3, "--tick-ms", "50") as cluster:
        cluster.wait_ready()
        leader = cluster.leader()
        other = next(node for node in range(3) if node != leader)
        me = cluster.status(other)["nodeId"]
        cluster.signal(leader, signal.SIGSTOP)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with pytest.raises(
                redis.ResponseError, match=r"there is a leader|wait for the election|voters answer"
            ):
                cluster.admin(other, "RAFT.RECOVER", me)
        cluster.signal(leader, signal.SIGCONT)
        cluster.wait_ready()
        assert len(cluster.status(other)["members"]) == 3
