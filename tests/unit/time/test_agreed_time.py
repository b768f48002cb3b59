"""agree(): what holds as long as a minority of clocks is wrong (agreed_time.py)."""

from __future__ import annotations

from counter_node.replica.agreed_time import Interval, agree, majority
from hypothesis import given
from hypothesis import strategies as st

WIDE = st.floats(-1e13, 1e13)
WIDTH = 500.0


@st.composite
def clocks(draw: st.DrawFn, wrong_at_most: int | None = None) -> tuple[float, int, list[Interval]]:
    """True time, how many clocks there are, and what those say that answer: right ones around true
    time, and a minority anything at all."""
    n = draw(st.integers(1, 7))
    true = draw(WIDE)
    most = n - majority(n) if wrong_at_most is None else min(wrong_at_most, n)
    wrong = draw(st.integers(0, most))
    right = []
    for _ in range(n - wrong):
        low = draw(st.floats(0, WIDTH))
        right.append(Interval(true - low, true + draw(st.floats(0, WIDTH - low))))
    bad = []
    for _ in range(wrong):
        at = draw(WIDE | st.floats(true - 1000, true + 1000))
        if draw(st.booleans()):  # else it does not answer
            bad.append(Interval(at, at + draw(st.floats(0, 1e13))))
    return true, n, draw(st.permutations(right + bad))


@given(clocks())
def test_with_a_minority_wrong_the_bounds_hold_true_time_and_are_near_it(
    case: tuple[float, int, list[Interval]],
) -> None:
    true, n, found = case
    agreed = agree(found, majority(n))
    assert agreed is not None
    assert true - WIDTH - 1 <= agreed.low <= true <= agreed.high <= true + WIDTH + 1


@given(clocks(wrong_at_most=7), st.integers(1, 7))
def test_it_is_what_a_count_at_every_edge_says(
    case: tuple[float, int, list[Interval]], needed: int
) -> None:
    """Against a naive version of itself."""
    _, _, found = case
    edges = [edge for interval in found for edge in interval]
    covered = [at for at in edges if sum(i.low <= at <= i.high for i in found) >= needed]
    agreed = agree(found, needed)
    assert agreed == (Interval(min(covered), max(covered)) if covered else None)


@given(WIDE, st.floats(0, WIDTH), WIDE)
def test_of_two_clocks_a_wrong_one_makes_nothing_early(
    true: float, low: float, other: float
) -> None:
    right, wrong = Interval(true - low, true + WIDTH), Interval(other, other + 1e9)
    agreed = agree([right, wrong], majority(2))
    assert agreed is None or agreed.low <= right.high
    assert min(right.low, wrong.low) <= true


def test_a_majority_of_all_is_needed_and_not_of_those_who_answer() -> None:
    assert agree([Interval(0, 1)], majority(3)) is None
    assert agree([Interval(0, 1), Interval(5, 6)], majority(3)) is None
    assert agree([Interval(0, 1), Interval(0.5, 2)], majority(3)) == Interval(0.5, 1)
    assert agree([Interval(0, 1), Interval(1, 2)], majority(3)) == Interval(1, 1)


def test_one_wrong_clock_cannot_draw_the_bounds_its_way() -> None:
    """The classic choice, the place that most clocks cover, lies past true time here."""
    right = [Interval(0, 10), Interval(4, 14)]
    assert agree([*right, Interval(9, 20)], majority(3)) == Interval(4, 14)
