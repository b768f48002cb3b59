"""Clients that repeat their requests: `IDMP <producer> <sequence> <command…>`. Which sequences of
each producer were executed, and what they were answered.

    A sequence is executed if, and only if, it was not executed before; who sends it again gets the
    first answer.

What makes this true with a table of bounded size:

1. The newest `WINDOW` sequences of a producer are remembered, executed or not, in whatever order
   they arrive. An older one is refused, as nobody can tell any more whether it was executed.
2. For the same reason a producer that is not known must begin with 1: with any other number it may
   have been known once. (With 1 as well; but who repeats its very first request a day later cannot
   be distinguished from one that begins.)
3. A producer is forgotten after `TTL_MS` of log time without a request, and never before: at a
   limit, new ones are refused.
4. An answer is remembered whatever it is, a refusal such as an overflow too: the request had its
   turn. One that is too large to keep is replaced by an error that says so, and the request still
   counts once.
5. A producer belongs to the user who made it (since level 4): the same name of another user is
   another producer, so nobody reads another's answers or uses up its sequences. One that is in the
   table from before belongs to nobody, and to the first user who names it.
6. A full table costs the one who filled it: what a user has, and what all have, may together be
   twice the limit (of producers, of remembered sequences, of answers that are kept). So one user
   alone may have as much as the limit says, and however much some made up, there is room for
   another.
7. A sequence more than `MOST_AHEAD` above the newest is refused (since level 4): it would make all
   before it too old.
8. What the producers of one user take is bounded by its limit of bytes (accounts.py): a new one is
   refused, and so is a sequence that needs a place more; an answer is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from counter_node.counters import weights
from counter_node.counters.accounts import TOO_MANY_PRODUCERS
from counter_node.counters.producer import (
    EMPTY,
    INTEGER,
    KEPT_NULL,
    KEPT_OK,
    NOTHING,
    OVERHEAD,
    PACKED,
    UNKEPT,
    Name,
    Place,
    Producer,
    Share,
    encode,
    little,
    other_bytes_of,
    row_of,
    user_of,
)
from counter_node.counters.replies import OK, Failure, larger_than, pack, unpack

WINDOW: Final = 1_024
TTL_MS: Final = 24 * 3_600_000
MOST: Final = 100_000
"""By default; the setting `max_producers` reaches the state through the log, as all replicas must
refuse the same."""
MOST_SLOTS: Final = 16_000_000
"""Remembered sequences of all producers together; 9 bytes each."""
MOST_OTHER_BYTES: Final = 64 << 20
"""For the answers that are not integers, all together."""
LARGEST_REPLY: Final = 4_096
MOST_AHEAD: Final = 65_536

TOO_MANY = (
    b"OOM too many producers; at most %d (max_producers) are remembered, each until 24 "
    b"hours after its last request. It was not executed"
)
TOO_MANY_OF_USER = (
    b"OOM too many producers of this user: %d, and %d of all users (max_producers is %d); each "
    b"is remembered until 24 hours after its last request."
    b" It was not executed"
)
TOO_FAR = b"ERR sequence %d is more than %d ahead of the newest, %d; it was not executed"
TOO_MUCH = Failure(
    b"OOM too many remembered requests; at most %d of all producers together" % MOST_SLOTS
)
UNKNOWN = (
    b"IDMPEXPIRED producer is not known (any more); sequence %d was not executed now. A "
    b"new producer starts at 1"
)
TOO_OLD = b"IDMPEXPIRED sequence %d is more than %d behind the newest, %d; it was not executed now"
NOT_KEPT = b"ERR sequence %d was executed; its reply was too large to be kept"


class Producers:
    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._table: dict[Name, Producer] = {}  # idle longest first
        self._shares: dict[bytes | None, Share] = {}
        self._all = Share()
        self.most_bytes_of: Callable[[bytes | None], int | None] = lambda user: None
        """What the producers of a user may take; None: no limit of its own."""
        self.due_ms = 0  # before this nobody can be forgotten
        self.notes: dict[Name, bytes] | None = (
            None  # what a dump needs of its moment: the rows of those that changed since
        )

    def __len__(self) -> int:
        return len(self._table)

    @property
    def size_bytes(self) -> int:
        """In the units of weights.py."""
        return self._all.size_bytes

    def bytes_of(self, user: bytes) -> int:
        share = self._shares.get(user)
        return 0 if share is None else share.size_bytes

    def evict(self, time_ms: int, most: int | None = None) -> None:
        """Forgets at most so many of those whose time is over; the others are as good as forgotten
        when they are asked for."""
        while self._table:
            key = next(iter(self._table))
            producer = self._table[key]
            self.due_ms = producer.time_ms + TTL_MS
            if time_ms < self.due_ms:
                return
            if most is not None:
                if most == 0:
                    return
                most -= 1
            self._drop(key, producer)
        self.due_ms = time_ms + TTL_MS

    def _drop(self, key: Name, producer: Producer) -> None:
        self._note(key, producer)
        del self._table[key]
        self._count(user_of(key), -1, -len(producer.kinds), -other_bytes_of(producer))

    def _count(self, user: bytes | None, producers: int, slots: int, other_bytes: int) -> None:
        share = self._shares.get(user)
        if share is None:
            share = self._shares[user] = Share()
        for part in (share, self._all):
            part.producers += producers
            part.slots += slots
            part.other_bytes += other_bytes
        if share.producers == 0:
            del self._shares[user]

    def once(self, name: bytes, sequence: int, time_ms: int, execute: Callable[[], Any]) -> Any:
        """The reply of `execute`, now or from the time when this sequence was executed."""
        place = self.place(name, sequence, time_ms)
        if type(place) is not Place:
            return place
        reply = execute()
        self.remember(place, reply)
        return reply

    def place(self, name: bytes, sequence: int, time_ms: int) -> Any:
        """Of a producer that belongs to nobody, as below level 4: as `_begin`."""
        key: Name = name
        if (
            name not in self._table and self._owned
        ):  # what a gateway sent before it heard of level 4 is about the same producer
            key = next(
                (other for other in self._table if type(other) is tuple and other[1] == name), name
            )
        return self._begin(key, sequence, time_ms, far=True)

    @property
    def _owned(self) -> bool:
        return len(self._shares) > (None in self._shares)

    def known(self, user: bytes, name: bytes) -> bool:
        return (user, name) in self._table or name in self._table

    def place_of(self, user: bytes, name: bytes, sequence: int, time_ms: int) -> Any:
        """The same for a producer of this user."""
        key = (user, name)
        if key not in self._table and (found := self._table.get(name)) is not None:
            self._drop(name, found)
            self._note(key, None)
            self._table[key] = found
            self._count(user, 1, len(found.kinds), other_bytes_of(found))
        return self._begin(key, sequence, time_ms)

    def _begin(self, key: Name, sequence: int, time_ms: int, *, far: bool = False) -> Any:
        """A `Place` when it is to be executed now, after which `remember` is to be called; else its
        answer. `far`: however far ahead."""
        producer = self._table.get(key)
        if (
            producer is not None and time_ms >= producer.time_ms + TTL_MS
        ):  # its time is over, though it was not taken away yet
            self._drop(key, producer)
            producer = None
        if producer is None:
            if sequence != 1:
                return Failure(UNKNOWN % sequence)
            if (refused := self._no_place(user_of(key))) is not None:
                return refused
            producer = Producer()
        else:
            self._touch(key, producer, time_ms)
            if sequence <= producer.newest - WINDOW:
                return Failure(TOO_OLD % (sequence, WINDOW, producer.newest))
            if (
                sequence <= producer.newest
                and (known := self._recall(producer, sequence)) is not NOTHING
            ):
                return known
            if not far and sequence > producer.newest + MOST_AHEAD:
                return Failure(TOO_FAR % (sequence, MOST_AHEAD, producer.newest))
        place = sequence % WINDOW
        more = max(0, place + 1 - len(producer.kinds))
        if more and not self._has_slots(user_of(key), more):
            return TOO_MUCH
        if more and (refused := self._too_dear(key, more)) is not None:
            return refused
        if key not in self._table:
            self._note(key, None)
            self._count(user_of(key), 1, 0, 0)
        if more:
            producer.stretch(place + 1)
            self._count(user_of(key), 0, more, 0)
        self._touch(key, producer, time_ms)
        if sequence > producer.newest:
            for passed in range(max(producer.newest + 1, sequence - WINDOW + 1), sequence + 1):
                self._forget(key, producer, passed % WINDOW)
            producer.newest = sequence
        return Place(key, producer, place)

    def _no_place(self, user: bytes | None) -> Failure | None:
        if user is None:
            return Failure(TOO_MANY % self.most) if len(self._table) >= self.most else None
        share = self._shares.get(user)
        mine = 0 if share is None else share.producers
        if mine + len(self._table) >= 2 * self.most:
            return Failure(TOO_MANY_OF_USER % (mine, len(self._table), self.most))
        return None

    def _too_dear(self, key: Name, slots: int) -> Failure | None:
        """Why this user's producers may not take so much more, if so."""
        user = user_of(key)
        most = self.most_bytes_of(user)
        if user is None or most is None:
            return None
        more = weights.SLOT * slots + (0 if key in self._table else weights.PRODUCER)
        now = self.bytes_of(user)
        return Failure(TOO_MANY_PRODUCERS % (user, now, most)) if now + more > most else None

    def _has_slots(self, user: bytes | None, more: int) -> bool:
        share = self._shares.get(user)
        mine = share.slots if user is not None and share is not None else 0
        return mine + self._all.slots + more <= (MOST_SLOTS if user is None else 2 * MOST_SLOTS)

    def _touch(self, key: Name, producer: Producer, time_ms: int) -> None:
        if key in self._table:
            self._note(key, producer)
            del self._table[key]
        self._table[key] = producer
        producer.time_ms = time_ms

    @staticmethod
    def _recall(producer: Producer, sequence: int) -> Any:
        place = sequence % WINDOW
        kind = producer.kinds[place] if place < len(producer.kinds) else EMPTY
        if kind == EMPTY:
            return NOTHING
        if kind == INTEGER:
            return producer.numbers[place]
        if kind == PACKED:
            return unpack(producer.others[place])
        return (
            OK if kind == KEPT_OK else None if kind == KEPT_NULL else Failure(NOT_KEPT % sequence)
        )

    def remember(self, place: Place, reply: Any) -> None:
        producer, number = place.producer, place.number
        if self._table.get(place.key) is not producer:
            return
        if type(reply) is int:
            producer.kinds[number] = INTEGER
            producer.numbers[number] = reply
        elif reply == OK or reply is None:
            producer.kinds[number] = KEPT_NULL if reply is None else KEPT_OK
        elif larger_than(reply, LARGEST_REPLY):
            producer.kinds[number] = (
                # each of its elements takes a byte at least: it need not be packed to know
                UNKEPT
            )
        else:
            packed = pack(reply)
            size = len(packed) + OVERHEAD
            user = user_of(place.key)
            mine = self._shares[user].other_bytes if user is not None else 0
            most = self.most_bytes_of(user)
            dear = user is not None and most is not None and self.bytes_of(user) + size > most
            room = MOST_OTHER_BYTES if user is None else 2 * MOST_OTHER_BYTES
            if dear or len(packed) > LARGEST_REPLY or mine + self._all.other_bytes + size > room:
                producer.kinds[number] = UNKEPT
            else:
                producer.kinds[number] = PACKED
                producer.others[number] = packed
                self._count(user, 0, 0, size)

    def _forget(self, key: Name, producer: Producer, place: int) -> None:
        if place < len(producer.kinds):
            if producer.kinds[place] == PACKED:
                self._count(user_of(key), 0, 0, -(len(producer.others.pop(place)) + OVERHEAD))
            producer.kinds[place] = EMPTY
            producer.numbers[place] = 0

    # --- snapshots --------------------------------------------------------------------------------

    def begin_notes(self) -> list[Name]:
        """The producers of this moment. From now on those that change are kept as they were."""
        self.notes = {}
        return list(self._table)

    def _note(self, key: Name, producer: Producer | None) -> None:
        """To be called before a producer changes or goes; None for one that comes, which is none of
        the dump's."""
        if self.notes is not None and key not in self.notes:
            self.notes[key] = b"" if producer is None else encode(row_of(key, producer))

    def row_of_then(self, key: Name) -> bytes:
        """Of a producer of the moment when the notes began; encoded."""
        assert self.notes is not None
        return self.notes.pop(key, b"") or encode(row_of(key, self._table[key]))

    def dump(self) -> list[Any]:
        return [row_of(key, producer) for key, producer in self._table.items()]

    def load(self, rows: list[Any]) -> None:
        """Adds these to the table."""
        for name, newest, time_ms, kinds, numbers, others, *user in rows:
            producer = Producer()
            producer.newest, producer.time_ms = newest, time_ms
            producer.kinds = bytearray(kinds)
            producer.numbers.frombytes(numbers)
            producer.numbers = little(producer.numbers)
            producer.others = others
            key = (user[0], name) if user else name
            self._table[key] = producer
            self._count(user_of(key), 1, len(kinds), other_bytes_of(producer))

    def give_up(self) -> object:
        """Forgets all. What is returned is the caller's to free in slices."""
        table, self._table, self._shares, self._all, self.notes = self._table, {}, {}, Share(), None
        return table
