"""`python -m benchmarks.weights`: what each thing of the state takes in a real process, against
what counters/weights.py counts for it. Each is measured in a process of its own, at several
numbers, as tables grow in steps: the dearest counts. Exits with 1 when a weight is below what was
measured."""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.machine import Machine

NUMBERS = (150_000, 250_000, 400_000, 700_000)
SMALLER = {"producers": 20, "sequences": 1, "watched keys": 8}
"""Kinds of which there are fewer, and by what factor."""
BATCH = 1_000
ROUNDING = 0.98
"""The resident memory is counted in pages, and other things move it, too."""


def commands(kind: str, count: int) -> Iterator[Op]:
    if kind == "counters":
        yield from (
            [o.SET, b"counter:%022d" % n, 1_000_000 + n, 0, None, o.EX_NONE, 0, False]
            for n in range(count)
        )
    elif kind == "short names":
        yield from ([o.INCRBY, b"%08d" % n, 1_000_000 + n] for n in range(count))
    elif kind == "expiries":
        yield from (
            [o.SET, b"counter:%022d" % n, n, 0, None, o.EX_AT, 1 << 41 | n, False]
            for n in range(count)
        )
    elif kind == "owned counters":
        yield from (o.as_user(b"app", op) for op in commands("counters", count))
    elif kind == "producers":
        yield from (
            o.idmp_of(b"default", b"producer:%012d" % n, 1, [o.INCRBY, b"k", 1])
            for n in range(count)
        )
    elif kind == "sequences":
        for producer in range(count // 1_000):
            yield from (
                o.idmp_of(b"default", b"p%d" % producer, n, [o.INCRBY, b"k", 1])
                for n in range(1, 1_001)
            )
    elif kind == "watched keys":
        for watch in range(count // 10):
            yield [o.WATCH, b"%d" % watch, [b"watched:%08d:%d" % (watch, n) for n in range(10)]]


KINDS = (
    "counters",
    "short names",
    "expiries",
    "owned counters",
    "producers",
    "sequences",
    "watched keys",
)


def measure(kind: str, count: int) -> tuple[int, int]:
    """What the process grew by, and what the state counts; both in bytes."""
    machine = Machine(max_producers=1_000_000)
    index = number = 0

    def apply(body: bytes) -> batches.Outcome:
        nonlocal index
        index += 1
        return machine.apply(index, batches.stamp(1_000, body), lambda _session, _number: None)

    session = apply(batches.encode_open(1)).session
    if kind == "owned counters":
        apply(batches.encode(batches.UserLimits(((b"app", count, None),))))
    gc.freeze()
    before, counted = resident(), machine.size_bytes
    batch: list[Op] = []

    def send() -> None:
        nonlocal number
        number += 1
        apply(batches.encode_batch(session, number, batch))
        batch.clear()

    for op in commands(kind, count):
        batch.append(op)
        if len(batch) == BATCH:
            send()
    if batch:
        send()
    return resident() - before, machine.size_bytes - counted


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.weights", description=__doc__)
    parser.add_argument(
        "kind", nargs="?", choices=sorted(KINDS), help="only this one, in this process"
    )
    parser.add_argument("count", nargs="?", type=int, help="how many of them")
    options = parser.parse_args()
    if options.count is not None:
        print(json.dumps(measure(options.kind, options.count)))
        return 0
    worst = 0.0
    show: Callable[[float], str] = lambda size: f"{size / (1 << 20):8.1f}"  # noqa: E731
    for kind in KINDS:
        for number in NUMBERS:
            count = number // SMALLER.get(kind, 1)
            line = subprocess.run(
                [sys.executable, "-m", "benchmarks.weights", kind, str(count)],
                capture_output=True,
                check=True,
            ).stdout
            took, counted = json.loads(line)
            worst = max(worst, took / counted)
            print(
                f"{kind:14s} {count:8,d}: {show(took)} MiB taken, {show(counted)} counted, "
                f"{took / count:5.0f} bytes each"
            )
    print(f"at most {worst:.2f} of what is counted")
    return int(worst * ROUNDING > 1)


if __name__ == "__main__":
    sys.exit(main())
