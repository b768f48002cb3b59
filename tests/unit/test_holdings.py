"""The budget of what clients can make a node hold, and fair turns."""

from __future__ import annotations

import asyncio
from time import monotonic

from counter_node.memory import client_bytes
from counter_node.net.holdings import STRANGERS_PART, Holdings
from counter_node.net.turns import STRANGERS_SHARE, Turns
from hypothesis import given
from hypothesis import strategies as st

LIMIT = 1_000


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, LIMIT), st.booleans()), max_size=60))
def test_the_budget_holds_and_the_heaviest_goes(changes: list[tuple[int, int, bool]]) -> None:
    held: dict[int, tuple[int, bool]] = {}

    def cut(who: int) -> None:
        kind = [size for size, stranger in held.values() if stranger == held[who][1]]
        assert held[who][0] == max(kind)
        del held[who]

    holdings = Holdings[int](LIMIT, cut)
    for who, size, stranger in changes:
        held[who] = (size, stranger)
        holdings.weigh(who, size, stranger=stranger)
        assert holdings.total == sum(size for size, _ in held.values()) <= LIMIT
        assert sum(size for size, stranger in held.values() if stranger) <= LIMIT // STRANGERS_PART


def test_strangers_never_cost_one_who_is_logged_in_its_place() -> None:
    gone: list[str] = []
    holdings = Holdings[str](LIMIT, gone.append)
    holdings.weigh("known", LIMIT - LIMIT // STRANGERS_PART, stranger=False)
    for n in range(1_000):
        holdings.weigh(f"stranger {n}", 50, stranger=True)
    assert "known" not in gone
    assert len(gone) == 1_000 - LIMIT // STRANGERS_PART // 50


def test_of_equals_the_oldest_goes_and_a_stranger_that_logs_in_counts_elsewhere() -> None:
    gone: list[str] = []
    holdings = Holdings[str](LIMIT, gone.append)
    for name in "abc":
        holdings.weigh(name, 60, stranger=True)
    assert gone == ["a"]
    holdings.weigh("b", 60, stranger=False)
    holdings.weigh("d", 60, stranger=True)
    assert gone == ["a"]
    holdings.gone("b")
    assert holdings.total == 120


def test_a_setting_goes_before_the_container() -> None:
    assert client_bytes(5 << 20, 512 << 20) == 5 << 20
    assert [client_bytes(0, memory) for memory in (0, 1, 512 << 20, 8 << 30)] == [
        256 << 20,
        1 << 20,
        64 << 20,
        256 << 20,
    ]


class Spinner:
    """Never done."""

    def __init__(self, rest_s: float) -> None:
        self.used_s, self._rest_s = 0.0, rest_s

    def work(self, until_s: float) -> bool:
        start = monotonic()
        while monotonic() < min(until_s, start + self._rest_s):
            pass
        self.used_s += monotonic() - start
        return True


def test_strangers_get_their_share_however_many_they_are_and_timers_run_between() -> None:
    async def run() -> tuple[float, float, int]:
        loop = asyncio.get_running_loop()
        turns, known, strangers = Turns(loop), Spinner(0.001), [Spinner(0.001) for _ in range(100)]
        turns.wait(known, stranger=False)
        for stranger in strangers:
            turns.wait(stranger, stranger=True)
        ticks = 0
        end = loop.time() + 0.5
        while loop.time() < end:
            await asyncio.sleep(0.001)
            ticks += 1
        return known.used_s, sum(s.used_s for s in strangers), ticks

    known_s, strangers_s, ticks = asyncio.run(run())
    assert strangers_s > 0
    assert strangers_s < (known_s + strangers_s) * STRANGERS_SHARE * 2
    assert ticks > 5


def test_an_error_in_one_does_not_end_the_turns_of_the_others() -> None:
    class Broken:
        def work(self, until_s: float) -> bool:
            raise RuntimeError("broken")

    async def run() -> float:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        turns, other = Turns(loop), Spinner(0.001)
        turns.wait(Broken(), stranger=False)
        turns.wait(other, stranger=False)
        for _ in range(5):
            await asyncio.sleep(0)
        return other.used_s

    assert asyncio.run(run()) > 0
