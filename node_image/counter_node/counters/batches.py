"""What an entry of the log holds: eight bytes of log time in ms, then one of the bodies below as
MessagePack."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

Op = Any
"""One command: a list, [opcode, arguments…] (ops.py); or bytes, a key alone, the increment by one
of that counter. Nearly all commands are such."""


class Batch(msgspec.Struct, array_like=True, tag=0, frozen=True, gc=False):
    """Commands of one gateway, number `number` of its session."""

    session: int
    number: int
    ops: msgspec.Raw  # a list of Op; decoded only where the gateway is another node


class OpenSession(msgspec.Struct, array_like=True, tag=1, frozen=True, gc=False):
    """A gateway registers; the index of this entry becomes its session."""

    nonce: int


class Tick(msgspec.Struct, array_like=True, tag=2, frozen=True, gc=False):
    """Only moves time, so that what is due expires while nothing else happens."""


class Level(msgspec.Struct, array_like=True, tag=3, frozen=True, gc=False):
    """Every member knows this level (levels.py); from here on its operations may be in the log."""

    level: int


class Limits(msgspec.Struct, array_like=True, tag=4, frozen=True, gc=False):
    """The leader's settings of what all replicas must refuse alike. Since level 2."""

    max_keys: int
    max_producers: int


class Jump(msgspec.Struct, array_like=True, tag=5, frozen=True, gc=False):
    """After a full stop: log time moves on to this, if it is ahead. `gap`: from here on it is known
    that more may have to be made up for; what is given a time to live meanwhile keeps it. Since
    level 4."""

    elapsed_ms: int
    gap: bool


class Calendar(msgspec.Struct, array_like=True, tag=6, frozen=True, gc=False):
    """From here on UTC is log time plus this. Moves no deadline. `agreed`: a majority of the
    voters' clocks says so, or an administrator. Since level 4."""

    offset_ms: int
    agreed: bool = True


class Begin(msgspec.Struct, array_like=True, tag=9, frozen=True, gc=False):
    """A history begins here, unless one is known already (history.py). Since level 4."""

    history: str


class Bytes(msgspec.Struct, array_like=True, tag=7, frozen=True, gc=False):
    """The leader's limit of what the state may take, in the units of weights.py; 0: none. Since
    level 4."""

    max_bytes: int


LimitsRow = tuple[bytes, int | None, int | None]
"""A user, the counters that it may have, and their bytes; None: as many as all together may
have."""


class UserLimits(msgspec.Struct, array_like=True, tag=8, frozen=True, gc=False):
    """The limits of users, and no others, from the leader's file of users (accounts.py). By name.
    Since level 4."""

    rows: tuple[LimitsRow, ...]


Body = Batch | OpenSession | Tick | Level | Limits | Jump | Calendar | Bytes | UserLimits | Begin
TIME_BYTES = 8

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Body).decode
decode_ops = msgspec.msgpack.Decoder(list[Any]).decode


def encode_batch(session: int, number: int, ops: list[Op]) -> bytes:
    return encode(Batch(session, number, msgspec.Raw(encode(ops))))


def encode_open(nonce: int) -> bytes:
    return encode(OpenSession(nonce))


def encode_tick() -> bytes:
    return encode(Tick())


def stamp(time_ms: int, body: bytes) -> bytes:
    """The leader's part: log time before the body, which it does not look into."""
    return time_ms.to_bytes(TIME_BYTES, "big") + body


_IDENTITY_BYTES = 32
_ARRAY, _OPEN_ARRAY = (
    0x94,
    0x92,
)  # of a Batch and of an OpenSession; what they hold first is the tag
_UNSIGNED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}


def identity_of(body: bytes | memoryview) -> tuple[int, int] | None:
    """Whose body this is, without a look at its commands: (session, number) of a batch, (0, nonce)
    of a registration (0 is no session); None of all others. Never raises."""
    head = bytes(body[:_IDENTITY_BYTES])
    if head[:2] == bytes((_ARRAY, 0)):
        session, at = _unsigned(head, 2)
        number, _ = _unsigned(head, at)
        return None if session is None or number is None else (session, number)
    if head[:2] == bytes((_OPEN_ARRAY, 1)):
        nonce, _ = _unsigned(head, 2)
        return None if nonce is None else (0, nonce)
    return None


def _unsigned(data: bytes, at: int) -> tuple[int | None, int]:
    """A MessagePack integer at `at`, None when there is none; and where it ends."""
    if at >= len(data):
        return None, at
    first = data[at]
    if first < 0x80:
        return first, at + 1
    size = _UNSIGNED.get(first, 0)
    end = at + 1 + size
    return (int.from_bytes(data[at + 1 : end], "big") if size and end <= len(data) else None), end


def ops_of(body: bytes) -> list[Op]:
    """The commands of a body that `encode_batch` made; none for other bodies."""
    found = decode(body)
    return decode_ops(found.ops) if isinstance(found, Batch) else []


class OutcomeKind(enum.Enum):
    EXECUTED = "executed"
    DUPLICATE = "duplicate"  # this number was executed before
    GAP = "gap"  # a number before it was not executed yet
    UNKNOWN_SESSION = (
        "unknown session"  # never registered, or evicted: not executed, and never will be
    )
    SESSION_OPENED = "session opened"
    TICKED = "ticked"


class Outcome(msgspec.Struct, frozen=True):
    """What became of an entry. `replies` has one reply for each command of a batch of one's own
    that was executed."""

    kind: OutcomeKind
    session: int = 0
    number: int = 0
    nonce: int = 0
    replies: list[Any] = msgspec.field(default_factory=list)
