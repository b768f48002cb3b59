"""SCAN, KEYS, RANDOMKEY and DBSIZE for a user that is to see nothing beside its patterns of keys.

    [WITHIN, patterns, command]: as if the counters that match none of the patterns were not there.

1. All counters are scanned, as a name's place (keyspace.py) says nothing about patterns: alone in
   slices, as KEYS does, while counters come and go; in a transaction or behind writes at once, so
   only of few. What a look costs grows with the patterns.
2. No answer depends on a foreign counter. SCAN goes on until it has found what it was asked for,
   and its cursor is the place behind the last counter of one's own: never that of a foreign one,
   which would tell the CRC-32 of its name, nor how many were passed over.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.keyspace import match_of, matching
from counter_node.counters.listing import PAGE, PAGES, Walk
from counter_node.counters.replies import Failure
from counter_node.counters.state import MOST_SCANNED, State

_PATTERNS_FREE: Final = 4
"""So many cost no more than one."""
TOO_MANY = Failure(
    b"ERR SCAN, KEYS, RANDOMKEY and DBSIZE of a user with patterns look at all counters, at %d at"
    b" most in one transaction or behind writes of a pipeline; send it alone" % MOST_SCANNED
)


def cost(op: Op, state: State) -> int:
    """Names to look at; with many patterns each counts several times."""
    return len(state.values) * _factor(op[1])


def _factor(patterns: Sequence[bytes]) -> int:
    return 1 + len(patterns) // _PATTERNS_FREE


def walk_of(op: Op, state: State) -> Walk | Search | None:
    """For a read that is alone and cannot be answered at once."""
    if op[0] == o.KEYS and len(state.values) > MOST_SCANNED:
        return Walk(op[1])
    return Search(op) if op[0] == o.WITHIN and cost(op, state) > MOST_SCANNED else None


def at_once(state: State, op: Op) -> Any:
    if not state.may_look_at(cost(op, state)):
        return TOO_MANY
    _, patterns, (code, *words) = op
    if code == o.KEYS:
        match = match_of(tuple(patterns))
        _, names = state.index.run(0, len(state.values))  # in an order that is the same everywhere
        mine = [n for n in names if match(n) and not (state.backlog and state.is_due(n))]
        return matching(mine, words[0])
    search = Search(op)
    while not search.step(state):
        pass
    return search.reply()


class Search:
    """The answer in slices. (That of KEYS is Walk's.)"""

    def __init__(self, op: Op) -> None:
        _, patterns, (code, *words) = op
        self._match = match_of(tuple(patterns))
        names = max(1, PAGES * PAGE // _factor(patterns))  # in one slice
        self._page = min(PAGE, names)
        self._pages = names // self._page
        self._keys: Walk | None = Walk(words[0], self._match) if code == o.KEYS else None
        self._code, self._words = code, words
        self._steps: Generator[None, None, Any] | None = None
        self._reply: Any = None

    def step(self, state: State) -> bool:
        """One slice. True when all is found."""
        if self._keys is not None:
            return self._keys.step(state, self._pages, self._page)
        if self._steps is None:
            find: dict[int, Callable[..., Generator[None, None, Any]]] = {
                o.SCAN: self._scan, o.RANDOMKEY: self._random, o.DBSIZE: self._count
            }  # fmt: skip
            self._steps = find[self._code](state, *self._words)
        try:
            next(self._steps)
        except StopIteration as end:
            self._reply = end.value
            return True
        return False

    def reply(self) -> Any:
        return self._keys.reply() if self._keys is not None else self._reply

    def _names(self, state: State, cursor: int) -> Iterator[list[bytes] | None]:
        """Pages of one's own counters from that place on; None after each slice."""
        match = self._match
        while True:
            for _ in range(self._pages):
                cursor, names = state.index.page(cursor, self._page)
                yield [n for n in names if match(n) and not (state.backlog and state.is_due(n))]
                if cursor == 0:
                    return
            yield None

    def _count(self, state: State) -> Generator[None, None, int]:
        """[DBSIZE]"""
        found = 0
        for names in self._names(state, 0):
            if names is None:
                yield
            else:
                found += len(names)
        return found

    def _random(self, state: State, place: int) -> Generator[None, None, bytes | None]:
        """[RANDOMKEY, place]: the first one from that place on, or else from the beginning."""
        for start in (place, 0):
            for names in self._names(state, start):
                if names is None:
                    yield
                elif names:
                    return names[0]
        return None

    def _scan(
        self, state: State, cursor: int, count: int, pattern: bytes | None
    ) -> Generator[None, None, list[Any]]:
        """[SCAN, cursor, count, pattern or None]: [next cursor, keys]"""
        found: list[bytes] = []
        last = -1
        for names in self._names(state, cursor):
            if names is None:
                yield
                continue
            for name in names:
                place = zlib.crc32(name)
                if len(found) >= count and place != last:
                    return [b"%d" % (last + 1), matching(found, pattern)]
                found.append(name)
                last = place
        return [b"0", matching(found, pattern)]
