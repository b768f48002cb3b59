"""The simulator is worth what it finds: each breakage of the node that it finds soon must be found.
`make mutations` is the whole table."""

from __future__ import annotations

import time

import pytest

from tests.mutations.catalogue import CATALOGUE
from tests.simulation.plan import PLANS
from tests.simulation.shrink import failure, shrink

pytestmark = pytest.mark.timeout(400)

MOST_SEEDS = 60
QUICK = [m.name for m in CATALOGUE.values() if m.quick]


def first_failure(name: str) -> tuple[int, str]:
    for seed in range(1, MOST_SEEDS):
        for plan in CATALOGUE[name].plans:
            if failure(seed, PLANS[plan]) is not None:
                return seed, plan
    raise pytest.fail.Exception(f"{MOST_SEEDS} seeds noticed nothing: {CATALOGUE[name].breaks}")


@pytest.mark.parametrize("name", QUICK)
def test_a_breakage_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CATALOGUE[name].apply(monkeypatch.setattr)
    first_failure(name)


def test_a_failure_shrinks_to_few_faults_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    CATALOGUE["vote-for-an-older-log"].apply(monkeypatch.setattr)
    seed, plan = first_failure("vote-for-an-older-log")
    found = failure(seed, PLANS[plan])
    assert found is not None
    start = time.monotonic()
    small = shrink(found, 20)
    assert time.monotonic() - start < 60
    assert small.headline == found.headline
    assert len(small.faults) < len(found.faults) / 2
    again = failure(small.seed, small.plan)
    assert again is not None
    assert (again.error, again.at_ms) == (small.error, small.at_ms)
