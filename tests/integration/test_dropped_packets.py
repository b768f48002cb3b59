"""Nodes in network namespaces of their own, whose packets are dropped and later pass again (`make
faults`, `make figures` for more)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cluster import FaultyCluster
from tests.faults.cuts import healed_s
from tests.support.namespaces import MISSING, Namespaces, possible

pytestmark = pytest.mark.skipif(not possible(), reason=MISSING)
SILENT_S = 6.8
"""TCP repeats what it sent after 0.2 s and then after twice as long each time, so the next time is
12.6 s after the first."""
WHOLE_S = 5.0
"""An election takes 1 s at most here. Without links that are dialled again it takes more than this,
as TCP says nothing for so long."""
TRIES = 3
"""A machine that stands still for seconds is no fault of a node's."""


def test_a_cluster_is_whole_soon_after_packets_pass_again(tmp_path: Path) -> None:
    """First nobody hears anybody; then a leader hears no acknowledgement, though nothing is closed
    at either end: another is elected."""
    with Namespaces(3) as namespaces:

        def work() -> None:
            with FaultyCluster(tmp_path, 3, "--tick-ms", "50", namespaces=namespaces) as cluster:
                took = []
                while not took or (min(took) > WHOLE_S and len(took) < TRIES):
                    took.append(healed_s(cluster, "all", SILENT_S, 60.0))
                assert min(took) <= WHOLE_S, took
                old = cluster.nodes.status(cluster.nodes.leader())["nodeId"]
                healed_s(cluster, "leader-deaf", 2.5, 60.0, other_than=old)

        namespaces.inside(work)
