"""Deadlines in their order: which counters are due, how many, and which come next.

1. The order is (deadline, name), so that it is the same on every replica, however each came to its
   state: what is removed in slices is removed in this order (state.py).
2. A deadline that is moved or taken away leaves nothing behind. A heap would have to be rebuilt
   now and then, which takes 0.2 s for a million.
3. How many are due is known without a look at each of them, as DBSIZE asks for it while they wait
   to be removed.

A pair is eight bytes of deadline and then the name: so it is in order as bytes are, and the garbage
collector, which would look through a million tuples again and again (0.1 s each time), has nothing
to do with it. Pairs are kept in buckets, in order within and among them; one that is full is parted
in two."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

Pair = bytes
MOST_PER_BUCKET: Final = 512
_LATEST: Final = (1 << 64) - 1


def _pair(deadline_ms: int, key: bytes = b"") -> Pair:
    return deadline_ms.to_bytes(8, "big") + key


def _end_of(time_ms: int) -> Pair:
    """Before every pair of the next millisecond, after all up to that time."""
    return _pair(min(time_ms + 1, _LATEST))


def _deadline(pair: Pair) -> int:
    return int.from_bytes(pair[:8], "big")


class Schedule:
    def __init__(self) -> None:
        self.buckets: list[list[Pair]] = []  # none is empty
        self._lasts: list[
            Pair
            # the last pair of each, or one that was; never above what the next bucket begins with
        ] = []

    def add(self, deadline_ms: int, key: bytes) -> None:
        """A pair that is not there yet."""
        pair, lasts = deadline_ms.to_bytes(8, "big") + key, self._lasts
        if not lasts:
            self.buckets.append([pair])
            lasts.append(pair)
            return
        number = bisect_left(lasts, pair)
        if number == len(lasts):
            number -= 1
            lasts[number] = pair
            bucket = self.buckets[number]
            bucket.append(pair)
        else:
            bucket = self.buckets[number]
            insort(bucket, pair)
        if len(bucket) > MOST_PER_BUCKET:
            half = len(bucket) // 2
            self.buckets.insert(number + 1, bucket[half:])
            self._lasts.insert(number + 1, self._lasts[number])
            del bucket[half:]
            self._lasts[number] = bucket[-1]

    def remove(self, deadline_ms: int, key: bytes) -> None:
        """A pair that is there."""
        pair = deadline_ms.to_bytes(8, "big") + key
        number = bisect_left(self._lasts, pair)
        bucket = self.buckets[number]
        at = bisect_left(bucket, pair)
        assert bucket[at] == pair, "every deadline is in the schedule"
        del bucket[at]
        if not bucket:
            del self.buckets[number], self._lasts[number]

    def first_ms(self) -> int | None:
        return _deadline(self.buckets[0][0]) if self.buckets else None

    def first_after_ms(self, time_ms: int) -> int | None:
        """The first deadline that is later than that."""
        end = _end_of(time_ms)
        number = bisect_left(self._lasts, end)
        if number == len(self.buckets):
            return None
        bucket = self.buckets[number]
        at = bisect_left(bucket, end)
        if at < len(bucket):
            return _deadline(bucket[at])
        return _deadline(self.buckets[number + 1][0]) if number + 1 < len(self.buckets) else None

    def due(self, time_ms: int) -> int:
        """How many deadlines there are up to that time."""
        end = _end_of(time_ms)
        number = bisect_left(self._lasts, end)
        whole = sum(map(len, self.buckets[:number]))
        return whole + (bisect_left(self.buckets[number], end) if number < len(self.buckets) else 0)

    def take(self, time_ms: int, most: int | None) -> list[bytes]:
        """Takes the first pairs up to that time out, at most so many; None: all. Returns their
        names."""
        taken: list[Pair] = []
        end = _end_of(time_ms)
        while self.buckets and (most is None or len(taken) < most):
            bucket = self.buckets[0]
            count = bisect_left(bucket, end)
            if most is not None:
                count = min(count, most - len(taken))
            if count == 0:
                break
            taken += bucket[:count]
            del bucket[:count]
            if bucket:
                break
            del self.buckets[0], self._lasts[0]
        return [pair[8:] for pair in taken]
