"""Walking over all keys, a page at a time, while they come and go; and the patterns of KEYS and
SCAN.

A key's place is the CRC-32 of its name. SCAN walks the places upwards, and its cursor is the next
place to look at, so that:

1. A key that is there during the whole walk is listed, exactly once.
2. A cursor means the same on every node, and after a restart.
3. What a page holds follows from the keys, the cursor and the count alone. (A reply may be kept in
   the replicated state, see producers.py.)

Keys are kept in buckets of neighbouring places, as finding a page in an unordered table would mean
looking at all of it. They are kept so from the first key on, and a bucket that is full is parted in
two, so that nothing is ever rebuilt while clients wait: a new key costs a microsecond at most,
one that exists already costs nothing."""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

PLACES: Final = 1 << 32
MOST_PER_BUCKET: Final = 128
_FIRST_PER_BUCKET: Final = 48
"""On average, of an index made of many keys at once: most buckets then take some more before they
are parted."""
ROOM_PIECE: Final = 20_000
"""Buckets made at a time."""
Match = Callable[[bytes], bool]
_SPECIAL: Final = frozenset(b"*?[\\")
"""What makes a pattern more than a name."""


class KeyIndex:
    """Bucket n holds the keys with places from `starts[n]` on, below `starts[n + 1]`."""

    def __init__(self, expected: int = 0) -> None:
        """`expected`: how many keys will come by `add_all`, after `make_room`."""
        bits = (expected // _FIRST_PER_BUCKET).bit_length()
        self._shift = 32 - bits
        self._wanted = 1 << bits
        self._starts = [0]
        self.buckets: list[list[bytes]] = [[]]

    def make_room(self) -> Iterator[None]:
        """For what is expected, with a pause after each piece."""
        while len(self._starts) < self._wanted:
            begin = len(self._starts)
            end = min(self._wanted, begin + ROOM_PIECE)
            self._starts += [number << self._shift for number in range(begin, end)]
            self.buckets += [[] for _ in range(begin, end)]
            yield

    def add_all(self, keys: Iterable[bytes]) -> None:
        """Of the keys expected, before anything else happened to the index."""
        buckets, place, shift = self.buckets, zlib.crc32, self._shift
        for key in keys:
            buckets[place(key) >> shift].append(key)

    def add(self, key: bytes) -> None:
        """One that is not there yet."""
        number = bisect_right(self._starts, zlib.crc32(key)) - 1
        bucket = self.buckets[number]
        bucket.append(key)
        if len(bucket) > MOST_PER_BUCKET:
            self._part(number)

    def _part(self, number: int) -> None:
        """In the middle of its places. One half may still be too long; then the next key parts it
        again."""
        starts, bucket, place = self._starts, self.buckets[number], zlib.crc32
        end = starts[number + 1] if number + 1 < len(starts) else PLACES
        middle = (starts[number] + end) // 2
        if middle > starts[number]:
            starts.insert(number + 1, middle)
            self.buckets[number] = [key for key in bucket if place(key) < middle]
            self.buckets.insert(number + 1, [key for key in bucket if place(key) >= middle])

    def remove(self, key: bytes) -> None:
        """One that is there."""
        number = bisect_right(self._starts, zlib.crc32(key)) - 1
        bucket = self.buckets[number]
        bucket.remove(key)
        if not bucket and number:
            del self.buckets[number], self._starts[number]

    def run(self, cursor: int, least: int) -> tuple[int, list[bytes]]:
        """Keys from `cursor` on in the order of the index, so many at least if there are as many,
        and where they end (0: that was all). What is found follows, by and large, from the buckets;
        only the order does not."""
        starts, buckets = self._starts, self.buckets
        number = bisect_right(starts, cursor) - 1
        found = in_order([key for key in buckets[number] if zlib.crc32(key) >= cursor])
        while (number := number + 1) < len(buckets) and len(found) < least:
            found += in_order(buckets[number])
        return (starts[number] if number < len(buckets) else 0), found

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The next cursor (0: that was all) and `count` keys from `cursor` on, if there are as
        many; more when keys share the last place."""
        found: list[bytes] = []
        last = -1
        for place, key in self._from(cursor):
            if len(found) >= count and place != last:
                return place, found
            found.append(key)
            last = place
        return 0, found

    def _from(self, cursor: int) -> Iterator[tuple[int, bytes]]:
        for number in range(bisect_right(self._starts, cursor) - 1, len(self.buckets)):
            yield from sorted(
                (place, key) for key in self.buckets[number] if (place := zlib.crc32(key)) >= cursor
            )


def in_order(keys: Iterable[bytes]) -> list[bytes]:
    """By place, and those of one place by name."""
    found = sorted(keys)
    found.sort(key=zlib.crc32)
    return found


def matching(keys: Iterable[bytes], pattern: bytes | None) -> list[bytes]:
    """Those that match a pattern as Redis understands it; None and `*` match all."""
    if pattern is None or pattern == b"*":
        return list(keys)
    match = compiled(pattern).match
    return [key for key in keys if match(key)]


@lru_cache(maxsize=1_024)
def match_of(patterns: tuple[bytes, ...]) -> Match:
    """Whether a name matches one of the patterns. A name, and one that ends in the only star, are
    compared as they are: to compile three hundred takes 20 ms, and whoever asks first would
    wait."""
    names = frozenset(p for p in patterns if _SPECIAL.isdisjoint(p))
    begins = {p: p[:-1] for p in patterns if p.endswith(b"*") and _SPECIAL.isdisjoint(p[:-1])}
    heads = tuple(begins.values())
    others = [p for p in patterns if p not in names and p not in begins]
    if not others:
        return lambda name: name in names or name.startswith(heads)
    match = re.compile(b"|".join(b"(?:%s)" % compiled(p).pattern for p in others), re.DOTALL).match
    return lambda name: name in names or name.startswith(heads) or match(name) is not None


@lru_cache(maxsize=64)
def compiled(pattern: bytes) -> re.Pattern[bytes]:
    """`*`, `?`, `[a-c]`, `[^a]`, and a backslash before what is meant as it is. Never backtracks
    further than one star: every star but the last takes the shortest text that lets what follows it
    match, and keeps to it."""
    pieces: list[bytes] = [b""]  # what stands between the stars
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append(b"")
            at += 1
        elif char == b"[":
            piece, at = _class(pattern, at + 1)
            pieces[-1] += piece
        elif char == b"?":
            pieces[-1] += b"."
            at += 1
        else:
            if char == b"\\" and at + 1 < len(pattern):
                at += 1
            pieces[-1] += re.escape(pattern[at : at + 1])
            at += 1
    if len(pieces) == 1:
        return re.compile(pieces[0] + rb"\Z", re.DOTALL)
    middle = b"".join(b"(?>.*?" + piece + b")" for piece in pieces[1:-1])
    return re.compile(pieces[0] + middle + b".*" + pieces[-1] + rb"\Z", re.DOTALL)


def _class(pattern: bytes, at: int) -> tuple[bytes, int]:
    """What follows a `[`, as a regular expression, and where it ends. One that is never closed ends
    with the pattern, as in Redis."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members = bytearray()
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            at += 1
            members.append(pattern[at])
            at += 1
        elif at + 2 < len(pattern) and pattern[at + 1 : at + 2] == b"-":
            low, high = sorted((pattern[at], pattern[at + 2]))
            members += bytes(range(low, high + 1))
            at += 3
        else:
            members.append(pattern[at])
            at += 1
    inside = b"".join(b"\\x%02x" % byte for byte in sorted(set(members)))
    if not inside:
        return (b"." if negated else b"(?!)"), at + 1
    return b"[" + (b"^" if negated else b"") + inside + b"]", at + 1
