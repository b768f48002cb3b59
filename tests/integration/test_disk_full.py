"""A disk that fills up: writes are refused before one fails, reads go on, leadership goes to a node
with room, and all is well when there is room again. Each node's data is on a small tmpfs of its
own, in a mount namespace."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.devcluster import DevCluster

MOUNT = (
    'dir=$1; shift; for n in 0 1 2; do mount -t tmpfs -o size=12m none "$dir/node-$n/data" '
    '|| exit 9; done; exec "$@"'
)
LONG = "x" * 1_000
"""Keys that fill a segment soon."""

pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode
    != 0,
    reason="no mount namespaces without root",
)


class SmallDisks(DevCluster):
    def __init__(self, directory: Path) -> None:
        for node in range(3):
            (directory / f"node-{node}" / "data").mkdir(parents=True)
        wrapper = (
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            MOUNT,
            "sh",
            str(directory),
        )
        options = (
            "--tick-ms",
            "50",
            *("--segment-bytes", str(1 << 20), "--max-entry-bytes", str(1 << 19)),
            "--snapshot-bytes",
            str(64 << 20),
        )
        super().__init__(directory, 3, *options, wrapper=wrapper)

    def ballast(self, node: int) -> Path:
        """A file on the node's disk, seen from outside of the namespace."""
        return Path(f"/proc/{self.keeper_pid}/root") / str(
            self.directory / f"node-{node}" / "data" / "ballast"
        ).lstrip("/")

    def fill(self, node: int) -> None:
        with self.ballast(node).open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError:
                pass

    def make_room(self, node: int) -> None:
        self.ballast(node).unlink()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SmallDisks]:
    with SmallDisks(tmp_path) as running:
        yield running


def count_until(cluster: SmallDisks, node: int, values: list[int]) -> None:
    """Counts through the node until it refuses to, because its disk is full."""
    end = time.monotonic() + 30
    with cluster.client(node) as client:
        while time.monotonic() < end:
            try:
                values.append(int(client.incr(LONG)))
            except redis.ResponseError as error:
                if str(error).startswith("MISCONF"):
                    return
                raise
    raise AssertionError("it never refused")


def refusal(command: Callable[[], object]) -> str | None:
    """The words of the error, None where there is none."""
    try:
        command()
    except redis.ResponseError as error:
        return str(error)
    return None


def counts_again(cluster: SmallDisks) -> None:
    """No disk is full any more, and every node takes writes."""
    end = time.monotonic() + 60
    while any(cluster.status(n)["diskFull"] for n in range(3)):
        assert time.monotonic() < end, f"there is no way out\n{cluster.logs()}"
        time.sleep(0.05)
    for node in range(3):
        with cluster.client(node) as client:
            assert client.incr("after") == node + 1


def test_a_leader_whose_disk_is_full_hands_over_and_the_cluster_goes_on(
    cluster: SmallDisks,
) -> None:
    first = cluster.leader()
    others = [n for n in range(3) if n != first]
    pid = cluster.pid(first)
    cluster.fill(first)
    values: list[int] = []
    count_until(cluster, first, values)
    end = time.monotonic() + 15
    while cluster.leader() == first:
        assert time.monotonic() < end, f"it still leads\n{cluster.logs()}"
        time.sleep(0.05)
    with cluster.client(others[0]) as client:
        # Far more than what is left of the full node's segment: it must not be asked for more than
        # it can take.
        values += [int(client.incr(LONG)) for _ in range(1_200)]
    assert values == list(range(1, len(values) + 1)), "an increment was lost, doubled, or failed"
    assert cluster.pid(first) == pid
    assert (
        cluster.status(first)["role"] == "follower"
    )  # full again and again: each snapshot of its own lets all of the log go
    cluster.make_room(first)
    end = time.monotonic() + 15
    while cluster.status(first)["diskFull"]:
        assert time.monotonic() < end, f"it does not see the room\n{cluster.logs()}"
        time.sleep(0.05)
    with cluster.client(first) as client:
        assert client.incr(LONG) == len(values) + 1


def test_when_all_disks_are_full_writes_are_refused_and_reads_are_served(
    cluster: SmallDisks,
) -> None:
    pids = [cluster.pid(n) for n in range(3)]
    for node in range(3):
        cluster.fill(node)
    values: list[int] = []
    for node in range(3):
        count_until(cluster, node, values)
    for node in range(3):
        with cluster.client(node) as client:
            with pytest.raises(
                redis.ResponseError,
                match="MISCONF the disk of this node is nearly full; the command was not executed",
            ):
                client.incr(LONG)
            assert int(client.get(LONG) or 0) == len(values)
        assert cluster.status(node)["ready"], "it can be read from, so it must stay in the Service"
    for node in range(3):
        cluster.make_room(node)
    end = time.monotonic() + 15
    while any(cluster.status(n)["diskFull"] for n in range(3)):
        assert time.monotonic() < end
        time.sleep(0.05)
    for node in range(3):
        with cluster.client(node) as client:
            values.append(int(client.incr(LONG)))
    assert values == list(range(1, len(values) + 1))
    assert [cluster.pid(n) for n in range(3)] == pids, "a node died on the way"


def test_where_no_volume_can_grow_deleting_counters_makes_room(cluster: SmallDisks) -> None:
    for node in range(3):
        cluster.fill(node)
    values: list[int] = []
    for node in range(3):
        count_until(cluster, node, values)
    with cluster.client(1) as client:
        assert client.delete(LONG) == 1
        assert client.flushall()
    counts_again(cluster)


@pytest.mark.parametrize("spared", [False, True])
def test_deletions_one_by_one_leave_room_for_a_flush(cluster: SmallDisks, spared: bool) -> None:
    """No snapshot finds room meanwhile, as there is so much state. A stranger's deletions used up
    all that the disk kept for them, and nothing led out any more. `spared`: the leader's disk has
    room; it appended what the others could not take, and a FLUSHALL was behind that."""
    names = [f"{n:04}" + "x" * 900 for n in range(4_000)]
    leader = cluster.leader()
    through = (leader + spared) % 3
    with cluster.client(through) as client:
        for at in range(0, len(names), 100):
            client.mset(dict.fromkeys(names[at : at + 100], 1))
        for node in range(3):
            if not spared or node != leader:
                cluster.fill(node)
        refused = None
        while refused is None:
            refused = refusal(lambda: client.mset(dict.fromkeys(names[:100], 2)))
        assert refused.startswith("MISCONF"), refused
        refusals = (refusal(lambda name=name: client.delete(name)) for name in names)
        gone, refused = next((n, text) for n, text in enumerate(refusals) if text is not None)
        assert refused.startswith(
            "MISCONF the disk of this node, or of a majority, is nearly full, also for deletions"
        )
        assert gone > 100
        assert client.dbsize() == len(names) - gone
        assert client.flushall()
    counts_again(cluster)
