"""`python -m tests.faults --minutes 30`: kills, pauses and partitions on real processes, with load through all nodes and the books checked.

A live line each second on stderr; at the end what was acknowledged, lost, doubled, read stale, and the longest gap. Exit code 1 when anything is
wrong. `--seed` repeats the choice of faults (not their timing).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.cluster import FaultyCluster
from tests.faults.load import Load

STUCK_S = 180.0
"""Without any answer, or after everything was mended: then the run ends, and says so. Much, because a long run has a low priority on its machine."""


@dataclass
class Result:
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
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.stale_reads or self.problems)

    def __str__(self) -> str:
        lines = [
            f"{'clean' if self.clean else 'VIOLATED'}: {self.seconds:.0f} s, seed {self.seed}",
            f"acknowledged {self.acknowledged:,}, unknown outcomes {self.unknown:,} (plain clients), reads {self.reads:,}",
            f"lost {self.lost}, doubled {self.doubled}, stale reads {self.stale_reads}, longest gap {self.longest_gap_s:.2f} s",
            "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
        ]
        return "\n".join([*lines, *self.problems])


async def torment(cluster: FaultyCluster, load: Load, seconds: float, chance: random.Random, live: bool) -> Counter[str]:
    """Faults one after another, each mended, until the time is over."""
    faults: Counter[str] = Counter()
    words = "-"
    end = time.monotonic() + seconds

    async def watch() -> None:
        before = load.acknowledged
        while live:
            await asyncio.sleep(1)
            now = load.acknowledged
            left = max(0, end - time.monotonic())
            books = f"{now - before:6d}/s  {now:10,d} acknowledged  longest gap {load.longest_gap_s:5.2f} s"
            print(f"{left:6.0f} s left  {books}  faults {faults.total():4d}  {words}", file=sys.stderr, flush=True)
            before = now

    watcher = asyncio.create_task(watch())
    try:
        await asyncio.sleep(min(1.0, seconds / 10))
        while time.monotonic() < end and not load.problem and load.unanswered_s < STUCK_S:
            words = await asyncio.to_thread(cluster.some_fault, chance)
            faults[" ".join(w for w in words.split() if not any(c.isdigit() for c in w))] += 1
            await asyncio.sleep(chance.uniform(0.2, 4.0))
            await asyncio.to_thread(cluster.mend)
            words = "mended"
            await asyncio.sleep(chance.uniform(0.5, 3.0))
    finally:
        watcher.cancel()
    return faults


async def run(
    cluster: FaultyCluster, seconds: float, seed: int, *, lanes: int = 18, window: int = 16, keys: int = 4, rate: float = 2_000, live: bool = False
) -> Result:
    load = Load(cluster.ports, lanes, window, keys, rate)
    start = time.monotonic()
    load.start()
    faults = await torment(cluster, load, seconds, random.Random(seed), live)
    cluster.mend()
    problems = [load.problem] if load.problem else []
    try:
        await load.stop(STUCK_S)  # also with a problem: the books are closed before they are read
    except TimeoutError:
        problems.append(f"liveness: some increments got no answer within {STUCK_S:.0f} s after everything was mended")
    took = time.monotonic() - start
    try:
        await asyncio.to_thread(cluster.wait_ready, STUCK_S)
    except AssertionError as error:
        problems.append(f"liveness: {str(error).splitlines()[0]}")
    values = await asyncio.to_thread(cluster.final_values, [h.key for h in load.histories])
    if any(v != values[0] for v in values):
        problems.append(f"nodes end with different values: {values}")
    lost = doubled = stale = 0
    for history in load.histories:
        violation, gone, twice = history.judge(values[0][history.key])
        lost, doubled = lost + gone, doubled + twice
        if violation is not None:
            problems.append(f"{history.key}: {violation}")
            stale += violation.name == "out of order"
    reads, unknown = sum(h.reads for h in load.histories), sum(len(h.unknown) for h in load.histories)
    return Result(took, seed, load.acknowledged, unknown, reads, lost, doubled, stale, load.longest_gap_s, dict(faults), problems)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults", description="Real processes under kill -9, SIGSTOP and cut links.")
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--lanes", type=int, default=18, help="connections of exactly-once clients")
    parser.add_argument("--window", type=int, default=16, help="unanswered increments of each")
    parser.add_argument("--rate", type=float, default=2_000, help="commands a second at most")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="countercluster-faults-") as folder, FaultyCluster(Path(folder), options.nodes) as cluster:
        work = run(cluster, options.minutes * 60, options.seed, lanes=options.lanes, window=options.window, rate=options.rate, live=True)
        result = asyncio.run(work)
        if not result.clean:
            print(cluster.nodes.logs(), file=sys.stderr)
    print(json.dumps(asdict(result)) if options.json else result, flush=True)
    return 0 if result.clean else 1


if __name__ == "__main__":
    sys.exit(main())
