"""What the machine takes away by itself: other tenants of its cores, and threads of its kernel."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

STALL_S = 0.001
"""Between two looks at the clock; shorter ones are interrupts."""


@dataclass(frozen=True)
class Stalls:
    """Of a process that does nothing but look at the clock, on one core."""

    share: float  # of the time, lost in stalls
    longest_s: float

    def __str__(self) -> str:
        return f"{self.share:.1%} of the time, the longest {self.longest_s * 1000:.0f} ms"


def on_core(core: int, seconds: float) -> Stalls:
    os.sched_setaffinity(0, {core})
    start = last = time.perf_counter()
    lost = longest = 0.0
    while last < start + seconds:
        now = time.perf_counter()
        if now - last > STALL_S:
            lost, longest = lost + now - last, max(longest, now - last)
        last = now
    return Stalls(lost / (last - start), longest)


def stalls(seconds: float) -> Stalls:
    """Of all cores at once, while nothing else of ours runs: the mean share and the longest."""
    cores = sorted(os.sched_getaffinity(0))
    with ProcessPoolExecutor(len(cores), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(on_core, cores, [seconds] * len(cores)))
    return Stalls(statistics.mean(f.share for f in found), max(f.longest_s for f in found))
