"""KEYS, and whoever else wants all names, in slices: a walk over the index, page by page, while
counters come and go.

A counter that is there during the whole walk is listed once, and one that comes or goes may be
listed or not: the promise of SCAN. The names are kept as the protocol has them, which is the same
in both its versions, so that nobody has to go through a million of them at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from counter_node.counters.keyspace import matching
from counter_node.counters.replies import Failure, Listing
from counter_node.counters.state import State

PAGE: Final = 1_000
PAGES: Final = 4
"""In one slice."""
MOST_BYTES: Final = 16 << 20
TOO_MUCH = Failure(b"ERR the names that KEYS found take more than %d bytes; use SCAN" % MOST_BYTES)


class Walk:
    def __init__(
        self, pattern: bytes | None, match: Callable[[bytes], object] | None = None
    ) -> None:
        """`match`: only of those (within.py)."""
        self._pattern, self._match = pattern, match
        self._cursor = 0
        self._count = self._bytes = 0
        self._parts: list[bytes] = []

    def step(self, state: State, pages: int = PAGES, page: int = PAGE) -> bool:
        """One slice: so many pages of so many names. True when all are listed."""
        for _ in range(pages):
            self._cursor, names = state.index.page(self._cursor, page)
            if state.backlog:
                names = [name for name in names if not state.is_due(name)]
            if self._match is not None:
                names = list(filter(self._match, names))
            found = matching(names, self._pattern)
            part = b"".join([b"$%d\r\n%s\r\n" % (len(name), name) for name in found])
            self._parts.append(part)
            self._count += len(found)
            self._bytes += len(part)
            if self._cursor == 0 or self._bytes > MOST_BYTES:
                return True
        return False

    def reply(self) -> Listing | Failure:
        return TOO_MUCH if self._bytes > MOST_BYTES else Listing(self._count, self._parts)
