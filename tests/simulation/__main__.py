"""`python -m tests.simulation 2000`: many seeds on all cores. A failing one is shrunk, printed as a
story, and can be run again to the byte.

SEEDS is a count or FIRST-LAST. Exit code 1 when a seed failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import sys
import time

from tests.simulation.plan import PLANS, Plan
from tests.simulation.scenario import Report, plan_for, run
from tests.simulation.shrink import Failure, described, failure, shrink


def chosen(seed: int, options: argparse.Namespace) -> tuple[str, Plan]:
    name = options.plan or plan_for(seed)
    plan = PLANS[name]
    if options.faults is not None:
        plan = dataclasses.replace(
            plan, only=tuple(int(n) for n in options.faults.split(",") if n.isdigit())
        )
    changes = {"clients": options.clients, "duration_ms": options.until}
    return name, dataclasses.replace(plan, **{k: v for k, v in changes.items() if v is not None})


def _one(work: tuple[int, Plan]) -> Report | Failure:
    seed, plan = work
    try:
        return run(seed, plan)
    except Exception:
        found = failure(seed, plan)
        return found if found is not None else Failure(seed, plan, "did not fail a second time", 0)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("seeds", nargs="?", default="200")
    parser.add_argument(
        "--plan", choices=list(PLANS), help="for every seed; default: see plan_for in scenario.py"
    )
    parser.add_argument("--clients", type=int)
    parser.add_argument("--until", type=int, metavar="MS", help="length of the phase with faults")
    parser.add_argument(
        "--faults", metavar="N,N,…", help="only these faults of the seed; none: none"
    )
    parser.add_argument(
        "--story", action="store_true", help="tell what happens, also when nothing goes wrong"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument(
        "--shrink", type=float, default=60, metavar="S", help="seconds for making a failure small"
    )
    return parser


@dataclasses.dataclass
class Totals:
    """Of the seeds that ran so far."""

    start: float = dataclasses.field(default_factory=time.monotonic)
    events: int = 0
    acknowledged: int = 0
    unknown: int = 0
    reads: int = 0
    failed: list[Failure] = dataclasses.field(default_factory=list)

    def add(self, found: Report | Failure) -> None:
        if isinstance(found, Failure):
            self.failed.append(found)
            print(f"FAILED seed {found.seed}: {found.error.splitlines()[0]}", flush=True)
        else:
            self.events += found.events
            self.acknowledged += found.acknowledged
            self.unknown += found.unknown
            self.reads += found.reads

    def say(self, seeds: int) -> None:
        print(
            f"{seeds} seeds, {self.events:,} events, {time.monotonic() - self.start:.0f} s, "
            f"{len(self.failed)} failed",
            file=sys.stderr,
            flush=True,
        )

    def conclude(self, seeds: int) -> None:
        took = time.monotonic() - self.start
        print(
            f"{seeds} seeds in {took:.0f} s: {self.events:,} events ({self.events / took:,.0f}/s), "
            f"{self.acknowledged:,} increments acknowledged,"
        )
        print(f"{self.unknown:,} unknown, {self.reads:,} reads; {len(self.failed)} seeds failed")


def main() -> int:
    options = arguments().parse_args()
    first, _, last = options.seeds.rpartition("-")
    seeds = range(int(first or 1), int(last) + 1)
    if options.story:
        for seed in seeds:
            name, plan = chosen(seed, options)
            print(described(failure(seed, plan) or Failure(seed, plan, "clean", 0), name))
        return 0
    work = [(seed, chosen(seed, options)[1]) for seed in seeds]
    totals = Totals()
    with multiprocessing.Pool(options.processes) as pool:
        for number, found in enumerate(pool.imap_unordered(_one, work, chunksize=1), 1):
            totals.add(found)
            if number % 250 == 0:
                totals.say(number)
    totals.conclude(len(work))
    for found in totals.failed[:3]:
        name, _ = chosen(found.seed, options)
        print("\n" + described(shrink(found, options.shrink), name))
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
