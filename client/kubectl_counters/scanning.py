"""Walks over all counters of a cluster, on one connection.

1. A page is as large as a node gives in 20 ms of its processor: 10,000 names take 10 ms. Values are
   asked for 5,000 at a time; the node takes such a command in slices
   (docs/internals/performance.md). The time is not measured from here: the way through a
   port-forward takes longer than the node, and differs from page to page, so that a walk that
   measured it went on in pages of 2,000 and waited for the way all the time.
2. What a page costs is one way there and back: the values of one page are asked for together with
   the names of the next.
3. Names come once each (a counter that is made or deleted meanwhile may be missing or not); values
   are those of a moment after.
4. Nothing is kept but the page: whoever asks decides when it is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

PAGE, PAGE_OF_VALUES = 10_000, 5_000


class Ask(Protocol):
    def __call__(self, *commands: tuple[str | int, ...]) -> list[object]:
        """The answers to commands that are sent together."""


Page = list[tuple[str, str]]
"""Names and values; the values are empty where they were not asked for."""


def pages(ask: Ask, pattern: str, *, values: bool = False, limit: int = 0) -> Iterator[Page]:
    """`limit`: of names, 0 for all."""
    most, left = (PAGE_OF_VALUES if values else PAGE), limit

    def scan(cursor: str) -> tuple[str | int, ...]:
        # A node looks at no more names than COUNT: few where few are wanted, but not so few that a
        # rare pattern takes for ever.
        return (
            "SCAN",
            cursor,
            "MATCH",
            pattern,
            "COUNT",
            min(most, max(left, 1_000)) if limit else most,
        )

    (answer,) = ask(scan("0"))
    while True:
        cursor, names = _page_of(answer)
        if limit:
            names = names[:left]
            left -= len(names)
        last = cursor == "0" or bool(limit and not left)
        look: list[tuple[str | int, ...]] = [("MGET", *names)] if names and values else []
        go_on = [] if last else [scan(cursor)]
        answers = ask(*look, *go_on) if look or go_on else []
        if names:
            yield _with_values(names, answers[0]) if look else [(name, "") for name in names]
        if last:
            return
        answer = answers[-1]


def _page_of(answer: object) -> tuple[str, list[str]]:
    assert isinstance(answer, (list, tuple))
    return str(answer[0]), [str(name) for name in answer[1]]


def _with_values(names: list[str], found: object) -> Page:
    """Of those that are still there."""
    assert isinstance(found, list)
    return [
        (name, str(value)) for name, value in zip(names, found, strict=True) if value is not None
    ]
