"""`python -m tests.faults --minutes 30`: kills, pauses and partitions on real processes, with load
through all nodes and the books checked.

A live line each second on stderr; at the end what was acknowledged, lost, doubled, read stale, and
the longest gap. Exit code 1 when anything is wrong. `--seed` repeats the choice of faults (not
their timing). Half of the time the nodes reach each other through proxies, which close connections,
half of it from one network namespace to another, where packets are dropped. The nodes' clocks are
wrong all the time, and counters with a time to live are judged as well."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.clock_faults import ClockFaults
from tests.faults.cluster import FaultyCluster
from tests.faults.cuts import whole
from tests.faults.load import Load
from tests.faults.timed import Slow, Timed
from tests.support import namespaces
from tests.support.clocks import COMPILER, Clocks
from tests.support.clocks import MISSING as clocks_missing

STUCK_S = 180.0
"""Without any answer, or after everything was mended: then the run ends, and says so. Much, because
a long run has a low priority on its machine."""
WHOLE_S = 30.0
"""After dropped packets pass again, without any other fault, the cluster is whole by then, also on
a busy machine."""
LONG_CUT_S = (62.0, 75.0)
PROXIES, NAMESPACES = "proxies", "namespaces"


@dataclass
class Result:
    ways: str
    seconds: float
    seed: int
    acknowledged: int
    unknown: int
    reads: int
    lost: int
    doubled: int
    stale_reads: int
    longest_gap_s: float
    faults: dict[str, int]
    whole_after_s: list[float] = field(default_factory=list)
    """From each moment on at which dropped packets passed again, in a cluster that was whole
    before."""
    time: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.stale_reads or self.problems)

    def __str__(self) -> str:
        lines = [
            f"{'clean' if self.clean else 'VIOLATED'}: {self.seconds:.0f} s through {self.ways}, "
            f"seed {self.seed}",
            f"acknowledged {self.acknowledged:,}, unknown outcomes {self.unknown:,} (plain "
            f"clients), reads {self.reads:,}",
            f"lost {self.lost}, doubled {self.doubled}, stale reads {self.stale_reads}, longest "
            f"gap {self.longest_gap_s:.2f} s",
            "faults: "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
        ]
        if took := self.whole_after_s:
            lines.append(
                f"whole after dropped packets passed again: median {statistics.median(took):.2f} "
                f"s, worst {max(took):.2f} s of {len(took)}"
            )
        return "\n".join([*lines, *([f"time: {self.time}"] if self.time else []), *self.problems])


@dataclass
class Suffered:
    faults: Counter[str] = field(default_factory=Counter)
    lasts: str = "-"
    """The fault that there is at the moment."""
    whole_after_s: list[float] = field(default_factory=list)
    problem: str = ""

    def count(self, words: str) -> None:
        self.faults[" ".join(w for w in words.split() if not any(c.isdigit() for c in w))] += 1


def heal(cluster: FaultyCluster, suffered: Suffered) -> None:
    """Packets pass again: how soon is the cluster whole?"""
    cluster.mend()
    start = time.monotonic()
    while missing := whole(cluster):
        if time.monotonic() - start > WHOLE_S:
            suffered.problem = (
                f"not whole {WHOLE_S:.0f} s after dropped packets passed again: {missing}"
            )
            return
        time.sleep(0.02)
    suffered.whole_after_s.append(time.monotonic() - start)


async def watch(load: Load, suffered: Suffered, end: float) -> None:
    """A line a second for whoever looks on."""
    before = load.acknowledged
    while True:
        await asyncio.sleep(1)
        now = load.acknowledged
        left = max(0, end - time.monotonic())
        books = (
            f"{now - before:6d}/s  {now:10,d} acknowledged  longest gap {load.longest_gap_s:5.2f} s"
        )
        print(
            f"{left:6.0f} s left  {books}  faults {suffered.faults.total():4d}  {suffered.lasts}",
            file=sys.stderr,
            flush=True,
        )
        before = now


async def torment(
    cluster: FaultyCluster,
    load: Load,
    seconds: float,
    chance: random.Random,
    live: bool,
    clocks: ClockFaults | None = None,
) -> Suffered:
    """Faults one after another, each mended, until the time is over."""
    suffered = Suffered()
    end = time.monotonic() + seconds
    watcher = asyncio.create_task(watch(load, suffered, end)) if live else None
    try:
        await asyncio.sleep(min(1.0, seconds / 10))
        while (
            time.monotonic() < end
            and not load.problem
            and not suffered.problem
            and load.unanswered_s < STUCK_S
        ):
            if clocks is not None and chance.random() < 0.6:
                suffered.count(clocks.some(chance))
            await one_fault(cluster, suffered, chance, end)
    finally:
        if watcher is not None:
            watcher.cancel()
    return suffered


async def one_fault(
    cluster: FaultyCluster, suffered: Suffered, chance: random.Random, end: float
) -> None:
    """Lasts for some seconds and is mended. A few cuts last longer than the kernel's patience."""
    drops = cluster.namespaces is not None and not await asyncio.to_thread(whole, cluster)
    suffered.lasts = await asyncio.to_thread(cluster.some_fault, chance)
    suffered.count(suffered.lasts)
    is_cut = suffered.lasts.endswith("(dropped)")
    long = is_cut and chance.random() < 0.1 and end - time.monotonic() > 2 * LONG_CUT_S[1]
    await asyncio.sleep(chance.uniform(*(LONG_CUT_S if long else (0.2, 4.0))))
    if is_cut and drops:
        await asyncio.to_thread(heal, cluster, suffered)
    await asyncio.to_thread(cluster.mend)
    suffered.lasts = "mended"
    await asyncio.sleep(chance.uniform(0.5, 3.0))


