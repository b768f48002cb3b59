"""The checker is checked: histories known to be right and known to be wrong, and against trying
every order."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from tests.checkers import linearizability
from tests.checkers.linearizability import Call, Undecided, counter, linearizable

UNKNOWN = math.inf


def incr(start: float, end: float, result: int | None = None, by: int = 1) -> Call:
    return Call("incrby", (by,), result, start, end)


def get(start: float, end: float, result: int | None) -> Call:
    return Call("get", (), result, start, end)


RIGHT = {
    "nothing": [],
    "one after the other": [incr(0, 1, 1), get(2, 3, 1), incr(4, 5, 2)],
    "overlapping reads may differ": [incr(0, 10, 1), get(1, 2, None), get(3, 4, 1)],
    "an unknown increment that happened": [incr(0, UNKNOWN), get(5, 6, 1)],
    "an unknown increment that never happened": [incr(0, UNKNOWN), get(5, 6, None)],
    "an unknown increment that happened late": [incr(0, UNKNOWN), get(1, 2, None), get(3, 4, 1)],
    "deleted and counted again": [incr(0, 1, 1), Call("getdel", (), 1, 2, 3), incr(4, 5, 1)],
    "one of two creates": [
        Call("setnx", (7,), True, 0, 5),
        Call("setnx", (8,), False, 0, 5),
        get(6, 7, 7),
    ],
}

WRONG = {
    "stale read": [incr(0, 1, 1), incr(2, 3, 2), get(4, 5, 1)],
    "lost increment": [incr(0, 1, 1), get(2, 3, None)],
    "doubled increment": [incr(0, 1, 1), get(2, 3, 2)],
    "one value twice": [incr(0, 5, 1), incr(0, 5, 1)],
    "reads that go back": [incr(0, 10, 1), get(1, 2, 1), get(3, 4, None)],
    "an unknown increment twice": [incr(0, UNKNOWN), get(1, 2, 1), get(3, 4, 2)],
    "an unknown increment that came and went": [incr(0, UNKNOWN), get(1, 2, 1), get(3, 4, None)],
    "two creates": [Call("setnx", (7,), True, 0, 5), Call("setnx", (8,), True, 0, 5)],
    "deleted by two": [
        incr(0, 1, 3, by=3),
        Call("getdel", (), 3, 2, 5),
        Call("getdel", (), 3, 2, 5),
    ],
    "seen before it began": [get(0, 1, 1), incr(2, 3, 1)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_history_passes(name: str) -> None:
    assert linearizable(RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_is_found(name: str) -> None:
    assert not linearizable(WRONG[name])


def by_all_orders(calls: list[Call]) -> bool:
    """The definition, word by word."""
    known = [c for c in calls if c.known]
    unknown = [c for c in calls if not c.known]
    for extra in itertools.chain.from_iterable(
        itertools.combinations(unknown, n) for n in range(len(unknown) + 1)
    ):
        for order in itertools.permutations([*known, *extra]):
            if any(b.end < a.start for n, a in enumerate(order) for b in order[n + 1 :]):
                continue
            state, right = None, True
            for call in order:
                state, result = counter(state, call)
                right = right and (not call.known or result == call.result)
            if right:
                return True
    return False


def test_it_agrees_with_trying_every_order() -> None:
    chance = random.Random(1)
    verdicts = []
    for _ in range(1_500):
        calls = []
        for _ in range(chance.randint(1, 5)):
            start = chance.uniform(0, 6)
            end = UNKNOWN if chance.random() < 0.15 else start + chance.uniform(0, 4)
            calls.append(
                chance.choice(
                    [
                        incr(start, end, chance.randint(1, 3)),
                        get(start, end, chance.choice([None, 1, 2])),
                    ]
                )
            )
        verdict = linearizable(calls)
        verdicts.append(verdict)
        assert verdict == by_all_orders(calls), calls
    assert 100 < sum(verdicts) < 1_400, "both verdicts must be tried"


def test_a_search_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizability, "BUDGET", 1_000)
    with pytest.raises(Undecided):
        linearizable([*(incr(0, UNKNOWN, by=2**n) for n in range(20)), get(1, 2, -1)])
