"""Clients that repeat their requests: `IDMP <producer> <sequence> <command…>`. Which sequences of each producer were executed, and what they were
answered.

    A sequence is executed if, and only if, it was not executed before; who sends it again gets the first answer.

What makes this true with a table of bounded size:

1. The newest `WINDOW` sequences of a producer are remembered, executed or not, in whatever order they arrive. An older one is refused, as nobody
   can tell any more whether it was executed.
2. For the same reason a producer that is not known must begin with 1: with any other number it may have been known once. (With 1 as well; but who
   repeats its very first request a day later cannot be told from who begins.)
3. A producer is forgotten after `TTL_MS` of log time without a request, and never before: at a limit, new ones are refused.
4. An answer is remembered whatever it is, a refusal such as an overflow too: the request had its turn. One that is too large to keep is replaced
   by an error that says so, and the request still counts once.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Any, Final

from counter_node.counters.replies import OK, Failure, pack, unpack

WINDOW: Final = 1_024
TTL_MS: Final = 24 * 3_600_000
MOST: Final = 100_000
"""By default; the setting `max_producers` reaches the state through the log, as all replicas must refuse the same."""
MOST_SLOTS: Final = 16_000_000
"""Remembered sequences of all producers together; 9 bytes each."""
MOST_OTHER_BYTES: Final = 64 << 20
"""For the answers that are not integers, all together."""
LARGEST_REPLY: Final = 4_096
_OVERHEAD: Final = 100

_EMPTY, _INTEGER, _PACKED, _OK, _NULL, _NOT_KEPT = range(6)

TOO_MANY = b"OOM too many producers; at most %d (max_producers) are remembered, each until 24 hours after its last request. It was not executed"
TOO_MUCH = Failure(b"OOM too many remembered requests; at most %d of all producers together" % MOST_SLOTS)
UNKNOWN = b"IDMPEXPIRED producer is not known (any more); sequence %d was not executed now. A new producer starts at 1"
TOO_OLD = b"IDMPEXPIRED sequence %d is more than %d behind the newest, %d; it was not executed now"
NOT_KEPT = b"ERR sequence %d was executed; its reply was too large to be kept"


class Producer:
    """A ring of `WINDOW` places, as long as it had to be so far; sequence n is in place n mod `WINDOW`."""

    __slots__ = ("kinds", "newest", "numbers", "others", "time_ms")

    def __init__(self) -> None:
        self.newest = 0
        self.time_ms = 0
        self.kinds = bytearray()
        self.numbers = array("q")
        self.others: dict[int, bytes] = {}  # place → packed reply

    def stretch(self, length: int) -> None:
        more = length - len(self.kinds)
        self.kinds.extend(bytes(more))
        self.numbers.frombytes(bytes(8 * more))


class Producers:
    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._table: dict[bytes, Producer] = {}  # idle longest first
        self._slots = 0
        self._other_bytes = 0
        self.due_ms = 0  # before this nobody can be forgotten, so nobody need be looked for

    def __len__(self) -> int:
        return len(self._table)

    def evict(self, time_ms: int) -> None:
        while self._table:
            name = next(iter(self._table))
            producer = self._table[name]
            self.due_ms = producer.time_ms + TTL_MS
            if time_ms < self.due_ms:
                return
            del self._table[name]
            self._slots -= len(producer.kinds)
            self._other_bytes -= sum(len(reply) + _OVERHEAD for reply in producer.others.values())
        self.due_ms = time_ms + TTL_MS

    def once(self, name: bytes, sequence: int, time_ms: int, execute: Callable[[], Any]) -> Any:
        """The reply of `execute`, now or from the time when this sequence was executed."""
        producer = self._table.get(name)
        if producer is None:
            if sequence != 1:
                return Failure(UNKNOWN % sequence)
            if len(self._table) >= self.most:
                return Failure(TOO_MANY % self.most)
            producer = Producer()
        else:
            self._touch(name, producer, time_ms)
            if sequence <= producer.newest - WINDOW:
                return Failure(TOO_OLD % (sequence, WINDOW, producer.newest))
            if sequence <= producer.newest and (known := self._recall(producer, sequence)) is not _NOTHING:
                return known
        place = sequence % WINDOW
        if place >= len(producer.kinds):
            more = place + 1 - len(producer.kinds)
            if self._slots + more > MOST_SLOTS:
                return TOO_MUCH
            producer.stretch(place + 1)
            self._slots += more
        self._touch(name, producer, time_ms)
        if sequence > producer.newest:
            for passed in range(max(producer.newest + 1, sequence - WINDOW + 1), sequence + 1):
                self._forget(producer, passed % WINDOW)
            producer.newest = sequence
        reply = execute()
        self._remember(producer, place, reply)
        return reply

    def _touch(self, name: bytes, producer: Producer, time_ms: int) -> None:
        self._table.pop(name, None)
        self._table[name] = producer
        producer.time_ms = time_ms

    @staticmethod
    def _recall(producer: Producer, sequence: int) -> Any:
        place = sequence % WINDOW
        kind = producer.kinds[place] if place < len(producer.kinds) else _EMPTY
        if kind == _EMPTY:
            return _NOTHING
        if kind == _INTEGER:
            return producer.numbers[place]
        if kind == _PACKED:
            return unpack(producer.others[place])
        return OK if kind == _OK else None if kind == _NULL else Failure(NOT_KEPT % sequence)

    def _remember(self, producer: Producer, place: int, reply: Any) -> None:
        if type(reply) is int:
            producer.kinds[place] = _INTEGER
            producer.numbers[place] = reply
        elif reply == OK or reply is None:
            producer.kinds[place] = _NULL if reply is None else _OK
        else:
            packed = pack(reply)
            size = len(packed) + _OVERHEAD
            if len(packed) > LARGEST_REPLY or self._other_bytes + size > MOST_OTHER_BYTES:
                producer.kinds[place] = _NOT_KEPT
            else:
                producer.kinds[place] = _PACKED
                producer.others[place] = packed
                self._other_bytes += size

    def _forget(self, producer: Producer, place: int) -> None:
        if place < len(producer.kinds):
            if producer.kinds[place] == _PACKED:
                self._other_bytes -= len(producer.others.pop(place)) + _OVERHEAD
            producer.kinds[place] = _EMPTY
            producer.numbers[place] = 0

    # --- snapshots ----------------------------------------------------------------------------------------------------------

    def dump(self) -> list[Any]:
        return [(name, p.newest, p.time_ms, bytes(p.kinds), _little(p.numbers).tobytes(), p.others) for name, p in self._table.items()]

    def load(self, rows: list[Any]) -> None:
        """Into an empty table."""
        assert not self._table
        for name, newest, time_ms, kinds, numbers, others in rows:
            producer = Producer()
            producer.newest, producer.time_ms = newest, time_ms
            producer.kinds = bytearray(kinds)
            producer.numbers.frombytes(numbers)
            producer.numbers = _little(producer.numbers)
            producer.others = others
            self._table[name] = producer
            self._slots += len(kinds)
            self._other_bytes += sum(len(reply) + _OVERHEAD for reply in others.values())


_NOTHING: Final = object()


def _little(numbers: array[int]) -> array[int]:
    """Snapshots are the same on machines of either byte order."""
    if sys.byteorder == "big":
        numbers = array("q", numbers)
        numbers.byteswap()
    return numbers
