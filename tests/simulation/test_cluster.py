"""The whole cluster under everything at once: a fixed set of seeds, and fresh ones. `make sim SEEDS=2000` runs more, `SEEDS=17-17` one again.

What a failure means: an invariant named in invariants.py, clients.py or scenario.py does not hold for that seed; the run repeats to the byte.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.simulation.scenario import Plan, run

FIXED = 24
FRESH = 12
PLANS = {
    "everything": Plan(),
    "five nodes": Plan(size=5, duration_ms=8_000),
    "one node": Plan(size=1, duration_ms=6_000, membership_ms=0, transfer_ms=0, partition_ms=0),
    "only crashes": Plan(crash_ms=400, partition_ms=0, pause_ms=0, zombie_ms=0, rough_weather=False, duration_ms=10_000),
    "only membership": Plan(crash_ms=3_000, membership_ms=300, snapshot_ms=300, duration_ms=10_000),
}


def _seeds() -> list[int]:
    asked = os.environ.get("SEEDS", "")
    if "-" in asked:
        first, last = asked.split("-")
        return list(range(int(first), int(last) + 1))
    if asked:
        return list(range(1, int(asked) + 1))
    fresh = random.SystemRandom()
    return [*range(1, FIXED + 1), *(fresh.randrange(1_000, 10**9) for _ in range(FRESH))]


@pytest.mark.parametrize("seed", _seeds())
def test_nothing_is_lost_or_doubled_and_no_read_is_stale(seed: int) -> None:
    name = list(PLANS)[seed % len(PLANS)] if seed % 3 == 0 else "everything"
    report = run(seed, PLANS[name])
    assert report.acknowledged > 50, f"seed {seed} ({name}) did next to nothing: {report}"
    assert report.reads > 20


def test_a_seed_replays_to_the_byte() -> None:
    assert run(7).trace == run(7).trace


def test_a_calm_cluster_has_one_term_and_no_unknown_outcome() -> None:
    calm = Plan(
        crash_ms=0, partition_ms=0, pause_ms=0, transfer_ms=0, membership_ms=0, skew_ms=0, zombie_ms=0, flicker_ms=0, rough_weather=False
    )
    report = run(3, calm)
    assert report.unknown == 0
    assert report.terms == 2
