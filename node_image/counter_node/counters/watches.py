"""WATCH: which counters a connection wants unchanged until its EXEC. Replicated, so that it holds
across nodes and changes of leader.

    A watch is broken once one of its counters was changed, created, removed, or had its expiry
    changed, after the entry that began the watch.

A watch may also be forgotten: `TTL_MS` of log time after it began, or when there are too many. An
EXEC whose watch is unknown fails as if the watch were broken. That is always safe: the client tries
again.

When there are too many (watches, keys, bytes of names) the user who has most of them loses its
oldest, since level 4: so however many one user begins, those of another stay. Whose a watch is, its
name says: the user, a zero byte, and what makes it one of a kind. Names without one are all of one
user. Below level 4 the oldest of all goes."""

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


def name_of(user: bytes, rest: bytes) -> bytes:
    """`rest`: without a zero byte."""
    return b"%s\0%s" % (user, rest)


class Share:
    """What one user has of the table: its watches, oldest first, and their keys."""

    __slots__ = ("key_bytes", "keys", "names")

    def __init__(self) -> None:
        self.names: dict[bytes, None] = {}
        self.keys = self.key_bytes = 0

    def much(self, what: str) -> int:
        return {"watches": len(self.names), "keys": self.keys, "key_bytes": self.key_bytes}[what]


class Watch:
    __slots__ = ("began_ms", "broken", "keys")

    def __init__(self, began_ms: int, keys: Iterable[bytes] = (), *, broken: bool = False) -> None:
        self.began_ms = began_ms
        self.broken = broken
        self.keys = dict.fromkeys(keys)  # in order, as it is state


class Watches:
    def __init__(self) -> None:
        self.by_key: dict[
            bytes, set[bytes]
            # key → names of watches; empty while nobody watches, so that writers have little to ask
        ] = {}
        self._table: dict[
            bytes, Watch
        ] = {}  # name → watch, in the order in which they began; each has a key
        self._shares: dict[bytes, Share] = {}
        self._count = 0  # keys of all watches
        self._key_bytes = 0
        self.in_slices = True
        self.newly_broken: list[Watch] | None = None  # None: nobody wants to know

    def __len__(self) -> int:
        return len(self._table)

    def add(self, name: bytes, keys: Sequence[bytes], time_ms: int) -> None:
        watch = self._table.setdefault(name, Watch(time_ms))
        self._take(name, watch, [key for key in dict.fromkeys(keys) if key not in watch.keys])
        while (what := self._too_much()) is not None:
            if self.in_slices:
                self._shorten(
                    max(self._shares, key=lambda user: (self._shares[user].much(what), user)), what
                )
            else:
                self.end(next(iter(self._table)))

    def _too_much(self) -> str | None:
        """Of what there is too much, if so."""
        if len(self._table) > MOST:
            return "watches"
        if self._count > MOST_KEYS:
            return "keys"
        return "key_bytes" if self.in_slices and self._key_bytes > MOST_KEY_BYTES else None

    def _shorten(self, user: bytes, what: str) -> None:
        """Ends the oldest watches of a user, half of what it has at most: then another may have
        more."""
        share = self._shares[user]
        enough = share.much(what) // 2
        while share.much(what) > enough and self._too_much() == what:
            self.end(next(iter(share.names)))

    def _take(self, name: bytes, watch: Watch, keys: Sequence[bytes]) -> None:
        """Keys that the watch has not yet."""
        for key in keys:
            watch.keys[key] = None
            self.by_key.setdefault(key, set()).add(name)
        self._count_in(name, len(keys), sum(map(len, keys)))

    def _count_in(self, name: bytes, keys: int, key_bytes: int) -> None:
        """Also for a watch that has gone, to the end."""
        user, zero, _ = name.partition(b"\0")
        share = self._shares.setdefault(user if zero else b"", Share())
        if name in self._table:
            share.names[name] = None
        else:
            share.names.pop(name, None)
        share.keys += keys
        share.key_bytes += key_bytes
        self._count += keys
        self._key_bytes += key_bytes
        if not share.names:
            del self._shares[user if zero else b""]

    @property
    def size_bytes(self) -> int:
        """In the units of weights.py."""
        return (
            weights.WATCH * len(self._table) + weights.WATCHED_KEY * self._count + self._key_bytes
        )

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
            self._break(self._table[name])

    def _break(self, watch: Watch) -> None:
        if not watch.broken and self.newly_broken is not None:
            self.newly_broken.append(watch)
        watch.broken = True

    def cleared(self, values: Container[bytes]) -> None:
        """All counters go, these."""
        for watch in self._table.values():
            if not watch.broken and any(key in values for key in watch.keys):
                self._break(watch)

    def evict(self, time_ms: int) -> None:
        """Those whose time is over; of many only a slice. (That one is kept for longer is right,
        too.)"""
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
        self._count_in(name, -len(watch.keys), -sum(map(len, watch.keys)))

    def dump(self) -> list[Any]:
        return [
            (name, watch.began_ms, watch.broken, list(watch.keys))
            for name, watch in self._table.items()
        ]

    def load(self, name: bytes, began_ms: int, broken: bool, keys: list[bytes]) -> None:
        """A row of `dump`, or the next keys of it."""
        self._take(name, self._table.setdefault(name, Watch(began_ms, broken=broken)), keys)
