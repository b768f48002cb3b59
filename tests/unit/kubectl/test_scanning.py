"""A walk over all counters: pages as large as a node's 20 ms allow, each name once, values, a limit."""

from __future__ import annotations

import io

import pytest
from kubectl_counters.__main__ import Progress
from kubectl_counters.scanning import FIRST, LEAST, MOST, PAGE_S, pages, sized


class Node:
    """Counters by number; `each_s` of work for a name, `way_s` there and back."""

    def __init__(self, counters: int, each_s: float = 1e-6, way_s: float = 0.0, look_s: float = 0.0) -> None:
        self.names = [f"k{n}" for n in range(counters)]
        self.each_s, self.way_s, self.look_s, self.now_s = each_s, way_s, look_s, 0.0
        self.counts: list[int] = []
        self.gone: set[str] = set()

    def ask(self, *words: str | int) -> object:
        self.now_s += self.way_s
        if words[0] == "PING":
            return "PONG"
        if words[0] == "MGET":
            self.now_s += (len(words) - 1) * self.look_s
            return [None if name in self.gone else str(name)[1:] for name in words[1:]]
        start, count = int(words[1]), int(words[5])
        self.counts.append(count)
        self.now_s += count * self.each_s
        end = start + count
        return [str(end if end < len(self.names) else 0), self.names[start:end]]

    def walk(self, **options: object) -> list[tuple[str, str]]:
        return [pair for page in pages(self.ask, "*", clock=lambda: self.now_s, **options) for pair in page]  # type: ignore[arg-type]


@pytest.mark.parametrize("way_s", [0.0, 0.3])
def test_every_name_is_told_in_few_pages_also_from_far_away(way_s: float) -> None:
    node = Node(100_000, way_s=way_s)
    assert [name for name, _ in node.walk()] == node.names
    assert node.counts[:3] == [FIRST, FIRST * 2, FIRST * 4]
    assert max(node.counts) == MOST
    assert len(node.counts) < 20


def test_a_page_costs_a_node_hardly_more_than_20_ms() -> None:
    node = Node(100_000, each_s=5e-6)
    node.walk()
    assert max(node.counts[3:]) * node.each_s <= PAGE_S * 1.01
    node = Node(100_000, look_s=5e-6)
    node.walk(values=True)
    assert max(node.counts[3:]) * node.look_s <= PAGE_S * 1.01, "what looks up the values holds it up as well"


def test_a_slow_connection_does_not_make_the_walk_slower_still() -> None:
    """Half a million counters through a port-forward on a busy machine: each answer takes far longer than the node works."""
    node = Node(500_000)
    ask = node.ask

    def congested(*words: str | int) -> object:
        answer = ask(*words)
        node.now_s += 0.0 if words[0] == "PING" else 0.1
        return answer

    assert sum(len(page) for page in pages(congested, "*", values=True, clock=lambda: node.now_s)) == 500_000
    assert len(node.counts) <= 250
    assert node.now_s < 60


def test_a_page_is_never_so_small_that_only_the_way_counts() -> None:
    assert sized(LEAST, 1.0) == LEAST


def test_values_are_of_those_that_are_still_there_and_a_limit_ends_the_walk() -> None:
    node = Node(5_000)
    node.gone = {"k1"}
    assert node.walk(values=True, limit=3) == [("k0", "0"), ("k2", "2")]
    assert node.counts == [FIRST]
    assert len(node.walk(limit=2_500)) == 2_500
    assert Node(0).walk() == []


def test_progress_is_one_line_on_a_terminal_that_goes_again() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    times = [0.0]
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        with Progress(stream, lambda: times[0]) as progress:
            progress.tell("at once")
            times[0] += 1.0
            progress.tell("1,000 counters")
        assert ("1,000 counters" in stream.getvalue()) == shown
        assert "at once" not in stream.getvalue()
        assert stream.getvalue().endswith("\r") == shown
