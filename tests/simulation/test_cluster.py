"""The whole cluster under everything at once: a fixed set of seeds, and fresh ones. `make sim
SEEDS=2000` runs more (python -m tests.simulation).

What a failure means: an invariant named in invariants.py, clients.py or scenario.py does not hold
for that seed; the run repeats to the byte."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tests.simulation.faults import draw
from tests.simulation.plan import PLANS, Plan
from tests.simulation.scenario import plan_for, run
from tests.simulation.shrink import described, failure, shrink

FIXED = 24
FRESH = 12


def _seeds() -> list[int]:
    fresh = random.SystemRandom()
    return [*range(1, FIXED + 1), *(fresh.randrange(1_000, 10**9) for _ in range(FRESH))]


@pytest.mark.parametrize("seed", _seeds())
def test_nothing_is_lost_or_doubled_and_no_read_is_stale(seed: int) -> None:
    name = plan_for(seed)
    found = failure(seed, PLANS[name])
    assert found is None, described(shrink(found, 30), name)


def test_the_simulated_clients_get_something_done() -> None:
    for name, plan in PLANS.items():
        report = run(1, plan)
        assert report.acknowledged > 50, f"{name} did next to nothing: {report}"
        assert report.reads > 20


def test_a_seed_replays_to_the_byte() -> None:
    for name in ("everything", "storage"):
        assert run(7, PLANS[name]).trace == run(7, PLANS[name]).trace


def test_leaving_faults_out_leaves_the_others_as_they_are() -> None:
    plan = PLANS["everything"]
    assert draw(7, dataclasses.replace(plan, only=(3, 5), transfer_ms=0)) != draw(7, plan)
    assert draw(7, dataclasses.replace(plan, only=(3, 5))) == draw(7, plan)


def test_a_calm_cluster_has_one_term_and_no_unknown_outcome() -> None:
    calm = Plan(**{f"{kind}_ms": 0 for kind in Plan().rates()})
    report = run(3, calm)
    assert report.unknown_before == 0
    assert report.unknown <= calm.clients, "what was under way as the cut began"
    assert report.terms == 3, (
        "the second begins it, the third follows the silent cut in which every run ends"
    )
