"""`python -m tests.faults.measure`: how long the cluster is silent when its leader is killed,
stopped or hands over, and what a follower that rejoins through a snapshot costs the leader; how
soon a cluster is whole after packets were dropped for 62 s (for root: network namespaces). Real
processes with the default settings; one client of a surviving node writes all the time."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis

from tests.faults.cluster import FaultyCluster
from tests.faults.cuts import KINDS, healed_s
from tests.support import namespaces
from tests.support.devcluster import DevCluster

COUNTERS = 1_000_000
SETTLE_S = 0.5
RECOVER_S = 60.0
SILENT_S = 62.0
JOINED_S = 120.0
ALL = ["kill", "stop", "transfer", "rejoin", "cut"]


class Writer(threading.Thread):
    """Plain INCR over one connection to one node, as fast as it answers; keeps when each was sent
    and answered."""

    def __init__(self, cluster: DevCluster, node: int, key: str = "w") -> None:
        super().__init__(daemon=True)
        self._client = cluster.client(node)
        self._key = key
        self.stopping = threading.Event()
        self.answers: list[tuple[float, float]] = []
        self.failed: list[str] = []

    def run(self) -> None:
        while not self.stopping.is_set():
            start = time.monotonic()
            try:
                self._client.incr(self._key)
            except redis.RedisError as error:
                self.failed.append(str(error))
                time.sleep(0.01)
            else:
                self.answers.append((start, time.monotonic()))

    def end(self) -> None:
        self.stopping.set()
        self.join(20)
        self._client.close()

    def next_after(self, moment: float) -> float | None:
        """Seconds until the first answer to a write that was answered after that moment."""
        return next((end - moment for _, end in list(self.answers) if end > moment), None)

    def longest_gap(self, first: float, last: float) -> float:
        ends = [first, *(end for _, end in list(self.answers) if first <= end <= last), last]
        return max(b - a for a, b in itertools.pairwise(ends))


def summary(name: str, seconds: list[float], goal: str) -> str:
    ordered = sorted(seconds)
    return (
        f"{name}: median {1000 * statistics.median(ordered):.0f} ms, 90 % "
        f"{1000 * ordered[int(0.9 * (len(ordered) - 1))]:.0f} ms, "
        f"worst {1000 * ordered[-1]:.0f} ms of {len(ordered)} ({goal})"
    )


def outages(
    cluster: DevCluster, trials: int, strike: Callable[[int], None], mend: Callable[[int], None]
) -> list[float]:
    """The silence that a client of a surviving node sees, for each trial."""
    found = []
    for _ in range(trials):
        leader = cluster.leader()
        writer = Writer(cluster, (leader + 1) % cluster.size)
        writer.start()
        time.sleep(SETTLE_S)
        moment = time.monotonic()
        strike(leader)
        # What was already on its way back does not count: the first answer to a write sent after
        # the fault, or held up by it.
        end = moment + RECOVER_S
        while time.monotonic() < end:
            after = [e for s, e in list(writer.answers) if e > moment + 0.005]
            if after and not after[0] - moment < 0.02:
                break
            if len(after) > 20 and time.monotonic() - moment > 5:
                break
            time.sleep(0.01)
        time.sleep(0.3)
        found.append(writer.longest_gap(moment, time.monotonic()))
        writer.end()
        mend(leader)
        time.sleep(1.2)
        cluster.wait_ready(RECOVER_S)
    return found


def transfers(cluster: DevCluster, trials: int) -> tuple[list[float], list[str]]:
    """The longest silence around each handover, seen by clients of all nodes; and every failed
    command."""
    gaps: list[float] = []
    writers = [Writer(cluster, n, f"t{n}") for n in range(cluster.size)]
    for writer in writers:
        writer.start()
    for trial in range(trials):
        time.sleep(0.3)
        leader = cluster.leader()
        target = (leader + 1 + trial % (cluster.size - 1)) % cluster.size
        identity = cluster.status(target)["nodeId"]
        moment = time.monotonic()
        with contextlib.suppress(redis.ResponseError):
            cluster.admin(leader, "RAFT.TRANSFER", identity)
        time.sleep(0.7)
        gaps.append(max(w.longest_gap(moment, time.monotonic()) for w in writers))
    for writer in writers:
        writer.end()
    return gaps, [text for writer in writers for text in writer.failed]


def p99_ms(writer: Writer, first: float, last: float) -> float:
    taken = sorted(e - s for s, e in list(writer.answers) if first <= e <= last)
    return 1000 * taken[int(0.99 * (len(taken) - 1))] if taken else float("inf")


def rejoin(cluster: DevCluster, counters: int) -> str:
    """A follower that was stopped while the log it needs was given up gets a snapshot of all
    counters, while writes go on."""
    leader = cluster.leader()
    victim = (leader + 1) % cluster.size
    fill(cluster, leader, counters)
    writer = Writer(cluster, leader)
    writer.start()
    usual_from = time.monotonic()
    time.sleep(5)
    usual = p99_ms(writer, usual_from, time.monotonic())
    fresh = with_an_empty_disk(cluster, leader, victim)
    start = time.monotonic()
    caught_up = add(cluster, leader, victim, fresh, start + JOINED_S)
    during = p99_ms(writer, start, caught_up)
    writer.end()
    at = cluster.status(victim)["snapshotIndex"]
    return (
        f"rejoin with {counters:,} counters: caught up in {caught_up - start:.1f} s by the "
        f"snapshot at {at}; "
        f"leader's 99th percentile {during:.2f} ms meanwhile, {usual:.2f} ms usually: "
        f"{during / usual:.1f} times (goal: at most 3); "
        f"failed {len(writer.failed)}"
    )


def fill(cluster: DevCluster, node: int, counters: int) -> None:
    with cluster.client(node) as client:
        for first in range(0, counters, 10_000):
            pipe = client.pipeline(transaction=False)
            for number in range(first, min(first + 10_000, counters)):
                pipe.incrby(f"counter:{number}", number)
            pipe.execute()


def with_an_empty_disk(cluster: DevCluster, leader: int, victim: int) -> str:
    """The victim dies, loses its disk and is removed; its new id."""
    cluster.signal(victim, signal.SIGKILL)
    data = cluster.directory / f"node-{victim}" / "data"
    members = cluster.status(leader)["members"]
    gone = next(m["nodeId"] for m in members if m["name"] == f"node-{victim}")
    data.rename(data.with_name("lost"))
    fresh = cluster.wait_answer(victim, other_than=gone)
    cluster.admin(leader, "RAFT.REMOVE", gone)
    return str(fresh["nodeId"])


def add(cluster: DevCluster, leader: int, victim: int, node: str, end: float) -> float:
    """Makes it a learner, and a voter; the moment at which it had caught up."""
    peer = f"127.0.0.1:{cluster.ports(victim)['peer']}"
    resp = f"127.0.0.1:{cluster.resp_port(victim)}"
    cluster.admin(leader, "RAFT.ADDLEARNER", node, f"node-{victim}", peer, resp)
    while (
        cluster.status(victim)["appliedIndex"] < cluster.status(leader)["commitIndex"] - 1_000
        and time.monotonic() < end
    ):
        time.sleep(0.1)
    caught_up = time.monotonic()
    while time.monotonic() < end:
        with contextlib.suppress(redis.ResponseError):
            cluster.admin(leader, "RAFT.PROMOTE", node)
            break
        time.sleep(0.1)
    return caught_up


def cuts(silent_s: float) -> None:
    if not namespaces.possible():
        print(f"nothing is measured of dropped packets: {namespaces.MISSING}", flush=True)
        return
    with (
        namespaces.Namespaces(3) as network,
        tempfile.TemporaryDirectory(prefix="countercluster-figures-") as folder,
    ):
        network.enter()
        with FaultyCluster(Path(folder), 3, namespaces=network) as cluster:
            for kind in KINDS:
                found = healed_s(cluster, kind, silent_s, RECOVER_S)
                print(
                    f"packets dropped for {silent_s:.0f} s, {kind}: whole after {found:.2f} s "
                    f"(goal: 2 s)",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.faults.measure", description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--only", choices=ALL, action="append")
    parser.add_argument("--counters", type=int, default=COUNTERS)
    parser.add_argument(
        "--silent-s", type=float, default=SILENT_S, help="how long packets are dropped"
    )
    options = parser.parse_args()
    wanted = options.only or ALL
    if set(wanted) != {"cut"}:
        on_loopback(options, wanted)
    if "cut" in wanted:
        cuts(options.silent_s)


def on_loopback(options: argparse.Namespace, wanted: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="countercluster-figures-") as folder,
        DevCluster(Path(folder), 3) as cluster,
    ):
        if "kill" in wanted:
            found = outages(
                cluster, options.trials, lambda n: cluster.signal(n, signal.SIGKILL), lambda n: None
            )
            print(
                summary("leader killed (kill -9)", found, "goal: median 500 ms, worst 1 s"),
                flush=True,
            )
        if "stop" in wanted:
            strike, mend = (
                (lambda n: cluster.signal(n, signal.SIGSTOP)),
                (lambda n: cluster.signal(n, signal.SIGCONT)),
            )
            print(
                summary(
                    "leader silent (SIGSTOP)",
                    outages(cluster, max(1, options.trials // 5), strike, mend),
                    "goal: 3 s",
                ),
                flush=True,
            )
        if "transfer" in wanted:
            gaps, failed = transfers(cluster, options.trials)
            print(
                summary("leadership transfer", gaps, "goal: median under 100 ms"),
                f"; failed commands {len(failed)}",
                failed[:2],
                flush=True,
            )
        if "rejoin" in wanted:
            print(rejoin(cluster, options.counters), flush=True)


if __name__ == "__main__":
    main()