async def run(
    cluster: FaultyCluster,
    seconds: float,
    seed: int,
    *,
    lanes: int = 18,
    window: int = 16,
    keys: int = 4,
    rate: float = 2_000,
    live: bool = False,
    clocks: Clocks | None = None,
) -> Result:
    """`clocks`: the nodes', which are wrong from now on."""
    load = Load(cluster.addresses, lanes, window, keys, rate)
    slow = Slow()
    timed = Timed(cluster.addresses, slow=slow)
    start = time.monotonic()
    load.start()
    timed.start()
    clock_faults = ClockFaults(clocks, slow, cluster.size) if clocks is not None else None
    suffered = await torment(cluster, load, seconds, random.Random(seed), live, clock_faults)
    cluster.mend()
    problems = [problem for problem in (load.problem, suffered.problem) if problem]
    await timed.stop(STUCK_S)
    problems += timed.problems
    problems += await closed(load)
    took = time.monotonic() - start
    books = await asyncio.to_thread(judged, cluster, load)
    return Result(
        NAMESPACES if cluster.namespaces is not None else PROXIES,
        took,
        seed,
        load.acknowledged,
        sum(len(h.unknown) for h in load.histories),
        sum(h.reads for h in load.histories),
        books.lost,
        books.doubled,
        books.stale,
        load.longest_gap_s,
        dict(suffered.faults),
        suffered.whole_after_s,
        str(timed),
        problems + books.problems,
    )


async def closed(load: Load) -> list[str]:
    """Ends the load, also after a problem: the books are closed before they are read."""
    try:
        await load.stop(STUCK_S)
    except TimeoutError:
        return [
            f"liveness: some increments got no answer within {STUCK_S:.0f} s after everything "
            f"was mended"
        ]
    return []


@dataclass
class Books:
    """What the histories of the load say, against the values that all nodes end with."""

    lost: int = 0
    doubled: int = 0
    stale: int = 0
    problems: list[str] = field(default_factory=list)


def judged(cluster: FaultyCluster, load: Load) -> Books:
    books = Books()
    try:
        cluster.wait_ready(STUCK_S)
    except AssertionError as error:
        books.problems.append(f"liveness: {str(error).splitlines()[0]}")
    values = cluster.final_values([h.key for h in load.histories])
    if any(v != values[0] for v in values):
        books.problems.append(f"nodes end with different values: {values}")
    for history in load.histories:
        violation, gone, twice = history.judge(values[0][history.key])
        books.lost, books.doubled = books.lost + gone, books.doubled + twice
        if violation is not None:
            books.problems.append(f"{history.key}: {violation}")
            books.stale += violation.name == "out of order"
    return books


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.faults", description="Real processes under kill -9, SIGSTOP and cut links."
    )
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--lanes", type=int, default=18, help="connections of exactly-once clients")
    parser.add_argument("--window", type=int, default=16, help="unanswered increments of each")
    parser.add_argument("--rate", type=float, default=2_000, help="commands a second at most")
    parser.add_argument(
        "--ways",
        choices=[PROXIES, NAMESPACES],
        action="append",
        help="one of them only; both where that is possible",
    )
    parser.add_argument("--right-clocks", action="store_true", help="no wrong clocks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ways = options.ways or [PROXIES, *([NAMESPACES] if namespaces.possible() else [])]
    if NAMESPACES not in ways and not options.ways:
        print(f"no packets are dropped in this run: {namespaces.MISSING}", file=sys.stderr)
    if COMPILER is None and not options.right_clocks:
        print(f"no clock is wrong in this run: {clocks_missing}", file=sys.stderr)
        options.right_clocks = True
    # A process that entered a namespace stays there.
    return max(
        one_way(way, options, 60 * options.minutes / len(ways))
        for way in (PROXIES, NAMESPACES)
        if way in ways
    )


def one_way(way: str, options: argparse.Namespace, seconds: float) -> int:
    """A cluster of its own; the exit code."""
    more: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="countercluster-faults-"))
        )
        if way == NAMESPACES:
            more["namespaces"] = stack.enter_context(namespaces.Namespaces(options.nodes))
            more["namespaces"].enter()
        clocks = None if options.right_clocks else Clocks(folder, options.nodes)
        if clocks is not None:
            more["environment"] = clocks.environment
        cluster = stack.enter_context(FaultyCluster(folder / "nodes", options.nodes, **more))
        work = run(
            cluster,
            seconds,
            options.seed,
            lanes=options.lanes,
            window=options.window,
            rate=options.rate,
            live=True,
            clocks=clocks,
        )
        result = asyncio.run(work)
        if not result.clean:
            print(cluster.nodes.logs(), file=sys.stderr)
    print(json.dumps(asdict(result)) if options.json else result, flush=True)
    return 0 if result.clean else 1


if __name__ == "__main__":
    sys.exit(main())
