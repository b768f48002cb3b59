"""A short fault run (`make faults MINUTES=30` is the long one): kills, pauses, cut links and wrong
clocks under load, the books, every read and every time to live checked."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from tests.faults.__main__ import run
from tests.faults.cluster import FaultyCluster
from tests.faults.load import Load
from tests.support.clocks import COMPILER, Clocks
from tests.support.devcluster import DevCluster


def test_nothing_is_lost_doubled_or_stale_under_kills_pauses_cut_links_and_wrong_clocks(
    tmp_path: Path,
) -> None:
    clocks = None if COMPILER is None else Clocks(tmp_path, 3)
    environment = None if clocks is None else clocks.environment
    with FaultyCluster(
        tmp_path / "nodes", 3, "--tick-ms", "50", environment=environment
    ) as cluster:
        result = asyncio.run(
            run(cluster, 20, random.SystemRandom().randrange(1_000_000), rate=1_000, clocks=clocks)
        )
        assert result.clean, f"{result}\n{cluster.nodes.logs()}"
        assert result.acknowledged > 500
        assert sum(result.faults.values()) >= 2


def test_a_cut_link_cuts_one_direction_only(tmp_path: Path) -> None:
    """Else the fault run would only show half of what it says it does."""
    with FaultyCluster(tmp_path, 3, "--tick-ms", "50") as cluster:
        leader = cluster.leader()
        assert leader is not None
        others = [n for n in range(3) if n != leader]
        # Nobody hears the leader, but it hears the others: it must be replaced.
        cluster.cut({(leader, o) for o in others}, False, "")
        end = time.monotonic() + 90
        while (now := cluster.leader()) in (None, leader) and time.monotonic() < end:
            time.sleep(0.05)
        assert now in others
        assert any(stays_in_its_term(cluster) for _ in range(3)), (
            "on a busy machine a follower may miss its leader by itself, but not each time"
        )


def stays_in_its_term(cluster: FaultyCluster) -> bool:
    cluster.mend()
    cluster.wait_ready()
    leader = cluster.leader()
    assert leader is not None
    term = cluster.nodes.status(leader)["term"]
    others = [n for n in range(3) if n != leader]
    # A follower to which one other follower cannot speak still hears the leader: nothing changes.
    cluster.cut({(others[0], others[1])}, False, "")
    time.sleep(2)  # two election timeouts
    nothing_changed = cluster.nodes.status(leader)["term"] == term
    # PreVote: a node that hears nobody comes back without disturbing the leader.
    cluster.cut({(o, others[0]) for o in (leader, others[1])}, False, "")
    time.sleep(2)
    cluster.mend()
    cluster.wait_ready()
    return nothing_changed and cluster.nodes.status(leader)["term"] == term


def test_the_load_notices_a_cluster_that_forgets(tmp_path: Path) -> None:
    async def with_amnesia() -> bool:
        with DevCluster(tmp_path / "a", 1, "--tick-ms", "20", restart=False) as cluster:
            load = Load([("127.0.0.1", cluster.resp_port(0))], 1, 4, 1, 500)
            load.start()
            await asyncio.sleep(1.0)
            assert load.acknowledged > 0
            with cluster.client(0) as client:
                client.decrby(load.histories[0].key, 20)
            await asyncio.sleep(0.5)
            await load.stop()
            with cluster.client(0) as client:
                final = int(client.get(load.histories[0].key))
            violation, lost, _ = load.histories[0].judge(final)
            return violation is not None and lost > 0

    assert asyncio.run(with_amnesia())
