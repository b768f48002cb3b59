"""What belongs to one process, and in asyncio to one event loop: connections, and the producers
that speak through them.

A fork copies producer, sequence and socket: a call of the child's would be answered with the
outcome of one of the parent's. A connection of another event loop cannot be waited for. So each
owner gets its own, and those of owners that are gone are let go without being closed: a child's
copy of a socket is its parent's, and a closed loop can close nothing."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Owned(Generic[T]):
    def __init__(
        self, owner: Callable[[], Hashable], gone: Callable[[Hashable], bool], make: Callable[[], T]
    ) -> None:
        """`owner`: who calls; `gone`: an owner that will not call again."""
        self._owner, self._gone, self._make = owner, gone, make
        self._all: dict[Hashable, T] = {}

    def mine(self) -> T:
        """The caller's, made at its first call. Threads of one owner may race for that; all get
        what the dictionary got first."""
        owner = self._owner()
        found = self._all.get(owner)
        if found is None:
            for other in [each for each in list(self._all) if self._gone(each)]:
                self._all.pop(other, None)
            found = self._all.setdefault(owner, self._make())
        return found

    def mine_if_any(self) -> T | None:
        return self._all.get(self._owner())
