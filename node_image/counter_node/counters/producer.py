"""One producer of `IDMP`: the places of its remembered sequences, how each answer is kept, its row
in a snapshot, and what one user has of the table (producers.py)."""

from __future__ import annotations

import sys
from array import array
from typing import Any, Final

import msgspec

from counter_node.counters import weights

OVERHEAD: Final = 100
EMPTY, INTEGER, PACKED, KEPT_OK, KEPT_NULL, UNKEPT = range(6)


class Producer:
    """A ring of `WINDOW` places, as long as it had to be so far; sequence n is in place n mod
    `WINDOW`."""

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


class Share:
    """What one user has of the table."""

    __slots__ = ("other_bytes", "producers", "slots")

    def __init__(self) -> None:
        self.producers = self.slots = self.other_bytes = 0

    @property
    def size_bytes(self) -> int:
        """In the units of weights.py."""
        return weights.PRODUCER * self.producers + weights.SLOT * self.slots + self.other_bytes


Name = bytes | tuple[bytes, bytes]
"""Of a producer: its user and its name; the name alone of one that belongs to nobody."""


class Place:
    """Where the answer of a request that is executed now is going to be kept."""

    __slots__ = ("key", "number", "producer")

    def __init__(self, key: Name, producer: Producer, number: int) -> None:
        self.key, self.producer, self.number = key, producer, number


NOTHING: Final = object()
encode = msgspec.msgpack.Encoder().encode


def user_of(key: Name) -> bytes | None:
    return key[0] if type(key) is tuple else None


def other_bytes_of(producer: Producer) -> int:
    return sum(len(reply) + OVERHEAD for reply in producer.others.values())


def row_of(key: Name, p: Producer) -> tuple[Any, ...]:
    """A seventh field, the user, is there since level 4."""
    row = (p.newest, p.time_ms, bytes(p.kinds), little(p.numbers).tobytes(), p.others)
    return (key[1], *row, key[0]) if type(key) is tuple else (key, *row)


def little(numbers: array[int]) -> array[int]:
    """Snapshots are the same on machines of either byte order."""
    if sys.byteorder == "big":
        numbers = array("q", numbers)
        numbers.byteswap()
    return numbers
