"""Clients that repeat their requests: `IDMP <producer> <sequence> <command…>`. Which sequences of each producer were executed, and what they
were answered.

    A sequence is executed if, and only if, it was not executed before; who sends it again gets the first answer.

Only the newest `WINDOW` sequences of a producer are remembered: an older one is refused, as nobody can tell any more. For the same reason a
producer that is not
known must begin with 1: with any other number it may have been known once. A producer is forgotten after `TTL_MS` of log time; when `MOST` are
known a new one is refused rather than a living one forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from counter_node.counters.replies import Failure, pack, unpack

WINDOW: Final = 1_024
TTL_MS: Final = 24 * 3_600_000
MOST: Final = 10_000

TOO_MANY = Failure(b"OOM too many producers; at most %d are remembered for 24 hours" % MOST)


class Producer:
    __slots__ = ("newest", "replies", "time_ms")

    def __init__(self) -> None:
        self.newest = 0
        self.replies: dict[int, bytes] = {}  # sequence → packed reply
        self.time_ms = 0


class Producers:
    def __init__(self) -> None:
        self._table: dict[bytes, Producer] = {}  # idle longest first

    def __len__(self) -> int:
        return len(self._table)

    def evict(self, time_ms: int) -> None:
        while self._table:
            name = next(iter(self._table))
            if time_ms - self._table[name].time_ms < TTL_MS:
                return
            del self._table[name]

    def once(self, name: bytes, sequence: int, time_ms: int, execute: Callable[[], Any]) -> Any:
        """The reply of `execute`, now or from the time when this sequence was executed."""
        producer = self._table.pop(name, None)
        if producer is None:
            if sequence != 1:
                return Failure(b"IDMPEXPIRED producer is not known (any more); sequence %d was not executed now. A new producer starts at 1" %
                sequence)
            if len(self._table) >= MOST:
                return TOO_MANY
            producer = Producer()
        self._table[name] = producer
        producer.time_ms = time_ms
        known = producer.replies.get(sequence)
        if known is not None:
            return unpack(known)
        if sequence <= producer.newest - WINDOW:
            text = b"IDMPEXPIRED sequence %d is more than %d behind the newest, %d; it was not executed now"
            return Failure(text % (sequence, WINDOW, producer.newest))
        reply = execute()
        producer.replies[sequence] = pack(reply)
        if sequence > producer.newest:
            self._forget(producer, sequence)
        return reply

    @staticmethod
    def _forget(producer: Producer, newest: int) -> None:
        """The window moves on."""
        old, producer.newest = producer.newest, newest
        if newest - old < WINDOW:
            for sequence in range(old - WINDOW + 1, newest - WINDOW + 1):
                producer.replies.pop(sequence, None)
        else:
            producer.replies = {s: r for s, r in producer.replies.items() if s > newest - WINDOW}

    def dump(self) -> list[Any]:
        return [(name, p.newest, p.time_ms, list(p.replies.items())) for name, p in self._table.items()]

    def load(self, rows: list[Any]) -> None:
        self._table = {}
        for name, newest, time_ms, replies in rows:
            producer = Producer()
            producer.newest, producer.time_ms = newest, time_ms
            producer.replies = dict(replies)
            self._table[name] = producer
