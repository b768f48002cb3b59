"""The history checker refuses every known kind of wrong history, and agrees with a search through
all orders."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkers.increments import Operation, Violation, check, from_load


def add(start: float, end: float, value: int | None) -> Operation:
    return Operation("add", start, end, value)


def get(start: float, end: float, value: int) -> Operation:
    return Operation("get", start, end, value)


RIGHT: dict[str, list[Operation]] = {
    "nothing happened": [],
    "one after the other": [add(0, 1, 1), add(2, 3, 2), get(4, 5, 2)],
    "overlapping, answered in any order": [add(0, 5, 2), add(1, 4, 1), get(0, 9, 1), get(0, 9, 0)],
    "an unknown one filled the gap": [add(0, 1, 1), add(0, 9, None), add(2, 3, 3)],
    "an unknown one was executed late": [add(0, 1, None), get(2, 3, 0), get(4, 5, 1)],
    "an unknown one was never executed": [add(0, 1, None), add(2, 3, 1), get(9, 10, 1)],
    "ends that touch overlap": [add(0, 1, 2), add(1, 2, 1)],
    "reads at one value bind each other in no order": [get(4, 5, 0), get(0, 1, 0), get(2, 3, 0)],
}

WRONG: dict[str, tuple[str, list[Operation]]] = {
    "the same value answered twice": ("doubled", [add(0, 1, 1), add(2, 3, 1)]),
    "one increment counted twice": ("lost", [add(0, 1, 1), add(2, 3, 3)]),
    "an acknowledged increment is gone": (
        "out of order",
        [add(0, 1, 1), add(2, 3, 2), get(4, 5, 1)],
    ),
    "an acknowledged increment is gone and its value answered again": (
        "doubled",
        [add(0, 1, 1), add(2, 3, 2), add(4, 5, 2)],
    ),
    "a stale read": ("out of order", [add(0, 1, 1), get(2, 3, 0)]),
    "two reads going backwards": ("out of order", [add(0, 9, 1), get(1, 2, 1), get(3, 4, 0)]),
    "a read of what nobody counted": ("lost", [get(0, 1, 1)]),
    "a read of what is counted later": ("out of order", [get(0, 1, 1), add(2, 3, 1)]),
    "one unknown increment executed twice": ("lost", [add(0, 1, None), get(2, 3, 2)]),
    "the unknown one began after its effect was seen": ("lost", [get(0, 1, 1), add(2, 3, None)]),
    "the unknown one began after a higher place ended": (
        "lost",
        [add(0, 1, 1), add(0, 1, 3), add(2, 3, None)],
    ),
    "a value below the start": ("phantom", [add(0, 1, 0)]),
    "a read below the start": ("phantom", [get(0, 1, -1)]),
    "the highest values are gone at the end": (
        "out of order",
        [*(add(n, n + 0.5, n + 1) for n in range(50)), get(60, 61, 48)],
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_history_passes(name: str) -> None:
    assert _search(RIGHT[name])
    assert check(RIGHT[name]) is None


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_is_refused(name: str) -> None:
    kind, history = WRONG[name]
    assert len(history) > 10 or not _search(history)
    found = check(history)
    assert isinstance(found, Violation)
    assert found.name == kind, found


def test_the_counter_may_have_started_anywhere() -> None:
    history = [add(0, 1, 8), get(2, 3, 8)]
    assert check(history, initial=7) is None
    assert check(history, initial=6) is not None
    assert check(history, initial=8) is not None


def test_the_evidence_names_the_operations() -> None:
    assert (
        "get -> 0 [2.000000 .. 3.000000] began after add -> 1 [0.000000 .. 1.000000] had ended"
        in str(check([add(0, 1, 1), get(2, 3, 0)]))
    )


def test_a_result_of_the_load_generator_can_be_checked() -> None:
    assert (
        check(from_load([["add", 0.0, 0.1, 1], ["add", 0.0, 0.2, None], ["get", 0.3, 0.4, 2]]))
        is None
    )


def _search(history: Sequence[Operation], value: int = 0) -> bool:
    """All orders that time allows, one after the other: the definition itself, in exponential
    time."""
    if all(operation.value is None for operation in history):
        return True
    horizon = min(operation.end for operation in history if operation.value is not None)
    for position, operation in enumerate(history):
        if operation.start > horizon:
            continue
        rest = [*history[:position], *history[position + 1 :]]
        if operation.kind == "add":
            if operation.value in (None, value + 1) and _search(rest, value + 1):
                return True
        elif operation.value == value and _search(rest, value):
            return True
    return False


_KINDS: list[Literal["add", "get"]] = ["add", "add", "get"]


@st.composite
def _histories(draw: st.DrawFn) -> list[Operation]:
    """Mostly near the truth: executed in some order at some moments, then at most two things
    answered wrongly."""
    count = draw(st.integers(1, 6))
    value, moment, history = 0, 0, []
    for _ in range(count):
        moment += draw(st.integers(0, 3))
        kind = draw(st.sampled_from(_KINDS))
        value += kind == "add"
        start, end = moment - draw(st.integers(0, 4)), moment + draw(st.integers(0, 4))
        unknown = kind == "add" and draw(st.integers(0, 3)) == 0
        history.append(Operation(kind, start, end, None if unknown else value))
    for _ in range(draw(st.integers(0, 2))):
        position = draw(st.integers(0, count - 1))
        chosen = history[position]
        if chosen.value is not None:
            history[position] = Operation(
                chosen.kind, chosen.start, chosen.end, chosen.value + draw(st.integers(-1, 1))
            )
    return draw(st.permutations(history))


@settings(max_examples=1500, deadline=None)
@given(_histories())
def test_the_checker_agrees_with_a_search_through_all_orders(history: list[Operation]) -> None:
    assert (check(history) is None) == _search(history), (
        f"{[str(o) for o in history]}: {check(history)}"
    )


def test_one_missing_among_a_hundred_thousand_is_found_in_a_moment() -> None:
    chance = random.Random(1)
    history = [
        add(
            moment - 20 * chance.random(),
            moment + 20 * chance.random(),
            None if chance.random() < 0.02 else moment + 1,
        )
        for moment in range(100_000)
    ]
    chance.shuffle(history)
    start = time.monotonic()
    assert check(history) is None
    assert time.monotonic() - start < 10
    victim = next(o for o in history if o.value is not None)
    found = check([o for o in history if o is not victim])
    assert found is not None
    assert found.name == "lost"
