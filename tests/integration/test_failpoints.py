"""Real nodes whose disks fail, stall or kill them at chosen steps, while exactly-once clients
count."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.test_faults import count_through, lead
from tests.support.devcluster import DevCluster

OPTIONS = (
    *("--tick-ms", "50", "--snapshot-bytes", str(1 << 16)),
    *("--segment-bytes", str(1 << 20), "--max-entry-bytes", str(1 << 19)),
)

CRASHES = {
    "before and after the log is written and synced": (
        "storage.write.wal=crash@150,storage.after_write.wal=crash@330",
        "storage.sync.wal=crash@200,storage.after_sync.wal=crash@410",
        "node.reply=crash@120",
    ),
    "between the steps of a snapshot": (
        "storage.create.snap=crash@2,storage.after_write.snap=crash@7",
        "storage.sync.snap=crash@3,storage.rename.snap=crash@3",
        "storage.after_rename.snap=crash@2,storage.after_sync_dir.snap=crash@4,storage.unlink.snap=crash@2",
    ),
}


def faults(*of_nodes: str) -> dict[str, str]:
    return {f"COUNTER_FAILPOINTS_{n}": text for n, text in enumerate(of_nodes) if text}


@pytest.mark.parametrize("name", CRASHES)
def test_nothing_is_lost_or_doubled_when_nodes_die_again_and_again(
    tmp_path: Path, name: str
) -> None:
    """Each node dies at its own steps, is started again, and dies there again."""
    with DevCluster(tmp_path, 3, *OPTIONS, environment=faults(*CRASHES[name])) as cluster:
        count_through(cluster, lambda: cluster.wait_output("ended with -9", 5))


@pytest.mark.parametrize(
    "fault", ["sync.wal=eio@60", "write.wal=eio@60", "write.wal=short@60", "write.wal=enospc@60"]
)
def test_a_node_whose_disk_fails_says_so_and_writes_no_more_while_the_others_go_on(
    tmp_path: Path, fault: str
) -> None:
    with DevCluster(
        tmp_path, 3, "--tick-ms", "50", environment=faults("", "", f"storage.{fault}")
    ) as cluster:
        lead(cluster, 0)
        with cluster.client(0) as client:
            count, end = (
                0,
                time.monotonic() + 60,
            )  # a follower that is slow writes many entries at once
            while (status := cluster.status(2))["role"] != "failed":
                assert time.monotonic() < end, f"{fault} did not fire\n{cluster.logs()}"
                for _ in range(20):
                    count += 1
                    assert client.incr("k") == count
            assert not status["ready"]
            assert "the disk failed" in status["reason"]
            last = status["lastIndex"]
            assert client.incr("k") == count + 1
        assert cluster.status(2)["appliedIndex"] <= max(last, cluster.status(2)["lastIndex"])


def test_a_leader_whose_disk_fails_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    with DevCluster(
        tmp_path, 3, "--tick-ms", "50", environment=faults("storage.sync.wal=eio@150")
    ) as cluster:
        lead(cluster, 0)
        with cluster.client(1) as client:
            counted = 0  # a busy disk takes several increments with one sync
            while counted < 300 or cluster.status(0)["role"] != "failed":
                counted += 1
                assert client.incr("k") == counted
        assert cluster.leader() != 0


def test_a_leader_whose_disk_stalls_steps_down(tmp_path: Path) -> None:
    with DevCluster(
        tmp_path, 3, "--tick-ms", "50", environment=faults("storage.sync.wal=delay3000@150")
    ) as cluster:
        lead(cluster, 0)
        term, start = cluster.status(1)["term"], time.monotonic()
        with cluster.client(1) as client:
            counted = 0
            while counted < 300 or cluster.status(1)["term"] == term:
                counted += 1
                assert client.incr("k") == counted
        assert time.monotonic() - start < 150
        cluster.wait_ready()
        with cluster.client(0) as client:
            assert client.get("k") == b"%d" % counted
