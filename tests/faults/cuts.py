"""How soon a cluster is whole again after packets were dropped: a leader, every node ready under
it, and a write through each.

Kinds of cuts, seen from the leader as it was when the cut began:

    all          nobody hears anybody
    leader       the leader is cut off both ways
    leader-dumb  nobody hears the leader
    leader-deaf  the leader hears nobody
    follower     a follower is cut off both ways
    pair         the leader and one follower do not hear each other; both hear the third
"""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from tests.faults.cluster import FaultyCluster
from tests.support.namespaces import Link

Cut = Callable[[int, list[int]], set[Link]]
"""Of the leader and the others."""


def _both(one: int, others: list[int]) -> set[Link]:
    return {(one, o) for o in others} | {(o, one) for o in others}


KINDS: dict[str, Cut] = {
    "all": lambda leader, others: {
        (a, b) for a in (leader, *others) for b in (leader, *others) if a != b
    },
    "leader": _both,
    "leader-dumb": lambda leader, others: {(leader, o) for o in others},
    "leader-deaf": lambda leader, others: {(o, leader) for o in others},
    "follower": lambda leader, others: _both(others[0], [leader, *others[1:]]),
    "pair": lambda leader, others: _both(leader, others[:1]),
}


def whole(cluster: FaultyCluster) -> str:
    """Empty, or what is missing."""
    try:
        states = [cluster.nodes.status(node) for node in range(cluster.size)]
        if len({state["leaderId"] for state in states}) != 1:
            return f"leaders {[state['leaderId'] for state in states]}"
        if reasons := [state["reason"] for state in states if not state["ready"]]:
            return "; ".join(reasons)
        for node in range(cluster.size):
            with cluster.nodes.client(node) as client:
                client.incr("whole")
    except (redis.RedisError, OSError) as error:
        return str(error)
    return ""


def healed_s(
    cluster: FaultyCluster, kind: str, silent_s: float, most_s: float, *, other_than: str = ""
) -> float:
    """Cuts for so long, and until another node leads with `other_than`; heals, and tells how long
    it took until the cluster was whole. Raises AssertionError after `most_s`."""
    leader = cluster.nodes.leader()
    others = [node for node in range(cluster.size) if node != leader]
    cluster.cut(KINDS[kind](leader, others), False, kind)
    time.sleep(silent_s)
    while other_than and cluster.nodes.status(others[0])["leaderId"] in ("", other_than):
        time.sleep(0.05)
    cluster.mend()
    start = time.monotonic()
    while missing := whole(cluster):
        assert time.monotonic() - start < most_s, (
            f"{kind}: not whole {most_s} s after {silent_s} s: {missing}\n{cluster.nodes.logs()}"
        )
        time.sleep(0.01)
    return time.monotonic() - start
