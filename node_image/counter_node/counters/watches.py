"""WATCH: which counters a connection wants unchanged until its EXEC. Replicated, so that it holds across nodes and changes of leader.

    A watch is broken once one of its counters was changed, created, removed, or had its expiry changed, after the entry that began the watch.

A watch may also be forgotten: `TTL_MS` of log time after it began, or the oldest first when there are too many. An EXEC whose watch is unknown fails
as if the watch were broken. That is always safe: the client tries again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, Final

from counter_node.counters import weights

TTL_MS: Final = 3_600_000
MOST: Final = 10_000
MOST_KEYS: Final = 100_000
"""Of all watches together."""
MOST_KEY_BYTES: Final = 8 << 20
"""The names of those, since level 4."""
SLICE_KEYS: Final = 2_000


class Watch:
    __slots__ = ("began_ms", "broken", "keys")

    def __init__(self, began_ms: int, keys: Iterable[bytes] = (), *, broken: bool = False) -> None:
        self.began_ms = began_ms
        self.broken = broken
        self.keys = dict.fromkeys(keys)  # in order, as it is state


class Watches:
    def __init__(self) -> None:
        self.by_key: dict[bytes, set[bytes]] = {}  # key → names of watches; empty while nobody watches, so that writers have little to ask
        self._table: dict[bytes, Watch] = {}  # name → watch, in the order in which they began; each has a key
        self._count = 0  # keys of all watches
        self._key_bytes = 0
        self.in_slices = True

    def __len__(self) -> int:
        return len(self._table)

    def add(self, name: bytes, keys: Sequence[bytes], time_ms: int) -> None:
        watch = self._table.setdefault(name, Watch(time_ms))
        for key in keys:
            if key not in watch.keys:
                watch.keys[key] = None
                self.by_key.setdefault(key, set()).add(name)
                self._count += 1
                self._key_bytes += len(key)
        while len(self._table) > MOST or self._count > MOST_KEYS or (self.in_slices and self._key_bytes > MOST_KEY_BYTES):
            self.end(next(iter(self._table)))

    @property
    def size_bytes(self) -> int:
        """In the units of weights.py."""
        return weights.WATCH * len(self._table) + weights.WATCHED_KEY * self._count + self._key_bytes

    def keys_of(self, name: bytes) -> list[bytes]:
        watch = self._table.get(name)
        return [] if watch is None else list(watch.keys)

    def end(self, name: bytes) -> bool:
        """Forgets a watch. True if it was there and unbroken."""
        watch = self._table.pop(name, None)
        if watch is None:
            return False
        self._forget_keys(name, watch)
        return not watch.broken

    def touched(self, key: bytes) -> None:
        for name in self.by_key.get(key, ()):
            self._table[name].broken = True

    def cleared(self, values: Container[bytes]) -> None:
        """All counters go, these."""
        for watch in self._table.values():
            watch.broken = watch.broken or any(key in values for key in watch.keys)

    def evict(self, time_ms: int) -> None:
        """Those whose time is over; of many only a slice. (That one is kept for longer is right, too.)"""
        enough = self._count - SLICE_KEYS
        while self._table and not (self.in_slices and self._count < enough):
            name, watch = next(iter(self._table.items()))
            if time_ms < watch.began_ms + TTL_MS:
                return
            self.end(name)

    def _forget_keys(self, name: bytes, watch: Watch) -> None:
        for key in watch.keys:
            names = self.by_key[key]
            names.discard(name)
            if not names:
                del self.by_key[key]
        self._count -= len(watch.keys)
        self._key_bytes -= sum(map(len, watch.keys))

    def dump(self) -> list[Any]:
        return [(name, watch.began_ms, watch.broken, list(watch.keys)) for name, watch in self._table.items()]

    def load(self, name: bytes, began_ms: int, broken: bool, keys: list[bytes]) -> None:
        """A row of `dump`, or the next keys of it."""
        watch = self._table.setdefault(name, Watch(began_ms, broken=broken))
        for key in keys:
            watch.keys[key] = None
            self.by_key.setdefault(key, set()).add(name)
        self._count += len(keys)
        self._key_bytes += sum(map(len, keys))
