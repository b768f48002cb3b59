"""`python -m tests.simulation 2000`: many seeds on all cores. A failing one is shrunk, told as a
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

from tests.simulation.scenario import PLANS, Plan, Report, plan_for, run
from tests.simulation.shrink import Failure, failure, shrink, told


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


def main() -> int:
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
    options = parser.parse_args()
    first, _, last = options.seeds.rpartition("-")
    seeds = range(int(first or 1), int(last) + 1)
    if options.story:
        for seed in seeds:
            name, plan = chosen(seed, options)
            print(told(failure(seed, plan) or Failure(seed, plan, "clean", 0), name))
        return 0
    work = [(seed, chosen(seed, options)[1]) for seed in seeds]
    start, events, acknowledged, unknown, reads = time.monotonic(), 0, 0, 0, 0
    failed: list[Failure] = []
    with multiprocessing.Pool(options.processes) as pool:
        for number, found in enumerate(pool.imap_unordered(_one, work, chunksize=1), 1):
            if isinstance(found, Failure):
                failed.append(found)
                print(f"FAILED seed {found.seed}: {found.error.splitlines()[0]}", flush=True)
            else:
                events, acknowledged = events + found.events, acknowledged + found.acknowledged
                unknown, reads = unknown + found.unknown, reads + found.reads
            if number % 250 == 0:
                print(
                    f"{number} seeds, {events:,} events, {time.monotonic() - start:.0f} s, "
                    f"{len(failed)} failed",
                    file=sys.stderr,
                    flush=True,
                )
    took = time.monotonic() - start
    print(
        f"{len(work)} seeds in {took:.0f} s: {events:,} events ({events / took:,.0f}/s), "
        f"{acknowledged:,} increments acknowledged,"
    )
    print(f"{unknown:,} unknown, {reads:,} reads; {len(failed)} seeds failed")
    for found in failed[:3]:
        name, _ = chosen(found.seed, options)
        print("\n" + told(shrink(found, options.shrink), name))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
