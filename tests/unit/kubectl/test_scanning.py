"""A walk over all counters: pages as large as a node's 20 ms allow, one way for each, every name
once, values, a limit."""

from __future__ import annotations

import io

from counter_node.resp.keyed import MAX_PAGE
from kubectl_counters.scanning import PAGE, PAGE_OF_VALUES, pages
from kubectl_counters.session import Progress


class Node:
    """Counters by number."""

    def __init__(self, counters: int) -> None:
        self.names = [f"k{n}" for n in range(counters)]
        self.counts: list[int] = []
        self.read: list[int] = []
        self.gone: set[str] = set()
        self.trips = 0

    def ask(self, *commands: tuple[str | int, ...]) -> list[object]:
        self.trips += 1
        return [self._one(*words) for words in commands]

    def _one(self, *words: str | int) -> object:
        if words[0] == "MGET":
            self.read.append(len(words) - 1)
            return [None if name in self.gone else str(name)[1:] for name in words[1:]]
        start, count = int(words[1]), int(words[5])
        self.counts.append(count)
        end = start + count
        return [str(end if end < len(self.names) else 0), self.names[start:end]]

    def walk(self, **options: object) -> list[tuple[str, str]]:
        return [pair for page in pages(self.ask, "*", **options) for pair in page]  # type: ignore[arg-type]


def test_every_name_is_listed_once_and_a_page_costs_one_way() -> None:
    """Through a port-forward a way takes many times what the node works: 600,000 names took 196 of
    them, with values 562."""
    node = Node(600_000)
    assert [name for name, _ in node.walk()] == node.names
    assert (node.trips, set(node.counts)) == (60, {PAGE})
    node = Node(600_000)
    assert node.walk(values=True) == [(name, name[1:]) for name in node.names]
    assert (node.trips, max(node.counts), max(node.read)) == (121, PAGE_OF_VALUES, PAGE_OF_VALUES)


def test_a_page_is_none_that_holds_a_node_up() -> None:
    assert PAGE <= MAX_PAGE, "that is what a node gives in 20 ms"
    assert 2 * PAGE_OF_VALUES <= PAGE


def test_values_are_of_those_that_are_still_there_and_a_limit_ends_the_walk() -> None:
    node = Node(15_000)
    node.gone = {"k1"}
    assert node.walk(values=True, limit=3) == [("k0", "0"), ("k2", "2")]
    assert node.counts == [1_000], "few are read where few are wanted"
    assert len(node.walk(limit=12_500)) == 12_500
    assert node.counts[1:] == [10_000, 2_500]
    assert Node(0).walk() == []
    assert Node(7).walk(values=True)[-1] == ("k6", "6")


def test_an_empty_page_is_no_end() -> None:
    """A rare pattern: a node looks at COUNT names and tells of those that match."""
    answers: list[object] = [["5", []], ["9", ["a"]], ["1"], ["0", []]]
    asked: list[object] = []

    def ask(*commands: tuple[str | int, ...]) -> list[object]:
        asked.extend(commands)
        return [answers.pop(0) for _ in commands]

    assert list(pages(ask, "a*", values=True)) == [[("a", "1")]]
    assert [words[0] for words in asked] == ["SCAN", "SCAN", "MGET", "SCAN"]  # type: ignore[index]


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
